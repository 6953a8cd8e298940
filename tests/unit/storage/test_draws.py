"""Draws beside tables."""

import time

import h5py
import numpy as np
import pytest
from made.findings import N_DRAWS, estimate, noises
from skillprobe.errors import UserError
from skillprobe.storage import draws, tables
from skillprobe.storage.tables import DRAWS


def test_a_table_gets_its_draws_back(tmp_path):
    rows = [
        {"task": "topic", "estimate": 0.1, DRAWS: None},
        {"task": "mean", "layer": "selected", "estimate": 0.2, DRAWS: estimate(0.2, noises("a")["a"])},
        {"task": "mean", "layer": 3, "estimate": 0.4, DRAWS: estimate(0.4, noises("a")["a"])},
        {"task": "all", "estimate": -1.0, DRAWS: estimate(-1.0, np.zeros(N_DRAWS), n_seeds=1)},
    ]
    columns = ["task", "layer", "estimate"]
    tables.write_csv(tmp_path / "t.csv", [{"layer": "", **row} for row in rows], columns)
    draws.write_draws(tmp_path / "t.h5", rows)
    found = draws.with_draws(tables.read_csv(tmp_path / "t.csv"), tmp_path / "t.h5")
    # Of other layers than the selected one nothing is kept.
    assert [row.get(DRAWS) for row in found] == [None, rows[1][DRAWS], None, rows[3][DRAWS]]
    again = tmp_path / "again.h5"
    draws.write_draws(again, rows)
    assert again.read_bytes() == (tmp_path / "t.h5").read_bytes()
    draws.write_draws(again, rows[:1])
    assert DRAWS not in draws.with_draws(rows[:0], again)


def test_draws_of_another_table_are_refused(tmp_path):
    path = tmp_path / "t.h5"
    draws.write_draws(path, [{"estimate": 0.2, DRAWS: estimate(0.2, np.zeros(5))}])
    for rows in ([], [{"estimate": 0.3}]):
        with pytest.raises(UserError, match=r"t\.h5 does not belong to the table beside it"):
            draws.with_draws(rows, path)
    with h5py.File(path) as file:
        assert set(file) == {"row", "by_seed", "n_seeds", "factor", "drawn"}


def test_equal_rows_have_equal_bytes_at_any_time(tmp_path):
    """HDF5 puts the time of day into groups that nobody made by name."""
    rows, path = [{"estimate": 0.2, DRAWS: estimate(0.2, np.arange(5.0))}], tmp_path / "t.h5"
    draws.write_draws(path, rows)
    first = path.read_bytes()
    time.sleep(1.1)
    draws.write_draws(path, rows)
    assert path.read_bytes() == first
