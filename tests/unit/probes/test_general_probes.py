"""Probes of all tasks at once."""

from dataclasses import replace

import numpy as np
import pytest
from made.probes import SETTINGS, task_data, tasks_data
from made.scopes import SETTINGS as SCOPED
from made.scopes import probe_rows
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.general_probes import fit_general_scopes, general
from skillprobe.probes.solver import Rows
from skillprobe.probes.specialists import specialist
from skillprobe.statistics.bootstrap import draw_groups
from skillprobe.statistics.intervals import auroc_estimate
from skillprobe.statistics.metrics import auroc


def test_general_of_two_copies_of_a_task_is_its_specialist():
    """Twice the same rows at C/2 is once the rows at C."""
    x, y, groups = task_data(signal=0.5)
    settings = Settings(penalties=(0.02,))
    alone = specialist(x, y, groups, settings)
    both = general(
        {"a": x, "b": x}, {"a": y, "b": y}, {"a": groups, "b": groups}, replace(settings, penalties=(0.01,))
    )
    for variant in ("all", "centred"):
        for task in "ab":
            np.testing.assert_allclose(both[variant][task].scores, alone.scores, atol=1e-4)
            np.testing.assert_allclose(both[variant][task].weights, alone.weights, atol=1e-5)
            assert both[variant][task].intercept == pytest.approx(alone.intercept, abs=1e-4)


def test_centred_general_ignores_offsets_of_tasks():
    x, y, groups = tasks_data([np.eye(24)[0]] * 3, signal=0.5)
    plain = general(x, y, groups, Settings(penalties=(0.01,), feature_scaling=False))
    moved = {name: value + 3 * i for i, (name, value) in enumerate(x.items())}
    after = general(moved, y, groups, Settings(penalties=(0.01,), feature_scaling=False))
    for task in x:
        np.testing.assert_allclose(after["centred"][task].scores, plain["centred"][task].scores, atol=1e-4)
        weights, intercept = after["centred"][task].weights, after["centred"][task].intercept
        assert np.corrcoef(moved[task] @ weights + intercept, after["centred"][task].labels)[0, 1] > 0.3
    assert np.nanmax(np.abs(after["all"]["task0"].scores - plain["all"]["task0"].scores)) > 0.01


def test_matched_general_uses_as_many_rows_as_a_specialist(monkeypatch):
    x, y, groups = tasks_data([np.eye(24)[0]] * 3)
    sizes = []
    fit = Rows.fit

    def counting(self, train, *rest, **options):
        sizes.extend(train.sum(axis=0).tolist())
        return fit(self, train, *rest, **options)

    monkeypatch.setattr(Rows, "fit", counting)
    specialist(x["task0"], y["task0"], groups["task0"], replace(SETTINGS, shuffles=0))
    special, sizes[:] = list(sizes), []
    general(x, y, groups, SETTINGS, variants=["matched"])
    assert sizes == special
    # The pick depends on the ids, not on labels.
    flipped = {name: 1 - label for name, label in y.items()}
    results = [general(x, labels, groups, SETTINGS, variants=["matched"]) for labels in (y, flipped)]
    first, second = (result["matched"]["task1"].scores for result in results)
    np.testing.assert_allclose(first, -second, atol=1e-5)


def test_left_out_general_never_sees_its_task(monkeypatch):
    x, y, groups = tasks_data([np.eye(24)[0]] * 3, signal=0.7)
    fit, given = Rows.fit, []

    def recording(self, train, labels, *rest, **options):
        # A third of the columns for each task: the rows of its training sets, and their labels.
        thirds = zip(np.split(train, 3, 1), np.split(labels, 3, 1), strict=True)
        given.append([(sets, here[sets]) for sets, here in thirds])
        return fit(self, train, labels, *rest, **options)

    monkeypatch.setattr(Rows, "fit", recording)
    results = general(x, y, groups, SETTINGS, variants=["leave_one_out"])["leave_one_out"]
    seen, given[:] = list(given), []
    flipped = y | {"task1": 1 - y["task1"]}
    other = general(x, flipped, groups, SETTINGS, variants=["leave_one_out"])["leave_one_out"]
    monkeypatch.setattr(Rows, "fit", fit)
    rows = np.repeat(range(3), [len(y[name]) for name in results])
    # The inner fits of each fold seed, and all outer ones.
    assert len(seen) == len(given) == len(SETTINGS.fold_seeds) + 1
    for before, after in zip(seen, given, strict=True):
        for task, (sets, labels) in enumerate(before):
            assert not sets[rows == task].any() and sets[rows != task].any()
            np.testing.assert_array_equal(after[task][0], sets)
            assert np.array_equal(after[task][1], labels) == (task == 1)
    # The scores but for rounding: all tasks are solved for side by side.
    np.testing.assert_allclose(other["task1"].scores, results["task1"].scores, atol=1e-6)
    assert (
        np.abs(other["task0"].scores - results["task0"].scores)[:, other["task0"].folds[0] >= 0].max() > 0.01
    )
    # One direction serves all tasks here, so that what the others teach is right.
    aurocs = [auroc(r.scores[0], r.labels, r.folds[0]).value for r in results.values()]
    assert min(aurocs) > 0.7
    # Of two tasks, each is scored by the other's specialist.
    pair = {name: x[name] for name in ("task0", "task1")}
    fixed = Settings(penalties=(0.01,), feature_scaling=False, shuffles=0)
    crossed = general(pair, y, groups, fixed, variants=["leave_one_out"])["leave_one_out"]["task1"]
    alone = specialist(x["task0"], y["task0"], groups["task0"], fixed)
    for s, f in np.ndindex(alone.chosen_c.shape):
        test = crossed.folds[s] == f
        scores = x["task1"][test] @ alone.fold_weights[s, f] + alone.fold_intercepts[s, f]
        np.testing.assert_allclose(crossed.scores[s, test], scores, atol=1e-4)


def test_insufficient_tasks_are_left_out_and_say_so():
    x, y, groups = tasks_data([np.eye(24)[0]] * 3)
    alone = general({k: x[k] for k in ("task0", "task1")}, y, groups, SETTINGS, study_groups=groups["task0"])
    y["task2"] = np.ones_like(y["task2"])
    results = general(x, y, groups, Settings(penalties=SETTINGS.penalties))
    assert "0 violated responses" in results["all"]["task2"].status
    assert np.isnan(results["all"]["task2"].scores).all()
    assert alone["all"]["task0"].scores.shape == results["all"]["task0"].scores.shape
    y["task1"] = y["task2"]
    lonely = general(x, y, groups, SETTINGS)
    assert "two sufficient tasks" in lonely["centred"]["task0"].status
    assert "violated" in lonely["centred"]["task1"].status
    y["task0"] = y["task2"]
    assert all(
        result.status for by_task in general(x, y, groups, SETTINGS).values() for result in by_task.values()
    )
    cut = specialist(*task_data(), SETTINGS, truncated_fraction=0.21)
    assert "truncated" in cut.status and cut.weights.size == 0


def test_one_direction_is_general_within_prompts_and_two_are_not():
    for directions, same in (((1, 1), True), ((1, 2), False)):
        rows = {
            task: probe_rows(task=task, response=0.8, direction=direction)
            for task, direction in zip(("topic", "register"), directions, strict=True)
        }
        found = fit_general_scopes(rows, SCOPED)["within"]
        assert set(found) == {"centred", "matched", "leave_one_out"}
        for task in rows:
            result = found["leave_one_out"][task]
            draws = draw_groups(result.groups, n_draws=10)
            value = float(auroc_estimate(result, draws).value)
            assert value > 0.75 if same else value < 0.6
            assert np.isnan(result.task_inner_auroc).all()
            assert np.isfinite(found["centred"][task].task_inner_auroc).all()
