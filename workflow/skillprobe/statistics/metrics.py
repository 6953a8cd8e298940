"""AUROC over the pairs within a test fold (ESTIMANDS)."""

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
