"""Any file that the workflow writes, in words: `skillprobe inspect`."""

from __future__ import annotations

import json
import math
import struct
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from skillprobe.activations import shards
from skillprobe.catalogue import files as catalogue
from skillprobe.catalogue.fields import (
    HDF5,
    JSON,
    LINES,
    PAGE,
    PICTURE,
    SAFETENSORS,
    TABLE,
    TEXT,
    Field,
    File,
    named,
)
from skillprobe.errors import DamagedFile, UserError, first_sentence
from skillprobe.probes import monitors
from skillprobe.statistics.metrics import auroc, auroc_within
from skillprobe.storage import files, hdf5, tables

_FORMATS = {
    **{".h5": HDF5, ".csv": TABLE, ".jsonl": LINES, ".json": JSON, ".safetensors": SAFETENSORS},
    **{".svg": PICTURE, ".png": PICTURE, ".html": PAGE, ".sha256": TEXT},
    **dict.fromkeys((".txt", ".md", ".log", ".tsv", ".lock"), TEXT),
}
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# How a PNG begins and ends.
_PNG = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
# Groups of an HDF5 file, and values of a column, that are listed.
MOST_GROUPS, MOST_VALUES = 20, 8
_WIDTH, _LONGEST = 110, 40


def describe(path: str | Path) -> str:
    """What a file is and holds, by the catalogue. Raises UserError, in one sentence, where there is no file,
    and for a damaged one and one that no workflow writes."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"there is no file {path}: {path.name} is a folder; name one of its files")
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    kind = catalogue.by_place(path)
    form = kind.format if kind else _FORMATS.get(path.suffix)
    if form is None:
        raise UserError(f"{path} is not a file that the workflow writes; docs/files.md lists those")
    if not path.stat().st_size and form != TEXT:
        raise DamagedFile(path, "is empty")
    kind, lines = _READERS[form](path, kind)
    what = (
        kind.what if kind else "A file of no known kind: docs/files.md lists those that the workflow writes."
    )
    head = f"{path} ({form}, {_size(path.stat().st_size)})"
    return "\n".join([head, *textwrap.wrap(what, _WIDTH), *lines])


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.1f} kB"


# HDF5


def _hdf5(path: Path, kind: File | None) -> tuple[File | None, list[str]]:
    with path.open("rb") as stream:
        # Small files begin with their checksum.
        is_shard = stream.read(len(_SIGNATURE)) == _SIGNATURE
    if is_shard or kind in catalogue.SHARDS:
        head, about, *more = shards.describe(path).split("\n")
        # "0.h5 (12.4 MB, format 3)"
        about = f"{head.rpartition(', ')[2].rstrip(')')}, {about}"
        return kind or catalogue.SHARDS[0], ["", about, *more, "", _values_of(path)]
    name = kind.paths[0].split("/<")[0] if kind else "skillprobe"
    with hdf5.whole(path, name) as file:
        leaves = dict(_leaves(file))
        sets = {place: dict(_datasets(leaf)) for place, leaf in leaves.items()}
        if kind is None and sets:
            # Probes of all kinds have one layout.
            found = catalogue.by_names(HDF5, next(iter(sets.values())))
            kind = found[0] if found else None
        lines = ["", *_listed(leaves, sets, kind)]
        if sets:
            place = max(sets, key=lambda each: sum(data.size for data in sets[each].values()))
            lines += ["", f"in {place or 'the file'}:"]
            lines += [*_attributes(leaves[place], kind), *_described(sets[place], kind)]
    return kind, lines


def _values_of(path: Path) -> str:
    """Whether a shard's activations are those that were written. Raises DamagedFile where they aren't."""
    if not path.with_suffix(".json").is_file():
        return (
            f"without its manifest {path.stem}.json, nobody can tell whether its activations are as they were"
        )
    with shards.Shard(path) as shard:
        for layer in shard.layers:
            for position in shard.positions:
                shard.read(layer, position)
    return "all activations are as they were written"


def _leaves(group: h5py.Group, place: str = "") -> Iterator[tuple[str, h5py.Group]]:
    """(place, group) of all groups that hold datasets, in the order in which they were written."""
    if "names" not in group.attrs:
        yield place, group
        return
    for name in hdf5.read_names(group, "names"):
        yield from _leaves(group[name], f"{place}/{name}".lstrip("/"))


def _datasets(group: h5py.Group) -> dict[str, h5py.Dataset]:
    found = {}
    group.visititems(lambda name, each: found.update({name: each} if isinstance(each, h5py.Dataset) else {}))
    return found


def _listed(leaves: Mapping[str, h5py.Group], sets: Mapping[str, Mapping], kind: File | None) -> list[str]:
    if not leaves or list(leaves) == [""]:
        return [status] if (status := _status(leaves.get(""))) else []
    lines = [f"{len(leaves)} groups, one for each {kind.each if kind and kind.each else 'name'}:"]
    for place, leaf in list(leaves.items())[:MOST_GROUPS]:
        parts = (_status(leaf), _reached(sets[place]))
        lines.append(f"  {place}  {'; '.join(filter(None, parts))}".rstrip())
    if len(leaves) > MOST_GROUPS:
        lines.append(f"  and {len(leaves) - MOST_GROUPS} more")
    return lines


def _status(leaf: h5py.Group | None) -> str:
    status = b"" if leaf is None else leaf.attrs.get("status", b"")
    return f"insufficient: {status.decode()}" if status else ""


def _reached(data: Mapping[str, h5py.Dataset]) -> str:
    """Of a probe: its rows, and the AUROC on the rows of test folds, as tables have it."""
    if not {"labels", "folds", "scores", "items"} <= data.keys() or not data["scores"].size:
        return ""
    labels, folds, scores, items = (data[name][()] for name in ("labels", "folds", "scores", "items"))
    if np.isnan(scores).all():
        return ""
    found = [
        auroc_within(line, labels, items, fold) if len(items) else auroc(line, labels, fold)
        for line, fold in zip(scores, folds, strict=True)
    ]
    value = np.mean([each.value for each in found])
    return f"{len(labels)} responses, {labels.mean():.0%} satisfied; AUROC on test folds {value:.3f}"


def _attributes(leaf: h5py.Group, kind: File | None) -> list[str]:
    lines = []
    for name, value in leaf.attrs.items():
        field = named(kind.fields, name) if kind else None
        values = [
            each.decode() if isinstance(each, bytes) else each for each in np.atleast_1d(value).tolist()
        ]
        lines += _line(name, _found(values, None), field.text if field else "")
    return lines


def _described(data: Mapping[str, h5py.Dataset], kind: File | None) -> list[str]:
    lines = []
    for name, each in data.items():
        field = named(kind.fields, name) if kind else None
        names = field.shape if field and len(field.shape) == each.ndim else ("",) * each.ndim
        shape = ", ".join(f"{axis} {size}".strip() for axis, size in zip(names, each.shape, strict=True))
        dtype = "text" if each.dtype.kind in "SO" else str(each.dtype)
        lines += _line(name, f"[{shape}] {dtype}", field.text if field else "")
    axes = sorted({axis for field in (kind.fields if kind else ()) for axis in field.shape})
    meant = ", ".join(f"{axis} {catalogue.AXES[axis]}" for axis in axes)
    return [*lines, *textwrap.wrap(f"({meant})" if meant else "", _WIDTH, initial_indent="  ")]


def _line(name: str, found: str, text: str) -> list[str]:
    head = f"  {name:<22} {found}"
    return [head, *textwrap.wrap(text, _WIDTH, initial_indent=" " * 25, subsequent_indent=" " * 25)]


# Tables and JSON


def _table(path: Path, kind: File | None) -> tuple[File | None, list[str]]:
    columns, rows = tables.read_columns(path), tables.read_csv(path)
    kind = kind or next(iter(catalogue.by_names(TABLE, columns)), None)
    return kind, ["", _rows(len(rows), "row", kind), *_fields(columns, rows, kind)]


def _json_lines(path: Path, kind: File | None) -> tuple[File | None, list[str]]:
    rows = files.read_jsonl(path)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    kind = kind or next(iter(catalogue.by_names(LINES, keys)), None)
    return kind, ["", _rows(len(rows), "line", kind), *_fields(keys, rows, kind)]


def _rows(n: int, word: str, kind: File | None) -> str:
    each = f", one for each {kind.each}" if kind and kind.each else ""
    return f"{n:,} {word}{'' if n == 1 else 's'}{each}:"


def _fields(names: Sequence[str], rows: Sequence[Mapping], kind: File | None) -> list[str]:
    lines = []
    for name in names:
        values = [row[name] for row in rows if name in row]
        field = named(kind.fields, name) if kind else None
        lines += _line(name, _found(values, field), field.text if field else "")
    unknown, missing = catalogue.lacks(kind, names) if kind and kind.fields else (set(), set())
    for which, several in (("not described", unknown), ("missing", missing if rows else set())):
        if several:
            lines.append(f"  {which}: {', '.join(sorted(several))} (is the file of another version?)")
    return lines


def _found(values: Sequence, field: Field | None) -> str:
    """Which values there are: their range, or some of them; and those outside of the field's range."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    known = [value for value in numbers if math.isfinite(value)]
    other = list(dict.fromkeys(json.dumps(value, ensure_ascii=False) for value in values if value != ""))
    parts = []
    if known and len(numbers) >= len(values) / 2:
        ends = [f"{end:,}" if isinstance(end, int) else f"{end:g}" for end in (min(known), max(known))]
        parts.append(" to ".join(dict.fromkeys(ends)))
        other = [text for text in other if text.startswith('"')]
    shown = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in other]
    shown = [text.removeprefix('"').removesuffix('"') for text in shown]
    objects = any(text.startswith(("{", "[")) for text in other) and len(other) > 1
    if shown and len(shown) <= MOST_VALUES and not objects:
        parts.append(", ".join(shown))
    elif shown:
        parts.append(f"{len(shown):,} different, such as {shown[0]}")
    parts += [
        f"{n:,} {word}" for word, n in (("nan", len(numbers) - len(known)), ("empty", values.count(""))) if n
    ]
    if field and (outside := sum(not field.values.hold(value) for value in values)):
        parts.append(f"{outside:,} not {field.values.words()}")
    return "; ".join(parts)


def _json(path: Path, kind: File | None) -> tuple[File | None, list[str]]:
    value = files.read_json(path)
    if kind is None and isinstance(value, dict):
        kind = next(iter(catalogue.by_names(JSON, value)), None)
    if not isinstance(value, dict):
        return kind, []
    if kind and kind.groups:
        return kind, list(_verdicts(path, value))
    if kind and kind.fields and (missing := catalogue.lacks(kind, value)[1]):
        raise DamagedFile(path, f"lacks {', '.join(sorted(missing))}")
    return kind, ["", *_fields(list(value), [value], kind)]


def _verdicts(path: Path, findings: Mapping[str, Mapping]) -> Iterator[str]:
    try:
        for model, by_claim in findings.items():
            yield from ("", f"{model}:")
            yield from (f"  {claim}: {finding['verdict']}" for claim, finding in by_claim.items())
    except (AttributeError, KeyError, TypeError) as error:
        raise DamagedFile(path, f"has a model or claim without a verdict ({error})") from error


# Others


def _safetensors(path: Path, kind: File | None) -> tuple[File | None, list[str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: (each.get_dtype(), each.get_shape()) for name, each in tensors.items()}
            carded = "card" in (file.metadata() or {})
    except (SafetensorError, OSError, struct.error) as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({first_sentence(error)}); train or download the model "
            "again"
        ) from error
    total = sum(math.prod(shape) for _, shape in shapes.values())
    lines = ["", *(_card(path) if carded else []), f"{len(shapes):,} tensors, {total:,} numbers:"]
    lines += [f"  {name}  {shape} {dtype}" for name, (dtype, shape) in list(shapes.items())[:MOST_GROUPS]]
    return kind, lines + ([f"  and {len(shapes) - MOST_GROUPS} more"] if len(shapes) > MOST_GROUPS else [])


def _card(path: Path) -> list[str]:
    """What a monitor's card says of it and its stages."""
    card = monitors.load(path).card
    head = f"task {card['task']} of model {card['model']}"
    if card["status"]:
        return [f"{head}: {card['status']}", ""]
    keys = ("auroc", "auroc_within", "brier", "brier_of_base_rate")
    stages = [
        f"  {stage['name']}  {stage['source']}; "
        + ", ".join(f"{key} {stage[key]:.3g}" for key in keys if stage.get(key) is not None)
        for stage in card["stages"]
    ]
    return [f"{head}, at layer {card['layer']}; of held-out subjects, by stage:", *stages, ""]


def _picture(path: Path, kind: File | None) -> tuple[File | None, list[str]]:
    content = path.read_bytes()
    if path.suffix == ".png":
        if not (content.startswith(_PNG[0]) and content.endswith(_PNG[1])):
            raise DamagedFile(path, "is not a whole PNG picture")
        width, height = struct.unpack(">II", content[16:24])
        size = f"{width} × {height} pixels"
    else:
        if b"<svg" not in content[:2000] or not content.rstrip().endswith(b"</svg>"):
            raise DamagedFile(path, "is not a whole SVG picture")
        size = "of any size"
    beside = path.with_suffix(".csv")
    return kind, ["", f"{size}; its numbers: {beside}" if beside.is_file() else size]


def _page(path: Path, kind: File | None) -> tuple[File | None, list[str]]:
    if not path.read_bytes().rstrip().lower().endswith(b"</html>"):
        raise DamagedFile(path, "is not a whole HTML page")
    return kind, ["", "open it in a browser"]


def _text(path: Path, kind: File | None) -> tuple[File | None, list[str]]:
    if path.suffix == ".sha256":
        sealed = path.with_name(path.name.removesuffix(".sha256")[1:])
        if not sealed.is_file():
            return kind, ["", f"{sealed} is gone"]
        files.read_sealed(sealed)
        return kind, ["", f"{sealed} is as it was written"]
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DamagedFile(path, f"is not a UTF-8 text ({error})") from error
    lines = text.splitlines()
    return kind, ["", *(f"  {line}" for line in lines[:MOST_GROUPS]), f"{len(lines):,} lines"]


_READERS: Mapping[str, Callable[[Path, File | None], tuple[File | None, list[str]]]] = {
    **{HDF5: _hdf5, TABLE: _table, LINES: _json_lines, JSON: _json, SAFETENSORS: _safetensors},
    **{PICTURE: _picture, PAGE: _page, TEXT: _text},
}
