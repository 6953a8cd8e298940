"""The bootstrap over groups: draws, and the metrics of every draw (docs/definitions.md, "Intervals")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.metrics import auroc, auroc_within, item_pairs, right_order


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of groups: how often each was drawn, weights [n_draws, n_groups], groups sorted."""

    groups: np.ndarray
    weights: np.ndarray

    def columns(self, groups: np.ndarray) -> np.ndarray:
        """Column of each group of `groups`. Raises KeyError where one is not among the drawn ones."""
        found = np.searchsorted(self.groups, groups)
        if len(groups) and not np.array_equal(self.groups[np.minimum(found, len(self.groups) - 1)], groups):
            raise KeyError("a row's group is not among the groups that are drawn")
        return found

    def of_rows(self, groups: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """How often each row's group is in each draw, [n_draws, n]; 0 for calibration rows. Both: [n]."""
        weights = np.zeros((len(self.weights), len(groups)))
        used = folds != CALIBRATION
        weights[:, used] = self.weights[:, self.columns(groups[used])]
        return weights


def draw_groups(groups: Iterable[str], *, n_draws: int = 2000, seed: int = 0) -> Draws:
    """Draw groups with replacement. The same set of groups gives the same draws: joint over everything."""
    unique = np.array(sorted(set(groups)))
    n = len(unique)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=n_draws) if n else np.zeros((n_draws, 0))
    return Draws(unique, weights.astype(float))


def draw_tested(
    results: Iterable, study_groups: Iterable[str] | None = None, *, n_draws: int = 2000, seed: int = 0
) -> Draws:
    """Draws of the groups that are tested: the study's (None: the results') without those for calibration.

    results: with groups [n] and folds [S, n], such as ProbeResults. Tables of fewer tasks or layers have the
    same draws, given the study's groups.
    """
    tested, calibration = set(), set()
    for result in results:
        is_calibration = result.folds[0] == CALIBRATION
        tested.update(result.groups[~is_calibration].tolist())
        calibration.update(result.groups[is_calibration].tolist())
    # Calibration groups are never scored; to draw them would make draws of too few.
    return draw_groups(
        (tested | set(() if study_groups is None else study_groups)) - calibration, n_draws=n_draws, seed=seed
    )


def auroc_draws(
    scores: np.ndarray, labels: np.ndarray, groups: np.ndarray, folds: np.ndarray, draws: Draws
) -> np.ndarray:
    """AUROC of every bootstrap draw, [n_draws]; NaN where a draw has no pairs. All arguments but draws: [n].

    Exact: with C[a, b] the concordance of group a's positives with group b's negatives in one fold, the AUROC
    of the resampled rows is Σ_f wᵀC_f w / Σ_f (w·positives)(w·negatives).
    """
    right, pairs = np.zeros((2, 1 + len(draws.weights)))
    for fold in np.unique(folds[folds != CALIBRATION]):
        rows = folds == fold
        found = _pairs_across(scores[rows], labels[rows], groups[rows], draws)
        right, pairs = right + found[0], pairs + found[1]
    return share(right, pairs)[1:]


def _pairs_across(scores, labels, groups, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """As `fold_pairs`, of one fold's rows [n]: [1 + n_draws] each."""
    names, group = np.unique(groups, return_inverse=True)
    weights = np.vstack([np.ones(len(names)), draws.weights[:, draws.columns(names)]])
    positive, negative = (labels == 1), (labels == 0)
    member = np.eye(len(names))[group]
    right = right_order(scores[positive][:, None], scores[negative][None, :])
    table = member[positive].T @ right @ member[negative]
    pairs = (weights @ member[positive].sum(0)) * (weights @ member[negative].sum(0))
    return np.einsum("db,db->d", weights @ table, weights), pairs


def _pairs_within(scores, labels, groups, items, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    positive, negative = item_pairs(labels, items, np.zeros(len(labels), int))
    right = right_order(scores[positive], scores[negative])
    return tuple(_sums((right, np.ones(len(right))), groups[positive], draws).T)


def fold_pairs(
    scores: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    folds: np.ndarray,
    draws: Draws,
    n_folds: int,
    items: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs in the right order, ties counting one half, and pairs, of each test fold: [1 + n_draws, lines, K]
    each, first those of the rows as they are and then those of every draw.

    Arguments: as for `auroc_lines`. Of pairs within an item, a group that is drawn twice brings its pairs
    twice.
    """
    labels, folds = np.broadcast_to(labels, scores.shape), np.broadcast_to(folds, scores.shape)
    within = items is not None and len(items) > 0
    found = np.zeros((2, 1 + len(draws.weights), len(scores), n_folds))
    for line, f in np.ndindex(len(scores), n_folds):
        rows = folds[line] == f
        about = scores[line, rows], labels[line, rows], groups[rows]
        found[:, :, line, f] = (
            _pairs_within(*about, items[rows], draws) if within else _pairs_across(*about, draws)
        )
    return found[0], found[1]


def share(right: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """right / pairs; NaN where there are no pairs."""
    return np.divide(right, pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0)


def within_draws(
    scores: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    folds: np.ndarray,
    items: np.ndarray,
    draws: Draws,
) -> np.ndarray:
    """As `auroc_draws`, of pairs within an item: a group that is drawn twice brings its pairs twice."""
    positive, negative = item_pairs(labels, items, folds)
    right = right_order(scores[positive], scores[negative])
    return ratio(right, np.ones(len(right)), groups[positive], draws)[1]


def weighted_pairs(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, items: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Of each draw: pairs in the right order, ties counting one half, and pairs, [n_draws] each.

    scores, weights: [n_draws, n], weights of each row's group; labels: [n] in {0, 1}; items: [n] names, for
    pairs within an item (None: all pairs of these rows).
    """
    if items is not None:
        positive, negative = item_pairs(labels, items, np.zeros(len(labels), int))
        right = right_order(scores[:, positive], scores[:, negative])
        return (weights[:, positive] * right).sum(axis=1), weights[:, positive].sum(axis=1)
    ones, zeros = labels == 1, labels == 0
    concordant = [
        w[ones] @ right_order(s[ones][:, None], s[zeros][None]) @ w[zeros]
        for s, w in zip(scores, weights, strict=True)
    ]
    return np.array(concordant), weights[:, ones].sum(axis=1) * weights[:, zeros].sum(axis=1)


def auroc_lines(
    scores: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    folds: np.ndarray,
    draws: Draws,
    items: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC of each line (a fold seed, or a shuffle), [lines], and its bootstrap draws, [lines, n_draws].

    scores: [lines, n]; labels and folds: the same or [n], for all lines; groups: [n]; items: [n] names, for
    pairs within an item (None or none: within a fold).
    """
    labels, folds = np.broadcast_to(labels, scores.shape), np.broadcast_to(folds, scores.shape)
    lines = list(zip(scores, labels, folds, strict=True))
    if items is None or not len(items):
        values = [auroc(score, label, fold).value for score, label, fold in lines]
        drawn = [auroc_draws(score, label, groups, fold, draws) for score, label, fold in lines]
    else:
        values = [auroc_within(score, label, items, fold).value for score, label, fold in lines]
        drawn = [within_draws(score, label, groups, fold, items, draws) for score, label, fold in lines]
    return np.array(values), np.array(drawn)


def _sums(values: Sequence[np.ndarray], groups: Sequence[str], draws: Draws) -> np.ndarray:
    """The sums over rows, [n] each, [1 + n_draws, values]: of all rows as they are, then of every draw."""
    names, group = np.unique(np.array(groups, dtype=str), return_inverse=True)
    sums = np.stack([np.bincount(group, value, len(names)) for value in values], axis=1)
    weights = np.vstack([np.ones(len(names)), draws.weights[:, draws.columns(names)]])
    return weights @ sums


def ratio(above: np.ndarray, below: np.ndarray, groups: Sequence[str], draws: Draws):
    """Σ above / Σ below over rows, and that of every bootstrap draw, [n_draws]; NaN where Σ below is 0.

    above, below: [n] numbers; groups: [n].
    """
    top, bottom = _sums((above, below), groups, draws).T
    values = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    return float(values[0]), values[1:]


METRICS = ("balanced_accuracy", "accuracy", "log_loss", "base_rate")


def threshold_metrics(
    scores: np.ndarray, labels: np.ndarray, groups: np.ndarray, folds: np.ndarray, draws: Draws
) -> dict[str, tuple[float, np.ndarray]]:
    """Estimate and bootstrap draws [n_draws] of each of METRICS, rows of calibration groups left out.

    scores: [n] decision values (log-odds), thresholded at 0; log-loss in nats. Each metric is a ratio of
    sums over groups, or the mean of two such ratios, so a draw is a weighted sum.
    """
    used = folds != CALIBRATION
    scores, labels = scores[used].astype(float), labels[used].astype(float)
    right = (scores > 0) == (labels == 1)
    loss = np.logaddexp(0, np.where(labels == 1, -scores, scores))
    values = (right * labels, right * (1 - labels), labels, 1 - labels, loss)
    with np.errstate(invalid="ignore", divide="ignore"):
        right_1, right_0, ones, zeros, losses = _sums(values, groups[used], draws).T
        result = {
            "balanced_accuracy": (right_1 / ones + right_0 / zeros) / 2,
            "accuracy": (right_1 + right_0) / (ones + zeros),
            "log_loss": losses / (ones + zeros),
            "base_rate": ones / (ones + zeros),
        }
    return {name: (float(value[0]), value[1:]) for name, value in result.items()}
