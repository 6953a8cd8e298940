"""Estimates with their draws, and the intervals that decide claims (docs/definitions.md, "Intervals")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from skillprobe.statistics.bootstrap import Draws, auroc_lines
from skillprobe.statistics.folds import CALIBRATION

# The cells of a table that hold an estimate's intervals.
BOUNDS = ("lower95", "upper95", "lower99", "upper99")
# Draws that keep the probes fixed vary less than new training groups would make them: by so much.
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


# Of numbers that are shares, such as AUROCs: their intervals are on the logit scale (`interval`).
UNIT = (0.0, 1.0)


def interval(
    by_seed: Sequence[float] | np.ndarray,
    draws: np.ndarray,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    factor: float = 1.0,
) -> Interval:
    """estimate ± z·SE, with SE² = factor² · variance of the draws about their own mean + variance over fold
    seeds / their number (docs/definitions.md, "Intervals").

    by_seed: [n_fold_seeds] estimates, whose mean is the estimate; draws: [n_draws] of that; bounds: of the
    number: between UNIT the interval is symmetric on the logit scale; factor: FIXED_PROBES for draws that
    keep the probes fixed. The draws' centre plays no part: a draw holds fewer groups than the study, so that
    probes fitted on it are worse. NaN bounds where fewer than two draws, or no estimate, are finite.
    """
    by_seed = np.asarray(by_seed, float)
    estimate, kept = float(by_seed.mean()), draws[np.isfinite(draws)]
    dropped = len(draws) - len(kept)
    if len(kept) < 2 or not np.isfinite(estimate):
        return Interval(estimate, float("nan"), float("nan"), level, dropped)
    half_width = NormalDist().inv_cdf((1 + level) / 2) * _error(by_seed, kept, factor)
    if bounds == UNIT and 0 < estimate < 1:
        logit, slope = np.log(estimate / (1 - estimate)), estimate * (1 - estimate)
        lower, upper = (1 / (1 + np.exp(-(logit + side * half_width / slope))) for side in (-1, 1))
    else:
        # An estimate beyond the bounds stays where it is.
        lower = max(estimate - half_width, min(bounds[0], estimate))
        upper = min(estimate + half_width, max(bounds[1], estimate))
    return Interval(estimate, float(lower), float(upper), level, dropped)


def _error(by_seed: np.ndarray, draws: np.ndarray, factor: float) -> np.ndarray:
    """The standard error of `interval`; by_seed: [S, ...], draws: [n_draws, ...], NaN among which are left
    out."""
    seeds = by_seed.var(axis=0, ddof=1) / len(by_seed) if len(by_seed) > 1 else 0.0
    return np.sqrt(factor**2 * np.nanvar(draws, axis=0, ddof=1) + seeds)


def both_intervals(
    by_seed: Sequence[float] | np.ndarray | None,
    draws: np.ndarray | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    factor: float = 1.0,
) -> dict[str, float]:
    """Cells of a table: "estimate" and the bounds of its 95 % interval and of the one that decides claims
    (`claims_level`, in "lower99" and "upper99"), as `interval` gives them; all NaN for None."""
    found = {"estimate": float("nan")}
    for name, level in ((95, 0.95), (99, claims_level())):
        lower = upper = float("nan")
        if by_seed is not None:
            result = interval(by_seed, draws, level, bounds, factor)
            found["estimate"], lower, upper = result.estimate, result.lower, result.upper
        found |= {f"lower{name}": lower, f"upper{name}": upper}
    return found


@dataclass(frozen=True, eq=False)
class Estimate:
    """One or many numbers. by_seed: [S, ...], or [1, ...] where there is one fold seed only; drawn:
    [n_draws, ...], bootstrap draws of their mean; factor: by how much draws' deviations fall short, which is
    FIXED_PROBES where draws keep the probes fixed, and 1 where probes are fitted on each, or there are none.
    """

    by_seed: np.ndarray
    drawn: np.ndarray
    factor: float = FIXED_PROBES

    @classmethod
    def blank(cls, n_seeds: int, n_draws: int, *shape: int) -> Estimate:
        return cls(np.full((n_seeds, *shape), np.nan), np.full((n_draws, *shape), np.nan))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Estimate)
            and self.factor == other.factor
            and np.array_equal(self.by_seed, other.by_seed, equal_nan=True)
            and np.array_equal(self.drawn, other.drawn, equal_nan=True)
        )

    __hash__ = None

    def __sub__(self, other: Estimate) -> Estimate:
        return weighted([(self, 1), (other, -1)])

    def minus(self, number: float) -> Estimate:
        """Less a constant."""
        return replace(self, by_seed=self.by_seed - number, drawn=self.drawn - number)

    def __getitem__(self, place) -> Estimate:
        return replace(self, by_seed=self.by_seed[:, *place], drawn=self.drawn[:, *place])

    @property
    def value(self) -> np.ndarray:
        return self.by_seed.mean(axis=0)

    def standard_error(self) -> np.ndarray:
        """[...], of the draws about their own mean, and of the mean over fold seeds."""
        return _error(self.by_seed, self.drawn, self.factor)

    def mean(self, where: np.ndarray) -> Estimate:
        """Over cells."""
        return replace(
            self, by_seed=self.by_seed[:, where].mean(axis=1), drawn=self.drawn[:, where].mean(axis=1)
        )

    def cells(self, bounds: tuple[float, float] = (-np.inf, np.inf)) -> dict[str, float]:
        """Of a single number, as `both_intervals`."""
        known = self.by_seed if np.isfinite(self.by_seed).all() else None
        return both_intervals(known, self.drawn, bounds, self.factor)

    def over(self, other: Estimate) -> Estimate:
        """The ratio to another, by draws that are linear in both: where the other may come near 0, ratios of
        draws have no variance to speak of."""
        ratio = self.value / other.value
        by_seed = ratio + (self.by_seed - ratio * other.by_seed) / other.value
        drawn = ratio + (self.drawn - ratio * other.drawn) / other.value
        return Estimate(by_seed, drawn, max(self.factor, other.factor))


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
    """The sum of estimates, each times its weight; where their factors differ, the largest holds."""
    parts = list(parts)
    return Estimate(
        sum(weight * part.by_seed for part, weight in parts),
        sum(weight * part.drawn for part, weight in parts),
        max(part.factor for part, _ in parts),
    )


def mean_of_known(estimates: Iterable[Estimate | None]) -> tuple[Estimate | None, int]:
    """The mean of those that are not None (None if there is none), and of how many."""
    known = [each for each in estimates if each is not None]
    return (weighted((each, 1 / len(known)) for each in known) if known else None), len(known)


def simultaneous(estimate: Estimate, level: float) -> np.ndarray:
    """Half-widths [...] of intervals that hold for all cells of an estimate at once: a cell's standard error
    times the quantile of the largest studentised deviation of a draw from the draws' mean; NaN for cells
    without draws."""
    drawn, error = estimate.drawn, np.full(estimate.by_seed.shape[1:], np.nan)
    known = np.isfinite(drawn).sum(axis=0) > 1
    error[known] = np.nanstd(drawn[:, known], axis=0, ddof=1)
    usable = error > 0
    if not usable.any():
        return np.where(np.isfinite(error), 0.0, np.nan)
    centre = np.nanmean(drawn[:, usable], axis=0)
    deviation = np.nanmax(np.abs(drawn[:, usable] - centre) / error[usable], axis=1)
    half_width = np.full(error.shape, np.nan)
    half_width[known] = np.nanquantile(deviation, level) * _error(
        estimate.by_seed[:, known], drawn[:, known], estimate.factor
    )
    return half_width
