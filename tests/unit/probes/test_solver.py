"""The solver is exact."""

import numpy as np
import pytest
from made.erasers import training
from made.probes import SHAPES, data, fit_one
from skillprobe.probes import solver
from skillprobe.probes.solver import Erased, Rows, feature_scale
from sklearn.linear_model import LogisticRegression


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
    erased = Erased(axes, axes.transpose(0, 2, 1))
    ours = [rows.fit(sets, y, penalties, erased=taken) for taken in (None, erased)]
    monkeypatch.setattr(solver, "SINGLE", np.inf)
    exact = [rows.fit(sets, y, penalties, erased=taken) for taken in (None, erased)]
    for one, other in zip(ours, exact, strict=True):
        assert not np.array_equal(one.decision, other.decision)
        np.testing.assert_allclose(one.decision, other.decision, atol=1e-4)
        np.testing.assert_allclose(one.loss, other.loss, rtol=1e-9)


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("signal", [0, 50])
def test_steps_that_are_not_checked_would_have_been_taken_whole(n, d, signal, monkeypatch):
    x, y = data(n, d, signal=0)
    x[:, 0] += signal * y
    sets, penalties = np.arange(n)[:, None] % 7 != np.arange(3), [1e-4, 1e-2, 1.0, 1e3]
    checked = []
    backtrack = solver._Path._backtrack
    monkeypatch.setattr(
        solver._Path, "_backtrack", lambda path, *a: checked.append(len(a[-1])) or backtrack(path, *a)
    )
    found = Rows(x).fit(sets, y, penalties)
    few, checked[:] = sum(checked), []
    monkeypatch.setattr(solver, "SURE", solver.TOLERANCE)
    np.testing.assert_array_equal(Rows(x).fit(sets, y, penalties).decision, found.decision)
    assert few < sum(checked)
    # The bound that it rests on: of the log-loss beyond its line, by its curvature, at every place.
    z, move = np.linspace(-8, 8, 81)[:, None], np.array([-1.5, -0.5, 0.5, 1.5])
    beyond = np.logaddexp(0, z + move) - np.logaddexp(0, z) - move / (1 + np.exp(-z))
    curvature = 1 / (2 + np.exp(z) + np.exp(-z))
    assert (beyond < 0.9 * curvature * move**2).all()


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


def test_nothing_taken_is_the_plain_fit():
    x, y = data(60, 20)
    rows, train = Rows(x), training(60)[:, None]
    r = rows.coordinates.shape[1]
    nothing = Erased(np.zeros((1, r, 0)), np.zeros((1, 0, r)))
    found = rows.fit(train, y, [0.1], erased=nothing).decision
    np.testing.assert_allclose(found, rows.fit(train, y, [0.1]).decision, atol=1e-6)


@pytest.mark.parametrize("missing", [False, True])
def test_one_hot_confounds_are_as_any_others_of_their_span(missing):
    """What is computed as means within groups is the least-squares fit; also where a training set has none of
    a group, and where rows are there several times."""
    rng = np.random.default_rng(6)
    x, group = rng.normal(size=(90, 12)), np.arange(90) % 3
    y = (x[:, 0] + rng.normal(size=90) > 0).astype(int)
    one_hot = group[:, None] == np.arange(3)
    train = rng.integers(0, 3, size=(90, 4))
    train[group == 2, 1] *= not missing
    mixed = one_hot @ np.array([[1.0, 0.5, 0.0], [1.0, -0.5, 0.3], [1.0, 0.0, 2.0]])
    fits = [Rows(x).fit(train, y, [0.01, 0.1], confounds) for confounds in (one_hot, mixed)]
    # A group that isn't trained on has no mean of its own, and so none to tell.
    told = np.ones(90, bool) if not missing else group != 2
    np.testing.assert_allclose(fits[0].decision[:, told], fits[1].decision[:, told], atol=1e-4)
    np.testing.assert_allclose(fits[0].loss, fits[1].loss, rtol=1e-6)


def test_confounds_of_erased_rows_are_refused():
    x, y = data(30, 5)
    nothing = Erased(np.zeros((1, 5, 0)), np.zeros((1, 0, 5)))
    with pytest.raises(ValueError, match="confounds"):
        Rows(x).fit(np.ones((30, 1), bool), y, [0.1], np.ones((30, 1)), nothing)


def test_blocks_and_penalties_side_by_side_change_nothing(monkeypatch):
    """Both are for speed: products without the rows that no training set of a column has, and wider ones."""
    x, y = data(120, 200)
    fold = np.arange(120) % 5
    masks = np.stack([(fold != f) & (fold != g) for f in range(5) for g in range(f)], axis=1)
    penalties = (0.001, 0.01, 0.1)
    rows, of_two = Rows(x), np.eye(2)[np.arange(120) % 2]
    for confounds in (None, of_two):
        together = rows.fit(masks, y, penalties, confounds, blocks=fold)
        monkeypatch.setattr(solver, "FEW", 0)
        alone = rows.fit(masks, y, penalties, confounds)
        monkeypatch.undo()
        np.testing.assert_allclose(together.decision, alone.decision, atol=2e-5)
        np.testing.assert_allclose(together.coefficients, alone.coefficients, atol=2e-5)
        np.testing.assert_allclose(together.loss, alone.loss, rtol=1e-7)
        for ours, theirs in zip(together.raw(1), alone.raw(1), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_the_start_changes_the_way_and_not_the_solution():
    x, y = data(80, 120)
    masks = np.stack([np.arange(80) % 4 != f for f in range(4)], axis=1)
    rows, penalties = Rows(x), (0.01, 0.1)
    plain = rows.fit(masks, y, penalties)
    far = np.full_like(plain.coefficients, 3.0), np.full_like(plain.intercepts, -2.0)
    for start in (far, (plain.coefficients, plain.intercepts), (far[0][0], far[1][0])):
        found = rows.fit(masks, y, penalties, start=start)
        np.testing.assert_allclose(found.decision, plain.decision, atol=2e-5)


@pytest.mark.parametrize("rogue", [1.0, 1e4])
@pytest.mark.parametrize("taken", ["nothing", "confounds", "directions"])
def test_many_features_without_their_principal_axes_give_the_same_fits(taken, rogue, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = data(400, 150)
    x = x * np.logspace(0, -3, 150) @ np.linalg.qr(rng.normal(size=(150, 150)))[0]
    x[:, 0] *= rogue
    x[:, 7] = 3.0
    scale = feature_scale(x) if rogue == 1 else None
    sets, penalties = rng.random((400, 5)) < 0.7, [1e-5, 1e-3, 1e-1, 10.0]
    # None along the constant feature, which is along no principal axis.
    directions = np.linalg.qr(rng.normal(size=(5, 150, 3)) * (x.std(axis=0) > 0)[:, None])[0]

    def fits():
        rows, more = Rows(x, scale), {}
        if taken == "confounds":
            more["confounds"] = np.eye(3)[np.arange(400) % 3]
        elif taken == "directions":
            inside = np.stack([rows.along_axes(each) for each in directions])
            more["erased"] = Erased(inside, inside.transpose(0, 2, 1))
        return rows, rows.fit(sets, y, penalties, **more)

    turned, expected = fits()
    monkeypatch.setattr(solver, "MANY", 100)
    rows, found = fits()
    assert rows.leading is not None and turned.leading is None
    np.testing.assert_allclose(found.decision, expected.decision, atol=1e-5)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-9)
    (ours, _), (theirs, _) = found.raw(2), expected.raw(2)
    np.testing.assert_allclose(x @ ours, x @ theirs, atol=1e-5)


def test_leading_axes_are_those_of_the_largest_spectrum(monkeypatch):
    monkeypatch.setattr(solver, "MANY", 100)
    monkeypatch.setattr(solver, "SHARE", 7)
    x = np.random.default_rng(0).normal(size=(300, 150)) * np.logspace(0, -3, 150)
    rows = Rows(x)
    axes, squares = rows.leading
    exact = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    np.testing.assert_allclose(np.sort(squares)[::-1][:10], exact[:10], rtol=1e-2)
    np.testing.assert_allclose(axes.T @ axes, np.eye(21), atol=1e-5)
    np.testing.assert_allclose(129 * rows.spectrum + squares.sum(), exact.sum(), rtol=1e-5)


@pytest.mark.parametrize("sizes", [(60, 90), (60, 300), (300, 60), (300, 400)])
@pytest.mark.parametrize("many", [10, 1000])
def test_axes_overlap_as_their_directions_among_the_features_do(sizes, many, monkeypatch):
    monkeypatch.setattr(solver, "MANY", many)
    scale = np.linspace(1, 2, 120)
    one, other = (Rows(data(n, 120)[0] + n, scale) for n in sizes)
    directions = [
        rows.weights(np.eye(rows.coordinates.shape[1]))[0] * scale[:, None] for rows in (one, other)
    ]
    np.testing.assert_allclose(one.overlap(other), directions[0].T @ directions[1], atol=1e-9)


@pytest.mark.parametrize("kind", ["one-hot", "any"])
@pytest.mark.parametrize("n_penalties", [2, 20])
def test_confounds_are_taken_out_of_some_training_sets_alone(kind, n_penalties):
    x, y = data(90, 40)
    groups = np.arange(90) % 3
    x += 4 * groups[:, None]
    confounds = np.eye(3)[groups] if kind == "one-hot" else np.stack([np.ones(90), np.arange(90.0)], axis=1)
    rows, sets = Rows(x), np.random.default_rng(0).random((90, 4)) < 0.7
    penalties, some = np.logspace(-3, -1, n_penalties), np.array([False, True, True, False])
    found = rows.fit(sets, y, penalties, confounds, confounded=some)
    for taken, which in ((confounds, some), (None, ~some)):
        alone = rows.fit(sets[:, which], y, penalties, taken)
        np.testing.assert_allclose(found.decision[:, :, which], alone.decision, atol=1e-5)
    weights, intercepts = found.raw(1)
    assert intercepts.shape == (confounds.shape[1], 4)
    if kind == "one-hot":
        np.testing.assert_allclose(x @ weights + intercepts[groups], found.decision[1], atol=1e-8)
        assert (intercepts[:, ~some] == intercepts[0, ~some]).all() and np.ptp(intercepts[:, 1]) > 1e-3
