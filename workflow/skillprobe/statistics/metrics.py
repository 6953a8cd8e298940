"""AUROC over the pairs within a test fold, or within an item (docs/definitions.md, "Two scopes")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skillprobe.statistics.folds import CALIBRATION


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

    scores, labels (in {0, 1}), folds: [n]; rows of calibration groups are left out.
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


def aurocs(scores: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """The value of `auroc` for every line of scores [lines, n]: [lines]."""
    concordant, pairs = np.zeros(len(scores)), 0
    for fold in np.unique(folds[folds != CALIBRATION]):
        positive = scores[:, (folds == fold) & (labels == 1)]
        negative = scores[:, (folds == fold) & (labels == 0)]
        pairs += positive.shape[1] * negative.shape[1]
        concordant += [concordance(*line) for line in zip(positive, negative, strict=True)]
    return concordant / pairs if pairs else np.full(len(scores), np.nan)


def item_pairs(labels: np.ndarray, items: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the satisfied and of the violated row of every pair within an item, [pairs] each; labels (in
    {0, 1}), items (names), folds: [n]; rows of calibration groups are left out."""
    used = np.flatnonzero(folds != CALIBRATION)
    item = np.unique(items[used], return_inverse=True)[1]
    order = np.argsort(item, kind="stable")
    rows, item = used[order], item[order]
    positive, negative = labels[rows] == 1, labels[rows] == 0
    # Violated rows lie item by item; each satisfied row meets all of its own item's.
    counts = np.bincount(item[negative], minlength=item.max(initial=-1) + 1)
    starts, times = (np.cumsum(counts) - counts)[item[positive]], counts[item[positive]]
    place = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    return np.repeat(rows[positive], times), rows[negative][np.repeat(starts, times) + place]


def right_order(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Of scores [..., pairs]: 1 where the satisfied row's is higher, ½ where they tie."""
    return (positive > negative) + 0.5 * (positive == negative)


def auroc_within(scores: np.ndarray, labels: np.ndarray, items: np.ndarray, folds: np.ndarray) -> Auroc:
    """AUROC over the pairs of rows of one item, every pair with weight 1: whatever the prompt says cancels.

    scores, labels (in {0, 1}), items (names), folds: [n]; rows of calibration groups are left out.
    """
    positive, negative = (scores[rows] for rows in item_pairs(labels, items, folds))
    n = len(positive)
    value = float(right_order(positive, negative).mean()) if n else float("nan")
    return Auroc(value, n, bool(n) and bool((positive == negative).all()))
