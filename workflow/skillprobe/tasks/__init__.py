"""The tasks: one module each, found by name. A new task is one new file here and one line in the config."""

import importlib.util
import pkgutil
import traceback
from collections.abc import Iterable
from pathlib import Path

from skillprobe.errors import UserError, first_sentence
from skillprobe.tasks.base import Phrasing, Task, Verdict, render

__all__ = ["CATEGORIES", "NAMES", "Phrasing", "Task", "Verdict"]
__all__ += ["available", "categories_of", "clusters_of", "file_of", "get", "render"]

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
# Modules beside them.
_OTHERS = {"base", "text", "world"}


def available() -> list[str]:
    """Names of all tasks there are: the nine, then any added file, alphabetically. A file whose name begins
    with _ holds no task."""
    modules = {module.name for module in pkgutil.iter_modules(__path__)}
    added = {name for name in modules - _OTHERS - set(NAMES) if not name.startswith("_")}
    return [*NAMES, *sorted(added)]


def file_of(name: str) -> str:
    """The path of a task's file, from the working directory where that is above it."""
    path = Path(importlib.util.find_spec(f"{__name__}.{name}").origin)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def get(name: str) -> Task:
    """The task of that name. Raises UserError for an unknown one, listing the tasks there are, and for a file
    that can't be imported or holds no task, naming file and line."""
    if name not in available():
        raise UserError(f"no task '{name}'; the tasks are {', '.join(available())}")
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except Exception as error:  # Whatever the file does.
        raise failing(name, "can't be imported", error) from error
    if not hasattr(module, "TASK"):
        raise UserError(f"{file_of(name)} does not define TASK; define it there, or move the file elsewhere")
    if not isinstance(module.TASK, Task):
        hint = f"write TASK = {module.TASK.__name__}()" if isinstance(module.TASK, type) else "make it one"
        raise UserError(f"{file_of(name)}: TASK is no object of a class derived from Task; {hint}")
    return module.TASK


def failing(name: str, what: str, error: Exception) -> UserError:
    """What to say of an error that a task's file raises: where, and which. what: it does then."""
    file = importlib.util.find_spec(f"{__name__}.{name}").origin
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    where = f", line {lines[-1]}" if lines else ""
    said = f"{type(error).__name__}: {first_sentence(error)}".removesuffix(": ")
    return UserError(f"{file_of(name)}{where}: {what} ({said}); correct it")


def clusters_of(names: Iterable[str]) -> dict[str, str]:
    """{task: the one whose block it joins in the test of clusters}, of those that join one. Raises UserError
    as `get`."""
    return {name: joined for name in names if (joined := get(name).clusters_with)}


def categories_of(names: Iterable[str]) -> dict[str, str]:
    """{task: its category}. Raises UserError as `get`."""
    return {name: get(name).category for name in names}
