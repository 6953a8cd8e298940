"""How fast INLP and the ablation matrix are, beside the published algorithm and a careful loop, on one
thread.

Run by `make bench` (some minutes; `--quick` for INLP only). The published algorithm makes a d × d projection
and its singular vectors in every step: it is timed at two smaller d and extrapolated by the exponent between.
"""

from common import best, world  # isort: skip (before numpy: it sets the threads)

import resource
import sys
import time

import numpy as np
import scipy.linalg
from skillprobe.erasure.cross import Settings, cross_ablate
from skillprobe.erasure.inlp import inlp
from skillprobe.probes.cross_validation import Settings as Protocol
from skillprobe.probes.solver import Rows
from skillprobe.probes.specialists import specialist
from sklearn.linear_model import LogisticRegression

ROWS, HIDDEN, STEPS, C = 600, 4096, 10, 1e-3
DENSE = (512, 1024)
TASKS, PER_BASE = 9, 4


def probe(x, y):
    scaled = x / np.sqrt((x**2).mean())
    return LogisticRegression(C=C, max_iter=10_000).fit(scaled, y).coef_[0]


def ours(x, y):
    return inlp(Rows(x), np.ones((len(x), 1), bool), y, C, STEPS).erasers()[0].b


def careful(x, y):
    """In the features, but with rank-one projections of the rows instead of d × d matrices."""
    x, directions = x - x.mean(axis=0), []
    for _ in range(STEPS):
        w = probe(x, y)
        for direction in directions:
            w -= (w @ direction) * direction
        w /= np.linalg.norm(w)
        directions.append(w)
        x -= np.outer(x @ w, w)
    return np.array(directions)


def published(x, y):
    """Ravfogel et al. 2020, algorithm 1, as its authors' code has it: the intersection of all nullspaces is
    found anew in every step, from the sum of the projections on the rowspaces."""
    x, d = x - x.mean(axis=0), x.shape[1]
    projection, rowspaces, directions = np.eye(d), [], []
    for _ in range(STEPS):
        w = probe(x @ projection, y)
        directions.append(w / np.linalg.norm(w))
        rowspaces.append(rowspace(w[None]))
        projection = np.eye(d) - rowspace(np.sum(rowspaces, axis=0))
    return np.array(directions)


def rowspace(matrix):
    basis = scipy.linalg.orth(matrix.T)
    return basis @ basis.T


def steps():
    print(f"INLP, {STEPS} directions of {ROWS} rows")
    x, y = world(ROWS, HIDDEN)
    seconds, directions = best(ours, x, y)
    loop, theirs = best(careful, x, y)
    cosine = np.abs((directions / np.linalg.norm(directions, axis=1, keepdims=True) * theirs).sum(axis=1))
    print(f"d = {HIDDEN}: ours {seconds:.2f}s, careful loop {loop:.2f}s ({loop / seconds:.1f}x)")
    print(f"         cosine of its first direction with ours {cosine[0]:.4f}, of the tenth {cosine[-1]:.4f}")
    dense = []
    for d in DENSE:
        small = world(ROWS, d)
        mine, _ = best(ours, *small)
        taken, _ = best(published, *small, times=1)
        dense.append(taken)
        print(
            f"d = {d}: ours {mine:.2f}s, published algorithm {taken:.1f}s ({taken / mine:.0f}x)", flush=True
        )
    power = np.log(dense[1] / dense[0]) / np.log(DENSE[1] / DENSE[0])
    there = dense[1] * (HIDDEN / DENSE[1]) ** power
    print(
        f"d = {HIDDEN}: published algorithm, extrapolated by d^{power:.1f}, {there:.0f}s "
        f"({there / seconds:.0f}x)"
    )


def paper_scale():
    print(
        f"\nAblation of one layer: {TASKS} tasks of {ROWS} x {HIDDEN}, 20 null erasers a task and fold, "
        "three fold seeds"
    )
    bases = np.repeat([f"b{row:03d}" for row in range(ROWS // PER_BASE)], PER_BASE)
    protocol, specialists, x = Protocol(penalties=(C,), shuffles=0), {}, {}
    for task in range(TASKS):
        rows, y = world(ROWS, HIDDEN, seed=task)
        x[f"task{task}"] = rows.astype(np.float32)
        specialists[f"task{task}"] = specialist(x[f"task{task}"], y, bases, protocol)
    ids = {task: result.ids for task, result in specialists.items()}
    start = time.perf_counter()
    cross_ablate(x, ids, specialists, Settings(rank=4, max_rank=10), counting=list(x))
    seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{seconds:.0f}s, peak {peak:.1f} GiB")


steps()
if "--quick" not in sys.argv:
    paper_scale()
