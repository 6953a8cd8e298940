"""Stored files against the catalogue: where a file holds something else than it says."""

import h5py
import numpy as np
from skillprobe.catalogue.fields import HDF5, JSON, LINES, TABLE, fits, named
from skillprobe.catalogue.files import lacks
from skillprobe.storage import files, hdf5, tables

DTYPES = {"text": "SO", "integer": "iu"}


def differences(kind, path):
    """What of a file isn't as its kind says; [] if all is."""
    found = _OF_FORMAT.get(kind.format, lambda *_: [])(kind, path)
    return [f"{path}: {each}" for each in dict.fromkeys(found)]


def _table(kind, path):
    columns = tables.read_columns(path)
    if columns != [each.name for each in kind.fields]:
        return [f"columns {sorted({each.name for each in kind.fields} ^ set(columns))}, or their order"]
    return [each for row in tables.read_csv(path) for each in _values(kind.fields, row)]


def _json_lines(kind, path):
    rows = files.read_jsonl(path)
    found = [each for keys in {tuple(row): row for row in rows}.values() for each in _names(kind, keys)]
    return found + [each for row in rows for each in _values(kind.fields, row)]


def _json(kind, path):
    value = files.read_json(path)
    if not kind.fields:
        return []
    if not kind.groups:
        return [*_names(kind, value), *_values(kind.fields, value)]
    findings = [finding for of in value.values() for finding in of.values()]
    findings += [finding["secondary"] for finding in findings if finding["secondary"]]
    return [each for finding in findings for each in (*_names(kind, finding), *_values(kind.fields, finding))]


def _names(kind, names):
    unknown, missing = lacks(kind, names)
    return [*(f"{name} is not described" for name in unknown), *(f"{name} is missing" for name in missing)]


def _values(fields, row):
    for field in fields:
        value = row.get(field.name, "")
        if not field.values.hold(value):
            yield f"{field.name} is {value!r}, not {field.values.words()}"
        elif field.cases and value != "":
            case = field.case(value)
            if case is None:
                yield f"{field.name} may be {value!r}"
            elif case.values.kind != "text" and not case.values.hold(row["estimate"]):
                yield f"estimate of {value} is {row['estimate']!r}, not {case.values.words()}"


def _hdf5(kind, path):
    found, used = [], set()
    with h5py.File(path) as file:
        for place, leaf in leaves(file):
            pattern = next((each for each in kind.groups if fits(each, place)), None)
            used.add(pattern)
            found += [f"group {place} is not described"] if pattern is None else []
            found += _leaf(kind, leaf)
    return found + [f"there is no group {each}" for each in set(kind.groups) - used]


def leaves(group, place=""):
    if "names" in group.attrs:
        assert set(group) == set(hdf5.read_names(group, "names")) and set(group.attrs) == {"names"}
        for name in group:
            yield from leaves(group[name], f"{place}/{name}".lstrip("/"))
    else:
        yield place, group


def _leaf(kind, leaf):
    data = {}
    leaf.visititems(lambda name, each: data.update({name: each} if isinstance(each, h5py.Dataset) else {}))
    yield from _names(kind, data)
    attributes = {field.name: field for field in kind.fields if not field.shape}
    unknown = leaf.attrs.keys() - attributes
    missing = {name for name, field in attributes.items() if not field.optional} - leaf.attrs.keys()
    yield from (f"attribute {name} is not described" for name in unknown)
    yield from (f"attribute {name} is missing" for name in missing)
    sizes = {}
    for name, each in data.items():
        if (field := named(kind.fields, name)) is None:
            continue
        if each.size and len(field.shape) != each.ndim:
            yield f"{name} has {each.ndim} axes, not {field.shape}"
            continue
        if field.dtype and each.dtype.kind not in DTYPES.get(field.dtype, "") and each.dtype != field.dtype:
            yield f"{name} is {each.dtype}, not {field.dtype}"
        # Where there is nothing, an axis has no length; draws of a table may be fewer for some rows.
        for axis, size in zip(field.shape, each.shape, strict=False):
            if each.size and sizes.setdefault(axis, size) != size and not name.startswith("drawn/"):
                yield f"{name} has {size} along {axis}, where others have {sizes[axis]}"
        if each.dtype.kind in "iuf" and (field.values.low, field.values.high) != (None, None):
            values = each[()].astype(float)
            values = values[np.isfinite(values)]
            low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
            if field.values.low is not None and low < field.values.low - 1e-9:
                yield f"{name} goes down to {low}"
            if field.values.high is not None and high > field.values.high + 1e-9:
                yield f"{name} goes up to {high}"


_OF_FORMAT = {TABLE: _table, LINES: _json_lines, JSON: _json, HDF5: _hdf5}
