"""The tasks: one module each, found by name. A new task is one new file here and one line in the config."""

import importlib
import pkgutil
from collections.abc import Iterable

from skillprobe.errors import UserError
from skillprobe.tasks.base import Phrasing, Task, Verdict, render

__all__ = ["CATEGORIES", "NAMES", "Phrasing", "Task", "Verdict"]
__all__ += ["available", "categories_of", "get", "render"]

CATEGORIES = ("structural", "lexical", "semantic", "stylistic")

# The nine of the study, in its order.
NAMES = (
    "word_count",
    "character_count",
    "json_format",
    "term_inclusion",
    "term_exclusion",
    "topic",
    "sentiment",
    "register",
    "toxicity",
)


def available() -> list[str]:
    """Names of all tasks there are: the nine, then any added file, alphabetically."""
    modules = {module.name for module in pkgutil.iter_modules(__path__)} - {"base", "world"}
    return [*NAMES, *sorted(modules - set(NAMES))]


def get(name: str) -> Task:
    """The task of that name. Raises UserError, listing the tasks there are, for an unknown one."""
    if name not in available():
        raise UserError(f"no task '{name}'; the tasks are {', '.join(available())}")
    module = importlib.import_module(f"{__name__}.{name}")
    if not hasattr(module, "TASK"):
        raise UserError(
            f"{module.__file__} does not define TASK; define it there, or move the file elsewhere"
        )
    return module.TASK


def categories_of(names: Iterable[str]) -> dict[str, str]:
    """{task: its category}. Raises UserError as `get`."""
    return {name: get(name).category for name in names}
