"""A task's file against what the analyses ask of it, before any job: attributes, phrasings, methods.

Each refusal names the file, the attribute, phrasing or method, and what to do (docs/tasks.md).
"""

import inspect
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from string import Formatter

from skillprobe import tasks
from skillprobe.errors import UserError, suggestion
from skillprobe.tasks.base import INSTRUCTION_TYPES, POLARITIES, Phrasing, Task, Verdict, render
from skillprobe.tasks.world import REPLACEABLE, WORD_LISTS, World

# Params may have several forms, such as with and without keys.
DRAWS = 4
TEXT = "Here is a short text. It has two sentences."


def check_task(name: str, world: World) -> None:
    """world: with the lists that the config gives. Raises UserError for what would fail in a job, or later.

    Every method is called, `verify` of a judged task with a judge that gives its first label. Takes about a
    millisecond, since every job's process reads the config. Of a task whose labels are given, nothing but its
    attributes counts.
    """
    task = tasks.get(name)
    _check_attributes(name, task, world)
    if task.given:
        return
    _check_phrasings(name, task)
    told: dict[str, dict] = {}
    for seed in range(DRAWS):
        params = _sampled(name, task, world, seed)
        _call(name, task, "check_params", params)
        for phrasing, prompt in _prompts(name, task, world, params):
            if told.setdefault(prompt, params) != params:
                raise _refusal(
                    name,
                    f"phrasing '{phrasing}': the prompt is the same for the params {told[prompt]} and "
                    f"{params}; say in the template what they ask for",
                )
        for text in ("", TEXT):
            _check_verdict(name, task, world, text, params)


def _refusal(name: str, problem: str) -> UserError:
    return UserError(f"{tasks.file_of(name)}: {problem}")


def _check_attributes(name: str, task: Task, world: World) -> None:
    for attribute in ("name", "category", "phrasings"):
        if not hasattr(task, attribute):
            raise _refusal(name, f"the task lacks the attribute '{attribute}'; add it")
    if task.name != name:
        raise _refusal(
            name, f"the task's name is {task.name!r}, but the file's is {name!r}; change one of them"
        )
    _check_choice(name, "category", task.category, tasks.CATEGORIES)
    if not isinstance(task.judged, bool):
        raise _refusal(name, f"judged must be True or False, not {task.judged!r}")
    if task.given and task.judged:
        raise _refusal(name, "a task whose labels are given has no judge; remove judged")
    _check_names(name, "draws", task.draws)
    for key in task.draws:
        _check_choice(name, "draws", key, REPLACEABLE)
    if joined := task.clusters_with:
        _check_choice(name, "clusters_with", joined, [each for each in tasks.available() if each != name])
        if other := tasks.get(joined).clusters_with:
            raise _refusal(
                name, f"clusters_with is '{joined}', which itself joins '{other}'; write '{other}' here, too"
            )
    if task.judged:
        _check_labels(name, task, world)
    for method, function in vars(Task).items():
        if getattr(function, "__isabstractmethod__", False):
            _check_arguments(name, method, getattr(task, method), function)


def _check_arguments(name: str, method: str, function: object, wanted: Callable) -> None:
    """wanted: the method of `Task`, whose arguments the task's own must take."""
    places = list(inspect.signature(wanted).parameters)[1:]
    try:
        inspect.signature(function).bind(*places)
    except (TypeError, ValueError):
        raise _refusal(
            name,
            f"{method} doesn't take the arguments ({', '.join(places)}); write def {method}(self, "
            f"{', '.join(places)}), as docs/tasks.md has it",
        ) from None


def _check_labels(name: str, task: Task, world: World) -> None:
    _check_names(name, "labels", task.labels)
    if task.word_lists:
        _check_choice(name, "word_lists", task.word_lists, WORD_LISTS)
    if not isinstance(task.words, Mapping):
        raise _refusal(name, f"words must be a dict from labels to lists of words, not {task.words!r}")
    for label, words in task.words.items():
        _check_names(name, f"words[{label!r}]", words)
        if not words:
            raise _refusal(name, f"words[{label!r}] is empty; give at least one word")
    every = [word.casefold() for words in task.words.values() for word in words]
    if twice := {word for word in every if every.count(word) > 1}:
        raise _refusal(name, f"words has '{min(twice)}' twice, so that it decides no label; remove one")
    if not (task.labels or task.words or task.word_lists):
        raise _refusal(
            name,
            "the task is judged, but has no labels; add labels = (…), those that its judge chooses from, or "
            "the one that its judge scores",
        )
    if task.word_lists == "insults" and len(task.labels) != 1:
        raise _refusal(name, "word_lists is insults, the words of one label; add labels = (…,) with one")
    words = task.words_in(world)
    if words and task.labels and set(words) != set(task.labels):
        raise _refusal(
            name,
            f"labels are {', '.join(task.labels)}, but words are of {', '.join(words)}; let them be the same",
        )


def _check_choice(name: str, attribute: str, value: object, choices: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise _refusal(
            name,
            f"{attribute} must be one of {', '.join(choices)}, not {value!r}{suggestion(value, choices)}",
        )


def _check_names(name: str, attribute: str, value: object) -> None:
    texts = value if isinstance(value, tuple | list) else [None]
    if not all(isinstance(each, str) and each.strip() for each in texts) or len(set(texts)) < len(texts):
        hint = f"; write ({value!r},)" if isinstance(value, str) else ""
        raise _refusal(name, f"{attribute} must be a tuple of different texts, not {value!r}{hint}")


def _check_phrasings(name: str, task: Task) -> None:
    phrasings = task.phrasings
    if not isinstance(phrasings, tuple | list) or not all(isinstance(each, Phrasing) for each in phrasings):
        raise _refusal(name, f"phrasings must be what make_phrasings returns, not {phrasings!r:.80}")
    if not phrasings:
        raise _refusal(name, "phrasings is empty; give some of each instruction type")
    ids, templates = set(), set()
    for phrasing in phrasings:
        about = f"phrasing '{phrasing.id}'"
        if not isinstance(phrasing.template, str):
            raise _refusal(name, f"{about}: the template must be a text, not {phrasing.template!r}")
        if not str(phrasing.id).startswith(f"{name}."):
            raise _refusal(
                name, f"{about}: its id must begin with '{name}.'; call make_phrasings(name, …) to have it so"
            )
        if phrasing.id in ids:
            raise _refusal(name, f"two phrasings have the id '{phrasing.id}'; change one of them")
        if phrasing.template in templates:
            raise _refusal(name, f"{about}: another one has the same template; change one of them")
        _check_choice(name, f"{about}: instruction_type", phrasing.instruction_type, INSTRUCTION_TYPES)
        _check_choice(name, f"{about}: polarity", phrasing.polarity, POLARITIES)
        ids.add(phrasing.id)
        templates.add(phrasing.template)


def _sampled(name: str, task: Task, world: World, seed: int) -> dict:
    read = _Read(world)
    params = _call(name, task, "sample_params", random.Random(seed), read)
    if not isinstance(params, dict) or not _is_json(params):
        raise _refusal(
            name,
            "sample_params must return a dict of what JSON can hold (lists instead of tuples, for example), "
            f"not {params!r:.80}",
        )
    if params != _call(name, task, "sample_params", random.Random(seed), world):
        raise _refusal(
            name, "sample_params returns other params for an equal rng; draw from the rng that it is given"
        )
    if unnamed := read.fields & set(REPLACEABLE) - set(task.draws):
        raise _refusal(
            name,
            f"sample_params reads world.{min(unnamed)}, which draws doesn't name; add it there, or a list in "
            "the config would not be used",
        )
    return params


class _Read:
    """A world that remembers which of its fields were read."""

    def __init__(self, world: World):
        self._world, self.fields = world, set()

    def __getattr__(self, field: str):
        self.fields.add(field)
        return getattr(self._world, field)


def _prompts(name: str, task: Task, world: World, params: dict) -> Iterator[tuple[str, str]]:
    """Of each phrasing its id and prompt."""
    fields = _call(name, task, "describe", params)
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise _refusal(name, f"describe must return a dict of fields for the templates, not {fields!r:.80}")
    if taken := {"request", "subject"} & fields.keys():
        raise _refusal(
            name, f"describe returns the field '{min(taken)}', which every template has already; rename it"
        )
    request, subject = world.requests[0], world.subjects[0]
    known = ("request", "subject", *fields)
    for phrasing in task.phrasings:
        about = f"phrasing '{phrasing.id}'"
        try:
            unknown = [field for field in _fields(phrasing.template) if field not in known]
            prompt = "" if unknown else render(task, phrasing, request, subject, params)
        except Exception as error:  # Whatever str.format says of braces and formats.
            raise _refusal(
                name,
                f"{about}: the template can't be filled in ({type(error).__name__}: {error}); write {{{{ and "
                "}} for braces that are meant as such",
            ) from error
        if unknown:
            raise _refusal(
                name,
                f"{about}: the template has the field {{{unknown[0]}}}{suggestion(unknown[0], known)}, which "
                f"describe doesn't return; its fields are {', '.join(known)}",
            )
        if subject not in prompt:
            raise _refusal(
                name, f"{about}: the template has neither {{request}} nor {{subject}}; add one of them"
            )
        yield phrasing.id, prompt


def _fields(template: str) -> Iterator[str]:
    """Names of the fields of a template, without what follows them."""
    for _, field, _, _ in Formatter().parse(template):
        if field is not None:
            yield field.partition(".")[0].partition("[")[0]


def _check_verdict(name: str, task: Task, world: World, text: str, params: dict) -> None:
    judge = _Judge(task.labels_in(world)) if task.judged else None
    verdict = _call(name, task, "verify", text, params, judge)
    if not isinstance(verdict, Verdict):
        raise _refusal(name, f"verify must return a Verdict, not {verdict!r:.80}")
    if not isinstance(verdict.satisfied, bool):
        raise _refusal(
            name,
            f"verify: satisfied must be True or False, not {verdict.satisfied!r:.80}; convert it by bool()",
        )
    if not isinstance(verdict.evidence, dict) or not _is_json(verdict.evidence):
        raise _refusal(
            name,
            f"verify: evidence must be a dict that JSON can hold (no tuples, NumPy numbers or NaN), not "
            f"{verdict.evidence!r:.80}",
        )


class _Judge:
    """Gives every text the first of its labels."""

    threshold = 0.5

    def __init__(self, labels: Sequence[str]):
        self.labels = labels

    def classify(self, text: str) -> dict:
        return {
            "label": self.labels[0],
            "scores": {label: float(n == 0) for n, label in enumerate(self.labels)},
        }


def _call(name: str, task: Task, method: str, *arguments):
    function: Callable = getattr(task, method)
    try:
        return function(*arguments)
    except UserError as error:
        hint = "" if task.judged or "judge" not in str(error) else " (a judged task has judged = True)"
        raise _refusal(name, f"{method} refuses what sample_params draws: {error}{hint}") from error
    except Exception as error:  # Whatever the file does.
        raise tasks.failing(name, f"{method} fails", error) from error


def _is_json(value: object) -> bool:
    try:
        return json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError):
        return False
