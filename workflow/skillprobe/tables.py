"""Tidy tables as CSV: equal rows, equal bytes."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.store import atomic_path

# What tables say instead of a layer's number, where inner folds choose it, and of a task's name.
SELECTED, MEAN = "selected", "mean"
# The key of a row's `stats.Estimate`, which is no column (see `draws`).
DRAWS = "draws"
# The status of a mean over no task.
NO_TASK = "insufficient: no task has enough data"
# What is text whatever it looks like.
_NAMES = ("model",)
_INTEGER = re.compile(r"-?\d+")
_NUMBER = re.compile(r"-?(\d+\.?\d*(e[+-]?\d+)?|nan|inf)")


def write_csv(path: str | Path, rows: Sequence[dict], columns: Sequence[str] | None = None) -> None:
    """Write rows; columns default to the first row's keys (but DRAWS) and are needed for an empty table.

    Floats keep six significant digits, so that the last bits of a sum don't count as a change.
    """
    if columns is None:
        if not rows:
            raise UserError(f"{path} would be empty: there are no rows to take its columns from")
        columns = columns_of(rows[0])
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _format(row[key]) for key in columns_of(row)})


def task_words(task: str) -> str:
    """A task's name as it is shown."""
    return "mean of tasks" if task == MEAN else task.replace("_", " ")


def columns_of(row: dict) -> tuple[str, ...]:
    """A row's keys but DRAWS."""
    return tuple(key for key in row if key != DRAWS)


def read_csv(path: str | Path) -> list[dict]:
    """Rows as dicts; cells that are as `write_csv` writes numbers (also nan, inf) become int or float, but
    for models' names."""
    with open(path, encoding="utf-8", newline="") as file:
        return [
            {key: value if key in _NAMES else _parse(value) for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


def read_all(paths: Sequence[str | Path]) -> list[dict]:
    """Rows of several tables, or of none."""
    return [row for path in paths for row in read_csv(path)]


def read_columns(path: str | Path) -> list[str]:
    """The columns' names; a table may have no rows."""
    with open(path, encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def _format(value: object) -> str:
    # numpy's float64 is a float; -0.0 and 0.0 are one number.
    return f"{value + 0.0:.6g}" if isinstance(value, float) else str(value)


def _parse(text: str) -> int | float | str:
    # Other spellings, as 007 and 1e5, are names.
    if _INTEGER.fullmatch(text) and str(int(text)) == text:
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) and _format(float(text)) == text else text
