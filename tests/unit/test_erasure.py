"""Erasers do what their papers promise, and what they promise together with the probes."""

import numpy as np
import pytest
from skillprobe.erasure import INLP, LEACE, Eraser, load, save
from skillprobe.erasure.cross import _Taken
from skillprobe.erasure.inlp import inlp
from skillprobe.erasure.leace import leace
from skillprobe.errors import UserError
from skillprobe.probes import LogisticProbe
from skillprobe.probes.solver import Erased, Rows, feature_scale
from sklearn.linear_model import LogisticRegression

SHAPES = [(60, 20), (60, 200)]  # more rows than features, and fewer
PENALTIES = [1e-2, 1e-1, 1.0]


def data(n, d, seed=0, signal=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    direction = rng.normal(size=d) / np.sqrt(d)
    x = rng.normal(size=(n, d)) * (1 + np.arange(d) % 3) + signal * (2 * y - 1)[:, None] * direction + 5
    return x, y


def scale_of(x, scaled):
    return feature_scale(x) if scaled else None


def training(n, share=0.75):
    return np.arange(n) < share * n


def features(x, scale):
    return x if scale is None else x / scale


def unit(x, train, scale):
    """Rows as a probe sees them: scaled features, centred and divided by one number, of the training rows."""
    z = features(x, scale)
    z = z - z[train].mean(0)
    return z / np.sqrt(np.mean(z[train] ** 2))


def logistic(z, y, penalty):
    """Solved to machine precision."""
    return LogisticRegression(C=penalty, solver="newton-cholesky", tol=1e-13, max_iter=1000).fit(z, y)


def among_features(eraser, scale):
    """The directions of an eraser among the scaled features: along what, and what is read; [d, k] each."""
    scale = np.ones(len(eraser.a)) if scale is None else scale
    return eraser.a / scale[:, None], eraser.b.T * scale[:, None]


def one_inlp(x, y, scale=None, train=None, penalty=0.1, rank=3, alpha=1.0):
    train = training(len(x)) if train is None else train
    return inlp(Rows(x, scale), train[:, None], y, penalty, rank).erasers(alpha=alpha)[0]


def class_gap(x, y):
    """Difference of the class means, in standard deviations of the rows."""
    return (x[y == 1].mean(0) - x[y == 0].mean(0)) / x.std()


@pytest.fixture(params=["inlp", "scaled inlp", "leace", "scaled leace"])
def method(request):
    return request.param


@pytest.fixture(params=SHAPES)
def fitted(request, method):
    """Rows, some of which an eraser was fitted on, and the eraser."""
    x, y = data(*request.param)
    scale = scale_of(x, "scaled" in method)
    if "inlp" in method:
        return x, one_inlp(x, y, scale)
    return x, leace(Rows(x, scale), training(len(x)), y)


# ------------------------------------------------------------------------------------------ affine maps


def test_reading_what_is_taken_is_the_identity(fitted):
    _, eraser = fitted
    np.testing.assert_allclose(eraser.b @ eraser.a, np.eye(eraser.rank), atol=1e-12)


def test_erasing_twice_is_erasing_once(fitted):
    x, eraser = fitted
    once = eraser(x)
    assert np.abs(once - x).max() > 0.1
    np.testing.assert_allclose(eraser(once), once, atol=1e-10)


def test_reflecting_twice_gives_the_rows_back(fitted):
    x, eraser = fitted
    reflect = eraser.with_alpha(2.0)
    np.testing.assert_allclose(reflect(reflect(x)), x, atol=1e-10)
    # Half way to the reflection lies the projection.
    np.testing.assert_allclose((x + reflect(x)) / 2, eraser(x), atol=1e-10)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_what_is_read_shrinks_by_alpha_and_the_rest_stays(fitted, alpha):
    x, eraser = fitted
    read = (x - eraser.mean) @ eraser.b.T
    after = eraser.with_alpha(alpha)(x)
    np.testing.assert_allclose((after - eraser.mean) @ eraser.b.T, (1 - alpha) * read, atol=1e-9)
    # Rows of which nothing is read, and any direction that what is taken has no part of, keep their values.
    unread = x - read @ eraser.a.T
    np.testing.assert_allclose(eraser.with_alpha(alpha)(unread), unread, atol=1e-10)
    complement = np.eye(x.shape[1]) - eraser.a @ np.linalg.pinv(eraser.a)
    np.testing.assert_allclose(after @ complement, x @ complement, atol=1e-9)


def test_the_mean_stays_where_it_is(fitted):
    _, eraser = fitted
    for alpha in (1.0, 2.0):
        np.testing.assert_array_equal(eraser.with_alpha(alpha)(eraser.mean), eraser.mean)


def test_what_is_taken_has_the_rank_of_the_eraser(fitted):
    x, eraser = fitted
    assert np.linalg.matrix_rank(x - eraser(x), tol=1e-8) == eraser.rank
    part = eraser.truncated(1)
    assert part.rank == 1 and np.linalg.matrix_rank(x - part(x), tol=1e-8) == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_shape_of_rows_and_any_float_type(fitted, dtype):
    x, eraser = fitted
    cube = x[:12].reshape(3, 4, -1).astype(dtype)
    after = eraser(cube)
    assert after.dtype == dtype and after.shape == cube.shape
    np.testing.assert_allclose(after[1, 2], eraser(cube[1, 2].astype(float)), rtol=2e-3, atol=1e-2)


# ------------------------------------------------------------------------------------------------- INLP


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
    # Nor does it pass that of the base rate, with no weights at all.
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


# ------------------------------------------------------------------------------------------------ LEACE


def isotropic(n, d):
    """Rows for which the package's shrunk covariance is not positive: far fewer than features."""
    return np.random.default_rng(0).normal(size=(n, d)), np.arange(n) % 2


def in_their_span(x):
    """Coordinates of the centred rows in as many dimensions as they span."""
    centred = x - x.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][: min(len(x) - 1, x.shape[1])]
    return centred @ axes.T


@pytest.mark.parametrize("n, d", [*SHAPES, (60, 44), (60, 46), (26, 500)])
@pytest.mark.parametrize("scaled", [False, True])
def test_leace_makes_the_class_means_equal_on_training_rows_only(n, d, scaled):
    x, y = data(n, d)
    train = training(n)
    after = leace(Rows(x, scale_of(x, scaled)), train, y)(x)
    np.testing.assert_allclose(class_gap(after[train], y[train]), 0, atol=1e-10)
    assert np.abs(class_gap(after[~train], y[~train])).max() > 0.1
    np.testing.assert_allclose(after[train].mean(0), x[train].mean(0), atol=1e-10)


@pytest.mark.parametrize("n, d", SHAPES)
def test_no_linear_probe_finds_anything_after_leace(n, d):
    x, y = data(n, d)
    train = training(n)
    scores = LogisticProbe(C=1.0).fit(x[train], y[train]).decision_function(x[train])
    assert np.ptp(scores) > 1
    after = leace(Rows(x), train, y)(x[train])
    scores = LogisticProbe(C=1.0).fit(after, y[train]).decision_function(after)
    rate = y[train].mean()
    np.testing.assert_allclose(scores, np.log(rate / (1 - rate)), atol=1e-6)


@pytest.mark.parametrize("n, d", SHAPES)
def test_leace_is_oblique(n, d):
    x, y = data(n, d)
    eraser = leace(Rows(x), training(n), y)
    assert eraser.rank == 1
    a, b = eraser.a[:, 0], eraser.b[0]
    assert abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) < 0.95
    # It takes along the difference of the class means (Theorem 4.2 for one concept).
    train = training(n)
    gap = x[train & (y == 1)].mean(0) - x[train & (y == 0)].mean(0)
    assert abs(a @ gap) == pytest.approx(np.linalg.norm(a) * np.linalg.norm(gap))


def test_leace_is_its_authors_where_rows_outnumber_features():
    import torch
    from concept_erasure import LeaceFitter

    x, y = data(200, 20)
    theirs = LeaceFitter.fit(
        torch.from_numpy(x), torch.from_numpy(y.astype(float)), constrain_cov_trace=False
    )
    ours = leace(Rows(x), np.ones(200, bool), y)
    np.testing.assert_allclose(ours(x), theirs.eraser(torch.from_numpy(x)).numpy(), atol=1e-9)


@pytest.mark.parametrize("n, d", [(20, 500), (10, 3000)])
def test_leace_holds_where_the_packages_shrinkage_overshoots(n, d):
    import torch
    from concept_erasure import LeaceFitter

    x, y = isotropic(n, d)
    inside = torch.from_numpy(in_their_span(x))
    fitter = LeaceFitter.fit(inside, torch.from_numpy(y.astype(float)), constrain_cov_trace=False)
    assert torch.linalg.eigvalsh(fitter.sigma_xx)[0] < 0
    alone = fitter.eraser(inside).numpy()
    assert np.abs(class_gap(alone, y)).max() > 0.1
    after = leace(Rows(x), np.ones(n, bool), y)(x)
    np.testing.assert_allclose(class_gap(after, y), 0, atol=1e-10)


def test_leace_refuses_when_there_is_nothing_to_erase():
    x, y = data(40, 5)
    with pytest.raises(ValueError, match="two classes"):
        leace(Rows(x), y == 1, y)
    x -= np.where(y[:, None] == 1, x[y == 1].mean(0), x[y == 0].mean(0))
    with pytest.raises(ValueError, match="same mean"):
        leace(Rows(x), np.ones(40, bool), y)


def test_leace_refuses_constant_rows_in_words():
    with pytest.raises(ValueError, match="same mean"):
        leace(Rows(np.ones((20, 3))), np.ones(20, bool), np.arange(20) % 2)


def test_leace_erases_a_small_difference_too():
    """Of 0.03 standard deviations."""
    rng = np.random.default_rng(0)
    y = np.arange(4000) % 2
    x = rng.normal(size=(4000, 2))
    x -= np.where(y[:, None] == 1, x[y == 1].mean(0), x[y == 0].mean(0))
    x[:, 0] += 0.03 * y
    after = leace(Rows(x), np.ones(4000, bool), y)(x)
    np.testing.assert_allclose(class_gap(after, y), 0, atol=1e-10)


# ------------------------------------------------------------------------------------------- retraining


def other_task(d, seed=7):
    return data(50, d, seed=seed)


def eraser_of(kind, x, y, scale):
    """An eraser, along and by directions among the scaled features."""
    d = x.shape[1]
    if kind == "own":
        return one_inlp(x, y, scale, rank=3)
    if kind == "own, oblique":
        return leace(Rows(x, scale), training(len(x)), y)
    if kind == "random":
        directions = np.linalg.qr(np.random.default_rng(5).normal(size=(d, 3)))[0]
        divisor = (np.ones(d) if scale is None else scale)[:, None]
        return Eraser(directions * divisor, (directions / divisor).T, np.zeros(d))
    other, labels = other_task(d)
    if kind == "another's":
        return one_inlp(other, labels, scale, rank=3)
    return leace(Rows(other, scale), training(len(other)), labels)


def taken_of(rows, eraser, scale):
    along, read = among_features(eraser, scale)
    return _Taken.of(rows, along[None]) if np.allclose(along, read) else _Taken.oblique(rows, [eraser])


def refit(x, y, train, penalty, scale, eraser):
    """Decision values of a probe on erased rows, with the penalty of the rows before."""
    before, after = features(x, scale), features(eraser(x), scale)
    size = np.sqrt(np.mean((before[train] - before[train].mean(0)) ** 2))
    z = (after - after[train].mean(0)) / size
    return logistic(z[train], y[train], penalty).decision_function(z)


KINDS = ["own", "own, oblique", "random", "another's", "another's, oblique"]


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("penalty", [1e-3, 0.1, 1.0])
def test_retraining_is_fitting_on_erased_rows(n, d, scaled, kind, penalty):
    x, y = data(n, d)
    scale, train = scale_of(x, scaled), training(n)
    eraser, rows = eraser_of(kind, x, y, scale), Rows(x, scale)
    taken = taken_of(rows, eraser, scale)
    found = rows.fit(train[:, None], y, [penalty], erased=taken.erased())
    expected = refit(x, y, train, penalty, scale, eraser)
    np.testing.assert_allclose(found.decision[0, :, 0], expected, atol=2e-5)


@pytest.mark.parametrize("n, d", SHAPES)
def test_only_directions_out_of_the_rows_span_need_axes_of_their_own(n, d):
    """Of fewer rows than features, another task's directions have such a part; all others are inside."""
    x, y = data(n, d)
    rows = Rows(x)
    more = {}
    for kind in KINDS:
        taken = taken_of(rows, eraser_of(kind, x, y, None), None)
        more[kind] = taken.erased().right.shape[2] - rows.coordinates.shape[1]
    beyond = {"own": 0, "own, oblique": 0, "random": 3, "another's": 3, "another's, oblique": 1}
    assert more == (dict.fromkeys(KINDS, 0) if n > d else beyond)


@pytest.mark.parametrize("n, d", SHAPES)
def test_erasers_of_unequal_rank_are_retrained_side_by_side(n, d):
    x, y = data(n, d)
    scale = feature_scale(x)
    rows = Rows(x, scale)
    sets = np.stack([training(n), ~training(n, 0.3), training(n, 0.6)], axis=1)
    erasers = [
        eraser_of("another's", x, y, scale).truncated(2),
        eraser_of("another's, oblique", x, y, scale),
        eraser_of("random", x, y, scale),
    ]
    taken = _Taken.joined([taken_of(rows, eraser, scale) for eraser in erasers])
    penalties = np.array([0.01, 0.1, 1.0])
    plain = rows.fit(sets, y, [penalties])
    for start in (None, (plain.coefficients[0], plain.intercepts[0])):
        found = rows.fit(sets, y, [penalties], erased=taken.erased(), start=start)
        for m, eraser in enumerate(erasers):
            expected = refit(x, y, sets[:, m], penalties[m], scale, eraser)
            np.testing.assert_allclose(found.decision[0, :, m], expected, atol=2e-5)


@pytest.mark.parametrize("n, d", SHAPES)
def test_the_first_directions_are_taken_alone(n, d):
    x, y = data(n, d)
    rows, train = Rows(x), training(n)
    eraser = eraser_of("another's", x, y, None)
    taken = taken_of(rows, eraser, None).repeated(3).first(np.array([0, 1, 2]))
    sets = np.repeat(train[:, None], 3, axis=1)
    found = rows.fit(sets, y, [0.1], erased=taken.erased()).decision[0]
    np.testing.assert_allclose(found[:, 0], rows.fit(sets, y, [0.1]).decision[0, :, 0], atol=1e-5)
    for rank in (1, 2):
        expected = refit(x, y, train, 0.1, None, eraser.truncated(rank))
        np.testing.assert_allclose(found[:, rank], expected, atol=2e-5)


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_probe_loses_what_the_eraser_takes(n, d, kind):
    """Up to a constant, which is nothing to the order of the rows."""
    x, y = data(n, d)
    scale = feature_scale(x)
    rows, eraser = Rows(x, scale), eraser_of(kind, x, y, scale)
    fit = rows.fit(training(n)[:, None], y, [0.1])
    weights, intercept = fit.raw()
    lost = fit.decision[0, :, 0] - (eraser(x) @ weights + intercept)[:, 0]
    found = taken_of(rows, eraser, scale).of_probe(fit.coefficients[0])[:, 0]
    np.testing.assert_allclose(found - found.mean(), lost - lost.mean(), atol=1e-9)


def test_nothing_taken_is_the_plain_fit():
    x, y = data(60, 20)
    rows, train = Rows(x), training(60)[:, None]
    nothing = Erased(np.zeros((1, 60, 0)), np.zeros((1, 0, rows.coordinates.shape[1])))
    found = rows.fit(train, y, [0.1], erased=nothing).decision
    np.testing.assert_allclose(found, rows.fit(train, y, [0.1]).decision, atol=1e-6)


def test_confounds_of_erased_rows_are_refused():
    x, y = data(30, 5)
    nothing = Erased(np.zeros((1, 30, 0)), np.zeros((1, 0, 5)))
    with pytest.raises(ValueError, match="confounds"):
        Rows(x).fit(np.ones((30, 1), bool), y, [0.1], np.ones((30, 1)), nothing)


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("penalty", [1e-3, 1.0])
def test_a_reflection_changes_no_retrained_probe(n, d, penalty):
    """It is a rotation of the rows, to which a probe is blind; a frozen probe reads them backwards."""
    x, y = data(n, d)
    train = training(n)
    before = LogisticProbe(C=penalty).fit(x[train], y[train])
    reflected = one_inlp(x, y, alpha=2.0, rank=1, penalty=penalty)(x)
    after = LogisticProbe(C=penalty).fit(reflected[train], y[train])
    np.testing.assert_allclose(after.decision_function(reflected), before.decision_function(x), atol=1e-5)
    turned = before.decision_function(reflected)
    assert np.corrcoef(turned, before.decision_function(x))[0, 1] < -0.99


# -------------------------------------------------------------------------------------------- estimators


@pytest.mark.parametrize(
    "estimator", [INLP(), INLP(rank=3, alpha=2.0), LEACE(), LEACE(alpha=2.0)], ids=lambda each: repr(each)
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_estimators_pass_scikit_learns_checks(estimator):
    from sklearn.utils.estimator_checks import check_estimator

    check_estimator(estimator)


@pytest.mark.parametrize("n, d", SHAPES)
def test_estimators_are_the_functions(n, d):
    x, y = data(n, d)
    scale, everything = feature_scale(x), np.ones(n, bool)
    names = np.array(["no", "yes"])[y]
    found = INLP(rank=2, alpha=2.0, C=0.1, scale=scale).fit(x, names)
    expected = one_inlp(x, y, scale, everything, rank=2, alpha=2.0)
    np.testing.assert_array_equal(found.transform(x), expected(x))
    assert found.classes_.tolist() == ["no", "yes"] and found.eraser_.alpha == 2.0
    found = LEACE(alpha=0.5, scale=scale).fit(x, names)
    np.testing.assert_array_equal(found.transform(x), leace(Rows(x, scale), everything, y, 0.5)(x))
    assert found.fit_transform(x.astype(np.float32), names).dtype == np.float32


@pytest.mark.parametrize("shape, most", [((60, 20), 20), ((12, 200), 11)])
def test_too_large_a_rank_is_cut(shape, most):
    x, y = data(*shape)
    fitted = INLP(rank=1000, C=10.0).fit(x, y)
    assert fitted.eraser_.rank == most
    after = fitted.transform(x)
    np.testing.assert_allclose(after, np.broadcast_to(after[0], after.shape), atol=1e-8)


def test_constant_rows_stay_as_they_are():
    x = np.ones((20, 3))
    np.testing.assert_array_equal(INLP(rank=2).fit(x, np.arange(20) % 2).transform(x), x)


@pytest.mark.parametrize(
    "estimator, message",
    [
        (INLP(rank=0), "rank is 0, but must be at least 1"),
        (INLP(C=0.0), "C is 0.0, but must be positive"),
        (INLP(C=-1), "C is -1, but must be positive"),
        (INLP(C=float("nan")), "C is nan, but must be positive"),
        (INLP(scale=np.ones(3)), "one positive number for each of the 5 features"),
        (INLP(scale=np.zeros(5)), "one positive number for each of the 5 features"),
        (LEACE(scale=np.ones(6)), "one positive number for each of the 5 features"),
        (LEACE(scale=-np.ones(5)), "one positive number for each of the 5 features"),
    ],
)
def test_wrong_parameters_are_refused_in_words(estimator, message):
    x, y = data(30, 5)
    with pytest.raises(ValueError, match=message):
        estimator.fit(x, y)


@pytest.mark.parametrize("estimator", [INLP(), LEACE()], ids=["INLP", "LEACE"])
def test_other_numbers_of_classes_are_refused_in_words(estimator):
    x, _ = data(30, 5)
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        estimator.fit(x, np.arange(30) % 3)
    with pytest.raises(ValueError, match=f"{type(estimator).__name__} needs two classes"):
        estimator.fit(x, np.ones(30, int))


# ------------------------------------------------------------------------------------------------- files


def test_files_give_back_nested_erasers_with_equal_bytes(tmp_path):
    x, y = data(60, 20)
    one, two = one_inlp(x, y, rank=2), leace(Rows(x), training(60), y, alpha=2.0)
    none = inlp(Rows(x), (y == 1)[:, None], y, 0.1, 2).erasers()[0]
    nested = {"topic": {"0": one, "all": two}, "JSON": {"0": none}, "empty": {}}
    save(tmp_path / "a.h5", nested)
    save(tmp_path / "b.h5", nested)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    back = load(tmp_path / "a.h5")
    assert list(back) == ["topic", "JSON", "empty"] and list(back["topic"]) == ["0", "all"]
    assert back["empty"] == {} and back["topic"]["all"].alpha == 2.0
    for name in ("a", "b", "mean"):
        for found, expected in (
            (back["topic"]["0"], one),
            (back["topic"]["all"], two),
            (back["JSON"]["0"], none),
        ):
            assert getattr(found, name).dtype == np.float32
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name).astype(np.float32))
    assert back["JSON"]["0"].rank == 0


def test_a_file_may_hold_one_eraser(tmp_path):
    x, y = data(60, 20)
    eraser = one_inlp(x, y)
    save(tmp_path / "one.h5", eraser)
    back = load(tmp_path / "one.h5")
    np.testing.assert_allclose(back(x), eraser(x), atol=1e-4)
    # What was read from a file is written as it was.
    save(tmp_path / "again.h5", back)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()


@pytest.mark.parametrize("how", ["text", "cut", "missing", "other"])
def test_broken_files_are_named(tmp_path, how):
    import h5py

    path = tmp_path / "broken.h5"
    x, y = data(60, 20)
    save(path, {"topic": one_inlp(x, y)})
    if how == "text":
        path.write_text("no")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "missing":
        path.unlink()
    else:
        with h5py.File(path, "w") as file:
            file["scores"] = np.zeros(3)
    with pytest.raises(UserError, match=r"broken\.h5"):
        load(path)
