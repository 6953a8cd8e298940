"""Shares of the variance between items (prompts), of which each has a few samples.

See docs/definitions.md, "Monitoring and planning".

An item's rate is its probability plus the noise of its samples. That noise is in no product of two samples,
nor in a product with a held-out score, so the variance of the probabilities and their covariance with a score
are estimated without it. All means of products are over pairs of items of *different* groups: items of one
group are alike, and a mean that is estimated from them would take a part of the variance away.
"""

from __future__ import annotations

import numpy as np

from skillprobe.statistics.bootstrap import Draws
from skillprobe.statistics.folds import CALIBRATION

# A score that varies less than this share of the variance between items says nothing.
LEAST_VARIANCE = 0.01


def between_variance(
    satisfied: np.ndarray, samples: np.ndarray, groups: np.ndarray, draws: Draws | None = None
) -> np.ndarray:
    """Variance of the items' probabilities, and that of every draw: [1 + n_draws], or [1].

    satisfied, samples: [n], how many of an item's samples are satisfied and how many there are; groups: [n].
    Mean over items of Σ_{a≠b} y_a y_b / (s (s − 1)), of those with two samples or more, minus the mean of
    y_i y_j over items of different groups. Unbiased, so it may be below 0. NaN without such items.
    """
    several = samples > 1
    paired = np.divide(
        satisfied * (satisfied - 1), samples * (samples - 1), where=several, out=np.zeros(len(samples))
    )
    rate = satisfied / samples
    columns, weights = _by_group([several, paired, np.ones(len(rate)), rate], groups, draws)
    n, total = columns[:, 2:].T
    with np.errstate(invalid="ignore", divide="ignore"):
        items, products = (weights @ columns[:, :2]).T
        return products / items - _products(total, total, weights) / _products(n, n, weights)


def explained_variance(
    score: np.ndarray,
    rate: np.ndarray,
    groups: np.ndarray,
    folds: np.ndarray,
    variance: float,
    draws: Draws | None = None,
) -> np.ndarray:
    """R²·V: how much of the variance between items a held-out score explains, and that of every draw:
    [1 + n_draws], or [1].

    sign(cov)·cov² / var(score), both within the test folds; 0 where var(score) < LEAST_VARIANCE · variance.
    score, rate: [n], of rate the noise is averaged out; groups, folds: [n], calibration items are left out;
    variance: V.
    """
    top, bottom, pairs = 0.0, 0.0, 0.0
    for fold in np.unique(folds[folds != CALIBRATION]):
        of = folds == fold
        # About the fold's mean, so that no digits are lost in differences of large sums.
        g, y = score[of] - score[of].mean(), rate[of] - rate[of].mean()
        columns, weights = _by_group([np.ones(of.sum()), g, y, g * y, g * g], groups[of], draws)
        n, of_g, of_y, of_gy, of_gg = columns.T
        top = top + _products(n, of_gy, weights) - _products(of_g, of_y, weights)
        bottom = bottom + _products(n, of_gg, weights) - _products(of_g, of_g, weights)
        pairs = pairs + _products(n, n, weights)
    size = 1 if draws is None else 1 + len(draws.weights)
    if np.ndim(pairs) == 0 or pairs[0] <= 0 or bottom[0] / pairs[0] < max(LEAST_VARIANCE * variance, 1e-12):
        return np.zeros(size)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(bottom > 0, np.sign(top) * top**2 / (bottom * pairs), np.nan)


def _by_group(values, groups: np.ndarray, draws: Draws | None) -> tuple[np.ndarray, np.ndarray]:
    """Sums of values by group, [groups, values], and weights [1 + n_draws, groups]: of all as they are, then
    of every draw."""
    names, group = np.unique(groups, return_inverse=True)
    sums = np.stack([np.bincount(group, value, len(names)) for value in values], axis=1)
    weights = np.ones((1, len(names)))
    if draws is not None:
        weights = np.vstack([weights, draws.weights[:, draws.columns(names)]])
    return sums, weights


def _products(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ a_i b_j over pairs of different groups, [draws]; a, b: [groups]. Of a group that was drawn twice, the
    two are the same."""
    return (weights @ a) * (weights @ b) - weights**2 @ (a * b)
