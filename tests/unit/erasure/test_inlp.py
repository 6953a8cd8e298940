"""INLP is that of the paper, however many training sets are solved side by side."""

import numpy as np
import pytest
from made.erasers import among_features, features, logistic, one_inlp, scale_of, training
from made.probes import SHAPES, data
from skillprobe.erasure.inlp import inlp
from skillprobe.probes import solver
from skillprobe.probes.solver import Rows, feature_scale

PENALTIES = [1e-2, 1e-1, 1.0]


def unit(x, train, scale):
    """Rows as a probe sees them: scaled features, centred and divided by one number, of the training rows."""
    z = features(x, scale)
    z = z - z[train].mean(0)
    return z / np.sqrt(np.mean(z[train] ** 2))


def plain_inlp(x, y, train, penalty, rank, scale=None):
    """As in the paper: probes of rows that are multiplied by a d×d projection, [d, rank]."""
    z, projection, directions = unit(x, train, scale), np.eye(x.shape[1]), []
    for _ in range(rank):
        weights = projection @ logistic((z @ projection)[train], y[train], penalty).coef_[0]
        directions.append(weights / np.linalg.norm(weights))
        projection -= np.outer(directions[-1], directions[-1])
    return np.stack(directions, axis=1)


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_inlp_is_that_of_dense_projections(n, d, scaled, penalty):
    """Of few directions: each one magnifies the rounding of those before it, the less they leave the more."""
    x, y = data(n, d)
    scale, train = scale_of(x, scaled), training(n)
    directions = plain_inlp(x, y, train, penalty, 2, scale)
    eraser = one_inlp(x, y, scale, penalty=penalty, rank=2)
    divisor = np.ones(d) if scale is None else scale
    signs = np.sign(np.sum(among_features(eraser, scale)[0] * directions, axis=0))
    tolerance = [1e-6, 2e-5]
    for number in range(2):
        expected = signs[number] * directions[:, number]
        for found in (eraser.a[:, number] / divisor, eraser.b[number] * divisor):
            np.testing.assert_allclose(found, expected, atol=tolerance[number])


@pytest.mark.parametrize("scaled", [False, True])
def test_inlp_is_that_of_dense_projections_for_many_directions_where_much_is_left(scaled):
    x, y = data(200, 20)
    scale = scale_of(x, scaled)
    directions = plain_inlp(x, y, training(200), 10.0, 4, scale)
    found = among_features(one_inlp(x, y, scale, penalty=10.0, rank=4), scale)[0]
    np.testing.assert_allclose(np.abs(np.sum(found * directions, axis=0)), 1, atol=1e-12)
    np.testing.assert_allclose(found, directions * np.sign(np.sum(found * directions, axis=0)), atol=1e-6)


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_each_direction_is_that_of_a_probe_of_what_those_before_leave(n, d, scaled, penalty):
    x, y = data(n, d)
    scale, train, rank = scale_of(x, scaled), training(n), 6
    rows = Rows(x, scale)
    found = inlp(rows, train[:, None], y, penalty, rank)
    directions = among_features(found.erasers()[0], scale)[0]
    assert directions.shape == (d, rank)
    z = unit(x, train, scale)
    for step in range(rank):
        before = directions[:, :step]
        rest = z - z @ before @ before.T
        probe = logistic(rest[train], y[train], penalty)
        weights = probe.coef_[0] / np.linalg.norm(probe.coef_[0])
        np.testing.assert_allclose(directions[:, step], weights, atol=3e-5 if step else 1e-6)
        np.testing.assert_allclose(found.decision[step, :, 0], probe.decision_function(rest), atol=5e-5)
        loss = np.logaddexp(0, (1 - 2 * y) * probe.decision_function(rest))[train].sum()
        objective = probe.coef_[0] @ probe.coef_[0] / 2 + penalty * loss
        assert found.loss[step, 0] == pytest.approx(objective, rel=1e-7)


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("scaled", [False, True])
def test_directions_are_orthonormal_after_the_scale(n, d, scaled):
    x, y = data(n, d)
    scale = scale_of(x, scaled)
    along, read = among_features(one_inlp(x, y, scale, rank=8), scale)
    np.testing.assert_allclose(along, read, atol=1e-12)
    np.testing.assert_allclose(along.T @ along, np.eye(8), atol=1e-11)


@pytest.mark.parametrize("n, d", SHAPES)
def test_the_first_directions_are_those_of_a_smaller_rank(n, d):
    x, y = data(n, d)
    scale = feature_scale(x)
    large, small = one_inlp(x, y, scale, rank=5), one_inlp(x, y, scale, rank=2)
    cut = large.truncated(2)
    for name in ("a", "b", "mean"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(small, name))


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("penalty", [1e-3, 0.1, 10.0])
def test_the_loss_of_the_best_probe_never_falls(n, d, penalty):
    x, y = data(n, d)
    loss = inlp(Rows(x), training(n)[:, None], y, penalty, 6).loss[:, 0]
    assert (np.diff(loss) > -1e-9 * loss[:-1]).all() and loss[-1] > loss[0]
    # Nor does it pass that of the group rate, with no weights at all.
    rate = y[training(n)].mean()
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert loss[-1] <= penalty * entropy * training(n).sum() * (1 + 1e-9)


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("scaled", [False, True])
def test_the_mean_is_the_midpoint_of_the_training_classes(n, d, scaled):
    x, y = data(n, d)
    train = training(n)
    eraser = one_inlp(x, y, scale_of(x, scaled))
    middle = (x[train & (y == 1)].mean(0) + x[train & (y == 0)].mean(0)) / 2
    assert np.abs(middle - x[train].mean(0)).max() > 1e-3  # classes of unequal size tell them apart
    np.testing.assert_allclose(eraser.b @ eraser.mean, eraser.b @ middle, atol=1e-9)
    # Both class means are means of rows, so the midpoint is in their span.
    np.testing.assert_allclose(eraser.mean, middle, atol=1e-9)


@pytest.mark.parametrize("n, d", SHAPES)
def test_a_probe_reads_nothing_of_the_directions_before_it(n, d):
    x, y = data(n, d)
    rows = Rows(x)
    found = inlp(rows, training(n)[:, None], y, 0.1, 5)
    design = np.column_stack([rows.coordinates, np.ones(n)])
    for step in range(1, 5):
        weights = np.linalg.lstsq(design, found.decision[step, :, 0], rcond=None)[0][:-1]
        along = found.axes[0, :, :step].T @ weights / np.linalg.norm(weights)
        np.testing.assert_allclose(along, 0, atol=1e-8)
        assert found.axes[0, :, step] @ weights == pytest.approx(np.linalg.norm(weights))


@pytest.mark.parametrize("n, d", SHAPES)
def test_training_sets_side_by_side_are_as_alone(n, d):
    x, y = data(n, d)
    rng = np.random.default_rng(3)
    rows, sets = Rows(x), rng.random((n, 5)) < 0.7
    labels = np.stack([y, *(rng.permutation(y) for _ in range(4))], axis=1)
    penalties = np.array([0.03, 0.1, 0.3, 1.0, 0.1])
    together = inlp(rows, sets, labels, penalties, 2)
    assert len(together.erasers(slice(1, 3))) == 2
    for m in range(5):
        alone = inlp(rows, sets[:, [m]], labels[:, m], penalties[m], 2)
        np.testing.assert_allclose(together.axes[m], alone.axes[0], atol=1e-4)
        np.testing.assert_allclose(together.axes[m, :, 0], alone.axes[0, :, 0], atol=1e-6)
        np.testing.assert_allclose(together.decision[:, :, m], alone.decision[:, :, 0], atol=1e-4)
        np.testing.assert_allclose(together.midpoint[m], alone.midpoint[0], atol=1e-12)
        np.testing.assert_allclose(together.loss[:, m], alone.loss[:, 0], rtol=1e-7)


@pytest.mark.parametrize("n, d", SHAPES)
def test_weighted_rows_are_repeated_rows(n, d):
    """And begin where they will, at most rounding is changed."""
    x, y = data(n, d)
    rng = np.random.default_rng(4)
    times = rng.integers(0, 4, n) * training(n)
    rows, some = Rows(x), rng.normal(size=(2, min(n, d), 1))
    plain = inlp(rows, (times > 0)[:, None], y, 0.1, 2)
    repeated = Rows(np.repeat(x, times, axis=0))
    expected = inlp(repeated, np.ones((times.sum(), 1), bool), np.repeat(y, times), 0.1, 2).erasers()[0]
    starts = [
        None,
        (plain.coefficients, plain.intercepts),
        (some[:, : rows.coordinates.shape[1]], np.ones((2, 1))),
    ]
    for start in starts:
        found = inlp(rows, times[:, None].astype(float), y, 0.1, 2, start=start).erasers()[0]
        np.testing.assert_allclose(found.a, expected.a, atol=1e-4)
        np.testing.assert_allclose(found.mean, expected.mean, atol=1e-9)
    assert np.abs(plain.erasers()[0].a - expected.a).max() > 0.05


@pytest.mark.parametrize("n, d", SHAPES)
def test_directions_turn_with_the_rows(n, d):
    x, y = data(n, d)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(d, d)))[0]
    turned = one_inlp(100 * x @ rotation + 3, y, rank=2)
    plain = one_inlp(x, y, rank=2)
    np.testing.assert_allclose(turned.a, rotation.T @ plain.a, atol=1e-4)
    np.testing.assert_allclose(turned.mean, 100 * plain.mean @ rotation + 3, atol=1e-9)


@pytest.mark.parametrize("d", [5, 60])
def test_rows_that_differ_in_few_directions_give_no_more(d):
    x, y = data(40, d)
    flat = x[:, :3] @ np.random.default_rng(0).normal(size=(3, d))
    found = inlp(Rows(flat), np.ones((40, 1), bool), y, 1.0, 3)
    assert found.erasers()[0].rank == 3
    # After them all rows are one.
    after = found.erasers()[0](flat)
    np.testing.assert_allclose(after, np.broadcast_to(after[0], after.shape), atol=1e-9)


@pytest.mark.parametrize("d", [5, 60])
def test_few_training_rows_give_as_many_directions_as_they_differ_in(d):
    """Whatever the other rows do."""
    x, _ = data(40, d)
    few = np.arange(40) < 4
    found = inlp(Rows(x), few[:, None], np.arange(40) % 2, 1.0, 5)
    assert found.erasers()[0].rank == 3
    assert found.axes.shape[2] == 5 and not found.axes[0, :, 3:].any()
    assert np.ptp(found.erasers()[0](x)[~few], axis=0).max() > 1


@pytest.mark.parametrize("d", [5, 60])
def test_directions_lie_in_the_span_of_the_training_rows(d):
    """As all probes do: so as many of them as the training rows differ in leave these no difference."""
    x, _ = data(40, d)
    few = np.arange(40) < 4
    after = one_inlp(x, np.arange(40) % 2, train=few, penalty=1.0, rank=3)(x)[few]
    left = np.linalg.norm(after - after.mean(0)) / np.linalg.norm(x[few] - x[few].mean(0))
    assert left < 1e-4


@pytest.mark.parametrize("penalty, rank", [(1e-3, 4), (1e-2, 6)])
def test_short_weights_are_not_taken_for_rounding_errors(penalty, rank):
    """A strong penalty makes each step's weights much shorter than those before, but no less exact."""
    x, y = data(60, 20)
    eraser, train = one_inlp(x, y, penalty=penalty, rank=rank), training(60)
    assert eraser.rank == rank
    rest = unit(x, train, None) - unit(x, train, None) @ eraser.a[:, :-1] @ eraser.b[:-1]
    weights = logistic(rest[train], y[train], penalty).coef_[0]
    assert np.linalg.norm(weights) < 1e-5
    np.testing.assert_allclose(eraser.a[:, -1], weights / np.linalg.norm(weights), atol=3e-5)


def test_one_class_gives_an_eraser_that_takes_nothing():
    x, y = data(30, 5)
    sets = np.stack([y == 1, np.ones(30, bool)], axis=1)
    found = inlp(Rows(x), sets, y, 0.1, 2)
    none, some = found.erasers()
    assert none.rank == 0 and some.rank == 2
    np.testing.assert_array_equal(none(x), x)
    alone = one_inlp(x, y, train=sets[:, 1], rank=2)
    np.testing.assert_allclose(some.a, alone.a, atol=1e-5)


@pytest.mark.parametrize("different", [5, 12, 60])
def test_many_rows_of_which_few_differ_give_no_directions_of_rounding(different, monkeypatch):
    """As states at the end of a prompt, one for all its samples, of more features than are rotated."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(different, 150))[np.arange(400) % different]
    y = (x @ rng.normal(size=150) / 12 + rng.logistic(size=400) * 0.3 > 0).astype(int)
    train, found = rng.random((400, 3)) < 0.8, []
    for many in (1000, 100):
        monkeypatch.setattr(solver, "MANY", many)
        rows = Rows(x)
        axes = inlp(rows, train, y, 0.1, 8).axes
        found.append(np.stack([rows.weights(each)[0] for each in axes]))
        assert (found[-1].any(axis=1).sum(axis=1) == min(8, different - 1)).all()
    # Of which 18 axes are looked at.
    assert (rows.leading is None) == (different < 18)
    signs = np.sign(np.sum(found[0] * found[1], axis=1, keepdims=True))
    np.testing.assert_allclose(found[1] * signs, found[0], atol=1e-6)
