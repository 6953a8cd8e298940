"""Crossings of planted readers, as scores whose truth is known."""

import numpy as np
from skillprobe.probes.crossings import Crossings
from skillprobe.statistics.folds import CALIBRATION, assign_folds, row_folds

GROUPS = [f"g{number:03d}" for number in range(60)]
SEEDS = 3
FOLDS = [assign_folds(GROUPS, seed=0, fold_seed=seed) for seed in range(SEEDS)]
TESTED = [group for group in GROUPS if FOLDS[0][group] != CALIBRATION]
NOISE = 0.3
# Main effects many times as strong as the match.
STRONG = 5.0


def crossings(world, seed=0, per_group=2, groups=GROUPS, counts=False, **changes):
    """Of a reader whose score is world(prompt [n, 2, 1], text [n, 1, 2], match [2, 2]) and noise."""
    rng = np.random.default_rng(seed)
    names = np.repeat(groups, per_group)
    n = len(names)
    prompt, text = rng.normal(size=(n, 2, 1)), rng.normal(size=(n, 1, 2))
    match = np.eye(2) - 0.5
    told = 3 * prompt + STRONG * text + rng.normal(size=(n, 2, 2))
    scores = np.stack(
        [world(prompt, text, match, told) + NOISE * rng.normal(size=(n, 2, 2)) for _ in range(SEEDS)]
    )
    labels = np.tile([0, 1], n // 2)
    folds = np.stack([row_folds(names, each) for each in FOLDS])
    made = {
        "groups": names,
        "folds": folds,
        "scores": scores.astype(np.float32),
        "log_probability": told,
        "one_relation": np.arange(n) % 2 == 0 if counts else np.zeros(n, bool),
        "n_difference": rng.integers(1, 9, n).astype(float) if counts else np.full(n, np.nan),
        "status": "",
        "inner_auroc": np.full((SEEDS, 5), 0.8),
        "answer_groups": names,
        "labels": labels,
        "answer_folds": folds,
        "with_constraint": np.tile(labels + 0.1 * rng.normal(size=n), (SEEDS, 1)),
        "without_constraint": rng.normal(size=(SEEDS, n)),
        "answer_items": np.zeros(0, "U1"),
    }
    return Crossings(**(made | changes))


WORLDS = {
    "text only": lambda prompt, text, match, told: STRONG * text + 0 * prompt,
    "prompt only": lambda prompt, text, match, told: STRONG * prompt + 0 * text,
    "match": lambda prompt, text, match, told: STRONG * (prompt + text) + match,
    "likelihood": lambda prompt, text, match, told: told,
}
