"""Sentence encoders as judges: what their folders say, and what is refused, without loading them.

The folders' format is that of sentence-transformers: modules.json lists a transformer, a pooling of its
states and perhaps their normalisation (https://sbert.net/docs/package_reference/sentence_transformer/models.html).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.labels import mapping
from skillprobe.storage import files

# How the states of a text's tokens become one vector.
POOLINGS = ("mean", "cls", "max")
_KINDS = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True)
class Encoder:
    """pooling: of POOLINGS; max_tokens: the most that it was trained on, None where the folder doesn't say;
    lower: whether texts are put in lower case; prefix: what is written before each text."""

    pooling: str
    max_tokens: int | None
    lower: bool
    prefix: str


def describe(task: str, source: str, folder: Path) -> Encoder:
    """What the folder says of its encoder. source: as the config names it, for messages.

    Raises UserError for a folder that is no sentence encoder, and for one with parts that aren't known here.
    """
    about = f"judges.{task}: '{source}'"
    modules = _json(about, folder / "modules.json", [])
    if not modules:
        raise UserError(
            f"{about} is no sentence encoder: its folder has no modules.json; choose a model in the format "
            "of sentence-transformers, or a judge of the kind transformers"
        )
    parts = {str(each["type"]).rpartition(".")[2]: str(each.get("path", "")) for each in modules}
    if unknown := [kind for kind in parts if kind not in _KINDS]:
        raise UserError(
            f"{about} has a part of the kind {unknown[0]} (modules.json), which isn't known here; choose an "
            f"encoder of {', '.join(_KINDS)} alone"
        )
    if parts.get("Transformer") != "" or "Pooling" not in parts:
        raise UserError(
            f"{about}: modules.json must list a Transformer, whose files are beside it, and a Pooling; "
            "choose another encoder"
        )
    trained = _json(about, folder / "sentence_bert_config.json", {})
    said = _json(about, folder / "config_sentence_transformers.json", {})
    pooling = _json(about, folder / parts["Pooling"] / "config.json", {})
    prefix = (said.get("prompts") or {}).get(said.get("default_prompt_name"), "")
    if prefix and pooling.get("include_prompt") is False:
        raise UserError(
            f"{about} leaves the prompt that it puts before each text out of its pooling (include_prompt), "
            "which isn't done here; choose another encoder"
        )
    return Encoder(
        pooling=_pooling(about, pooling),
        max_tokens=trained.get("max_seq_length"),
        lower=bool(trained.get("do_lower_case")),
        prefix=prefix,
    )


def check_judge(task: str, settings: Mapping, folder: Path, labels: Sequence[str]) -> None:
    """Raises UserError for a folder that is no judge of the task. settings: the config's `judges.<task>`, its
    "kind" among them; labels: the task's."""
    if settings["kind"] != "embedding":
        mapping.check_classifier(task, settings, folder, labels)
        return
    mapping.check_files(task, folder)
    describe(task, settings["model"], folder)


def check_settings(task: str, settings: Mapping, labels: Sequence[str]) -> None:
    """Raises UserError for settings of an embedding judge that contradict each other or the task."""
    if settings["labelled"] is not None:
        if settings["hypothesis"] is not None:
            raise UserError(
                f"judges.{task} has labelled and hypothesis, which is for judging without labels; remove one"
            )
        return
    if len(labels) < 2:
        raise UserError(
            f"judges.{task}: the task {task} has one label, {labels[0]}, and without labelled texts the "
            "closest of two or more is taken; give labelled: file.csv, or another kind of judge"
        )
    if settings["threshold"] is not None:
        raise UserError(
            f"judges.{task}.threshold is for labelled; without it the closest label is taken: remove the "
            "key, or set margin"
        )
    mapping.check_hypothesis(task, settings)


def _pooling(about: str, said: Mapping) -> str:
    chosen = said.get("pooling_mode")
    if chosen is None:
        modes = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}
        on = [key for key, value in said.items() if key.startswith("pooling_mode_") and value]
        known = [name for name, mode in modes.items() if on == [f"pooling_mode_{mode}"]]
        chosen = known[0] if known else ", ".join(key.removeprefix("pooling_mode_") for key in on)
    if chosen not in POOLINGS:
        raise UserError(
            f"{about} pools the states of its tokens by {chosen or 'nothing that it names'}; choose an "
            f"encoder that does it by {', '.join(POOLINGS)}"
        )
    return chosen


def _json(about: str, path: Path, otherwise):
    if not path.is_file():
        return otherwise
    try:
        found = files.read_json(path)
    except UserError as error:
        raise UserError(f"{about}: {error}") from error
    if not isinstance(found, type(otherwise)):
        raise UserError(f"{about}: {path} isn't what sentence-transformers writes; download it again")
    return found
