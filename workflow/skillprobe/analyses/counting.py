"""Which tasks count for a claim, and means over them, without a winner's curse.

See docs/definitions.md, "Which tasks count".

Whether a task counts in an outer fold is decided by the other folds' test groups, so the groups that its
effect is measured on had no say in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skillprobe.statistics.bootstrap import Draws, fold_pairs, share
from skillprobe.statistics.intervals import FIXED_PROBES, UNIT, Estimate, claims_level, interval


@dataclass(frozen=True)
class Pairs:
    """Pairs of responses in each test fold, and how many of them a probe orders rightly: [1 + n_draws, S, K]
    each, as of `fold_pairs`."""

    right: np.ndarray
    pairs: np.ndarray

    @classmethod
    def of(cls, result, draws: Draws, n_folds: int) -> Pairs:
        """Of a result with scores, labels, groups, folds and items."""
        about = result.scores, result.labels, result.groups, result.folds
        return cls(*fold_pairs(*about, draws, n_folds, result.items))

    def by_fold(self) -> Estimate:
        """AUROC of each test fold: by_seed [S, K], drawn [n_draws, S, K]; NaN where a fold has no pairs."""
        each = share(self.right, self.pairs)
        return Estimate(each[0], each[1:])

    def pooled(self) -> Estimate:
        """AUROC of all test folds' pairs: by_seed [S], drawn [n_draws], of the mean over fold seeds."""
        each = share(self.right.sum(axis=-1), self.pairs.sum(axis=-1))
        return Estimate(each[0], each[1:].mean(axis=-1))

    def without(self, f: int) -> tuple[np.ndarray, np.ndarray]:
        """AUROC of the pairs of the other folds, of each fold seed: [S], and of every draw, [n_draws, S]."""
        right, pairs = (np.delete(each, f, axis=-1).sum(axis=-1) for each in (self.right, self.pairs))
        each = share(right, pairs)
        return each[0], each[1:]


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

        by_fold: {task: Estimate of its test folds}, as of `Pairs.by_fold`: by_seed [S, K], drawn [n_draws, S,
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
    n_seeds, n_folds = len(first.folds), count_folds(each[0] for each in results.values())
    counts = np.zeros((n_seeds, n_folds, len(results)), bool)
    for t, of_task in enumerate(results.values()):
        if any(result.status for result in of_task):
            continue
        pairs = [Pairs.of(result, draws, n_folds) for result in of_task]
        for f in range(n_folds):
            values, drawn = zip(*(each.without(f) for each in pairs), strict=True)
            counts[:, f, t] = _lower(np.mean(values, axis=0), np.mean(drawn, axis=0)) > threshold
    return Counting(tuple(results), counts)


def count_folds(results: Iterable) -> int:
    """How many outer folds these results have."""
    return 1 + max(int(result.folds.max(initial=-1)) for result in results)


def fold_aurocs(result, draws: Draws, n_folds: int) -> Estimate:
    """As `Pairs.by_fold`."""
    return Pairs.of(result, draws, n_folds).by_fold()


def _lower(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Lower bounds [S] of AUROCs [S] by their draws [n_draws, S]; NaN where unknown."""
    pairs = zip(values, drawn.T, strict=True)
    return np.array(
        [interval([value], own, claims_level(), UNIT, FIXED_PROBES).lower for value, own in pairs]
    )
