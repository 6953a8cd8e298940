"""Planted prompts: what decides is said by the params, known to the state, or known to nobody."""

from types import SimpleNamespace

import numpy as np
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.planning import Items, item_features, score_items
from skillprobe.statistics.bootstrap import draw_groups

RELATIONS = ("at_least", "more_than", "at_most", "less_than", "exactly")
PER_GROUP, SAMPLES, HIDDEN = 2, 4, 32


def plant(seed, groups=60, *, surface=0.15, known=0.0, unknown=0.0, told=True):
    """Items and states of two layers, of which the second knows.

    p = ½ + surface·u + known·h + unknown·w of unit variance each: u follows from relation and n, h is in the
    state, w is nowhere. told: whether u is in the state too.
    """
    rng = np.random.default_rng(seed)
    names = np.repeat([f"g{number:03d}" for number in range(groups)], PER_GROUP)
    n = len(names)
    relation, number = rng.integers(0, 5, n), rng.integers(5, 60, n)
    # The more is asked for, the harder; the more is allowed, the easier; exactly so many is hard.
    ease = np.where(relation < 2, 32 - number, number - 32) * np.sqrt(3) / 27
    u = np.where(relation == 4, -1.2, ease)
    h, w = rng.uniform(-np.sqrt(3), np.sqrt(3), (2, n))
    p = np.clip(0.5 + surface * u + known * h + unknown * w, 0, 1)
    rows = [
        {
            "params": {"relation": RELATIONS[r], "n": int(k)},
            "prompt": f"write of {name} in {RELATIONS[r].replace('_', ' ')} {k} words",
            "phrasing": f"p{k % 3}",
        }
        for r, k, name in zip(relation, number, names, strict=True)
    ]
    axes = np.linalg.qr(rng.normal(size=(HIDDEN, HIDDEN)))[0]
    noise = rng.normal(size=(2, n, HIDDEN)) * np.arange(1, HIDDEN + 1) ** -0.35 @ axes.T
    noise[1] += 3 * h[:, None] * axes[3] + told * 3 * u[:, None] * axes[5]
    features = item_features(rows)
    items = Items(
        np.array([f"i{k:04d}" for k in range(n)]),
        names,
        rng.binomial(SAMPLES, p),
        np.full(n, SAMPLES),
        *features,
    )
    return SimpleNamespace(items=items, states=noise.astype(np.float32), p=p, u=u, h=h)


def protocol(fold_seeds=1, seed=0):
    return Settings(fold_seeds=tuple(range(fold_seeds)), seed=seed)


def scored(made, directions=3, fold_seeds=1, task="topic", least=-np.inf, **more):
    settings = protocol(fold_seeds)
    folds = settings.row_folds(made.items.groups, sorted(set(made.items.groups)))
    about = {"directions": directions, "task": task, "least": least}
    return score_items(made.items, made.states, [4, 8], folds, settings, **about, **more)


def drawn(scores, n_draws=300):
    return draw_groups(scores.groups[scores.folds[0] >= 0], n_draws=n_draws)
