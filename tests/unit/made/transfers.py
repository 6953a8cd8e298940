"""Tasks that share directions or don't, and their specialists."""

import numpy as np
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.specialists import specialist

SETTINGS = Settings(penalties=(1e-3, 1e-2), shuffles=0)
D, N_BASES, PER_BASE = 24, 44, 6
# Three groups of two, so that names can fall into groups in 15 ways.
TASKS = ["word_count", "character_count", "topic", "sentiment", "term_exclusion", "toxicity"]


def world(directions, seed=0, strength=1.0, constant=()):
    """{task: x}, {task: ids}, {task: specialist}; `constant`: tasks without violations."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"b{i:03d}" for i in range(N_BASES)], PER_BASE)
    x, ids, specialists = {}, {}, {}
    for task, direction in zip(TASKS, directions, strict=True):
        y = rng.integers(0, 2, len(groups))
        x[task] = rng.normal(size=(len(groups), D)) + strength * (2 * y - 1)[:, None] * direction
        ids[task] = [f"{task}/{i}" for i in range(len(groups))]
        y = np.ones_like(y) if task in constant else y
        specialists[task] = specialist(x[task], y, groups, SETTINGS, ids=ids[task])
    return x, ids, specialists
