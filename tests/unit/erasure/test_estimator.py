"""The scikit-learn estimators are the functions."""

import numpy as np
import pytest
from made.erasers import one_inlp
from made.probes import SHAPES, data
from skillprobe.erasure import INLP, LEACE
from skillprobe.erasure.leace import leace
from skillprobe.probes.solver import Rows, feature_scale


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
