"""How fast the probes are beside scikit-learn's logistic regression, on one thread each.

Run by `make bench` (some ten minutes; `--quick` for the first tables only). Ratios come from one run on one
machine, with scikit-learn at its best thread count, one: at two, lbfgs trips over itself.
"""

from common import best, world  # isort: skip (before numpy: it sets the threads)

import resource
import sys
import time
from itertools import combinations

import numpy as np
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.estimator import LogisticProbe
from skillprobe.probes.general_probes import general
from skillprobe.probes.refits import AT_ONCE
from skillprobe.probes.refits import TOLERANCE as LOOSE
from skillprobe.probes.solver import Rows
from skillprobe.probes.specialists import specialist
from skillprobe.probes.transfer import cross_scores
from skillprobe.statistics.folds import CALIBRATION
from sklearn.linear_model import LogisticRegression

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2)
SHAPES = ((600, 4096), (360, 128), (3000, 128))
SINGLES, TOLERANCES = ((480, 4096), (900, 300), (60, 2000)), (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
DRAWS = 200
TASKS, ROWS, HIDDEN, PER_BASE, SHUFFLES = 9, 600, 4096, 4, 20


def ours(x, y, folds):
    train = np.stack([folds != fold for fold in range(5)], axis=1)
    decision = Rows(x).fit(train, y, PENALTIES).decision
    return [decision[:, folds == fold, fold] for fold in range(5)]


def path(x, y, train, penalties, tolerance):
    """scikit-learn's probes of one training set, warm-started from penalty to penalty: [penalty, n]."""
    centred = x - x[train].mean(0)
    scaled = centred / np.sqrt((centred[train] ** 2).mean())
    model = LogisticRegression(tol=tolerance, max_iter=10_000, warm_start=True)
    return np.stack(
        [model.set_params(C=C).fit(scaled[train], y[train]).decision_function(scaled) for C in penalties]
    )


def theirs(x, y, folds, tolerance):
    return [path(x, y, folds != fold, PENALTIES, tolerance)[:, folds == fold] for fold in range(5)]


def grid():
    print("Five folds x four penalties")
    print(f"{'rows x features':>16}{'ours':>10}{'sklearn, default':>20}{'converged':>20}{'difference':>14}")
    for n, d in SHAPES:
        data = *world(n, d), np.arange(n) % 5
        seconds, scores = best(ours, *data)
        loose, _ = best(theirs, *data, 1e-4)
        tight, reference = best(theirs, *data, 1e-9)
        difference = max(np.abs(a - b).max() for a, b in zip(scores, reference, strict=True))
        print(
            f"{n:>8} x {d:<5}{seconds:>9.3f}s{loose:>11.3f}s ({loose / seconds:.1f}x)"
            f"{tight:>11.3f}s ({tight / seconds:.1f}x){difference:>14.1e}"
        )


def singles():
    """One probe of all rows beside scikit-learn's, at the loosest tolerance with no larger an error."""
    print("\nOne fit")
    print(f"{'rows x features':>16}{'C':>8}{'ours':>10}{'sklearn':>10}{'ratio':>8}{'errors':>18}")
    for n, d in SINGLES:
        x, y = world(n, d)
        everything = np.ones(n, bool)
        for C in (1e-3, 1e-1):
            seconds, probe = best(LogisticProbe(C=C).fit, x, y, times=5)
            exact = path(x, y, everything, [C], 1e-10)[0]
            error = np.abs(probe.decision_function(x) - exact).max()
            for tolerance in TOLERANCES:
                theirs, found = best(path, x, y, everything, [C], tolerance, times=5)
                other = np.abs(found[0] - exact).max()
                if other <= max(error, 1e-6):
                    break
            print(
                f"{n:>8} x {d:<5}{C:>8g}{seconds:>9.4f}s{theirs:>9.4f}s{theirs / seconds:>7.1f}x"
                f"{error:>9.0e}{other:>9.0e}"
            )


def draws():
    """A fit of 1,080 rows, axes and all, beside fits of draws of groups that begin there."""
    x, y = world(1080, HIDDEN)
    train = np.ones((len(x), 1), bool)
    weights = np.repeat(np.random.default_rng(0).poisson(1.0, (len(x) // PER_BASE, DRAWS)), PER_BASE, axis=0)
    seconds, plain = best(lambda: Rows(x).fit(train, y, [1e-3]))

    def anew():
        rows, width = plain.rows, AT_ONCE // len(x)
        for some in (slice(first, first + width) for first in range(0, DRAWS, width)):
            m = weights[:, some].shape[1]
            start = np.repeat(plain.coefficients[0], m, axis=1), np.repeat(plain.intercepts[0], m)
            rows.fit(weights[:, some], y, [1e-3], start=start, tolerance=LOOSE)

    taken, _ = best(anew)
    print(
        f"\nIntervals with refits: a fit of 1,080 x {HIDDEN} {seconds:.2f}s, {DRAWS} draws {taken:.2f}s "
        f"({taken / seconds:.1f} fits)"
    )


def tasks():
    """x, y, bases and ids of each task."""
    made = {}
    for task in range(TASKS):
        x, y = world(ROWS, HIDDEN, seed=task)
        bases = [f"b{row // PER_BASE:03d}" for row in range(ROWS)]
        made[f"task{task}"] = (x.astype(np.float32), y, bases, [f"{task}/{row}" for row in range(ROWS)])
    return made


def protocol(made, settings, confounds=None):
    """Every task's specialist with its controls, and all of them on all tasks."""
    specialists = {
        task: specialist(x, y, bases, settings, ids=ids, confounds=confounds)
        for task, (x, y, bases, ids) in made.items()
    }
    cross_scores(
        {task: x for task, (x, *_) in made.items()},
        {task: ids for task, (*_, ids) in made.items()},
        specialists,
    )
    return specialists


def their_protocol(x, labellings, folds):
    """Nested penalties and outer fits of each labelling, with the same K(K − 1)/2 inner training sets."""
    for y in labellings:
        for f, g in combinations(range(5), 2):
            path(x, y, (folds != f) & (folds != g) & (folds != CALIBRATION), PENALTIES, 1e-4)
        for f in range(5):
            path(x, y, (folds != f) & (folds != CALIBRATION), PENALTIES[-1:], 1e-4)


def whole_protocol(made):
    settings = Settings(penalties=PENALTIES, fold_seeds=(0,), shuffles=SHUFFLES)
    start = time.perf_counter()
    specialists = protocol(made, settings)
    seconds = time.perf_counter() - start
    x, y, *_ = made["task0"]
    result = specialists["task0"]
    # A part of it: every labelling of every task costs the same.
    timed = [y, *result.shuffled_labels[:2]]
    start = time.perf_counter()
    their_protocol(x.astype(float), timed, result.folds[0])
    theirs = (time.perf_counter() - start) / len(timed) * TASKS * (1 + SHUFFLES)
    print(
        f"\nWhole protocol: {TASKS} tasks of {ROWS} x {HIDDEN}, nested penalties, {SHUFFLES} shuffles, "
        "transfer"
    )
    print(
        f"ours {seconds:.0f}s, sklearn (default tolerance, from {len(timed)} labellings) {theirs:.0f}s "
        f"({theirs / seconds:.1f}x)"
    )


def paper_scale(made):
    print(f"\nPaper scale, one layer: {TASKS} tasks of {ROWS} x {HIDDEN}, five penalties, three fold seeds")
    settings = Settings(shuffles=SHUFFLES)
    rng = np.random.default_rng(0)
    confounds = np.stack([np.ones(ROWS), rng.normal(size=ROWS)], axis=1)
    columns = [{task: values[k] for task, values in made.items()} for k in range(3)]
    for name, run in (
        ("specialists with controls, transfer", lambda: protocol(made, settings, confounds)),
        ("general, matched", lambda: general(*columns, settings, variants=["matched"])),
        ("general, all", lambda: general(*columns, settings, variants=["all"])),
        ("general, centred", lambda: general(*columns, settings, variants=["centred"])),
        ("general, leave one task out", lambda: general(*columns, settings, variants=["leave_one_out"])),
    ):
        start = time.perf_counter()
        run()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{name:<40}{time.perf_counter() - start:>8.0f}s   peak so far {peak:.1f} GiB", flush=True)


grid()
singles()
draws()
if "--quick" not in sys.argv:
    made = tasks()
    whole_protocol(made)
    paper_scale(made)
