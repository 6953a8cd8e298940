"""Logistic regression on a few columns."""

import numpy as np
import pytest
from skillprobe.statistics.logistic import fit_logistic, sigmoid
from sklearn.linear_model import LogisticRegression


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_equals_scikit_learn(scale):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2)) * scale
    y = (rng.random(200) < sigmoid(x @ [1.0, -2.0] + 0.5)).astype(int)
    reference = LogisticRegression(C=1.0, tol=1e-10).fit(x, y)
    ones = np.column_stack([x, np.ones(200)])
    found = fit_logistic(ones, y, np.zeros(3), np.diag([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(found, [*reference.coef_[0], reference.intercept_[0]], atol=1e-4)
    # Wherever it begins.
    again = fit_logistic(ones, y, np.array([3.0, 3.0, -3.0]), np.diag([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(again, found, atol=1e-4)


def test_targets_inside_of_0_and_1_have_a_solution_where_classes_are_apart():
    x = np.column_stack([[-1.0, -1.0, 1.0, 1.0], np.ones(4)])
    found = fit_logistic(x, np.array([0.2, 0.2, 0.8, 0.8]), np.zeros(2), np.zeros((2, 2)))
    np.testing.assert_allclose(sigmoid(x @ found), [0.2, 0.2, 0.8, 0.8], atol=1e-5)


def test_no_odds_overflow():
    assert sigmoid(np.array([-1e9, 0.0, 1e9])) == pytest.approx([0, 0.5, 1])
