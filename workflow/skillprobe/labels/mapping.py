"""Which outputs of a classifier stand for which labels of a task: what makes a folder a judge of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.models import folders

HYPOTHESIS = "This text is about {}."


def columns(task: str, settings: Mapping, names: Sequence[str], labels: Sequence[str]) -> list[list[int]]:
    """Of which outputs of a classifier the score of each label of the task is made; by "zero-shot" of
    entailment alone.

    settings: of a transformers judge; names: the classifier's labels, in order; labels: the task's. Raises
    UserError where they don't fit each other.
    """
    about, theirs = f"judges.{task}", ", ".join(names)
    if settings["method"] == "zero-shot":
        given = settings["entailment"]
        if given is not None and given not in names:
            raise UserError(
                f"{about}.entailment: '{given}' is not a label of '{settings['model']}'; it has {theirs}"
            )
        found = [
            number
            for number, name in enumerate(names)
            if (name.lower().startswith("entail") if given is None else name == given)
        ]
        if len(labels) > 1 and not found and all(name.startswith("LABEL_") for name in names):
            raise UserError(
                f"{about}: the labels of '{settings['model']}' are {theirs}, which doesn't say which of them "
                "is entailment; set entailment to that label (its model card tells), or choose another model"
            )
        if len(found) != 1 or len(labels) < 2:
            raise UserError(
                f"{about}: zero-shot judging needs a task with labels (two or more) and an entailment model, "
                f"but the labels of the task are {', '.join(labels)} and the labels of '{settings['model']}' "
                f"are {theirs}; choose another model, or method: classification"
            )
        check_hypothesis(task, settings)
        return [found]
    given = settings["labels"] or {
        name: label for name in names for label in labels if name.lower() == label.lower()
    }
    if unknown := [name for name in given if name not in names]:
        raise UserError(
            f"{about}.labels: '{unknown[0]}' is not a label of '{settings['model']}'; it has {theirs}"
        )
    if foreign := [label for label in given.values() if label not in labels]:
        raise UserError(
            f"{about}.labels: '{foreign[0]}' is not a label of the task; it has {', '.join(labels)}"
        )
    if missing := [label for label in labels if label not in given.values()]:
        raise UserError(
            f"{about}.labels: no label of '{settings['model']}' ({theirs}) is mapped to "
            f"'{missing[0]}'; map one to it, or choose another model"
        )
    return [[k for k, name in enumerate(names) if given.get(name) == label] for label in labels]


def check_hypothesis(task: str, settings: Mapping) -> None:
    """Raises UserError for a hypothesis without one place for the label."""
    if (settings["hypothesis"] or HYPOTHESIS).count("{}") != 1:
        raise UserError(
            f"judges.{task}.hypothesis is '{settings['hypothesis']}'; it must have one {{}}, where the label "
            "goes"
        )


def hypotheses(settings: Mapping, labels: Sequence[str]) -> list[str]:
    """What a text is compared with by zero-shot judging: of each label, the sentence with the label in it."""
    sentence = settings["hypothesis"] or HYPOTHESIS
    return [sentence.replace("{}", label) for label in labels]


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


def check_files(task: str, folder: Path) -> dict:
    """The config.json of a judge's folder. Raises UserError for one without what loading a judge takes."""
    try:
        found = folders.settings(folder)
        folders.check_weights(folder)
        if found.get("pad_token_id") is None:
            folders.check_padding(folder)
        folders.check_tokenizer_packages(folder)
    except UserError as error:
        raise UserError(f"judges.{task}: {error}") from error
    return found


def check_classifier(task: str, settings: Mapping, folder: Path, labels: Sequence[str]) -> None:
    """Raises UserError for a folder without what loading a judge takes, and for labels that don't fit.

    settings: of a transformers judge; labels: the task's.
    """
    found = check_files(task, folder)
    kinds = found.get("architectures")
    if kinds and not any(str(kind).endswith("ForSequenceClassification") for kind in kinds):
        raise UserError(
            f"judges.{task}: '{settings['model']}' is not a text classifier: its config.json has "
            f"architectures: {kinds}; choose a model whose architecture ends in "
            "ForSequenceClassification"
        )
    names = label_names(task, settings, found.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"})
    columns(task, settings, names, labels)
