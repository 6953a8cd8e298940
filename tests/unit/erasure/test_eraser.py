"""Erasers are projections and reflections, and survive their files."""

import numpy as np
import pytest
from made.broken import WAYS, spoil
from made.erasers import one_inlp, scale_of, training
from made.probes import SHAPES, data
from skillprobe.erasure import load, save
from skillprobe.erasure.inlp import inlp
from skillprobe.erasure.leace import leace
from skillprobe.errors import UserError
from skillprobe.probes import LogisticProbe
from skillprobe.probes.solver import Rows


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


# ------------------------------------------------------------------------------------------- retraining


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


@pytest.mark.parametrize("how", WAYS)
def test_broken_files_are_named(tmp_path, how):
    path = tmp_path / "broken.h5"
    x, y = data(60, 20)
    save(path, {"topic": one_inlp(x, y)})
    spoil(path, how)
    with pytest.raises(UserError, match=r"broken\.h5"):
        load(path)
