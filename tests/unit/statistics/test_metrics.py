"""AUROC within folds, exactly."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from made.scores import brute_force_auroc
from skillprobe.statistics import bootstrap, metrics


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(-1, 2)), min_size=1, max_size=30))
def test_auroc_equals_brute_force_with_ties(rows):
    scores, labels, folds = (np.array(column) for column in zip(*rows, strict=True))
    result = metrics.auroc(scores, labels, folds)
    np.testing.assert_allclose(result.value, brute_force_auroc(scores, labels, folds), equal_nan=True)
    draws = bootstrap.Draws(np.array(["a"]), np.ones((1, 1)))
    groups = np.full(len(scores), "a")
    np.testing.assert_allclose(bootstrap.auroc_draws(scores, labels, groups, folds, draws), result.value)


def test_constant_scores_give_a_half_and_a_flag():
    labels, folds = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    assert metrics.auroc(np.array([1.0, 1.0, 3.0, 3.0]), labels, folds) == metrics.Auroc(0.5, 2, True)
    assert not metrics.auroc(np.array([1.0, 1.0, 3.0, 3.5]), labels, folds).constant


def test_pooling_over_folds_is_biased_where_within_folds_is_not():
    """A training fold with more positives leaves fewer for its test fold, whose intercept is then higher."""
    rng = np.random.default_rng(0)
    within, pooled = [], []
    for _ in range(100):
        labels, folds = rng.integers(0, 2, 60), np.repeat(np.arange(5), 12)
        base_rate = np.array([labels[folds != fold].mean() for fold in folds])
        scores = 5 * base_rate + 0.1 * rng.normal(size=60)
        within.append(metrics.auroc(scores, labels, folds).value)
        pooled.append(metrics.auroc(scores, labels, np.zeros(60, int)).value)
    assert abs(np.mean(within) - 0.5) < 0.02
    assert np.mean(pooled) < 0.45
