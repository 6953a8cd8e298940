"""Planted worlds and what is left of them after erasure."""

from dataclasses import replace
from functools import cache

import numpy as np
from skillprobe.analyses.ablation import Margins, ablation_tables
from skillprobe.erasure.cross import Settings, cross_ablate
from skillprobe.erasure.refits import refit_erasers
from skillprobe.findings.planted import plant
from skillprobe.probes.cross_validation import Settings as ProbeSettings
from skillprobe.probes.specialists import specialist
from skillprobe.statistics.bootstrap import draw_tested
from skillprobe.statistics.metrics import auroc

CATEGORIES = {
    "word_count": "structural",
    "topic": "semantic",
    "toxicity": "stylistic",
    "term_inclusion": "lexical",
}
TASKS = list(CATEGORIES)
BASES = [f"b{number:03d}" for number in range(80)]
PROBES = ProbeSettings(penalties=(1e-2, 1e-1), fold_seeds=(0,), shuffles=0)
SETTINGS = Settings(rank=2, max_rank=3, shuffles=3, random=2, n_draws=100, min_rows=15)
MARGINS = Margins(0.02, 0.1, 0.05, 0.4)
CLAIMS = {"signal": 0.55, "margins": MARGINS, "n_draws": 300}


@cache
def world(name, seed=0, fold_seeds=(0,)):
    """{task: x}, {task: specialist} of a planted world; half of the rows' variance is the request's."""
    made = plant(name, CATEGORIES, BASES, seed=seed, auroc=0.95, samples=4, hidden_size=32, num_layers=1)
    return {task: rows.x[-1] for task, rows in made.items()}, {
        task: probe(task, rows.x[-1], rows.labels, rows.groups, fold_seeds) for task, rows in made.items()
    }


def probe(task, x, labels, groups, fold_seeds=(0,), **kwargs):
    ids = [f"{task}/{number}" for number in range(len(labels))]
    return specialist(x, labels, groups, replace(PROBES, fold_seeds=fold_seeds, **kwargs), ids=ids)


def own_world(directions, seed=0, n_groups=50, per_base=4, strength=1.2, constant=(), rare=None):
    """Tasks as alike as can be: as many satisfied as violated rows, white noise and a direction each. rare:
    {task: share of violated rows}; strength: of all tasks, or a number for each."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"b{number:03d}" for number in range(n_groups)], per_base)
    x, specialists = {}, {}
    strengths = np.broadcast_to(strength, len(TASKS))
    for task, direction, strong in zip(TASKS, directions, strengths, strict=True):
        y = rng.permutation(np.arange(len(groups)) % 2)
        if task in (rare or {}):
            y = rng.permutation(np.arange(len(groups)) >= rare[task] * len(groups)).astype(int)
        x[task] = rng.normal(size=(len(groups), len(direction)))
        x[task] += strong * (2 * y - 1)[:, None] * direction
        y = np.ones_like(y) if task in constant else y
        specialists[task] = probe(task, x[task], y, groups, penalties=(1e-2,))
    return x, specialists


# Class means, and variances of the noise, of four tasks on four axes: each is hurt most by the next one's
# eraser, round in a circle, which no order of strength explains.
CIRCLE = np.array(
    [
        [-0.65, -1.03, -0.11, 0.76],
        [-0.39, -0.09, -0.32, 0.19],
        [-0.99, -0.6, -0.2, 0.21],
        [-0.31, -0.69, -0.09, 0.36],
    ]
)
CIRCLE_NOISE = np.array(
    [[2.01, 3.0, 0.47, 0.86], [0.69, 0.16, 0.43, 0.1], [1.11, 4.43, 0.29, 0.54], [0.79, 2.55, 1.24, 4.24]]
)


def circular_world(seed=0, n_groups=150, per_base=4):
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"b{number:03d}" for number in range(n_groups)], per_base)
    x, specialists = {}, {}
    for task, middle, noise in zip(TASKS, CIRCLE, CIRCLE_NOISE, strict=True):
        y = rng.permutation(np.arange(len(groups)) % 2)
        x[task] = rng.normal(size=(len(groups), 4)) * np.sqrt(noise) + (2 * y - 1)[:, None] * middle
        specialists[task] = probe(task, x[task], y, groups, penalties=(10.0,))
    return x, specialists


def ablate(x, specialists, settings=SETTINGS, counting=None, n_refits=0):
    """Scores by target, and the tasks' erasers; counting: all sufficient tasks unless it is given."""
    ids = {task: each.ids for task, each in specialists.items()}
    counting = list(x) if counting is None else counting
    scores, erasers = cross_ablate(x, ids, specialists, settings, counting=counting)
    if n_refits:
        draws = draw_tested(specialists.values(), n_draws=n_refits)
        scores = refit_erasers(x, specialists, scores, settings, counting=counting, draws=draws)
    return scores, erasers["tasks"]


@cache
def ablated(name, **kwargs):
    return ablate(*world(name), replace(SETTINGS, **kwargs))


def tabulate(specialists, scores, **kwargs):
    """The three tables, of one layer."""
    by_layer = {task: {0: each} for task, each in specialists.items()}
    return ablation_tables("toy", by_layer, {0: scores}, **(CLAIMS | kwargs))


def value(scores, result, s=0):
    return auroc(scores, result.labels, result.folds[s]).value


def same(rows, others):
    assert len(rows) == len(others) > 0
    for row, other in zip(rows, others, strict=True):
        for key in row:
            assert row[key] == other[key] or (row[key] != row[key] and other[key] != other[key]), key
