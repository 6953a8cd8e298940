"""Answers with what the monitor said of each of their tokens: written by the study's model, or given."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.labels import judges
from skillprobe.models import loading
from skillprobe.models.chat import chat_ids, decode
from skillprobe.models.generation import generate
from skillprobe.models.loaded import LoadedModel
from skillprobe.models.sampling import DEFAULTS, read_own, with_own
from skillprobe.monitor.constraints import Watched
from skillprobe.monitor.reading import Monitor, Reading
from skillprobe.prompts.bases import seed_from
from skillprobe.storage import files
from skillprobe.storage.fingerprint import folder_hash
from skillprobe.storage.progress import silent
from skillprobe.study.sampling import generation_of
from skillprobe.tasks.world import load_world

# Of generation, where the study doesn't say.
SETTINGS = DEFAULTS | {"max_new_tokens": 64, "batch_size": 1}


@dataclass(frozen=True)
class Answer:
    """One response, read by a monitor of C constraints.

    tokens: [T] texts, which together are the response (that of an EOS is ""); truncated: no EOS; stages and
    probabilities: [T + 1, C], first the prompt's end; verdicts: [C] of the verifiers on the whole response,
    {"satisfied", "evidence"}, None where none can tell.
    """

    prompt: str
    response: str
    tokens: list[str]
    truncated: bool
    stages: list[list[str]]
    probabilities: np.ndarray
    watched: list[Watched] = field(repr=False)
    verdicts: list[dict | None] = field(repr=False)

    def record(self) -> dict:
        """For programs: what `skillprobe monitor --json` prints."""
        texts = [None, *self.tokens]
        names = [each.constraint.task for each in self.watched]
        steps = [
            {
                "token": text,
                "probability": dict(zip(names, (round(float(p), 6) for p in line), strict=True)),
                "stage": dict(zip(names, stages, strict=True)),
            }
            for text, line, stages in zip(texts, self.probabilities, self.stages, strict=True)
        ]
        constraints = [
            {"task": each.constraint.task, "params": each.constraint.params}
            | {"layer": each.stored.card["layer"], "probability": round(float(p), 6)}
            | (verdict or {"satisfied": None, "evidence": None})
            for each, p, verdict in zip(self.watched, self.probabilities[-1], self.verdicts, strict=True)
        ]
        return {
            "prompt": self.prompt,
            "response": self.response,
            "truncated": self.truncated,
            "constraints": constraints,
            "steps": steps,
        }


class Verifiers:
    """What the tasks' verifiers say of a response; judged tasks by the judge that the study's config names,
    where that is a lexicon (others would load a model)."""

    def __init__(self, study: str | Path, watched: Sequence[Watched]):
        config = study_config(study)
        self._judges = {}
        for constraint in (each.constraint for each in watched):
            task = tasks.get(constraint.task)
            if not task.judged or constraint.params is None:
                continue
            if config.get("judges", {}).get(task.name) == "lexicon":
                world = load_world(config["prompts"]["world"])
                self._judges[task.name] = judges.get_judge("lexicon", task.name, world)

    def __call__(self, watched: Watched, response: str) -> dict | None:
        constraint, task = watched.constraint, tasks.get(watched.constraint.task)
        judge = self._judges.get(constraint.task)
        if constraint.params is None or (task.judged and judge is None):
            return None
        verdict = task.verify(response, dict(constraint.params), judge)
        return {"satisfied": verdict.satisfied, "evidence": verdict.evidence}


def study_config(study: str | Path) -> dict:
    """The completed config of a study that has run to its end; {} of others."""
    path = Path(study) / "report/config.json"
    return files.read_json(path) if path.is_file() else {}


def generation_of_study(study: str | Path, model: str) -> dict:
    """How a study's model was sampled, {"temperature", "top_p", "top_k", "max_new_tokens"}: as its entry, the
    study, or the model itself says; what can no longer be told is left out."""
    config = study_config(study)
    found = config.get("generation", {})
    if model in [entry["name"] for entry in config.get("models", ())]:
        fetched = Path(study) / "models" / f"{model}.json"
        own = read_own([fetched])[model] if fetched.is_file() else {}
        # Where the study's world or the model has moved away.
        with suppress(UserError):
            found = with_own(generation_of(config, model, Path.cwd()), own)
    return {key: found[key] for key in SETTINGS if key != "batch_size" and found.get(key) is not None}


def load_model(
    study: str | Path, monitor: Monitor, folder: str | None = None, own_code: bool = False
) -> tuple[LoadedModel, str]:
    """The model to read, and what to warn of ("" of nothing).

    folder: a model's folder in the place of the study's own; own_code: whether to run code that the model
    brings along, which a study's files can't allow by themselves: they may come from anywhere. Raises
    UserError where the study's model isn't there or has changed, and where hidden size, depth or tokenizer
    don't fit.
    """
    card = monitor.watched[0].stored.card
    identity, name, warning = dict(card["identity"]), card["model"], ""
    source = folder or _source(study, identity.get("source") or card["model_source"], name)
    is_folder = os.path.isdir(os.path.expanduser(source))
    if folder and not is_folder:
        raise UserError(f"there is no folder {folder}; give a model's to --model-path")
    if is_folder and identity.get("sha256") and folder_hash(os.path.expanduser(source)) != identity["sha256"]:
        if not folder:
            raise UserError(
                f"the model in {source} has changed since the study; run the study again, or give the folder "
                f"to --model-path to read it all the same"
            )
        warning = (
            f"the model in {source} is not the one that the monitors were trained on, so their probabilities "
            "are not calibrated for it"
        )
    entry = {key: value for key, value in identity.items() if key not in ("sha256", "source", "num_layers")}
    entry |= {"name": name, "source": source, "trust_remote_code": own_code}
    if not is_folder:
        fetched = Path(study) / f"models/{name}.json"
        entry |= {"revision": files.read_json(fetched)["revision"]} if fetched.is_file() else {}
        entry["offline"] = True
    loaded = loading.load(entry)
    monitor.check(loaded.model, loaded.tokenizer)
    return loaded, warning


def _source(study: str | Path, source: str, name: str) -> str:
    """The model's folder: as the study names it from here, or from the folder that results/ lies in; or its
    hub id."""
    for root in (Path(), Path(study).absolute().parents[1]):
        if (root / source).is_dir():
            return str(root / source)
    if source.startswith((".", "/", "~")) or source.count("/") != 1:
        raise UserError(
            f"the folder of model '{name}', {source}, is not there; run this in the repository's folder, or "
            "give the model's folder to --model-path"
        )
    return source


def write(
    loaded: LoadedModel,
    monitor: Monitor,
    prompt: str,
    settings: Mapping,
    seed: int,
    verify: Callable[[Watched, str], dict | None],
    on_token: Callable[[str, np.ndarray], None] | None = None,
) -> Answer:
    """An answer of the model to a prompt; settings, seed: as for `generate`. on_token: told of each token's
    text, "" at the prompt's end, and the probabilities [C] after it, as they are read; not of the last, which
    a model that stops doesn't read."""
    said = Pieces(loaded.tokenizer)

    def tell(reading: Reading) -> None:
        text = said.add(int(reading.last[0])) if reading.written else ""
        on_token(text, reading.latest[0].cpu().numpy())

    with silent(), monitor.watch(loaded.model, on_token=tell if on_token else None):
        made = generate(loaded, [prompt], [seed_from("monitor", seed, prompt)], SETTINGS | dict(settings))[0]
    return read(loaded, monitor, prompt, made.token_ids, made.truncated, verify)


def read(
    loaded: LoadedModel,
    monitor: Monitor,
    prompt: str,
    token_ids: Sequence[int],
    truncated: bool,
    verify: Callable[[Watched, str], dict | None],
    response: str | None = None,
) -> Answer:
    """An answer that is there, by its tokens (with the EOS, unless it is truncated). response: its text,
    where that is more than its tokens say, such as words that the tokenizer doesn't know."""
    asked = chat_ids(loaded.tokenizer, prompt)
    sequence = [*asked, *token_ids]
    if loaded.positions and len(sequence) > loaded.positions:
        raise UserError(
            f"model '{loaded.name}' has a context window of {loaded.positions} tokens, but the prompt and "
            f"its response take {len(sequence)}; shorten them"
        )
    table = monitor.read(loaded.model, [sequence], [len(asked)], loaded.tokenizer)[0]
    content = list(token_ids) if truncated else list(token_ids)[:-1]
    response = decode(loaded.tokenizer, content) if response is None else response
    stages = [
        [each.stored.stages[each.stored.stage(step, step > len(content))] for each in monitor.watched]
        for step in range(len(table))
    ]
    return Answer(
        prompt=prompt,
        response=response,
        tokens=pieces(loaded.tokenizer, content) + ([] if truncated else [""]),
        truncated=truncated,
        stages=stages,
        probabilities=table,
        watched=monitor.watched,
        verdicts=[verify(each, response) for each in monitor.watched],
    )


class Pieces:
    """The text that each token adds to those before; a character of several tokens is the last one's."""

    def __init__(self, tokenizer):
        self._tokenizer, self._ids, self._done = tokenizer, [], ""

    def add(self, token: int, last: bool = False) -> str:
        self._ids.append(token)
        text = decode(self._tokenizer, self._ids)
        # Bytes of a character that has only begun are shown as U+FFFD.
        whole = text if last else text.rstrip("\ufffd")
        if not whole.startswith(self._done):
            return ""
        piece, self._done = whole[len(self._done) :], whole
        return piece


def pieces(tokenizer, ids: Sequence[int]) -> list[str]:
    """Of each token, what it adds: together the whole text."""
    made = Pieces(tokenizer)
    return [made.add(token, number == len(ids)) for number, token in enumerate(ids, start=1)]


def read_rows(path: str | Path) -> list[dict]:
    """Lines of --input: {"prompt", "response"}, or rows of labels/. Raises UserError naming what is wrong."""
    if not Path(path).exists() or Path(path).is_dir():
        raise UserError(f"there is no file {path}")
    rows = files.read_jsonl(path)
    if not rows:
        raise UserError(f'{path} has no lines; give one {{"prompt": ..., "response": ...}} a line')
    for number, row in enumerate(rows, start=1):
        for key in ("prompt", "response"):
            if not isinstance(row.get(key), str):
                raise UserError(f"{path}, line {number}: '{key}' must be a text")
        ids = row.get("token_ids", [])
        if not isinstance(ids, list) or not all(isinstance(each, int) and each >= 0 for each in ids):
            raise UserError(f"{path}, line {number}: 'token_ids' must be a list of whole numbers")
    return rows


def ids_of(loaded: LoadedModel, row: Mapping) -> tuple[list[int], bool]:
    """The response's token ids, and whether it is truncated: those of the row where it has some, else those
    that the tokenizer makes of the text, and an EOS unless the row says "truncated"."""
    truncated = bool(row.get("truncated", False))
    if row.get("token_ids"):
        ids = list(row["token_ids"])
        if max(ids) >= len(loaded.model.get_input_embeddings().weight):
            raise UserError(f"token {max(ids)} is none of model '{loaded.name}'; leave token_ids out")
        return ids, ids[-1] not in loaded.eos_ids
    ids = loaded.tokenizer(row["response"], add_special_tokens=False)["input_ids"]
    return (ids, True) if truncated else ([*ids, loaded.eos_ids[0]], False)


def as_json(answer: Answer) -> str:
    return json.dumps(answer.record(), ensure_ascii=False)
