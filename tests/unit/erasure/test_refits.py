"""Erasers and probes fitted anew on a draw are those of rows that are there as often as their group was."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from made.ablated import PROBES, SETTINGS, TASKS, ablate, own_world
from made.scopes import SETTINGS as SCOPED
from made.scopes import probe_rows
from skillprobe.erasure import refits
from skillprobe.erasure.cross import Plan, common_scale, cross_ablate, rows_per_class
from skillprobe.erasure.inlp import inlp
from skillprobe.erasure.refits import refit_erasers
from skillprobe.probes.solver import Rows
from skillprobe.probes.specialists import fit_scopes
from skillprobe.statistics.bootstrap import auroc_lines, draw_tested
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.metrics import auroc, auroc_within
from sklearn.linear_model import LogisticRegression

ONE = replace(SETTINGS, primary_only=True)


@cache
def made(scope):
    """Two tasks that share some of their direction: {task: x}, {task: specialist} and the scale."""
    rows = {
        task: probe_rows(prompt=0.5, response=0.5, task=task, direction=k + 1)
        for k, task in enumerate(TASKS[:2])
    }
    results = {task: fit_scopes(each, SCOPED) for task, each in rows.items()}
    across = {task: result["across"] for task, result in results.items()}
    scale = common_scale({task: each.x for task, each in rows.items()}, across, SETTINGS)
    x = {task: (each if scope == "across" else each.within()).x for task, each in rows.items()}
    return x, {task: result[scope] for task, result in results.items()}, scale


@pytest.mark.parametrize("scope", ["across", "within"])
def test_a_draw_is_the_rows_of_its_groups_as_often(scope):
    """Repeated rows, explicitly erased, and a probe of scikit-learn's."""
    x, specialists, scale = made(scope)
    ids = {task: each.ids for task, each in specialists.items()}
    scores, _ = cross_ablate(x, ids, specialists, ONE, counting=TASKS, scale=scale)
    draws = draw_tested(specialists.values(), n_draws=3, seed=2)
    found = refit_erasers(x, specialists, scores, ONE, counting=TASKS, draws=draws, scale=scale)
    plans = {task: Plan.make(each, ONE) for task, each in specialists.items()}
    per_class = rows_per_class(plans.values())
    source, target = TASKS[:2]
    weight = dict(zip(draws.groups.tolist(), draws.weights[1].astype(int).tolist(), strict=True))
    times = {
        task: np.array([weight.get(group, 0) for group in each.groups.tolist()])
        for task, each in specialists.items()
    }
    result, before, after, pairs = specialists[target], 0.0, 0.0, 0
    rows = np.repeat(np.arange(len(times[target])), times[target])
    copies = np.concatenate([np.arange(n) for n in times[target]])
    for f in range(PROBES.n_folds):
        cut = np.repeat(plans[source].balanced(per_class)[:, f], times[source])
        repeated = Rows(np.repeat(x[source], times[source], axis=0), scale)
        labels = np.repeat(specialists[source].labels, times[source])
        eraser = inlp(repeated, cut[:, None], labels, specialists[source].chosen_c[0, f], ONE.rank).erasers()[
            0
        ]
        train = rows[~np.isin(result.folds[0][rows], (f, CALIBRATION))]
        test = result.folds[0][rows] == f
        plain = x[target].astype(float) / scale
        # A penalty weighs what it weighs before.
        size = np.sqrt(plain[train].var(axis=0).mean())
        for erased in (False, True):
            z = (eraser(x[target].astype(float)) / scale if erased else plain).copy()
            z = (z - z[train].mean(0)) / size
            model = LogisticRegression(C=result.chosen_c[0, f], tol=1e-10, max_iter=10000)
            values = model.fit(z[train], result.labels[train]).decision_function(z)[rows[test]]
            y, same = result.labels[rows[test]], np.zeros(test.sum(), int)
            if scope == "across":
                one = auroc(values, y, same)
            else:
                names = zip(result.items[rows[test]], copies[test], strict=True)
                one = auroc_within(values, y, np.array([f"{item}/{n}" for item, n in names]), same)
            if erased:
                after += one.value * one.pairs
                pairs += one.pairs
            else:
                before += one.value * one.pairs
    assert found[target].refitted_before[1] == pytest.approx(before / pairs, abs=2e-3)
    assert found[target].refitted_after[1, 0] == pytest.approx(after / pairs, abs=3e-3)


def test_only_what_counts_is_refitted():
    x, specialists = own_world(np.eye(16)[:4], n_groups=60, rare={"topic": 0.2})
    settings = replace(ONE, min_rows=40)
    plain, _ = ablate(x, specialists, settings, counting=TASKS[:3])
    found, _ = ablate(x, specialists, settings, counting=TASKS[:3], n_refits=7)
    for task in TASKS:
        each = found[task]
        np.testing.assert_array_equal(each.before, plain[task].before)
        assert plain[task].refitted_before.size == plain[task].refitted_after.size == 0
        if task == TASKS[3]:
            assert each.refitted_before.size == each.refitted_after.size == 0
            continue
        assert np.isfinite(each.refitted_before).all() and each.refitted_after.shape == (7, 4)
        # The second task is a target: it counts, but has too few violated rows to be erased.
        known = np.isfinite(each.refitted_after).all(axis=0)
        assert known.tolist() == [task_ in (TASKS[0], TASKS[2]) for task_ in TASKS]
    nothing, _ = ablate(x, specialists, settings, counting=[], n_refits=7)
    assert all(each.refitted_before.size == 0 for each in nothing.values())


def test_draws_a_few_at_a_time_are_all_at_once(monkeypatch):
    x, specialists = own_world(np.eye(16)[:4])
    together, _ = ablate(x, specialists, ONE, n_refits=5)
    monkeypatch.setattr(refits, "DRAWS_AT_ONCE", 2)
    apart, _ = ablate(x, specialists, ONE, n_refits=5)
    for task in TASKS:
        np.testing.assert_allclose(apart[task].refitted_after, together[task].refitted_after, atol=2e-3)
        np.testing.assert_allclose(apart[task].refitted_before, together[task].refitted_before, atol=2e-3)


def falls(found):
    return np.stack([each.refitted_before[:, None] - each.refitted_after for each in found.values()], axis=2)


def test_looser_fits_leave_the_standard_errors(monkeypatch):
    x, specialists = own_world(np.eye(16)[:4], n_groups=60)
    loose = falls(ablate(x, specialists, ONE, n_refits=100)[0]).std(axis=0, ddof=1)
    monkeypatch.setattr(refits, "TOLERANCE", 1e-6)
    exact = falls(ablate(x, specialists, ONE, n_refits=100)[0]).std(axis=0, ddof=1)
    np.testing.assert_allclose(loose, exact, rtol=0.03)
    assert not np.array_equal(loose, exact)


def test_standard_errors_are_those_of_new_worlds():
    """The falls of 40 worlds scatter as draws of one say, or somewhat less: a draw has fewer groups to learn
    from. Draws that keep erasers and probes fixed say too little of other tasks' falls."""
    settings = replace(ONE, rank=2, max_rank=2, shuffles=1)
    estimates, claimed, fixed = [], [], []
    for seed in range(40):
        x, specialists = own_world(np.eye(12)[:4], seed=seed, n_groups=60, strength=0.8)
        refitted = seed < 8
        scores = ablate(x, specialists, settings, n_refits=40 if refitted else 0)[0]
        judged = [
            judge(scores[task], result, draw_tested(specialists.values(), n_draws=100))
            for task, result in specialists.items()
        ]
        estimates.append(np.stack([values for values, _ in judged], axis=1))
        if refitted:
            claimed.append(falls(scores).std(axis=0, ddof=1))
            fixed.append(np.stack([drawn.std(axis=1, ddof=1) for _, drawn in judged], axis=1))
    scatter = np.std(estimates, axis=0, ddof=1)
    claimed, fixed = (np.sqrt(np.mean(np.square(each), axis=0)) for each in (claimed, fixed))
    own = np.eye(4, dtype=bool)
    for cells in (own, ~own):
        assert 0.9 < claimed[cells].mean() / scatter[cells].mean() < 1.6
    assert fixed[~own].mean() < 0.9 * scatter[~own].mean()


def judge(each, result, draws):
    """Falls of one target by source, [T], and their draws with fixed erasers and probes, [T, n_draws]."""
    used = result.folds[0] != CALIBRATION
    lines = np.concatenate([each.before[:1], each.retrained["inlp"][:, 0]])[:, used]
    found = auroc_lines(lines, result.labels[used], result.groups[used], result.folds[0, used], draws)
    return found[0][0] - found[0][1:], found[1][0] - found[1][1:]
