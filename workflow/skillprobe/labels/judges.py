"""Judges for the tasks that no rule decides: topic, sentiment, register, toxicity, and judged ones of users.

A judge has `labels` (those of its task), `classify(text) -> {"label": str | None, "scores": {label: float}}`,
a `threshold`, below which no label is given, and may have `prepare(texts)`, which judges many at once so that
`classify` need not.
"""

from collections.abc import Mapping, Sequence

from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.labels.formality import formality_judge
from skillprobe.labels.lexicon import lexicon_judge
from skillprobe.tasks.world import World

NAMES = ("lexicon", "formality", "transformers")
# Of a transformers judge, with their defaults.
OPTIONS = {
    "model": None,
    "revision": None,
    "method": "classification",
    "labels": {},
    "multi_label": None,
    "hypothesis": None,
    "entailment": None,
    "threshold": None,
    "batch_size": 32,
    "max_tokens": 512,
    # Whether a hub model is taken from the cache.
    "offline": False,
}


def get_judge(kind: str, task_name: str, world: World, settings: Mapping | None = None):
    """The judge of that kind for a judged task. Raises UserError where there is none.

    settings: of a transformers judge, those of OPTIONS that aren't the default, "model" at least; the others
    have none.
    """
    if kind not in NAMES:
        raise UserError(f"no judge '{kind}' for task '{task_name}'; the judges are {', '.join(NAMES)}")
    if kind == "transformers":
        return _classifier(task_name, world, dict(settings or {}))
    if settings:
        raise UserError(f"judge '{kind}' has no setting '{next(iter(settings))}'; remove it")
    if kind == "formality":
        return formality_judge(task_name, tasks.get(task_name).labels_in(world))
    return lexicon_judge(task_name, world)


def for_task(task, given: str | Mapping | None, world: World):
    """The judge that the config names for a task, None for one that needs none. given: of `judges.<task>`."""
    if not task.judged:
        return None
    if isinstance(given, Mapping):
        return get_judge(
            given["kind"], task.name, world, {key: given[key] for key in OPTIONS if key in given}
        )
    return get_judge(given, task.name, world)


def prepare(judge, texts: Sequence[str]) -> None:
    """Let a judge that can judge many texts at once do so."""
    if hasattr(judge, "prepare"):
        judge.prepare(texts)


def _classifier(task_name: str, world: World, settings: dict):
    task = tasks.get(task_name)
    if not task.judged:
        raise UserError(f"task '{task_name}' needs no judge; remove it")
    if unknown := settings.keys() - OPTIONS.keys():
        raise UserError(f"judge 'transformers' has no setting '{min(unknown)}'; it has {', '.join(OPTIONS)}")
    if not settings.get("model"):
        raise UserError(f"the transformers judge of task '{task_name}' needs a model: a Hub id or a folder")
    from skillprobe.labels.classifiers import TransformersJudge

    return TransformersJudge(task_name, OPTIONS | settings, task.labels_in(world))
