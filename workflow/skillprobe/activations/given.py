"""Activations of the user's own (docs/interop.md): what their rows are, and the folder that a study reads.

The folder is laid out as a study's: activations/<model>/<task>/0.h5 with its manifest, labels/<model>/<task>/
0.jsonl, and card.json, which says what there is.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from skillprobe import tasks
from skillprobe.activations import shards
from skillprobe.activations.arrays import Array, finite_rows
from skillprobe.errors import DamagedFile, UserError
from skillprobe.prompts.answers import VARIANTS
from skillprobe.prompts.bases import base_id, group_id
from skillprobe.prompts.own import UNNAMED, WORDING, check_keys
from skillprobe.storage import files
from skillprobe.storage.fingerprint import file_sha256
from skillprobe.storage.progress import progress
from skillprobe.tasks.base import shown

FORMAT_VERSION = 1
CARD = "card.json"
_TEXTS = (
    "task",
    "id",
    "item",
    "group",
    "subject",
    "base",
    "split",
    "variant",
    "prompt",
    "response",
    *WORDING,
)
FIELDS = ("label", "satisfied", *_TEXTS, "sample", "params", "truncated", "response_length", "token_ids")
FIELDS += ("thinking", "characters")
# Of rows of labels/: found anew.
_UNREAD = ("evidence",)
# Of what a shard has for it.
_LARGEST = 2**31 - 1
# What cards have, and what they say of each task.
_OF_CARDS = {"format_version", "model", "source", "num_layers", "layers", "positions", "hidden_size", "dtype"}
_OF_CARDS |= {"bases", "texts", "characters", "params", "lengths", "tasks", "groups"}
_OF_TASKS = {"rows", "satisfied", "truncated", "items", "unconstrained_items", "samples", "worded"}
_OF_TASKS |= {"unconstrained_samples", "shard_bytes", "labels_bytes", "labels_sha256", "manifest_sha256"}
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def read_given(path: str | Path, task: str | None = None) -> list[dict]:
    """The rows that a file of JSON lines describes, in its order, as rows of labels/ with "task", "samples"
    fields ("response_length"), "counted" (the key that says this length, None where none does) and
    "characters" ({position: how many of the response there are up to it}, of the positions that the row has;
    None where the file doesn't say).

    task: of lines that don't name one. Raises UserError with file and line for the first that can't be used.
    """
    rows: list[dict] = []
    seen: dict[tuple, int] = {}
    told: dict[tuple, tuple[object, int]] = {}
    counts: dict[tuple, int] = {}
    for number, line in files.user_lines(path):
        where = f"{path}, line {number}"
        try:
            row = _row(line, task, len(rows))
            _number(row, counts)
            place = row["item"], row["variant"], row["sample"]
            if seen.setdefault(place, number) != number:
                raise UserError(
                    f"sample {row['sample']} of the item {shown(row['item'])} ({row['variant']}) is there "
                    f"twice (first in line {seen[place]}); remove one, or correct 'id', 'item' or 'sample'"
                )
            for what, key, value, advice in _single(row):
                said, before = told.setdefault((what, key), (value, number))
                if said != value:
                    raise UserError(f"{what.format(shown(key), shown(value), shown(said), before)}; {advice}")
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        rows.append(row)
    if not rows:
        raise UserError(f"{path} has no lines; give one JSON object for each row of the arrays")
    return rows


def _row(line: Mapping, task: str | None, number: int) -> dict:
    check_keys(line, FIELDS, (), _UNREAD)
    for key in _TEXTS:
        value = line.get(key)
        if key in ("group", "subject", "base", "item", "id", "split") and type(value) is int:
            continue
        if key in line and not (isinstance(value, str) and (value.strip() or key == "response")):
            raise UserError(f"'{key}' must be a text that is not empty, not {shown(value)}")
    try:
        json.dumps(line, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise UserError("it has half of a surrogate pair (\\ud800 to \\udfff), which is no text") from error
    name = line.get("task", task)
    if name is None:
        raise UserError("'task' is missing; add it, or give --task")
    if name not in tasks.available():
        raise UserError(
            f"there is no task {shown(name)}: the tasks are {', '.join(tasks.available())}; for one of your "
            f"own, whose labels you give, write a file workflow/skillprobe/tasks/{name}.py (docs/interop.md)"
        )
    variant = line.get("variant", "constrained")
    if variant not in VARIANTS:
        raise UserError(f"'variant' must be one of {', '.join(VARIANTS)}, not {shown(variant)}")
    if ("prompt" in line) != ("response" in line):
        raise UserError("'prompt' and 'response' go together; give both, or neither")
    if "subject" in line and "group" in line:
        raise UserError("it has a 'subject' and a 'group', which mean the same; remove one")
    item, sample = _item(line, name, variant, number)
    group = line.get("subject", line.get("group", line.get("prompt", item)))
    params = line.get("params")
    if params is not None:
        if not isinstance(params, dict):
            raise UserError(f"'params' must be an object, not {shown(params)}")
        tasks.get(name).check_params(params)
    ids, length, thinking = line.get("token_ids", []), line.get("response_length"), line.get("thinking", 0)
    if not (isinstance(ids, list) and all(type(each) is int and each >= 0 for each in ids)):
        raise UserError("'token_ids' must be a list of whole numbers from 0")
    for key, value in (("response_length", length), ("thinking", thinking), ("sample", sample)):
        if value is not None and (type(value) is not int or not 0 <= value <= _LARGEST):
            raise UserError(f"'{key}' must be a whole number from 0 to {_LARGEST}, not {shown(value)}")
    if thinking > len(ids):
        raise UserError(f"'thinking' is {thinking}, but 'token_ids' has {len(ids)}; correct one of them")
    if not isinstance(line.get("truncated", False), bool):
        raise UserError(f"'truncated' must be true or false, not {shown(line['truncated'])}")
    counted = "token_ids" if ids else "response_length" if length is not None else None
    length = len(ids) - thinking if length is None else length
    if counted and not length and not line.get("truncated", False):
        raise UserError(
            f"the response's length by '{counted}' is 0; it counts the EOS, so it is 1 or more unless "
            "'truncated' is true"
        )
    satisfied, evidence = _label(line, name, params)
    return {
        "task": name,
        "item": item,
        "sample": sample,
        "base": str(line.get("base", group)),
        "group": str(group),
        "split": line.get("split"),
        "variant": variant,
        "satisfied": satisfied,
        "truncated": line.get("truncated", False),
        "params": params,
        "evidence": evidence,
        "prompt": line.get("prompt"),
        "response": line.get("response"),
        "token_ids": ids,
        **({"thinking": thinking} if thinking else {}),
        **{key: line.get(key) for key in WORDING},
        "response_length": length,
        "counted": counted,
        "characters": _characters(line),
    }


def _item(line: Mapping, task: str, variant: str, number: int) -> tuple[str, int | None]:
    """The item, as the study names it, and the sample's number if the line says it."""
    name, given, sample = line.get("id"), line.get("item"), line.get("sample")
    # As the study itself calls responses: <item>/<variant>/<sample>.
    parts = str(name).rsplit("/", 2)
    own = name is not None and len(parts) == 3 and parts[1] == variant and parts[2].isdecimal()
    if own and given in (None, parts[0]):
        given, sample = parts[0], int(parts[2]) if sample is None else sample
    item = str(given if given is not None else name if name is not None else f"row-{number}")
    if not item.isprintable():
        raise UserError(f"the item {shown(item)} has characters that can't be printed; rename it")
    return (item if item.startswith(f"{task}/") else f"{task}/{item}"), sample


def _number(row: dict, counts: dict) -> None:
    """Gives the row its sample's number, the next of its item where the line has none, and its id."""
    place = row["item"], row["variant"]
    if row["sample"] is None:
        row["sample"] = counts.get(place, 0)
    counts[place] = max(counts.get(place, 0), row["sample"] + 1)
    row["id"] = f"{row['item']}/{row['variant']}/{row['sample']}"


def _label(line: Mapping, task: str, params: Mapping | None) -> tuple[bool, dict]:
    given = [line[key] for key in ("label", "satisfied") if key in line]
    for value in given:
        if not (isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1))):
            raise UserError(f"the label is {shown(value)}; it must be 1 (satisfied) or 0 (violated)")
    if len(set(map(bool, given))) > 1:
        raise UserError("'label' and 'satisfied' contradict each other; remove one")
    if given:
        return bool(given[0]), {}
    kind = tasks.get(task)
    if kind.given or kind.judged:
        raise UserError(
            f"'label' is missing: no rule decides the task {task}; give 1 (satisfied) or 0 (violated)"
        )
    if params is None or "response" not in line:
        raise UserError(
            "'label' is missing; give 1 (satisfied) or 0 (violated), or 'params', 'prompt' and 'response', "
            "so that the task's verifier can tell"
        )
    verdict = kind.verify(line["response"], params)
    return verdict.satisfied, verdict.evidence


def _characters(line: Mapping) -> dict[str, int | None] | None:
    given = line.get("characters")
    if given is None:
        return None
    if not isinstance(given, dict) or not all(
        each is None or (type(each) is int and 0 <= each <= len(line.get("response", "")))
        for each in given.values()
    ):
        raise UserError(
            "'characters' must be an object {position: how many characters of the response there are up to "
            "it}, of numbers from 0 to the response's length (null: not known)"
        )
    return given


def _single(row: Mapping) -> Iterator[tuple[str, str, object, str]]:
    """What may have one value only: (the message, of what, its value, what to do)."""
    leak = "what is in one group is in one fold, and must not be in another"
    yield (
        "the item {} is of the group {} here, but of {} in line {}",
        row["item"],
        row["group"],
        f"give both lines one group: {leak}",
    )
    yield (
        "the base {} is of the group {} here, but of {} in line {}",
        row["base"],
        row["group"],
        "give bases of other groups other names",
    )
    if row["split"] is not None:
        yield (
            "the group {} is in the split {} here, but in {} in line {}",
            row["group"],
            row["split"],
            "correct 'split' or 'group' (the study divides groups into folds itself, and reads no splits)",
        )
    if row["prompt"] is not None and row["variant"] == "constrained":
        yield (
            "the prompt {} is of the group {} here, but of {} in line {}",
            row["prompt"],
            row["group"],
            f"give both lines one group: {leak}",
        )
        yield (
            "the item {} has the prompt {} here, but {} in line {}",
            row["item"],
            row["prompt"],
            "an item is one prompt: give other prompts other items",
        )
    # Nothing reads the length of truncated ones.
    if not row["truncated"]:
        yield (
            "lines of the task {} say the response's length by {} like this one, but by {} in line {}",
            row["task"],
            row["counted"] or "no key",
            "give token_ids in all lines of a task, or in none, and likewise response_length",
        )
    worded = tuple(key for key in WORDING if row[key] is not None)
    yield (
        "the task {} has lines with {} like this one, but with {} in line {}",
        row["task"],
        ", ".join(worded) or "no phrasing, instruction_type or polarity",
        "give each of phrasing, instruction_type and polarity in all lines of a task, or in none",
    )


def write_folder(
    folder: str | Path,
    arrays: Sequence[Array],
    rows: Sequence[dict],
    *,
    model: str,
    source: str = "",
    num_layers: int | None = None,
    rows_file: str | Path = "the file of rows",
) -> dict:
    """Make the folder that `models[].activations` names, whole or not at all; returns its card.

    arrays: of `read_arrays`; rows: of `read_given`, as many as the arrays have; source: what the model is
    called elsewhere; num_layers: of its blocks (None: the highest layer given). Raises UserError for another
    number of rows, a layer that the model hasn't, and values that are not finite.
    """
    folder, first = Path(folder), arrays[0]
    if folder.exists():
        raise UserError(f"{folder} is there already; delete it, or write to another folder")
    if not _MODEL.fullmatch(model):
        raise UserError(
            f"the model's name must be of letters, digits, '.', '_' and '-', beginning with a letter or "
            f"digit, not {shown(model)}"
        )
    if len(first.values) != len(rows):
        raise UserError(
            f"{rows_file} has {len(rows)} lines, but {first.where} has {len(first.values)} rows; give one "
            "line for each row, in the same order"
        )
    layers = sorted({array.layer for array in arrays})
    if num_layers is not None and num_layers < 1:
        raise UserError(f"--num-layers is {num_layers}; give the number of the model's blocks, 1 or more")
    num_layers = max(1, layers[-1]) if num_layers is None else num_layers
    if layers[-1] > num_layers:
        raise UserError(
            f"{arrays[-1].where} is of layer {layers[-1]}, but --num-layers is {num_layers}; layer 0 is the "
            f"embeddings, and layer {num_layers} the output of the last block"
        )
    positions = list(dict.fromkeys(array.position for array in arrays))
    _check_positions(rows, positions, rows_file)
    names = sorted({row["group"] for row in rows}, key=_natural)
    groups = {name: group_id(number) for number, name in enumerate(names)}
    bases = sorted({row["base"] for row in rows}, key=_natural)
    numbered = {name: base_id(number) for number, name in enumerate(bases)}
    card = {
        "format_version": FORMAT_VERSION,
        "model": model,
        "source": source,
        "num_layers": num_layers,
        "layers": layers,
        "positions": positions,
        "hidden_size": first.values.shape[1],
        "dtype": first.dtype,
        "bases": len(bases),
        "texts": all(row["prompt"] is not None for row in rows),
        "characters": all(None not in (_seen(row, positions) or {"": None}).values() for row in rows),
        "params": all(row["params"] is not None for row in rows),
        "lengths": all(row["counted"] is not None for row in rows if not row["truncated"]),
        "tasks": {},
        "groups": names,
    }
    written = list(dict.fromkeys(row["task"] for row in rows))
    with (
        files.atomic_path(folder) as temporary,
        progress("layers written", len(written) * len(layers)) as advance,
    ):
        for task in sorted(written, key=tasks.available().index):
            own = [number for number, row in enumerate(rows) if row["task"] == task]
            own.sort(key=lambda number: list(VARIANTS).index(rows[number]["variant"]))
            labelled = [
                rows[number]
                | {"group": groups[rows[number]["group"]], "base": numbered[rows[number]["base"]]}
                for number in own
            ]
            card["tasks"][task] = _write_task(temporary, task, arrays, own, labelled, card, advance)
        files.write_json(temporary / CARD, card)
    return card


def _write_task(
    folder: Path,
    task: str,
    arrays: Sequence[Array],
    own: Sequence[int],
    rows: Sequence[dict],
    card: Mapping,
    advance,
) -> dict:
    """The shard, manifest and labels of one task; own: their places in the arrays. Returns what the card says
    of them."""
    shard = shard_of(folder, card["model"], task)
    positions, layers, dtype = card["positions"], card["layers"], card["dtype"]
    valid, characters = _valid(rows, positions)
    places = np.array(own)
    with shards.create(
        shard,
        samples=_samples(rows),
        positions=positions,
        valid=valid,
        characters=characters,
        num_layers=card["num_layers"],
        hidden_size=card["hidden_size"],
        dtype=dtype,
        attributes={
            "study": "",
            "task": task,
            "model": card["model"],
            "model_source": card["source"],
            "model_revision": "",
            "model_dtype": dtype,
            "attn_implementation": "",
            "random_weights": 0,
        },
        layers=layers,
    ) as writer:
        for number, layer in enumerate(layers):
            of_layer = [array for array in arrays if array.layer == layer]
            for start in range(0, len(own), writer.rows_per_block):
                block = slice(start, start + writer.rows_per_block)
                values = [
                    _checked(array, places[block], valid[place, block], rows[block])
                    for place, array in enumerate(of_layer)
                ]
                writer.write(number, start, [(slice(None), np.stack(values))])
            advance(1)
        checksums = writer.checksums
    manifest = shard.with_suffix(".json")
    files.write_json(manifest, shards.manifest(shard, checksums))
    labels = labels_of(folder, card["model"], task)
    files.write_jsonl(labels, map(_label_row, rows))
    constrained = [row for row in rows if row["variant"] == "constrained"]
    plain = [row for row in rows if row["variant"] != "constrained"]
    return {
        "rows": len(rows),
        "satisfied": sum(row["satisfied"] for row in constrained),
        "truncated": sum(row["truncated"] for row in constrained),
        "items": len({row["item"] for row in constrained}),
        "unconstrained_items": len({row["item"] for row in plain}),
        "samples": _most(constrained),
        "unconstrained_samples": _most(plain),
        "worded": [key for key in WORDING if rows[0][key] is not None],
        "shard_bytes": shard.stat().st_size,
        "labels_bytes": labels.stat().st_size,
        "labels_sha256": file_sha256(labels),
        "manifest_sha256": file_sha256(manifest),
    }


def _most(rows: Sequence[Mapping]) -> int:
    """Rows of the item that has most."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["item"]] = counts.get(row["item"], 0) + 1
    return max(counts.values(), default=0)


def _samples(rows: Sequence[Mapping]) -> dict[str, list]:
    columns = {"label": [row["satisfied"] for row in rows]}
    for name in shards.SAMPLE_FIELDS.keys() - columns.keys():
        columns[name] = [_named(row, name) for row in rows]
    return columns


def _named(row: Mapping, name: str):
    return UNNAMED[name] if name in UNNAMED and row[name] is None else row[name]


def _label_row(row: Mapping) -> dict:
    """As `labels.labelling` writes them; texts that weren't given are empty."""
    keys = ("id", "item", "base", "group", "variant", "satisfied", "truncated", "params", "evidence")
    keys += ("prompt", "response", "token_ids")
    found = {key: row[key] for key in keys} | {key: row[key] for key in ("thinking",) if key in row}
    found |= {key: _named(row, key) for key in ("instruction_type", "polarity", "phrasing")}
    empty = {"params": {}, "prompt": "", "response": ""}
    return found | {key: otherwise for key, otherwise in empty.items() if found[key] is None}


def _seen(row: Mapping, positions: Sequence[str]) -> dict[str, int | None] | None:
    """{position: how many characters of the response there are up to it}, None where nothing tells."""
    if row["characters"] is not None:
        return row["characters"]
    if row["response"] is None or not all(
        name in ("last", "eos") or name.startswith("prompt") for name in positions
    ):
        return None
    return {name: 0 if name.startswith("prompt") else len(row["response"]) for name in positions}


def _check_positions(rows: Sequence[Mapping], positions: Sequence[str], rows_file: str | Path) -> None:
    for row in rows:
        for name in row["characters"] or ():
            if name not in positions:
                raise UserError(
                    f"{rows_file}: the row {shown(row['id'])} has 'characters' at the position "
                    f"{shown(name)}, of which there is no array; the arrays are of {', '.join(positions)}"
                )


def _valid(rows: Sequence[Mapping], positions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Both [position, row]: whether the row has the position, and characters up to it."""
    valid = np.ones((len(positions), len(rows)), bool)
    characters = np.zeros(valid.shape, np.int32)
    for column, row in enumerate(rows):
        seen = _seen(row, positions) or {}
        for line, name in enumerate(positions):
            characters[line, column] = seen.get(name) or 0
            if row["characters"] is not None:
                valid[line, column] = name in seen
            # The study itself keeps no more of them.
            elif row["variant"] != "constrained":
                valid[line, column] = name == "eos" and not row["truncated"]
            elif row["truncated"]:
                valid[line, column] = name != "eos"
    return valid, np.where(valid, characters, 0)


def _checked(array: Array, places: np.ndarray, valid: np.ndarray, rows: Sequence[Mapping]) -> np.ndarray:
    """Rows [n, hidden] of an array, zeros where they are not valid. Raises UserError where they are not
    finite."""
    values = array.rows(places)
    bad = valid & ~finite_rows(values, array.dtype)
    if bad.any():
        number = int(bad.argmax())
        raise UserError(
            f"{array.where}, row {places[number]} (counted from 0; {shown(rows[number]['id'])}): it has a "
            f"NaN or infinite value in {array.dtype}; correct the array, or leave out that row and its line"
        )
    return np.where(valid[:, None], values, values.dtype.type(0))


def _natural(name: str) -> tuple:
    """So that "g9" comes before "g10"."""
    parts = re.split(r"(\d+)", name)
    # "1" and "01" are alike but for the name itself.
    return [(part.isdecimal(), int(part) if part.isdecimal() else part) for part in parts], name


def shard_of(folder: str | Path, model: str, task: str) -> Path:
    return Path(folder) / "activations" / model / task / "0.h5"


def labels_of(folder: str | Path, model: str, task: str) -> Path:
    return Path(folder) / "labels" / model / task / "0.jsonl"


def files_of(folder: str | Path, model: str, task: str) -> list[str]:
    """Shard, manifest and labels of a task."""
    shard = shard_of(folder, model, task)
    return [str(shard), str(shard.with_suffix(".json")), str(labels_of(folder, model, task))]


def take(shard: str | Path, manifest: str | Path, into: str | Path) -> None:
    """Put the shard of a task into a study, as `into`, with its manifest: by a hard link where the disk
    allows it, which takes no space. A shard's values are compared with its manifest when they are read."""
    into = Path(into)
    into.with_suffix(".json").unlink(missing_ok=True)
    with files.atomic_path(into) as temporary:
        try:
            os.link(shard, temporary)
        except OSError:
            shutil.copyfile(shard, temporary)
    files.write_text(into.with_suffix(".json"), Path(manifest).read_text(encoding="utf-8"))


def read_card(folder: str | Path) -> dict:
    """What an imported folder has. Raises UserError where it is none, and where a file is missing or not
    as the card says; a shard's values are compared when they are read."""
    path = Path(folder) / CARD
    if not Path(folder).is_dir() or not path.is_file():
        raise UserError(
            f"{str(folder)!r} is no folder of imported activations (it has no {CARD}); make one with "
            "`skillprobe import activations`"
        )
    try:
        card = files.read_json(path)
        version = card.get("format_version")
        whole = card.keys() >= _OF_CARDS and all(each.keys() >= _OF_TASKS for each in card["tasks"].values())
    except (DamagedFile, AttributeError):
        version, whole = None, False
    if not whole and version in (None, FORMAT_VERSION):
        raise UserError(f"{path} is not a whole card of imported activations; import them again")
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path} is of format {card.get('format_version')}, this package reads {FORMAT_VERSION}; import "
            "the activations again"
        )
    for task, about in card["tasks"].items():
        shard, labels = shard_of(folder, card["model"], task), labels_of(folder, card["model"], task)
        manifest = shard.with_suffix(".json")
        for file, size in ((shard, about["shard_bytes"]), (labels, about["labels_bytes"]), (manifest, None)):
            if not file.is_file():
                raise UserError(f"{file} is missing; import the activations again")
            if size is not None and file.stat().st_size != size:
                raise UserError(
                    f"{file} has {file.stat().st_size} bytes instead of {size}, as {CARD} says; import the "
                    "activations again"
                )
        for file, kind in ((manifest, "manifest"), (labels, "labels")):
            if file_sha256(file) != about[f"{kind}_sha256"]:
                raise UserError(f"{file} is not the one that {CARD} knows; import the activations again")
    return card


def card_hash(folder: str | Path, task: str | None = None) -> str:
    """SHA-256 that stands for the folder's content, or for that of one task."""
    if task is None:
        return file_sha256(Path(folder) / CARD)
    about = files.read_json(Path(folder) / CARD)["tasks"][task]
    return hashlib.sha256(
        "".join(about[f"{kind}_sha256"] for kind in ("labels", "manifest")).encode()
    ).hexdigest()


def described(card: Mapping, folder: str | Path) -> str:
    """What was imported, and what a study can't compute of it, for the user to read."""
    layers, n = card["layers"], len(card["groups"])
    lines = [
        f"{folder}: {sum(each['rows'] for each in card['tasks'].values()):,} rows of {n:,} groups, "
        f"{len(layers)} layer{'s' * (len(layers) > 1)} ({', '.join(map(str, layers))}) of "
        f"{card['num_layers']}, "
        f"{card['hidden_size']} numbers each in {card['dtype']}, at {', '.join(card['positions'])}"
    ]
    for task, about in card["tasks"].items():
        lines.append(
            f"  {task}: {about['rows']:,} rows, {about['items']:,} items, {about['satisfied']:,} satisfied, "
            f"{about['truncated']:,} truncated"
        )
    lines += [
        "put into the config:",
        f"models: [{{name: {card['model']}, activations: {folder}}}]",
        f"tasks: [{', '.join(card['tasks'])}]",
    ]
    return "\n".join(lines)
