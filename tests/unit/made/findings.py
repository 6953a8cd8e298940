"""Tables of models with known findings and draws."""

import numpy as np
from skillprobe.statistics.intervals import Estimate
from skillprobe.storage.tables import DRAWS

TASKS = ["topic", "sentiment", "register"]
THRESHOLDS = {"looks": 1, "signal": 0.55, "margin": 0.02, "weak_ratio": 0.5, "cluster_p": 0.01}
THRESHOLDS |= {"erased": 0.05, "sparse_dependent": 0.25, "sparse_independent": 0.5, "not_sparse": 0.5}
THRESHOLDS |= {"gain": 0.05, "planning": 0.5, "headroom": 0.05}
N_DRAWS = 4000


def estimate(value, noise, n_seeds=3):
    """noise: [n_draws]."""
    return Estimate(np.full(n_seeds, value), value + noise)


def row_of(model, found, **cells):
    return {"model": model, "layer": "selected", **cells, **found.cells(), "status": "", DRAWS: found}


def study(difference, noise, signal=TASKS):
    """Tables of each model: {model: its mean difference}, {model: noise}."""
    generality, time = [], []
    for model, value in difference.items():
        about = {"model": model, "layer": "selected", "metric": "auroc", "probe": "specialist", "status": ""}
        for task in TASKS:
            lower = 0.7 if task in signal else 0.5
            generality.append(about | {"task": task, "estimate": 0.8, "lower99": lower, "upper99": 0.9})
        generality.append(
            about
            | {"task": "mean", "estimate": 0.8, "lower99": 0.7, "upper99": 0.9, "n": 300, "n_groups": 81}
        )
        found = estimate(value, noise[model])
        cells = {"task": "mean", "metric": "auroc", "n": 300, "n_groups": 81}
        generality.append(row_of(model, found, probe="specialist_minus_general_centred", **cells))
        time.append(row_of(model, found, task="mean", quantity="gain"))
    return {"generality": generality, "time_summary": time}


def noises(*names, joint=False, spread=0.01):
    rng = np.random.default_rng(0)
    shared = rng.normal(0, spread, N_DRAWS)
    return {name: shared if joint else rng.normal(0, spread, N_DRAWS) for name in names}


def planted_matrix(rng, groups, strength):
    same = groups[:, None] == groups
    noise = rng.normal(0, 1, same.shape)
    return strength * same + (noise + noise.T) / 2
