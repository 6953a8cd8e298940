"""Tables of models with known findings and draws."""

import numpy as np
from skillprobe.statistics.intervals import Estimate
from skillprobe.storage.tables import DRAWS, SCOPES, WITHIN

TASKS = ["topic", "sentiment", "register"]
THRESHOLDS = {"looks": 1, "signal": 0.55, "margin": 0.02, "weak_ratio": 0.5, "cluster_p": 0.01}
THRESHOLDS |= {"other_p": 0.05, "min_partitions": 200, "asymmetry": 0.25, "match": 0.55}
THRESHOLDS |= {"erased": 0.05, "sparse_dependent": 0.25, "sparse_independent": 0.5, "not_sparse": 0.5}
THRESHOLDS |= {"gain": 0.05, "planning": 0.5, "recovered": 0.5}
THRESHOLDS["min_tasks"] = {"generality": 3, "transfer_weak": 4, "ablation_sparse": 4}
THRESHOLDS["min_tasks"] |= {"ablation_asymmetric": 4, "layers_stratified": 5, "monitoring": 3}
THRESHOLDS["min_tasks"] |= {"specificity": 3}
N_DRAWS = 4000


def estimate(value, noise, n_seeds=3):
    """noise: [n_draws], of probes that were fitted on each draw."""
    return Estimate(np.full(n_seeds, value), value + noise, factor=1.0)


def row_of(model, found, tasks=TASKS, scope=WITHIN, **cells):
    about = {"model": model, "scope": scope, "layer": "selected", **cells, **found.cells(), "status": ""}
    return about | {"n_tasks": len(tasks), "tasks": " ".join(tasks), DRAWS: found}


def study(difference, noise, counting=TASKS):
    """Tables of each model: {model: its mean difference}, {model: noise}; counting: tasks that count."""
    generality, time = [], []
    for model, value in difference.items():
        found = estimate(value, noise[model])
        for scope in SCOPES:
            cells = {"task": "mean", "metric": "auroc", "n": 300, "n_groups": 81}
            about = {"tasks": counting, "scope": scope} | cells
            auroc = estimate(0.8, noise[model])
            generality += [row_of(model, auroc, probe="specialist", **about)]
            generality += [row_of(model, found, probe="specialist_minus_general_centred", **about)]
        time.append(row_of(model, found, counting, "across", task="mean", quantity="gain"))
    return {"generality": generality, "time_summary": time}


def noises(*names, joint=False, spread=0.01):
    rng = np.random.default_rng(0)
    shared = rng.normal(0, spread, N_DRAWS)
    return {name: shared if joint else rng.normal(0, spread, N_DRAWS) for name in names}


def planted_matrix(rng, groups, strength):
    same = groups[:, None] == groups
    noise = rng.normal(0, 1, same.shape)
    return strength * same + (noise + noise.T) / 2
