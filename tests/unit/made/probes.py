"""Made-up rows of tasks, and the solver on them."""

import numpy as np
from skillprobe.probes.cross_validation import Settings

SETTINGS = Settings(penalties=(1e-3, 1e-2, 1e-1), shuffles=2)
SHAPES = [(60, 20), (60, 200)]  # primal, dual


def data(n, d, seed=0, signal=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    direction = rng.normal(size=d) / np.sqrt(d)
    x = rng.normal(size=(n, d)) * (1 + np.arange(d) % 3) + signal * (2 * y - 1)[:, None] * direction + 5
    return x, y


def task_data(seed=0, n_groups=44, per_base=6, d=24, signal=1.0, direction=None):
    """x, y, groups of one task, its rows in the order of the groups."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"b{i:03d}" for i in range(n_groups)], per_base)
    y = rng.integers(0, 2, len(groups))
    direction = np.eye(d)[0] if direction is None else direction
    x = rng.normal(size=(len(groups), d)) + signal * (2 * y - 1)[:, None] * direction
    return x.astype(np.float32), y, groups


def fit_one(rows, train, y, penalties, groups=None):
    """The fit of one training set (row numbers), and its decision values [penalty, n]."""
    mask = np.isin(np.arange(len(y)), train)[:, None]
    confounds = None if groups is None else groups[:, None] == np.unique(groups)
    fit = rows.fit(mask, y, penalties, confounds)
    return fit, fit.decision[:, :, 0]


def tasks_data(directions, **kwargs):
    made = {f"task{i}": task_data(seed=i, direction=v, **kwargs) for i, v in enumerate(directions)}
    return tuple({name: triple[k] for name, triple in made.items()} for k in range(3))
