"""LEACE leaves nothing to linear probes, and holds where rows are few."""

import numpy as np
import pytest
from made.erasers import scale_of, training
from made.probes import SHAPES, data
from skillprobe.erasure.leace import leace
from skillprobe.probes import LogisticProbe
from skillprobe.probes.solver import Rows


def class_gap(x, y):
    """Difference of the class means, in standard deviations of the rows."""
    return (x[y == 1].mean(0) - x[y == 0].mean(0)) / x.std()


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
