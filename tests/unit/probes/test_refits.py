"""Probes fitted anew on a draw are those of rows that are there as often as their group was drawn."""

import numpy as np
import pytest
from made.scopes import SETTINGS, probe_rows
from skillprobe.errors import UserError
from skillprobe.probes.refits import refit
from skillprobe.probes.solver import feature_scale
from skillprobe.probes.specialists import fit_scopes
from skillprobe.statistics.bootstrap import draw_groups
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.metrics import auroc, auroc_within
from sklearn.linear_model import LogisticRegression


@pytest.fixture(scope="module")
def fitted():
    rows = probe_rows(response=0.5)
    return rows, fit_scopes(rows, SETTINGS)


def refitted(fitted, scope, n_draws):
    rows, results = fitted
    result = results[scope]
    own = rows if scope == "across" else rows.within()
    scale = feature_scale(rows.x[np.isin(rows.groups, calibration(results["across"]))])
    draws = draw_groups(result.groups[result.folds[0] != CALIBRATION], n_draws=n_draws, seed=1)
    found = refit({0: own.x}, {0: result}, draws, np.zeros(5, int), {0: scale})
    return own, result, scale, draws, *found


def calibration(result):
    return np.unique(result.groups[result.folds[0] == CALIBRATION])


@pytest.mark.parametrize("scope", ["across", "within"])
def test_a_draw_is_the_rows_of_its_groups_as_often(fitted, scope):
    own, result, scale, draws, concordant, pairs = refitted(fitted, scope, 2)
    weight = dict(zip(draws.groups.tolist(), draws.weights[1].astype(int).tolist(), strict=True))
    times = np.array([weight.get(group, 0) for group in result.groups.tolist()])
    rows = np.repeat(np.arange(len(times)), times)
    f, fold = 3, result.folds[0]
    train, test = rows[~np.isin(fold[rows], (f, CALIBRATION))], rows[fold[rows] == f]
    z = own.x.astype(float) / scale
    z = (z - z[train].mean(0)) / np.sqrt(z[train].var(0).mean())
    model = LogisticRegression(C=result.chosen_c[0, f], tol=1e-10, max_iter=10000)
    scores = model.fit(z[train], own.y[train]).decision_function(z)
    y, same = own.y[test], np.zeros(len(test), int)
    if scope == "across":
        expected = auroc(scores[test], y, same)
    else:
        copy = np.concatenate([np.arange(n) for n in times])[fold[rows] == f]
        items = np.array([f"{item}/{n}" for item, n in zip(result.items[test], copy, strict=True)])
        expected = auroc_within(scores[test], y, items, same)
    assert pairs[1, f] == expected.pairs
    assert concordant[1, f] / pairs[1, f] == pytest.approx(expected.value, abs=2e-3)


def test_draws_scatter_more_than_with_fixed_probes(fitted):
    from skillprobe.statistics.bootstrap import auroc_lines

    _, result, _, draws, concordant, pairs = refitted(fitted, "within", 100)
    new = (concordant.sum(axis=1) / pairs.sum(axis=1)).std()
    _, fixed = auroc_lines(
        result.scores[:1], result.labels, result.groups, result.folds[:1], draws, result.items
    )
    assert 1.0 < new / fixed.std() < 2.5


def test_activations_of_other_rows_are_refused(fitted):
    rows, results = fitted
    draws = draw_groups(rows.groups, n_draws=2)
    with pytest.raises(UserError, match="layer 0: 10 activations for 720 rows"):
        refit({0: rows.x[:10]}, {0: results["across"]}, draws, np.zeros(5, int), {0: None})
