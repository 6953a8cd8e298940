"""How often intervals miss: simulated studies, which differ by chance alone.

See docs/definitions.md, "Calibration".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from tempfile import TemporaryDirectory

import numpy as np

from skillprobe.findings import rules
from skillprobe.findings.calibration import fit_probes, plant_study, tabulate
from skillprobe.findings.error_rates import DOUBT, MISSES, at_least, grouped
from skillprobe.statistics.intervals import BOUNDS
from skillprobe.storage.tables import SCOPES, SELECTED

# Tasks share a part of their signals here, so that no quantity is at an end of its range.
WORLD = "clustered"
AUROC, BASES = 0.9, 90
# Few tasks and one layer: an interval is of a number, whatever that is the mean of.
N_TASKS, NUM_LAYERS = 3, 1
REFITTED, FIXED = "refitted", "fixed"
STUDY_COLUMNS = ("quantity", "scope", "probes", "seed", "estimate", *BOUNDS)
COLUMNS = ("quantity", "scope", "probes", "n_studies", "truth", "sd", "se", "missed95", "missed99", "met")


def quantities(task: str) -> dict[str, tuple[str, tuple[str, Mapping[str, str]]]]:
    """{name: (claim, (table, cells that name its row))}: the AUROC of one task's specialist, and what claims
    are judged by."""
    own = {"task": task, "layer": SELECTED, "probe": "specialist", "metric": "auroc"}
    found = {"auroc": ("generality", ("generality", own))}
    for name, claim, evidence in (
        ("difference", "generality", "estimate"),
        ("ratio", "transfer_weak", "estimate"),
        ("fall", "ablation_sparse", "diagonal"),
    ):
        found[name] = claim, rules.RULES[claim].evidence[evidence]
    return found


def simulate(
    settings: Mapping, *, auroc: float, bases: int, seed: int, only: Sequence[str] = (), refits: bool = True
) -> list[dict]:
    """One study's estimates and intervals, rows with STUDY_COLUMNS; settings: as for
    `calibration.judge_world`; only: these quantities (none: all); refits: intervals of probes that are fitted
    anew on draws, too."""
    names = list(settings["tasks"])[:N_TASKS]
    settings = {**settings, "tasks": names, "num_layers": NUM_LAYERS, "groups": bases}
    planted = plant_study(WORLD, settings, auroc=auroc, seed=seed)
    wanted = {name: each for name, each in quantities(names[0]).items() if not only or name in only}
    claims = {claim for claim, _ in wanted.values()}
    rows = []
    with TemporaryDirectory() as folder:
        fits = fit_probes(WORLD, planted, Path(folder), settings)
        for probes in (REFITTED, FIXED) if refits else (FIXED,):
            tables = tabulate(WORLD, fits, settings, claims, probes == REFITTED)
            for name, (_, (table, cells)) in wanted.items():
                for scope in SCOPES:
                    row = _find(tables[table], cells | {"scope": scope})
                    if rules.has_estimate(row):
                        about = {"quantity": name, "scope": scope, "probes": probes, "seed": seed}
                        rows.append(about | {key: row[key] for key in STUDY_COLUMNS[4:]})
    return rows


def _find(table: Sequence[Mapping], cells: Mapping[str, str]) -> Mapping | None:
    return next((row for row in table if all(row.get(key) == value for key, value in cells.items())), None)


def coverage_table(studies: Sequence[Mapping]) -> list[dict]:
    """Rows with COLUMNS of all studies' estimates (`simulate`), by quantity, scope and how draws were made.

    truth: the mean over studies, which is what a study of this size estimates; sd: over studies; se: of the
    mean half-width of the 95 % intervals; missed95, missed99: the shares of studies whose interval doesn't
    hold the truth. met: "yes" if these are at most MISSES, "no" if the counts refute that, else "unsure".
    """
    table = []
    for about, rows in grouped(studies, "quantity", "scope", "probes"):
        estimates = np.array([row["estimate"] for row in rows], float)
        truth, n = estimates.mean(), len(rows)
        missed = {
            level: sum(not row[f"lower{level}"] <= truth <= row[f"upper{level}"] for row in rows)
            for level in MISSES
        }
        width = np.mean([row["upper95"] - row["lower95"] for row in rows])
        met = "yes" if all(missed[level] <= MISSES[level] * n for level in MISSES) else "unsure"
        if any(at_least(missed[level], n, MISSES[level]) < DOUBT for level in MISSES):
            met = "no"
        values = (*about, n, truth, estimates.std(ddof=1) if n > 1 else np.nan)
        values += (width / 2 / NormalDist().inv_cdf(0.975), missed[95] / n, missed[99] / n, met)
        table.append(dict(zip(COLUMNS, values, strict=True)))
    return table
