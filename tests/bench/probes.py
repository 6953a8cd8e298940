"""How fast the probes' solver is beside scikit-learn's, both on one thread and to the same decision values.

Run by `make bench`. Ratios come from one run on one machine; scikit-learn at its best thread count (one).
"""

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import time

import numpy as np
from skillprobe.probes.solver import Rows
from sklearn.linear_model import LogisticRegression

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2)
SHAPES = ((600, 4096), (360, 128), (3000, 128))


def world(n, d, seed=0):
    """Rows x [n, d] with a weak signal in them, labels y [n], and five folds."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, d)) + np.outer(y - 0.5, rng.normal(size=d) * 3 / np.sqrt(d))
    return x, y, np.arange(n) % 5


def ours(x, y, folds):
    train = np.stack([folds != fold for fold in range(5)], axis=1)
    decision = Rows(x).fit(train, y, PENALTIES).decision
    return [decision[:, folds == fold, fold] for fold in range(5)]


def theirs(x, y, folds, tolerance):
    scores = []
    for fold in range(5):
        train, test = folds != fold, folds == fold
        centred = x - x[train].mean(0)
        scaled = centred / np.sqrt((centred[train] ** 2).mean())
        model = LogisticRegression(tol=tolerance, max_iter=10_000, warm_start=True)
        fits = (model.set_params(C=C).fit(scaled[train], y[train]) for C in PENALTIES)
        scores.append(np.stack([fit.decision_function(scaled[test]) for fit in fits]))
    return scores


def best(function, *arguments, times=3):
    """Shortest of a few runs, in seconds, and the result."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        result = function(*arguments)
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


print("five folds x four penalties, one thread")
print(f"{'rows x features':>16}{'ours':>10}{'sklearn, default':>20}{'converged':>20}{'difference':>18}")
for n, d in SHAPES:
    data = world(n, d)
    seconds, scores = best(ours, *data)
    loose, _ = best(theirs, *data, 1e-4)
    tight, reference = best(theirs, *data, 1e-9)
    difference = max(np.abs(a - b).max() for a, b in zip(scores, reference, strict=True))
    print(
        f"{n:>8} x {d:<5}{seconds:>9.3f}s{loose:>11.3f}s ({loose / seconds:.1f}x)"
        f"{tight:>11.3f}s ({tight / seconds:.1f}x){difference:>18.1e}"
    )
