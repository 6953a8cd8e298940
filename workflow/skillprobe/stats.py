"""Folds, AUROC within test folds, the bootstrap over bases, and what counts as enough data (ESTIMANDS)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from skillprobe.errors import UserError

CALIBRATION = -1
CLASS_NAMES = ("violated", "satisfied")


def keyed_hash(key: str, text: str) -> int:
    """A 64-bit hash of `text` that depends on nothing but `key` and `text`."""
    return int.from_bytes(hashlib.blake2b(text.encode(), key=key.encode(), digest_size=8).digest(), "big")


def assign_folds(
    bases: Iterable[str],
    *,
    n_folds: int = 5,
    seed: int = 0,
    fold_seed: int = 0,
    calibration_fraction: float = 0.1,
) -> dict[str, int]:
    """Fold of each base, CALIBRATION (−1) for the bases that are in no fold.

    Depends on the set of base ids only. Calibration bases depend on `seed` but not on `fold_seed`, so that
    one feature scale and one Gram matrix serve all fold seeds. Give it *all* bases of the study: a task that
    lacks some of them must still have the folds of the others.
    """
    unique = set(bases)
    by_study = sorted(unique, key=lambda base: (keyed_hash(f"calibration/{seed}", base), base))
    n_calibration = max(1, round(calibration_fraction * len(unique))) if calibration_fraction > 0 else 0
    calibration, rest = by_study[:n_calibration], by_study[n_calibration:]
    rest.sort(key=lambda base: (keyed_hash(f"folds/{seed}/{fold_seed}", base), base))
    return {base: CALIBRATION for base in calibration} | {base: i % n_folds for i, base in enumerate(rest)}


def row_folds(bases: Sequence[str], folds: Mapping[str, int]) -> np.ndarray:
    """Fold of each row, [n] int8. Raises UserError where a row's base has no fold."""
    try:
        return np.array([folds[base] for base in bases], dtype=np.int8)
    except KeyError as error:
        raise UserError(
            f"base {error} has activations but is not among the study's bases; make the prompts again"
        ) from error


def sufficiency(
    labels: np.ndarray,
    bases: Sequence[str],
    folds: np.ndarray,
    *,
    min_rows: int = 20,
    min_bases: int = 10,
    truncated_fraction: float = 0.0,
    max_truncated: float = 0.05,
    training: Callable[[np.ndarray], np.ndarray] | None = None,
) -> str:
    """ "" if a task's rows suffice to probe, else the reason in words.

    labels: [n] in {0, 1}; bases: [n]; folds: [n] or [n_fold_seeds, n], from `row_folds`; training: which rows
    of a training part, [n] bool, are trained on (None: all).
    """
    if truncated_fraction > max_truncated:
        return (
            f"{truncated_fraction:.1%} of the responses are truncated; at most {max_truncated:.1%} may be, "
            "since what is cut off is not missing at random"
        )
    labels, bases = np.asarray(labels), np.asarray(bases)
    for fold_row in np.atleast_2d(folds):
        found = np.unique(fold_row[fold_row != CALIBRATION])
        if len(found) < 2:
            return f"only {len(found)} folds have rows"
        for label, name in enumerate(CLASS_NAMES):
            of_class = (labels == label) & (fold_row != CALIBRATION)
            for fold in found:
                part = (fold_row != fold) & (fold_row != CALIBRATION)
                trained = of_class & (part if training is None else training(part))
                n_rows, n_bases = int(trained.sum()), len(np.unique(bases[trained]))
                if n_rows < min_rows or n_bases < min_bases:
                    return (
                        f"{n_rows} {name} responses from {n_bases} bases to train on; "
                        f"probes need {min_rows} from {min_bases} of each class"
                    )
        if problem := unpaired(labels, fold_row):
            return problem
    return ""


def unpaired(labels: np.ndarray, folds: np.ndarray, tested: np.ndarray | None = None) -> str:
    """ "" if every test fold has pairs of responses to compare, else what it lacks in words.

    labels: [n] in {0, 1}; folds: [n] or [n_fold_seeds, n]; tested: [parts, n] bool, sets of rows within which
    responses are compared, of which each fold needs one that has both classes (None: all rows are one).
    """
    tested = np.ones((1, len(labels)), bool) if tested is None else tested
    for fold_row in np.atleast_2d(folds):
        for fold in np.unique(fold_row[fold_row != CALIBRATION]):
            classes = [set(labels[part & (fold_row == fold)].tolist()) for part in tested]
            missing = {0, 1}.difference(*classes)
            if missing:
                return f"a test fold has no {CLASS_NAMES[missing.pop()]} responses"
            if {0, 1} not in classes:
                return "a test fold has no satisfied and violated responses that could be compared"
    return ""


# ---------------------------------------------------------------------------------------------- AUROC


@dataclass(frozen=True)
class Auroc:
    """value in [0, 1] (NaN without pairs), number of pairs, and whether all of the pairs are tied."""

    value: float
    pairs: int
    constant: bool


def concordance(positive: np.ndarray, negative: np.ndarray) -> float:
    """Number of (positive, negative) pairs in the right order, ties counting one half; O(n log n)."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left").sum()
    return 0.5 * float(below + np.searchsorted(ordered, positive, "right").sum())


def auroc(scores: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> Auroc:
    """AUROC over the pairs within a test fold; pooling scores over folds would bias the null below ½.

    scores, labels (in {0, 1}), folds: [n]; rows of calibration bases are left out.
    """
    concordant, pairs, constant = 0.0, 0, True
    for fold in np.unique(folds[folds != CALIBRATION]):
        positive = scores[(folds == fold) & (labels == 1)]
        negative = scores[(folds == fold) & (labels == 0)]
        if len(positive) and len(negative):
            concordant += concordance(positive, negative)
            pairs += len(positive) * len(negative)
            constant &= positive.min() == positive.max() == negative.min() == negative.max()
    return Auroc(concordant / pairs if pairs else float("nan"), pairs, bool(pairs) and bool(constant))


# ------------------------------------------------------------------------------------------ bootstrap


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of bases: how often each base was drawn, weights [n_draws, n_bases], bases sorted."""

    bases: np.ndarray
    weights: np.ndarray

    def columns(self, bases: np.ndarray) -> np.ndarray:
        """Column of each base of `bases`. Raises KeyError where one is not among the drawn ones."""
        found = np.searchsorted(self.bases, bases)
        if len(bases) and not np.array_equal(self.bases[np.minimum(found, len(self.bases) - 1)], bases):
            raise KeyError("a row's base is not among the bases that are drawn")
        return found


def draw_bases(bases: Iterable[str], *, n_draws: int = 2000, seed: int = 0) -> Draws:
    """Draw bases with replacement. The same set of bases gives the same draws: joint over everything."""
    unique = np.array(sorted(set(bases)))
    n = len(unique)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=n_draws) if n else np.zeros((n_draws, 0))
    return Draws(unique, weights.astype(float))


def draw_tested(
    results: Iterable, study_bases: Iterable[str] | None = None, *, n_draws: int = 2000, seed: int = 0
) -> Draws:
    """Draws of the bases that are tested: the study's (None: the results') without those for calibration.

    results: with bases [n] and folds [S, n], such as ProbeResults. Tables of fewer tasks or layers have the
    same draws, given the study's bases.
    """
    tested, calibration = set(), set()
    for result in results:
        is_calibration = result.folds[0] == CALIBRATION
        tested.update(result.bases[~is_calibration].tolist())
        calibration.update(result.bases[is_calibration].tolist())
    # Calibration bases are never scored; to draw them would make draws of too few.
    return draw_bases(
        (tested | set(() if study_bases is None else study_bases)) - calibration, n_draws=n_draws, seed=seed
    )


def auroc_draws(
    scores: np.ndarray, labels: np.ndarray, bases: np.ndarray, folds: np.ndarray, draws: Draws
) -> np.ndarray:
    """AUROC of every bootstrap draw, [n_draws]; NaN where a draw has no pairs. All arguments but draws: [n].

    Exact: with C[a, b] the concordance of base a's positives with base b's negatives in one fold, the AUROC
    of the resampled rows is Σ_f wᵀC_f w / Σ_f (w·positives)(w·negatives).
    """
    concordant, pairs = np.zeros(len(draws.weights)), np.zeros(len(draws.weights))
    for fold in np.unique(folds[folds != CALIBRATION]):
        rows = np.flatnonzero(folds == fold)
        names, base = np.unique(bases[rows], return_inverse=True)
        weights = draws.weights[:, draws.columns(names)]
        positive, negative = (labels[rows] == 1), (labels[rows] == 0)
        high, low = scores[rows][positive][:, None], scores[rows][negative][None, :]
        member = np.eye(len(names))[base]
        table = member[positive].T @ ((high > low) + 0.5 * (high == low)) @ member[negative]
        concordant += np.einsum("db,db->d", weights @ table, weights)
        pairs += (weights @ member[positive].sum(0)) * (weights @ member[negative].sum(0))
    return np.divide(concordant, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def auroc_lines(
    scores: np.ndarray, labels: np.ndarray, bases: np.ndarray, folds: np.ndarray, draws: Draws
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC of each line (a fold seed, or a shuffle), [lines], and its bootstrap draws, [lines, n_draws].

    scores: [lines, n]; labels and folds: the same or [n], for all lines; bases: [n].
    """
    labels, folds = np.broadcast_to(labels, scores.shape), np.broadcast_to(folds, scores.shape)
    lines = list(zip(scores, labels, folds, strict=True))
    values = [auroc(score, label, fold).value for score, label, fold in lines]
    drawn = [auroc_draws(score, label, bases, fold, draws) for score, label, fold in lines]
    return np.array(values), np.array(drawn)


def ratio(above: np.ndarray, below: np.ndarray, bases: Sequence[str], draws: Draws):
    """Σ above / Σ below over rows, and that of every bootstrap draw, [n_draws]; NaN where Σ below is 0.

    above, below: [n] numbers; bases: [n].
    """
    names, base = np.unique(np.array(bases, dtype=str), return_inverse=True)
    sums = np.stack([np.bincount(base, value, len(names)) for value in (above, below)], axis=1)
    # The first row is the estimate itself: every base once.
    weights = np.vstack([np.ones(len(names)), draws.weights[:, draws.columns(names)]])
    top, bottom = (weights @ sums).T
    values = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    return float(values[0]), values[1:]


METRICS = ("balanced_accuracy", "accuracy", "log_loss", "base_rate")


def threshold_metrics(
    scores: np.ndarray, labels: np.ndarray, bases: np.ndarray, folds: np.ndarray, draws: Draws
) -> dict[str, tuple[float, np.ndarray]]:
    """Estimate and bootstrap draws [n_draws] of each of METRICS, rows of calibration bases left out.

    scores: [n] decision values (log-odds), thresholded at 0; log-loss in nats. Each metric is a ratio of
    sums over bases, or the mean of two such ratios, so a draw is a weighted sum.
    """
    used = folds != CALIBRATION
    scores, labels = scores[used].astype(float), labels[used].astype(float)
    names, base = np.unique(bases[used], return_inverse=True)
    right = (scores > 0) == (labels == 1)
    loss = np.logaddexp(0, np.where(labels == 1, -scores, scores))
    values = (right * labels, right * (1 - labels), labels, 1 - labels, loss)
    sums = np.stack([np.bincount(base, value, len(names)) for value in values], axis=1)
    # The first row is the estimate itself: every base once.
    weights = np.vstack([np.ones(len(names)), draws.weights[:, draws.columns(names)]])
    with np.errstate(invalid="ignore", divide="ignore"):
        right_1, right_0, ones, zeros, losses = (weights @ sums).T
        result = {
            "balanced_accuracy": (right_1 / ones + right_0 / zeros) / 2,
            "accuracy": (right_1 + right_0) / (ones + zeros),
            "log_loss": losses / (ones + zeros),
            "base_rate": ones / (ones + zeros),
        }
    return {name: (float(value[0]), value[1:]) for name, value in result.items()}


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
    by_seed = np.asarray(by_seed, float)
    estimate = float(by_seed.mean())
    kept = draws[np.isfinite(draws)]
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


def both_intervals(
    by_seed: Sequence[float] | np.ndarray | None,
    draws: np.ndarray | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> dict[str, float]:
    """Cells of a table: "estimate" and the bounds of its 95 and 99 % intervals, as `interval` gives them; all
    NaN for None."""
    found = {"estimate": float("nan")}
    for level in (95, 99):
        lower = upper = float("nan")
        if by_seed is not None:
            result = interval(by_seed, draws, level / 100, bounds)
            found["estimate"], lower, upper = result.estimate, result.lower, result.upper
        found |= {f"lower{level}": lower, f"upper{level}": upper}
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

    def mean(self, where: np.ndarray) -> Estimate:
        """Over cells."""
        return Estimate(self.by_seed[:, where].mean(axis=1), self.drawn[:, where].mean(axis=1))

    def cells(self, bounds: tuple[float, float] = (-np.inf, np.inf)) -> dict[str, float]:
        """Of a single number."""
        return both_intervals(self.by_seed if np.isfinite(self.by_seed).all() else None, self.drawn, bounds)


def auroc_estimate(result, draws: Draws) -> Estimate:
    """Of a sufficient result with scores, labels, bases and folds, such as a ProbeResult."""
    by_seed, drawn = auroc_lines(result.scores, result.labels, result.bases, result.folds, draws)
    return Estimate(by_seed, drawn.mean(axis=0))


def tested_rows(result) -> tuple[int, int]:
    """How many rows of a result are tested, and of how many bases."""
    used = result.folds[0] != CALIBRATION
    return int(used.sum()), len(set(result.bases[used].tolist()))


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
    """Which of T AUROCs have a lower 99 % bound above the threshold, [T] bool; never one that is NaN.

    by_seed: [n_fold_seeds, T]; drawn: [n_draws, T].
    """
    bounds = [interval(by_seed[:, t], drawn[:, t], 0.99, (0.0, 1.0)).lower for t in range(by_seed.shape[1])]
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
