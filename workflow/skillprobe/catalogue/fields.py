"""A column, key, dataset or attribute of a stored file: its meaning, unit and range."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

# What stands for a name in a path, a dataset's name or a cell: "<task>", "specialist_minus_<probe>".
_PLACE = re.compile(r"<([\w ]+)>")


@dataclass(frozen=True)
class Values:
    """What a field holds. kind: one of KINDS; low, high: the least and largest number, None for none; unit:
    of a number, in words."""

    kind: str
    low: float | None = None
    high: float | None = None
    unit: str = ""

    def words(self) -> str:
        """Such as "number, 0 to 1, share"."""
        ends = [f"{end:g}".replace("-", "−") for end in (self.low, self.high) if end is not None]
        if self.low is None and self.high is not None:
            ends = [f"at most {ends[0]}"]
        elif self.high is None:
            ends = [f"from {end}" for end in ends]
        return ", ".join(filter(None, (self.kind, " to ".join(ends), self.unit)))

    def hold(self, value: object) -> bool:
        """Whether a value is one of these. NaN and "" are: a number that could not be had, and a cell that
        doesn't apply."""
        if value == "" or (isinstance(value, float) and math.isnan(value)):
            return True
        if not isinstance(value, KINDS[self.kind]) or (isinstance(value, bool) and self.kind in _NUMBERS):
            return False
        if self.kind not in _NUMBERS:
            return True
        # Tables have six digits.
        near = 1e-6 * max(abs(self.low or 0), abs(self.high or 0), 1)
        return (self.low is None or value >= self.low - near) and (
            self.high is None or value <= self.high + near
        )


KINDS: Mapping[str, type | tuple[type, ...]] = {
    "text": str,
    "integer": int,
    "number": (int, float),
    "true or false": bool,
    "object": dict,
    "list": list,
    # A layer's number, or "selected"; a layer, task or model that is compared.
    "number or text": (int, float, str),
    "object or none": (dict, type(None)),
    "text or none": (str, type(None)),
    "list or none": (list, type(None)),
    "number or none": (int, float, type(None)),
    "true, false or none": (bool, type(None)),
}
_NUMBERS = ("integer", "number", "number or none")


@dataclass(frozen=True)
class Field:
    """name: as in the file; "<…>" stands for what differs. shape: of a dataset, such as ("S", "n"). dtype: of
    a dataset, as numpy has it, "" for any. cases: what a text may be, and what each means; `values` of a case
    are those of the column `estimate` in its rows. optional: whether some files lack it."""

    name: str
    text: str
    values: Values
    shape: tuple[str, ...] = ()
    dtype: str = ""
    cases: tuple[Field, ...] = ()
    optional: bool = False

    def case(self, value: object) -> Field | None:
        """The case that a value is of, the first that fits; None for an unknown one."""
        return named(self.cases, str(value))


def fits(pattern: str, text: str) -> bool:
    """Whether a text is as the pattern says, "<…>" being anything without a slash."""
    return _compiled(pattern).fullmatch(text) is not None


@cache
def _compiled(pattern: str) -> re.Pattern:
    return re.compile("[^/]+".join(map(re.escape, _PLACE.split(pattern)[::2])))


def named(fields: Iterable[Field], name: str) -> Field | None:
    """The first of the fields whose name fits, those without "<…>" before the others; None without one."""
    plain, patterns = [], []
    for each in fields:
        (patterns if _PLACE.search(each.name) else plain).append(each)
    return next((each for each in (*plain, *patterns) if fits(each.name, name)), None)


@dataclass(frozen=True)
class File:
    """One kind of file.

    paths: below results/<study>/, of a folder all that is in it; what: a sentence; format: one of those
    below; fields: columns, keys, or attributes and datasets; groups: of HDF5, where in the file each set of
    these lies ("" for the root); each: what a row, line or group is; when: which studies have it, "" for all.
    """

    paths: tuple[str, ...]
    what: str
    format: str
    fields: tuple[Field, ...] = ()
    groups: tuple[str, ...] = ()
    each: str = ""
    when: str = ""


TABLE, LINES, JSON, HDF5, SAFETENSORS = "CSV", "JSON lines", "JSON", "HDF5", "safetensors"
PICTURE, PAGE, TEXT = "picture", "HTML", "text"


def number(
    name: str, text: str, low: float | None = None, high: float | None = None, unit: str = ""
) -> Field:
    return Field(name, text, Values("number", low, high, unit))


def share(name: str, text: str) -> Field:
    return number(name, text, 0, 1, "share")


def auroc(name: str, text: str) -> Field:
    return number(name, text, 0, 1, "AUROC")


def difference(name: str, text: str, unit: str = "AUROC") -> Field:
    """Of two numbers from 0 to 1."""
    return number(name, text, -1, 1, unit)


def count(name: str, text: str) -> Field:
    return Field(name, text, Values("integer", 0))


def string(name: str, text: str, *cases: Field) -> Field:
    return Field(name, text, Values("text"), cases=cases)


def case(name: str, text: str) -> Field:
    """What a text may be, where that says nothing of the row's `estimate`."""
    return Field(name, text, Values("text"))


def dataset(
    name: str,
    text: str,
    shape: str,
    dtype: str,
    values: Values | None = None,
    optional: bool = False,
) -> Field:
    """shape: names of its axes in one string, such as "S n"; values: None for any number, or text."""
    values = values or Values("text" if dtype == "text" else "number")
    return Field(name, text, values, tuple(shape.split()), dtype, optional=optional)


def key(name: str, text: str, kind: str = "text", low: float | None = None, optional: bool = False) -> Field:
    """Of a JSON object."""
    return Field(name, text, Values(kind, low), optional=optional)


def attribute(name: str, text: str, values: Values | None = None, optional: bool = False) -> Field:
    return Field(name, text, values or Values("text"), optional=optional)
