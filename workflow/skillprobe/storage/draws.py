"""Bootstrap draws of a table's main rows, beside it: to pool models and to compare studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from skillprobe.errors import DamagedFile
from skillprobe.statistics.intervals import Estimate
from skillprobe.storage import hdf5
from skillprobe.storage.tables import DRAWS, SELECTED


def write_draws(path: str | Path, rows: Sequence[Mapping]) -> None:
    """Write the Estimates under key DRAWS of the rows that have one, at the selected layer if at any.

    Datasets: row [m], their numbers in the table; by_seed [m, S], n_seeds [m], how many of these there are,
    factor [m], and drawn/0, drawn/1, … [n_draws] of each.
    """
    numbers = [
        number
        for number, row in enumerate(rows)
        if row.get(DRAWS) is not None and row.get("layer", SELECTED) == SELECTED
    ]
    estimates = [rows[number][DRAWS] for number in numbers]
    with hdf5.create(path) as file:
        file["row"] = np.array(numbers, int)
        # Some quantities have one value for all fold seeds.
        n_seeds = [len(each.by_seed) for each in estimates]
        file["by_seed"] = np.array([np.resize(each.by_seed, max(n_seeds)) for each in estimates], float)
        file["n_seeds"] = np.array(n_seeds, int)
        file["factor"] = np.array([each.factor for each in estimates], float)
        # By name: a group that a path makes on the way has the time of day in it.
        drawn = file.create_group("drawn")
        for number, each in enumerate(estimates):
            # Fewer where probes are fitted on each.
            drawn[str(number)] = each.drawn


def with_draws(rows: Sequence[Mapping], path: str | Path) -> list[dict]:
    """The rows of a table, those that have draws in the file with an Estimate under key DRAWS.

    Raises UserError where the file isn't of this table, or damaged.
    """
    found = [dict(row) for row in rows]
    with hdf5.whole(path, "draws") as file:
        columns = [file[name][:] for name in ("row", "by_seed", "n_seeds", "factor")]
        for each, (number, by_seed, n_seeds, factor) in enumerate(zip(*columns, strict=True)):
            estimate = Estimate(by_seed[:n_seeds], file[f"drawn/{each}"][:], float(factor))
            # The table has six digits.
            if number >= len(found) or not np.isclose(estimate.value, found[number]["estimate"], 1e-4, 1e-6):
                raise DamagedFile(path, "does not belong to the table beside it")
            found[number][DRAWS] = estimate
    return found
