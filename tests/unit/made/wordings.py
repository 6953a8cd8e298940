"""Planted rows whose signal depends on the wording."""

import numpy as np
from skillprobe.probes.rows import ProbeRows

N_BASES = 180
BASES = [f"g{number:03d}" for number in range(N_BASES)]
PROBES = {"penalties": [1e-3, 1e-2], "folds": 4, "fold_seeds": 2, "feature_scaling": True}
PROBES |= {"calibration_fraction": 0.1, "min_rows": 10, "min_groups": 5, "max_truncated": 0.05}
SETTINGS = {"seed": 0, "groups": N_BASES, "probes": PROBES, "robustness.draws": 2}
PHRASINGS = [("human", "positive")] * 2 + [("human", "negated")] * 2
PHRASINGS += [("plm", "positive")] * 2 + [("entailment", "positive")] * 2
SIZE = 24


def plant(direction, *, seed=0, phrasings=PHRASINGS, per_base=4, noise=1.0):
    """Rows whose label is read along `direction(phrasing number, type, polarity)`, [SIZE] or [n, SIZE]. Each
    group is asked in one phrasing, in turn."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(N_BASES), per_base)
    number = group % len(phrasings)
    y = rng.integers(0, 2, len(group)).astype(np.int8)
    x = noise * rng.normal(size=(len(group), SIZE))
    for k, (kind, polarity) in enumerate(phrasings):
        here = number == k
        x[here] += np.where(y[here, None] == 1, 1, -1) * direction(k, kind, polarity)
    kinds, polarities = (np.array([phrasings[k][place] for k in number]) for place in (0, 1))
    names = np.array([f"t.{phrasings[k][0]}.{k}" for k in number])
    groups = np.array(BASES)[group]
    ids = np.array([f"t/{name}/constrained/{k}" for k, name in enumerate(groups)])
    lengths = np.full(len(y), 9)
    return ProbeRows(x.astype(np.float32), y, groups, ids, names, kinds, polarities, lengths, 0.0)


def axis(k):
    return 1.2 * np.eye(SIZE)[k]


def same(number, kind, polarity):
    return axis(0)
