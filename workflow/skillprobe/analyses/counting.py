"""Which tasks count for a claim, and means over them, without a winner's curse (ESTIMANDS).

Whether a task counts in an outer fold is decided by the other folds' test groups, so the groups that its
effect is measured on had no say in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from skillprobe.statistics.bootstrap import Draws, auroc_lines
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import FIXED_PROBES, Estimate, claims_level


@dataclass(frozen=True)
class Counting:
    """counts: [S, K, T] bool, whether each of T tasks counts in each outer fold of each fold seed."""

    tasks: tuple[str, ...]
    counts: np.ndarray

    @property
    def names(self) -> list[str]:
        """The tasks that count in at least three fifths of the folds."""
        share = self.counts.mean(axis=(0, 1))
        return [task for task, often in zip(self.tasks, share, strict=True) if often >= 0.6 - 1e-9]

    def mean(self, by_fold: Mapping[str, Estimate]) -> Estimate | None:
        """Mean over all (fold, task) that count; None where none does in one of the fold seeds.

        by_fold: {task: Estimate of its test folds}, as of `fold_aurocs`: by_seed [S, K], drawn [n_draws, S,
        K], or [n_draws, 1, K] where probes are fitted on each draw, in the first fold seed only. A fold
        weighs as many tasks as count there. With equal weights the mean is too low where few tasks
        count: a fold passes because the others are high, so it is the low one (planted AUROC of 0.666: 0.661,
        and 0.664 so).
        """
        values = np.stack([by_fold[task].by_seed for task in self.tasks], axis=-1)
        drawn = np.stack([by_fold[task].drawn for task in self.tasks], axis=-1)
        used = self.counts & np.isfinite(values)
        if not used.any(axis=(1, 2)).all():
            return None
        factor = max(each.factor for each in by_fold.values())
        drawn = _mean(drawn, used[: drawn.shape[1]]).mean(axis=-1)
        return Estimate(_mean(values, used), drawn, factor)


def _mean(values: np.ndarray, used: np.ndarray) -> np.ndarray:
    """[..., S] of values [..., S, K, T] over the folds and tasks that are used, [S, K, T]."""
    known = used & np.isfinite(values)
    n = known.sum(axis=(-2, -1))
    total = np.where(known, values, 0.0).sum(axis=(-2, -1))
    return np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)


def count_tasks(results: Mapping[str, Sequence], draws: Draws, threshold: float) -> Counting:
    """Task t counts in fold f if the lower bound (`claims_level`) of its AUROC on the other folds' test
    groups is above the threshold.

    results: {task: results with scores, labels, groups, folds, items and status}, by whose mean AUROC a task
    is judged: its specialist, or the specialist and the general probe. Bounds are on the logit scale, with
    the probes fixed and deviations × FIXED_PROBES. An insufficient task counts nowhere.
    """
    first = next(iter(results.values()))[0]
    n_seeds, n_folds = len(first.folds), int(max(each[0].folds.max() for each in results.values())) + 1
    counts = np.zeros((n_seeds, n_folds, len(results)), bool)
    for t, of_task in enumerate(results.values()):
        if any(result.status for result in of_task):
            continue
        for f in range(n_folds):
            lines = [_auroc(result, result.folds != f, draws) for result in of_task]
            value = np.mean([each.by_seed for each in lines], axis=0)
            drawn = np.mean([each.drawn for each in lines], axis=0)
            counts[:, f, t] = _lower(value, drawn) > threshold
    return Counting(tuple(results), counts)


def fold_aurocs(result, draws: Draws, n_folds: int) -> Estimate:
    """AUROC of each test fold: by_seed [S, K], drawn [n_draws, S, K]; NaN where a fold has no pairs."""
    parts = [_auroc(result, result.folds == f, draws) for f in range(n_folds)]
    return Estimate(
        np.stack([each.by_seed for each in parts], axis=-1), np.stack([each.drawn for each in parts], axis=-1)
    )


def _auroc(result, kept: np.ndarray, draws: Draws) -> Estimate:
    """Of the rows of some test folds, [S, n] bool: by_seed [S], drawn [n_draws, S]."""
    folds = np.where(kept, result.folds, CALIBRATION)
    by_seed, drawn = auroc_lines(result.scores, result.labels, result.groups, folds, draws, result.items)
    return Estimate(by_seed, drawn.T)


def _lower(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Lower bounds [S] of AUROCs [S] by their draws [n_draws, S], on the logit scale; 0 where unknown."""
    inside = np.clip(values, 1e-6, 1 - 1e-6)
    error = FIXED_PROBES * np.nanstd(drawn, axis=0, ddof=1) / (inside * (1 - inside))
    z = NormalDist().inv_cdf((1 + claims_level()) / 2)
    lower = 1 / (1 + np.exp(-(np.log(inside / (1 - inside)) - z * error)))
    return np.where(np.isfinite(values) & np.isfinite(lower), lower, 0.0)
