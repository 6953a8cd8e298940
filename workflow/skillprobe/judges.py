"""Judges for the tasks that no rule decides: topic, sentiment, register and toxicity.

A judge has `classify(text) -> {"label": str | None, "scores": {label: float}}`, and may have `labels` (those
it can give), for toxicity a `threshold` on scores["toxicity"] (0.5 if it has none), and `prepare(texts)`,
which judges many at once so that `classify` need not.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from skillprobe import folders, tasks
from skillprobe.errors import UserError
from skillprobe.tasks.world import World
from skillprobe.text import Folded

NAMES = ("lexicon", "transformers")
TOXICITY = "toxicity"
HYPOTHESIS = "This text is about {}."
# Of a transformers judge, with their defaults.
OPTIONS = {
    "model": None,
    "revision": None,
    "method": "classification",
    "labels": {},
    "multi_label": None,
    "hypothesis": None,
    "threshold": None,
    "batch_size": 32,
    "max_tokens": 512,
    # Whether a hub model is taken from the cache.
    "offline": False,
}


def get_judge(kind: str, task_name: str, world: World, settings: Mapping | None = None):
    """The judge of that kind for a judged task. Raises UserError where there is none.

    settings: of a transformers judge, those of OPTIONS that aren't the default, "model" at least; lexicon
    judges have none.
    """
    if kind not in NAMES:
        raise UserError(f"no judge '{kind}' for task '{task_name}'; the judges are {', '.join(NAMES)}")
    if kind == "transformers":
        return _classifier(task_name, world, dict(settings or {}))
    if settings:
        raise UserError(f"judge 'lexicon' has no setting '{next(iter(settings))}'; remove it")
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
        raise UserError(f"task '{task_name}' needs no judge; leave it out")
    if unknown := settings.keys() - OPTIONS.keys():
        raise UserError(f"judge 'transformers' has no setting '{min(unknown)}'; it has {', '.join(OPTIONS)}")
    if not settings.get("model"):
        raise UserError(f"the transformers judge of task '{task_name}' needs a model: a hub id or a folder")
    from skillprobe.classifiers import TransformersJudge

    return TransformersJudge(task_name, OPTIONS | settings, labels_of(task, world))


def labels_of(task, world: World) -> tuple[str, ...]:
    """The labels that a judged task chooses from; toxicity has none."""
    words = getattr(world, task.word_lists)
    return tuple(sorted(words)) if isinstance(words, dict) else ()


def lexicon_judge(task_name: str, world: World) -> "LexiconJudge | InsultJudge":
    """The judge that reads labels off the world's word lists: exact where these made the text, as in the toy.

    Raises UserError for a world of free text, where a list of words would only be a guess, and for a task
    that needs no judge.
    """
    task = tasks.get(task_name)
    if not task.judged:
        raise UserError(f"task '{task_name}' needs no judge; leave it out")
    if not world.controlled:
        raise UserError(
            f"the lexicon judge is exact only for a controlled language, and world '{world.name}' is free "
            f"text: use a controlled world such as 'toy', or another judge for task '{task_name}'"
        )
    words = getattr(world, task.word_lists)
    return LexiconJudge(words) if isinstance(words, dict) else InsultJudge(words)


def columns(task: str, settings: Mapping, names: Sequence[str], labels: Sequence[str]) -> list[list[int]]:
    """Of which outputs of a classifier each score is made: of each label of the task, or of toxicity; by
    "zero-shot" of entailment alone.

    settings: of a transformers judge; names: the classifier's labels, in order; labels: the task's. Raises
    UserError where they don't fit each other.
    """
    about, theirs = f"judges.{task}", ", ".join(names)
    if settings["method"] == "zero-shot":
        found = [number for number, name in enumerate(names) if name.lower().startswith("entail")]
        if len(found) != 1 or task == TOXICITY:
            raise UserError(
                f"{about}: zero-shot judging takes labels to choose from and a model of entailment, but the "
                f"labels of '{settings['model']}' are {theirs}; choose another model, or method: "
                "classification"
            )
        if (settings["hypothesis"] or HYPOTHESIS).count("{}") != 1:
            raise UserError(
                f"{about}.hypothesis is '{settings['hypothesis']}'; it must have one {{}}, where the label "
                "goes"
            )
        return [found]
    wanted = (TOXICITY,) if task == TOXICITY else tuple(labels)
    given = settings["labels"] or {
        name: label for name in names for label in wanted if name.lower() == label.lower()
    }
    if unknown := [name for name in given if name not in names]:
        raise UserError(
            f"{about}.labels: '{unknown[0]}' is no label of '{settings['model']}'; it has {theirs}"
        )
    if foreign := [label for label in given.values() if label not in wanted]:
        raise UserError(f"{about}.labels: '{foreign[0]}' is no label of the task; it has {', '.join(wanted)}")
    if missing := [label for label in wanted if label not in given.values()]:
        raise UserError(
            f"{about}.labels: no label of '{settings['model']}' ({theirs}) stands for '{missing[0]}'; map "
            "one to it, or choose another model"
        )
    return [[k for k, name in enumerate(names) if given.get(name) == label] for label in wanted]


def label_names(task: str, settings: Mapping, id2label: object) -> list[str]:
    """A classifier's labels, in the order of its outputs.

    id2label: of its config. Raises UserError unless that is {number: label}, numbered from 0.
    """
    try:
        names = {int(number): name for number, name in id2label.items()}
        in_order = [names[number] for number in range(len(id2label))]
        if all(isinstance(name, str) for name in in_order):
            return in_order
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise UserError(
        f"judges.{task}: id2label in the config.json of '{settings['model']}' isn't {{number: label}}, "
        "numbered from 0; correct it, or choose another model"
    )


def check_folder(task: str, settings: Mapping, folder: Path, world: World) -> None:
    """Raises UserError for a folder without what loading a judge takes, and for labels that don't fit.

    settings: of a transformers judge.
    """
    try:
        found = folders.settings(folder)
        folders.check_weights(folder)
        folders.check_padding(folder)
    except UserError as error:
        raise UserError(f"judges.{task}: {error}") from error
    kinds = found.get("architectures")
    if kinds and not any(str(kind).endswith("ForSequenceClassification") for kind in kinds):
        raise UserError(
            f"judges.{task}: '{settings['model']}' is no classifier of texts, as its config.json has "
            f"architectures: {kinds}; choose one whose name there ends in ForSequenceClassification"
        )
    names = label_names(task, settings, found.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"})
    columns(task, settings, names, labels_of(tasks.get(task), world))


class LexiconJudge:
    """The label whose words occur strictly most often; None for a tie or no word at all.

    words: label -> words or phrases, found whole and with case ignored. Scores are the counts.
    """

    def __init__(self, words: dict[str, Sequence[str]]):
        self.words = words
        self.labels = tuple(sorted(words))

    def classify(self, text: str) -> dict:
        counts = Folded(text).count_each([word for words in self.words.values() for word in words])
        scores = {label: float(sum(counts[word] for word in self.words[label])) for label in self.labels}
        best = max(scores.values())
        winners = [label for label, score in scores.items() if score == best]
        return {"label": winners[0] if best > 0 and len(winners) == 1 else None, "scores": scores}


class InsultJudge:
    """Toxicity 1 where any of the insults occurs as a whole word or phrase, else 0."""

    threshold = 0.5

    def __init__(self, insults: Sequence[str]):
        self.insults = insults

    def classify(self, text: str) -> dict:
        toxic = any(Folded(text).count_each(self.insults).values())
        return {"label": "toxic" if toxic else "clean", "scores": {"toxicity": float(toxic)}}
