"""Estimates with their draws, and the intervals that decide claims (ESTIMANDS)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from skillprobe.statistics.bootstrap import Draws, auroc_lines
from skillprobe.statistics.folds import CALIBRATION

# The cells of a table that hold an estimate's intervals.
BOUNDS = ("lower95", "upper95", "lower99", "upper99")
# Draws that keep the probes fixed vary less than new training groups would make them: by so much (ESTIMANDS).
FIXED_PROBES = 1.3
# The level of "lower99" and "upper99", which decide claims. A job sets it once (`use_looks`), as one
# sets the precision of decimals, so that no row of its tables can have another.
_claims_level = 0.99


def level_of(looks: int) -> float:
    """Of the intervals that decide claims, where findings are looked at so often as a study grows: the chance
    that any of the looks misleads stays below 1 % (Bonferroni)."""
    return 1 - 0.01 / looks


def level_words(looks: int) -> str:
    """Of `level_of`: "99 %" for one look, "99.5 %" for two."""
    return f"{100 * level_of(looks):.4g} %"


def use_looks(looks: int) -> None:
    """Set the level of this process's intervals that decide claims; looks: the config's `claims.looks`."""
    global _claims_level
    _claims_level = level_of(looks)


def claims_level() -> float:
    """The level in use: 0.99 unless `use_looks` has set another."""
    return _claims_level


@dataclass(frozen=True)
class Interval:
    """A confidence interval; `dropped` bootstrap draws could not be evaluated and were left out."""

    estimate: float
    lower: float
    upper: float
    level: float
    dropped: int = 0


def interval(
    by_seed: Sequence[float] | np.ndarray,
    draws: np.ndarray,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Percentile bootstrap interval of the mean over fold seeds, widened by the variance over fold seeds.

    by_seed: [n_fold_seeds] estimates; draws: [n_draws] of their mean. The distances of the percentiles from
    the estimate grow by sqrt((bootstrap variance + fold-seed variance) / bootstrap variance).
    """
    by_seed, estimate, kept = _known(by_seed, draws)
    dropped = len(draws) - len(kept)
    if len(kept) < 2 or not np.isfinite(estimate):
        return Interval(estimate, float("nan"), float("nan"), level, dropped)
    tail = (1 - level) / 2
    lower, upper = np.quantile(kept, [tail, 1 - tail])
    variance, seed_variance = kept.var(ddof=1), by_seed.var(ddof=1) if len(by_seed) > 1 else 0.0
    if variance > 1e-18:
        widening = np.sqrt(1 + seed_variance / variance)
        lower, upper = estimate - widening * (estimate - lower), estimate + widening * (upper - estimate)
    else:
        half_width = NormalDist().inv_cdf(1 - tail) * np.sqrt(seed_variance)
        lower, upper = estimate - half_width, estimate + half_width
    lower, upper = np.clip([min(lower, estimate), max(upper, estimate)], *bounds)
    return Interval(estimate, float(lower), float(upper), level, dropped)


def normal_interval(
    by_seed: Sequence[float] | np.ndarray,
    draws: np.ndarray,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """estimate ± z·SE, with SE² = variance of the draws about their own mean + variance over fold seeds /
    their number (ESTIMANDS, "Intervals").

    by_seed: [n_fold_seeds] estimates, whose mean is the estimate; draws: [n_draws] of that. The draws' centre
    plays no part: a draw holds fewer groups than the study, so that probes fitted on it are worse. NaN bounds
    where fewer than two draws, or no estimate, are finite.
    """
    by_seed, estimate, kept = _known(by_seed, draws)
    dropped = len(draws) - len(kept)
    if len(kept) < 2 or not np.isfinite(estimate):
        return Interval(estimate, float("nan"), float("nan"), level, dropped)
    seeds = by_seed.var(ddof=1) / len(by_seed) if len(by_seed) > 1 else 0.0
    half_width = NormalDist().inv_cdf((1 + level) / 2) * np.sqrt(kept.var(ddof=1) + seeds)
    # An estimate beyond the bounds stays where it is.
    lower = max(estimate - half_width, min(bounds[0], estimate))
    upper = min(estimate + half_width, max(bounds[1], estimate))
    return Interval(estimate, float(lower), float(upper), level, dropped)


def _known(by_seed: Sequence[float] | np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """The values of fold seeds, their mean, and the draws that are finite."""
    by_seed = np.asarray(by_seed, float)
    return by_seed, float(by_seed.mean()), draws[np.isfinite(draws)]


def both_intervals(
    by_seed: Sequence[float] | np.ndarray | None,
    draws: np.ndarray | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    method: Callable[..., Interval] = interval,
) -> dict[str, float]:
    """Cells of a table: "estimate" and the bounds of its 95 % interval and of the one that decides claims
    (`claims_level`, in "lower99" and "upper99"), as `method` gives them (that is `interval` or
    `normal_interval`); all NaN for None."""
    found = {"estimate": float("nan")}
    for name, level in ((95, 0.95), (99, claims_level())):
        lower = upper = float("nan")
        if by_seed is not None:
            result = method(by_seed, draws, level, bounds)
            found["estimate"], lower, upper = result.estimate, result.lower, result.upper
        found |= {f"lower{name}": lower, f"upper{name}": upper}
    return found


@dataclass(frozen=True, eq=False)
class Estimate:
    """One or many numbers. by_seed: [S, ...], or [1, ...] where there is one fold seed only; drawn:
    [n_draws, ...], bootstrap draws of their mean."""

    by_seed: np.ndarray
    drawn: np.ndarray

    @classmethod
    def blank(cls, n_seeds: int, n_draws: int, *shape: int) -> Estimate:
        return cls(np.full((n_seeds, *shape), np.nan), np.full((n_draws, *shape), np.nan))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Estimate) and all(
            np.array_equal(mine, its, equal_nan=True)
            for mine, its in ((self.by_seed, other.by_seed), (self.drawn, other.drawn))
        )

    __hash__ = None

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.by_seed - other.by_seed, self.drawn - other.drawn)

    def __getitem__(self, place) -> Estimate:
        return Estimate(self.by_seed[:, *place], self.drawn[:, *place])

    @property
    def value(self) -> np.ndarray:
        return self.by_seed.mean(axis=0)

    def standard_error(self) -> float:
        """Of a single number: of the draws about their own mean, and of the mean over fold seeds."""
        seeds = self.by_seed.var(ddof=1) / len(self.by_seed) if len(self.by_seed) > 1 else 0.0
        return float(np.sqrt(np.nanvar(self.drawn, ddof=1) + seeds))

    def mean(self, where: np.ndarray) -> Estimate:
        """Over cells."""
        return Estimate(self.by_seed[:, where].mean(axis=1), self.drawn[:, where].mean(axis=1))

    def cells(
        self,
        bounds: tuple[float, float] = (-np.inf, np.inf),
        method: Callable[..., Interval] = interval,
    ) -> dict[str, float]:
        """Of a single number, as `both_intervals`."""
        known = self.by_seed if np.isfinite(self.by_seed).all() else None
        return both_intervals(known, self.drawn, bounds, method)

    def widened(self, factor: float = FIXED_PROBES) -> Estimate:
        """With draws so many times as far from its value."""
        return Estimate(self.by_seed, self.value + factor * (self.drawn - self.value))

    def over(self, other: Estimate) -> Estimate:
        """The ratio to another, by draws that are linear in both: where the other may come near 0, ratios of
        draws have no variance to speak of."""
        ratio = self.value / other.value
        by_seed = ratio + (self.by_seed - ratio * other.by_seed) / other.value
        return Estimate(by_seed, ratio + (self.drawn - ratio * other.drawn) / other.value)


def cells_of(estimate: Estimate | None, bounds: tuple[float, float] = (-np.inf, np.inf)) -> dict[str, float]:
    """As `Estimate.cells`; all NaN for None."""
    return both_intervals(None) if estimate is None else estimate.cells(bounds)


def auroc_estimate(result, draws: Draws) -> Estimate:
    """Of a sufficient result with scores, labels, groups, folds and items, such as a ProbeResult."""
    by_seed, drawn = auroc_lines(
        result.scores, result.labels, result.groups, result.folds, draws, result.items
    )
    return Estimate(by_seed, drawn.mean(axis=0))


def tested_rows(result) -> tuple[int, int]:
    """How many rows of a result are tested, and of how many groups."""
    used = result.folds[0] != CALIBRATION
    return int(used.sum()), len(set(result.groups[used].tolist()))


def weighted(parts: Iterable[tuple[Estimate, float]]) -> Estimate:
    """The sum of estimates, each times its weight."""
    parts = list(parts)
    return Estimate(
        sum(weight * part.by_seed for part, weight in parts),
        sum(weight * part.drawn for part, weight in parts),
    )


def mean_of_known(estimates: Iterable[Estimate | None]) -> tuple[Estimate | None, int]:
    """The mean of those that are not None (None if there is none), and of how many."""
    known = [each for each in estimates if each is not None]
    return (weighted((each, 1 / len(known)) for each in known) if known else None), len(known)


def enough_signal(n_signal: int, n_tasks: int) -> bool:
    """What a claim about structure needs (ESTIMANDS, "Sufficient"): two thirds of the tasks."""
    return 3 * n_signal >= 2 * n_tasks


def lower_above(by_seed: np.ndarray, drawn: np.ndarray, threshold: float) -> np.ndarray:
    """Which of T AUROCs have a lower bound (`claims_level`) above the threshold, [T] bool; never one that is
    NaN.

    by_seed: [n_fold_seeds, T]; drawn: [n_draws, T].
    """
    bounds = [
        interval(by_seed[:, t], drawn[:, t], claims_level(), (0.0, 1.0)).lower
        for t in range(by_seed.shape[1])
    ]
    return np.array(bounds) > threshold


def simultaneous(by_seed: np.ndarray, drawn: np.ndarray, level: float) -> np.ndarray:
    """Half-widths [...] of intervals that hold for all cells at once: a cell's standard error times the
    quantile of the largest studentised deviation of a draw.

    by_seed: [n_fold_seeds, ...] estimates, whose variance widens the intervals; drawn: [n_draws, ...]. NaN
    for cells without draws.
    """
    seeds = by_seed.var(axis=0, ddof=1) if len(by_seed) > 1 else 0.0
    error = np.full(by_seed.shape[1:], np.nan)
    known = np.isfinite(drawn).sum(axis=0) > 1
    error[known] = np.sqrt(np.nanvar(drawn[:, known], axis=0, ddof=1))
    usable = error > 0
    if not usable.any():
        return np.where(np.isfinite(error), 0.0, np.nan)
    deviation = np.abs(drawn - by_seed.mean(axis=0))[:, usable] / error[usable]
    return np.nanquantile(np.nanmax(deviation, axis=1), level) * np.sqrt(error**2 + seeds)
