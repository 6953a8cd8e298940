"""The solver is exact, the protocol leaks nothing, the files hold what was computed."""

import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
from skillprobe.errors import UserError
from skillprobe.probes import solver
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.general_probes import general
from skillprobe.probes.results import ProbeResult, load, save
from skillprobe.probes.solver import Erased, Rows, feature_scale
from skillprobe.probes.specialists import specialist
from skillprobe.statistics.bootstrap import auroc_draws, draw_bases
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import interval
from skillprobe.statistics.metrics import auroc
from sklearn.linear_model import LogisticRegression

SETTINGS = Settings(penalties=(1e-3, 1e-2, 1e-1), shuffles=2)
SHAPES = [(60, 20), (60, 200)]  # primal, dual


def data(n, d, seed=0, signal=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    direction = rng.normal(size=d) / np.sqrt(d)
    x = rng.normal(size=(n, d)) * (1 + np.arange(d) % 3) + signal * (2 * y - 1)[:, None] * direction + 5
    return x, y


def task_data(seed=0, n_bases=44, per_base=6, d=24, signal=1.0, direction=None):
    """x, y, bases of one task, its rows in the order of the bases."""
    rng = np.random.default_rng(seed)
    bases = np.repeat([f"b{i:03d}" for i in range(n_bases)], per_base)
    y = rng.integers(0, 2, len(bases))
    direction = np.eye(d)[0] if direction is None else direction
    x = rng.normal(size=(len(bases), d)) + signal * (2 * y - 1)[:, None] * direction
    return x.astype(np.float32), y, bases


# ----------------------------------------------------------------------------------------------- solver


def fit_one(rows, train, y, penalties, groups=None):
    """The fit of one training set (row numbers), and its decision values [penalty, n]."""
    mask = np.isin(np.arange(len(y)), train)[:, None]
    confounds = None if groups is None else groups[:, None] == np.unique(groups)
    fit = rows.fit(mask, y, penalties, confounds)
    return fit, fit.decision[:, :, 0]


@pytest.mark.parametrize("n, d", SHAPES)
def test_equals_scikit_learn_at_equal_convergence(n, d):
    x, y = data(n, d)
    train, penalties = np.arange(45), [1e-3, 1e-2, 1e-1, 1.0]
    _, decisions = fit_one(Rows(x), train, y, penalties)
    scaled = (x - x[train].mean(0)) / np.sqrt(x[train].var(0).mean())
    for decision, penalty in zip(decisions, penalties, strict=True):
        reference = LogisticRegression(C=penalty, tol=1e-10, max_iter=20000).fit(scaled[train], y[train])
        np.testing.assert_allclose(decision, reference.decision_function(scaled), atol=1e-4)


@pytest.mark.parametrize("n, d", SHAPES)
def test_gradient_is_zero_and_raw_weights_reproduce_the_scores(n, d):
    x, y = data(n, d)
    scale = feature_scale(x)
    train = np.arange(0, n, 2)
    fit, decision = fit_one(Rows(x, scale), train, y, [0.3])
    weights, intercept = fit.raw()
    np.testing.assert_allclose(x @ weights + intercept, decision.T, atol=1e-8)
    z = x[train] / scale
    z = (z - z.mean(0)) / np.sqrt(z.var(0).mean())
    slope = 0.3 * (y[train] - 1 / (1 + np.exp(-decision[0, train])))
    assert abs(slope.sum()) < 1e-5
    deviation = np.sqrt((x[train] / scale).var(0).mean())
    np.testing.assert_allclose(weights[:, 0] * scale * deviation, z.T @ slope, atol=1e-5)


@pytest.mark.parametrize("n, d", [*SHAPES, (90, 1000)])
@pytest.mark.parametrize("penalty", [1e-5, 1e-2, 10.0])
def test_fits_side_by_side_are_those_of_each_alone(n, d, penalty):
    x, y = data(n, d)
    rng = np.random.default_rng(3)
    rows, masks = Rows(x), rng.random((n, 7)) < 0.7
    labels = np.stack([y, *(rng.permutation(y) for _ in range(6))], axis=1)
    together = rows.fit(masks, labels, [penalty / 3, penalty])
    for m in range(7):
        alone = rows.fit(masks[:, [m]], labels[:, m], [penalty])
        np.testing.assert_allclose(together.decision[1, :, m], alone.decision[0, :, 0], atol=2e-5)
        weights, intercept = together.raw(1, slice(m, m + 1))
        np.testing.assert_allclose(
            x @ weights[:, 0] + intercept, together.decision[1, :, m], rtol=1e-8, atol=1e-8
        )


@pytest.mark.parametrize("n, d", SHAPES)
def test_few_and_many_features_agree_within_groups(n, d):
    """Zero features change nothing but which products the axes come from; C keeps its meaning through d."""
    x, y = data(n, d)
    groups, train = np.arange(n) % 3, np.arange(n - 10)
    x += 4 * groups[:, None]
    fit, decision = fit_one(Rows(x), train, y, [0.01, 0.1], groups)
    wide = np.hstack([x, np.zeros((n, 300))])
    _, same = fit_one(Rows(wide), train, y, np.array([0.01, 0.1]) * d / (d + 300), groups)
    np.testing.assert_allclose(same, decision, atol=1e-5)
    weights, intercepts = fit.raw(1)
    np.testing.assert_allclose(x @ weights[:, 0] + intercepts[groups, 0], decision[1], atol=1e-8)
    # Centring within groups: a shift of one group changes no decision value.
    _, shifted = fit_one(Rows(x + 7 * (groups == 1)[:, None]), train, y, [0.01, 0.1], groups)
    np.testing.assert_allclose(shifted, decision, atol=1e-5)


@pytest.mark.parametrize("n, d", SHAPES)
def test_confounds_are_taken_out_as_by_least_squares_on_the_training_rows(n, d):
    x, y = data(n, d)
    train = np.arange(45)
    confounds = np.stack([np.ones(n), np.linspace(-1, 1, n), np.cos(np.arange(n))], axis=1)
    mask = np.isin(np.arange(n), train)[:, None]
    residual = x - confounds @ np.linalg.lstsq(confounds[train], x[train], rcond=None)[0]
    _, expected = fit_one(Rows(residual), train, y, [0.05])
    fit = Rows(x).fit(mask, y, [0.05], confounds)
    np.testing.assert_allclose(fit.decision[:, :, 0], expected, atol=1e-5)
    # What a confound adds to the activations, however strongly, changes nothing.
    leaking = x + 30 * confounds[:, [1]] * np.arange(d)
    np.testing.assert_allclose(
        Rows(leaking).fit(mask, y, [0.05], confounds).decision, fit.decision, atol=1e-4
    )


@pytest.mark.parametrize("n, d", SHAPES)
def test_rotation_shift_units_and_row_order_change_nothing(n, d):
    x, y = data(n, d)
    train = np.arange(45)
    _, expected = fit_one(Rows(x), train, y, [0.1])
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(d, d)))[0]
    _, rotated = fit_one(Rows(1e3 * (x @ rotation) + 40), train, y, [0.1])
    np.testing.assert_allclose(rotated, expected, atol=1e-5)
    order = np.random.default_rng(2).permutation(n)
    _, shuffled = fit_one(Rows(x[order]), np.flatnonzero(order < 45), y[order], [0.1])
    np.testing.assert_allclose(shuffled, expected[:, order], atol=1e-5)


@pytest.mark.parametrize("n, d", SHAPES)
def test_separable_data_stays_finite_and_optimal(n, d):
    x, y = data(n, d, signal=0)
    x[:, 0] += 50 * y
    _, decision = fit_one(Rows(x), np.arange(n), y, [1e-6, 1e3, 1e6])
    assert np.isfinite(decision).all()
    assert ((decision[1:] > 0) == y).all()
    slope = 1e3 * (y - 1 / (1 + np.exp(-decision[1])))
    assert abs(slope.sum()) < 1e-4 * np.abs(slope).sum()


@pytest.mark.parametrize("n, d", [(600, 150), (300, 900)])
@pytest.mark.parametrize("rogue", [1.0, 1e4])
def test_steps_in_single_precision_lead_to_the_same_place(n, d, rogue, monkeypatch):
    """Features of a thousandth to one, or ten thousand times more in one of them as in some models."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, d)) * np.logspace(0, -3, d)
    x[:, 3] += 0.5 * (2 * y - 1)
    x[:, 0] *= rogue
    sets, penalties = rng.random((n, 5)) < 0.7, [1e-5, 1e-3, 1e-1, 10.0]
    rows = Rows(x)
    axes = np.linalg.qr(rng.normal(size=(5, rows.coordinates.shape[1], 3)))[0]
    erased = Erased(rows.coordinates @ axes, axes.transpose(0, 2, 1))
    ours = [rows.fit(sets, y, penalties, erased=taken) for taken in (None, erased)]
    monkeypatch.setattr(solver, "SINGLE", np.inf)
    exact = [rows.fit(sets, y, penalties, erased=taken) for taken in (None, erased)]
    for one, other in zip(ours, exact, strict=True):
        assert not np.array_equal(one.decision, other.decision)
        np.testing.assert_allclose(one.decision, other.decision, atol=1e-4)
        np.testing.assert_allclose(one.loss, other.loss, rtol=1e-9)


@pytest.mark.parametrize("n, d", SHAPES)
def test_constant_features_and_constant_rows(n, d):
    x, y = data(n, d)
    x[:, 1] = 0.1
    scale = feature_scale(x)
    assert (scale > 0.3).all()
    assert np.isfinite(fit_one(Rows(x, scale), np.arange(40), y, [0.1])[1]).all()
    same = np.tile(np.float32(0.1) * np.arange(1, d + 1, dtype=np.float32), (n, 1))
    fit, decision = fit_one(Rows(same, feature_scale(same)), np.arange(40), y, [0.1])
    assert fit.degenerate.all() and (decision == 0).all()
    # Constant on the training rows only.
    same[50:] += 1
    assert fit_one(Rows(same), np.arange(40), y, [0.1])[0].degenerate.all()


def test_one_class_gives_constant_scores_and_leaves_the_others_alone():
    x, y = data(30, 5)
    masks = np.stack([y == 1, np.ones(30, bool)], axis=1)
    fit = Rows(x).fit(masks, y, [0.1, 1.0])
    assert fit.degenerate.tolist() == [True, False] and (fit.decision[:, :, 0] == 0).all()
    weights, intercepts = fit.raw(1)
    assert (weights[:, 0] == 0).all() and intercepts[0] == 0
    np.testing.assert_allclose(
        fit.decision[:, :, 1], fit_one(Rows(x), np.arange(30), y, [0.1, 1.0])[1], atol=1e-6
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_stored_precision_is_read_in_blocks_and_kept(dtype):
    x, y = data(40, 1100)
    x = x.astype(dtype)
    rows = Rows(x)
    assert rows.x is x
    np.testing.assert_allclose(
        fit_one(rows, np.arange(30), y, [0.1])[1],
        fit_one(Rows(x.astype(float)), np.arange(30), y, [0.1])[1],
        atol=1e-6,
    )


# --------------------------------------------------------------------------------------------- protocol


def test_specialist_scores_are_those_of_a_probe_without_the_test_bases():
    x, y, bases = task_data()
    result = specialist(x, y, bases, SETTINGS)
    assert result.status == "" and result.scores.shape == (3, len(y)) and result.scores.dtype == np.float32
    assert np.isnan(result.scores[:, result.folds[0] == CALIBRATION]).all()
    scale = feature_scale(x[result.folds[0] == CALIBRATION])
    for s, f in [(0, 0), (2, 3)]:
        test = result.folds[s] == f
        train = ~test & (result.folds[s] != CALIBRATION)
        assert not set(bases[train]) & set(bases[test])
        z = x / scale
        z = (z - z[train].mean(0)) / np.sqrt(z[train].var(0).mean())
        reference = LogisticRegression(C=result.chosen_c[s, f], tol=1e-10, max_iter=10000).fit(
            z[train], y[train]
        )
        np.testing.assert_allclose(result.scores[s, test], reference.decision_function(z[test]), atol=1e-4)


def test_test_labels_reach_no_score_of_their_fold():
    x, y, bases = task_data(signal=0.5)
    result = specialist(x, y, bases, SETTINGS)
    test = result.folds[0] == 2
    flipped = np.where(test, 1 - y, y)
    other = specialist(x, flipped, bases, SETTINGS)
    np.testing.assert_array_equal(other.scores[0, test], result.scores[0, test])
    assert other.chosen_c[0, 2] == result.chosen_c[0, 2]
    assert other.inner_auroc[0, 2] == result.inner_auroc[0, 2]


def test_inner_auroc_is_of_probes_trained_on_the_other_inner_folds():
    x, y, bases = task_data(signal=0.5)
    one = Settings(penalties=(0.01,), fold_seeds=(4,), feature_scaling=False)
    result = specialist(x, y, bases, one)
    fold, scores = result.folds[0], np.zeros(len(y), np.float32)
    for g in range(1, 5):
        train = np.flatnonzero((fold != 0) & (fold != g) & (fold != CALIBRATION))
        scores[fold == g] = fit_one(Rows(x), train, y, [0.01])[1][0, fold == g]
    expected = auroc(scores, y, np.where(fold == 0, CALIBRATION, fold)).value
    assert result.inner_auroc[0, 0] == pytest.approx(expected)


def test_row_order_and_other_tasks_change_nothing():
    x, y, bases = task_data()
    ids = np.array([f"{base}/{i}" for i, base in enumerate(bases)])
    result = specialist(x, y, bases, SETTINGS, ids=ids)
    order = np.random.default_rng(0).permutation(len(y))
    shuffled = specialist(x[order], y[order], bases[order], SETTINGS, ids=ids[order])
    np.testing.assert_allclose(shuffled.scores, result.scores[:, order], atol=1e-5)
    np.testing.assert_array_equal(shuffled.chosen_c, result.chosen_c)
    # A task that lacks bases keeps the folds of the rest, given the study's bases.
    kept = bases != "b007"
    part = specialist(x[kept], y[kept], bases[kept], SETTINGS, study_bases=bases)
    np.testing.assert_array_equal(part.folds, result.folds[:, kept])


def test_null_data_gives_a_half_within_its_interval():
    inside, values = 0, []
    for seed in range(6):
        x, y, bases = task_data(seed=seed, signal=0)
        result = specialist(x, y, bases, SETTINGS)
        by_seed = [auroc(s, y, f).value for s, f in zip(result.scores, result.folds, strict=True)]
        draws = draw_bases(bases[result.folds[0] >= 0], n_draws=300)
        boot = np.mean(
            [auroc_draws(s, y, bases, f, draws) for s, f in zip(result.scores, result.folds, strict=True)], 0
        )
        found = interval(by_seed, boot, 0.99)
        inside += found.lower <= 0.5 <= found.upper
        values.append(found.estimate)
    assert inside >= 5 and abs(np.mean(values) - 0.5) < 0.04


def tasks_data(directions, **kwargs):
    made = {f"task{i}": task_data(seed=i, direction=v, **kwargs) for i, v in enumerate(directions)}
    return tuple({name: triple[k] for name, triple in made.items()} for k in range(3))


def test_general_of_two_copies_of_a_task_is_its_specialist():
    """Twice the same rows at C/2 is once the rows at C."""
    x, y, bases = task_data(signal=0.5)
    settings = Settings(penalties=(0.02,))
    alone = specialist(x, y, bases, settings)
    both = general(
        {"a": x, "b": x}, {"a": y, "b": y}, {"a": bases, "b": bases}, replace(settings, penalties=(0.01,))
    )
    for variant in ("all", "centred"):
        for task in "ab":
            np.testing.assert_allclose(both[variant][task].scores, alone.scores, atol=1e-4)
            np.testing.assert_allclose(both[variant][task].weights, alone.weights, atol=1e-5)
            assert both[variant][task].intercept == pytest.approx(alone.intercept, abs=1e-4)


def test_centred_general_ignores_offsets_of_tasks():
    x, y, bases = tasks_data([np.eye(24)[0]] * 3, signal=0.5)
    plain = general(x, y, bases, Settings(penalties=(0.01,), feature_scaling=False))
    moved = {name: value + 3 * i for i, (name, value) in enumerate(x.items())}
    after = general(moved, y, bases, Settings(penalties=(0.01,), feature_scaling=False))
    for task in x:
        np.testing.assert_allclose(after["centred"][task].scores, plain["centred"][task].scores, atol=1e-4)
        weights, intercept = after["centred"][task].weights, after["centred"][task].intercept
        assert np.corrcoef(moved[task] @ weights + intercept, after["centred"][task].labels)[0, 1] > 0.3
    assert np.nanmax(np.abs(after["all"]["task0"].scores - plain["all"]["task0"].scores)) > 0.01


def test_matched_general_uses_as_many_rows_as_a_specialist(monkeypatch):
    x, y, bases = tasks_data([np.eye(24)[0]] * 3)
    sizes = []
    fit = Rows.fit

    def counting(self, train, *rest):
        sizes.extend(train.sum(axis=0).tolist())
        return fit(self, train, *rest)

    monkeypatch.setattr(Rows, "fit", counting)
    specialist(x["task0"], y["task0"], bases["task0"], replace(SETTINGS, shuffles=0))
    special, sizes[:] = list(sizes), []
    general(x, y, bases, SETTINGS, variants=["matched"])
    assert sizes == special
    # The pick depends on the ids, not on labels.
    flipped = {name: 1 - label for name, label in y.items()}
    results = [general(x, labels, bases, SETTINGS, variants=["matched"]) for labels in (y, flipped)]
    first, second = (result["matched"]["task1"].scores for result in results)
    np.testing.assert_allclose(first, -second, atol=1e-5)


def test_left_out_general_never_sees_its_task(monkeypatch):
    x, y, bases = tasks_data([np.eye(24)[0]] * 3, signal=0.7)
    fit, given = Rows.fit, []

    def recording(self, train, labels, *rest):
        # A third of the columns for each task: the rows of its training sets, and their labels.
        thirds = zip(np.split(train, 3, 1), np.split(labels, 3, 1), strict=True)
        given.append([(sets, here[sets]) for sets, here in thirds])
        return fit(self, train, labels, *rest)

    monkeypatch.setattr(Rows, "fit", recording)
    results = general(x, y, bases, SETTINGS, variants=["leave_one_out"])["leave_one_out"]
    seen, given[:] = list(given), []
    flipped = y | {"task1": 1 - y["task1"]}
    other = general(x, flipped, bases, SETTINGS, variants=["leave_one_out"])["leave_one_out"]
    monkeypatch.setattr(Rows, "fit", fit)
    rows = np.repeat(range(3), [len(y[name]) for name in results])
    assert len(seen) == len(given) == 2
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
    crossed = general(pair, y, bases, fixed, variants=["leave_one_out"])["leave_one_out"]["task1"]
    alone = specialist(x["task0"], y["task0"], bases["task0"], fixed)
    for s, f in np.ndindex(alone.chosen_c.shape):
        test = crossed.folds[s] == f
        scores = x["task1"][test] @ alone.fold_weights[s, f] + alone.fold_intercepts[s, f]
        np.testing.assert_allclose(crossed.scores[s, test], scores, atol=1e-4)


def test_fold_probes_give_the_scores():
    x, y, bases = task_data(signal=0.5)
    result = specialist(x, y, bases, SETTINGS)
    for s, f in np.ndindex(result.chosen_c.shape):
        test = result.folds[s] == f
        scores = x[test] @ result.fold_weights[s, f] + result.fold_intercepts[s, f]
        np.testing.assert_allclose(result.scores[s, test], scores, atol=1e-4)


def test_shuffled_labels_keep_bases_together_and_say_nothing():
    """A probe of shuffled labels is at chance where rows of a base are alike, and above it with rows dealt
    to folds one by one: the leak that grouping prevents."""
    rng = np.random.default_rng(0)
    n_bases, per_base, d = 60, 8, 128
    bases = np.repeat([f"b{i:03d}" for i in range(n_bases)], per_base)
    # Rows know their base and labels follow the base, but nothing carries over to another base.
    x = np.repeat(2 * rng.normal(size=(n_bases, d)), per_base, axis=0) + rng.normal(size=(len(bases), d))
    y = rng.random(len(bases)) < np.repeat(rng.choice([0.1, 0.9], n_bases), per_base)
    result = specialist(x, y.astype(int), bases, replace(SETTINGS, shuffles=10))
    for labels in result.shuffled_labels:
        rates = [sorted(each.reshape(n_bases, per_base).sum(1)) for each in (labels, result.labels)]
        assert rates[0] == rates[1]
    control = [
        auroc(scores, labels, result.folds[0]).value
        for scores, labels in zip(result.shuffled_scores, result.shuffled_labels, strict=True)
    ]
    assert abs(np.mean(control) - 0.5) < 0.06
    draws = draw_bases(bases[result.folds[0] >= 0], n_draws=300)
    scores, folds = result.scores[0], result.folds[0]
    found = interval([auroc(scores, y, folds).value], auroc_draws(scores, y, bases, folds, draws), 0.99)
    assert found.lower < 0.5 < found.upper
    # The same rows with a base of its own for each.
    leaking = specialist(x, y.astype(int), [f"r{i}" for i in range(len(y))], SETTINGS)
    assert auroc(leaking.scores[0], y, leaking.folds[0]).value > 0.65


def test_residualised_probe_loses_what_the_confound_says_and_keeps_the_rest():
    rng = np.random.default_rng(1)
    x, y, bases = task_data(signal=0, n_bases=80)
    length = 20 + 2 * y + rng.normal(size=len(y))
    x[:, 3] += length
    confounds = np.stack([np.ones(len(y)), length], axis=1)

    def measured(x):
        result = specialist(x, y, bases, SETTINGS, confounds=confounds)
        scores = (result.scores[0], result.residualised_scores[0])
        return [auroc(each, y, result.folds[0]).value for each in scores]

    plain, left = measured(x)
    assert plain > 0.8 and left < 0.65
    # A second signal, of which the length says nothing.
    x[:, 5] += 4 * (y - (length - length.mean()) @ y / np.sum((length - length.mean()) ** 2) * length)
    assert measured(x)[1] > 0.8


def test_insufficient_tasks_are_left_out_and_say_so():
    x, y, bases = tasks_data([np.eye(24)[0]] * 3)
    alone = general({k: x[k] for k in ("task0", "task1")}, y, bases, SETTINGS, study_bases=bases["task0"])
    y["task2"] = np.ones_like(y["task2"])
    results = general(x, y, bases, Settings(penalties=SETTINGS.penalties))
    assert "0 violated responses" in results["all"]["task2"].status
    assert np.isnan(results["all"]["task2"].scores).all()
    assert alone["all"]["task0"].scores.shape == results["all"]["task0"].scores.shape
    y["task1"] = y["task2"]
    lonely = general(x, y, bases, SETTINGS)
    assert "two sufficient tasks" in lonely["centred"]["task0"].status
    assert "violated" in lonely["centred"]["task1"].status
    y["task0"] = y["task2"]
    assert all(
        result.status for by_task in general(x, y, bases, SETTINGS).values() for result in by_task.values()
    )
    cut = specialist(*task_data(), SETTINGS, truncated_fraction=0.2)
    assert "truncated" in cut.status and cut.weights.size == 0


def test_constant_activations_are_flagged_not_scored():
    x, y, bases = task_data()
    result = specialist(np.ones_like(x), y, bases, SETTINGS)
    assert result.status == "" and auroc(result.scores[0], y, result.folds[0]).constant


def test_bad_input_is_refused_in_words():
    x, y, bases = task_data()
    with pytest.raises(UserError, match="not finite"):
        specialist(np.where(x > 2, np.nan, x), y, bases, SETTINGS)
    with pytest.raises(UserError, match="labels must be"):
        specialist(x, y + 1, bases, SETTINGS)
    with pytest.raises(UserError, match="one each"):
        specialist(x, y[1:], bases, SETTINGS)
    with pytest.raises(UserError, match="ascending"):
        Settings(penalties=(1.0, 0.1))


# ------------------------------------------------------------------------------------------------ files


def same(a: ProbeResult, b: ProbeResult) -> bool:
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(ProbeResult)]
    return all(
        np.array_equal(p, q, equal_nan=not isinstance(p, str) and np.asarray(p).dtype.kind == "f")
        for p, q in pairs
    )


def test_files_give_back_the_result_with_equal_bytes(tmp_path):
    x, y, bases = tasks_data([np.eye(24)[0]] * 3)
    y["task2"] = np.ones_like(y["task2"])
    results = general(x, y, bases, SETTINGS, variants=["all", "centred"])
    special = specialist(
        x["task0"], y["task0"], bases["task0"], SETTINGS, ids=[f"é{i}" for i in range(len(x["task0"]))]
    )
    for name, result in (("general", results), ("specialist", special)):
        save(tmp_path / f"{name}.h5", result)
        save(tmp_path / f"{name}2.h5", result)
        assert (tmp_path / f"{name}.h5").read_bytes() == (tmp_path / f"{name}2.h5").read_bytes()
    assert same(load(tmp_path / "specialist.h5"), special)
    back = load(tmp_path / "general.h5")
    assert list(back) == ["all", "centred"] and list(back["all"]) == ["task0", "task1", "task2"]
    assert all(same(back[v][t], results[v][t]) for v in results for t in results[v])
    (tmp_path / "broken.h5").write_text("no")
    with pytest.raises(UserError, match=r"broken\.h5"):
        load(tmp_path / "broken.h5")


# -------------------------------------------------------------------------------------------- estimator


def test_estimator_passes_scikit_learns_checks():
    from skillprobe.probes import LogisticProbe
    from sklearn.utils.estimator_checks import check_estimator

    check_estimator(LogisticProbe())


def test_estimator_is_the_solver():
    from skillprobe.probes import LogisticProbe

    x, y = data(60, 20)
    scale = feature_scale(x)
    probe = LogisticProbe(C=0.1, scale=scale).fit(x, np.array(["no", "yes"])[y])
    np.testing.assert_allclose(
        probe.decision_function(x), fit_one(Rows(x, scale), np.arange(60), y, [0.1])[1][0]
    )
    assert (
        probe.predict_proba(x).sum(1) == pytest.approx(1) and probe.score(x, np.array(["no", "yes"])[y]) > 0.6
    )
    with pytest.raises(ValueError, match="one positive number for each of the 20"):
        LogisticProbe(scale=np.ones(3)).fit(x, y)


def test_probe_jobs_import_neither_scikit_learn_nor_scipy():
    code = (
        "import sys, skillprobe.probes.specialists, skillprobe.analyses.generality;"
        "assert not {'sklearn', 'scipy', 'pandas', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
