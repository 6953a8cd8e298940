"""Tidy tables as CSV: equal rows, equal bytes."""

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

from skillprobe.errors import DamagedFile, UserError
from skillprobe.storage.files import read_sealed, write_sealed

# What tables say instead of a layer's number, where inner folds choose it, and of a task's name.
SELECTED, MEAN = "selected", "mean"
# Which pairs of responses are compared: all of a test fold, or those to one prompt
# (docs/definitions.md, "Two scopes").
SCOPES = ACROSS, WITHIN = ("across", "within")
# The key of a row's `intervals.Estimate`, which is no column (see `draws`).
DRAWS = "draws"
# The status of a mean over no task.
NO_TASK = "insufficient: no task has enough data"
# In the status of a count's match whose crossings differ in relation or far in number.
N_UNTESTED = "reads the relation, n untested"
# What is text whatever it looks like.
_NAMES = ("model",)
_INTEGER = re.compile(r"-?\d+")
_NUMBER = re.compile(r"-?(\d+\.?\d*(e[+-]?\d+)?|nan|inf)")


def write_csv(path: str | Path, rows: Sequence[dict], columns: Sequence[str] | None = None) -> None:
    """Write rows; columns default to the first row's keys (but DRAWS) and are needed for an empty table.

    Floats keep six significant digits, so that the last bits of a sum don't count as a change. Results are
    sealed (see `files.write_sealed`).
    """
    if columns is None:
        if not rows:
            raise UserError(f"{path} would be empty: there are no rows to take its columns from")
        columns = columns_of(rows[0])
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _format(row[key]) for key in columns_of(row)})
    write_sealed(path, text.getvalue())


def in_scope(rows: Sequence[dict], scope: str = ACROSS) -> list[dict]:
    """The rows of one scope; a table without this column is across prompts."""
    return [row for row in rows if row.get("scope", ACROSS) == scope]


def task_words(task: str) -> str:
    """A task's name as it is shown."""
    return "mean of tasks" if task == MEAN else task.replace("_", " ")


def is_number(value: object) -> bool:
    """Whether a cell holds a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def rounded(value: float, digits: int = 3) -> str:
    """For texts: with so many digits after the point, and a minus instead of a hyphen."""
    return f"{value:.{digits}f}".replace("-", "−")


def columns_of(row: dict) -> tuple[str, ...]:
    """A row's keys but DRAWS."""
    return tuple(key for key in row if key != DRAWS)


def read_csv(path: str | Path) -> list[dict]:
    """Rows as dicts; cells that are as `write_csv` writes numbers (also nan, inf) become int or float, but
    for models' names. Raises DamagedFile as `files.read_sealed`, and for a file that is no table."""
    columns, rows = _read(path)
    return [
        {name: cell if name in _NAMES else _parse(cell) for name, cell in zip(columns, row, strict=True)}
        for row in rows
    ]


def read_all(paths: Sequence[str | Path]) -> list[dict]:
    """Rows of several tables, or of none."""
    return [row for path in paths for row in read_csv(path)]


def read_columns(path: str | Path) -> list[str]:
    """The columns' names; a table may have no rows. Raises as `read_csv`."""
    return _read(path)[0]


def _read(path: str | Path) -> tuple[list[str], list[list[str]]]:
    text = io.StringIO(read_sealed(path), newline="")
    try:
        lines = [row for row in csv.reader(text, strict=True) if row]
    except csv.Error as error:
        raise DamagedFile(path, f"is not a table ({error})") from error
    if not lines:
        raise DamagedFile(path, "is empty")
    columns, *rows = lines
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise DamagedFile(path, f"has {len(row)} cells instead of {len(columns)} in row {number}")
    return columns, rows


def _format(value: object) -> str:
    # numpy's float64 is a float; -0.0 and 0.0 are one number.
    return f"{value + 0.0:.6g}" if isinstance(value, float) else str(value)


def _parse(text: str) -> int | float | str:
    # Other spellings, as 007 and 1e5, are names.
    if _INTEGER.fullmatch(text) and str(int(text)) == text:
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) and _format(float(text)) == text else text
