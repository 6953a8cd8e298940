"""Judges for the tasks that no rule decides: topic, sentiment, register, toxicity, and judged ones of users.

A judge has `labels` (those of its task), `classify(text) -> {"label": str | None, "scores": {label: float}}`
(and "undecided", of `labels.verdicts`), a `threshold`, below which no label is given, and may have
`prepare(texts)`, which judges many at once so that `classify` need not.
"""

from collections.abc import Mapping, Sequence

from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.labels.formality import formality_judge
from skillprobe.labels.lexicon import lexicon_judge
from skillprobe.tasks.world import World

NAMES = ("lexicon", "formality", "transformers", "embedding")
# Of the judges that load a model, with their defaults.
_LOADED = {
    "model": None,
    "revision": None,
    "sha256": None,
    "hypothesis": None,
    "threshold": None,
    "margin": 0.0,
    "batch_size": 32,
    "max_tokens": 512,
    # Whether a hub model is taken from the cache, and where one of a package is.
    "offline": False,
    "folder": None,
}
OPTIONS = {
    "lexicon": {},
    "formality": {"margin": 0.0},
    "transformers": _LOADED
    | {"method": "classification", "labels": {}, "multi_label": None, "entailment": None},
    # head: the file with that of the labelled texts.
    "embedding": _LOADED | {"labelled": None, "head": None},
}


def get_judge(kind: str, task_name: str, world: World, settings: Mapping | None = None):
    """The judge of that kind for a judged task. Raises UserError where there is none.

    settings: those of OPTIONS[kind] that aren't the default, "model" at least where it has one.
    """
    if kind not in NAMES:
        raise UserError(f"no judge '{kind}' for task '{task_name}'; the judges are {', '.join(NAMES)}")
    task, given, options = tasks.get(task_name), dict(settings or {}), OPTIONS[kind]
    if unknown := given.keys() - options.keys():
        has = f"it has {', '.join(options)}" if options else "remove it"
        raise UserError(f"judge '{kind}' has no setting '{min(unknown)}'; {has}")
    if kind == "formality":
        return formality_judge(task_name, task.labels_in(world), **given)
    if kind == "lexicon":
        return lexicon_judge(task_name, world)
    if not task.judged:
        raise UserError(f"task '{task_name}' needs no judge; remove it")
    if not given.get("model"):
        raise UserError(f"the {kind} judge of task '{task_name}' needs a model: a Hub id or a folder")
    if kind == "transformers":
        from skillprobe.labels.classifiers import TransformersJudge

        return TransformersJudge(task_name, options | given, task.labels_in(world))
    if given.get("labelled") is not None and given.get("head") is None:
        raise UserError(
            f"the embedding judge of task '{task_name}' is not fitted yet: run `snakemake judges`, and give "
            "the setting head, which is the file results/STUDY/heads/TASK.json"
        )
    return _encoder(task, given, world)


def for_task(task, given: str | Mapping | None, world: World):
    """The judge that the config names for a task, None for one that needs none. given: of `judges.<task>`."""
    if not task.judged:
        return None
    if isinstance(given, Mapping):
        return get_judge(given["kind"], task.name, world, _settings(given))
    return get_judge(given, task.name, world)


def encoder_for(task, given: Mapping, world: World):
    """The embedding judge of `judges.<task>` before it has a head: its `vectors` alone can be asked for."""
    return _encoder(task, _settings(given), world)


def prepare(judge, texts: Sequence[str]) -> None:
    """Let a judge that can judge many texts at once do so."""
    if hasattr(judge, "prepare"):
        judge.prepare(texts)


def _settings(given: Mapping) -> dict:
    return {key: given[key] for key in OPTIONS[given["kind"]] if key in given}


def _encoder(task, settings: Mapping, world: World):
    from skillprobe.labels.embeddings import EmbeddingJudge

    return EmbeddingJudge(task.name, OPTIONS["embedding"] | settings, task.labels_in(world))
