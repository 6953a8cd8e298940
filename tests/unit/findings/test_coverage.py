"""Intervals hold what studies of the same size find on average, as often as they say.

See docs/definitions.md, "Calibration".
"""

import numpy as np
import pytest
from made.worlds import small_settings
from skillprobe.findings.coverage import COLUMNS, FIXED, REFITTED, STUDY_COLUMNS, coverage_table, simulate
from skillprobe.storage.tables import SCOPES


def studies(width, n=400, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for number, value in enumerate(0.7 + 0.02 * rng.normal(size=n)):
        row = {"quantity": "auroc", "scope": "within", "probes": "fixed", "seed": number, "estimate": value}
        for level, z in ((95, 1.96), (99, 2.576)):
            row |= {f"lower{level}": value - z * width, f"upper{level}": value + z * width}
        rows.append(row)
    return rows


@pytest.mark.parametrize("width, met", [(0.02, "yes"), (0.013, "no"), (0.03, "yes")])
def test_intervals_that_are_too_narrow_are_refuted(width, met):
    (row,) = coverage_table(studies(width))
    assert row["met"] == met and list(row) == list(COLUMNS) and row["n_studies"] == 400
    assert row["truth"] == pytest.approx(0.7, abs=0.003) and row["sd"] == pytest.approx(0.02, rel=0.1)
    assert row["se"] == pytest.approx(width, rel=1e-4)
    if width == 0.02:
        assert row["missed95"] == pytest.approx(0.05, abs=0.03) and row["missed99"] < 0.025
    few = coverage_table(studies(0.02, n=3))[0]
    assert few["met"] in ("yes", "unsure")


def test_intervals_of_an_auroc_miss_as_rarely_as_they_say():
    """The bounds of docs/definitions.md, "Calibration": fails only where the counts refute them at 99 %."""
    settings = small_settings(tasks=["word_count", "topic"])
    rows = []
    for seed in range(40):
        rows += simulate(settings, auroc=0.85, bases=90, seed=seed, only=["auroc"])
    assert set(rows[0]) == set(STUDY_COLUMNS)
    table = {(row["scope"], row["probes"]): row for row in coverage_table(rows)}
    assert set(table) == {(scope, probes) for scope in SCOPES for probes in (REFITTED, FIXED)}
    for row in table.values():
        assert row["n_studies"] == 40 and row["met"] != "no" and 0.6 < row["truth"] < 0.85
