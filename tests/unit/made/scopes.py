"""Rows whose activations tell how easy the prompt is, which response to it satisfies it, or both."""

import numpy as np
from skillprobe.probes.rows import ProbeRows

PROBES = {"penalties": [1e-3, 1e-2, 1e-1], "folds": 5, "fold_seeds": 2, "feature_scaling": True}
PROBES |= {"calibration_fraction": 0.1, "min_rows": 20, "min_groups": 10, "max_truncated": 0.05}
SETTINGS = {"seed": 0, "groups": 90, "probes": PROBES}


def probe_rows(*, prompt=0.0, response=0.0, task="topic", seed=0, direction=1, d=24, samples=4) -> ProbeRows:
    """Two prompts a group and four responses each. prompt, response: how strongly axis 0 tells the prompt's
    odds and axis `direction` the label."""
    rng = np.random.default_rng([seed, len(task)])
    group = np.repeat(np.arange(SETTINGS["groups"]), 2 * samples)
    item = np.repeat(np.arange(2 * SETTINGS["groups"]), samples)
    odds = rng.normal(size=item[-1] + 1)[item]
    y = (rng.logistic(size=len(item)) < 2 * odds).astype(np.int8)
    x = rng.normal(size=(len(item), d)).astype(np.float32)
    # Samples of one prompt have its state in common.
    x += rng.normal(size=(item[-1] + 1, d))[item]
    x[:, 0] += prompt * odds
    x[:, direction] += response * (2 * y - 1)
    ids = [
        f"{task}/b{g:03d}/{i % 2}/constrained/{n % samples}"
        for n, (g, i) in enumerate(zip(group, item, strict=True))
    ]
    names = np.full(len(y), "human")
    lengths = rng.integers(5, 40, len(y))
    groups = np.array([f"g{g:03d}" for g in group])
    return ProbeRows(x, y, groups, np.array(ids), names, names, names, lengths, 0.0)
