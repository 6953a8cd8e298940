"""Scores with an effect of the group, and their AUROC pair by pair."""

import numpy as np
from skillprobe.statistics.folds import CALIBRATION, assign_folds, row_folds

BASES = [f"b{i:03d}" for i in range(60)]


def clustered(rng, n_groups=40, per_base=8, signal=1.0, base_effect=1.0):
    """Scores with an effect of the group; returns scores, labels, groups, folds."""
    names = np.array(BASES[:n_groups])
    groups = np.repeat(names, per_base)
    labels = rng.integers(0, 2, len(groups))
    scores = signal * labels + np.repeat(base_effect * rng.normal(size=n_groups), per_base)
    folds = row_folds(groups, assign_folds(names, calibration_fraction=0))
    return scores + rng.normal(size=len(groups)), labels, groups, folds


def brute_force_auroc(scores, labels, folds):
    concordant = pairs = 0.0
    for i in range(len(scores)):
        for j in range(len(scores)):
            if folds[i] == folds[j] != CALIBRATION and labels[i] > labels[j]:
                pairs += 1
                concordant += (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])
    return concordant / pairs if pairs else np.nan
