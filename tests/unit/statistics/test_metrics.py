"""AUROC within folds, exactly."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from made.scores import brute_force_auroc
from skillprobe.statistics import bootstrap, metrics
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.metrics import auroc_within


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(-1, 2)), min_size=1, max_size=30))
def test_auroc_equals_brute_force_with_ties(rows):
    scores, labels, folds = (np.array(column) for column in zip(*rows, strict=True))
    result = metrics.auroc(scores, labels, folds)
    np.testing.assert_allclose(result.value, brute_force_auroc(scores, labels, folds), equal_nan=True)
    draws = bootstrap.Draws(np.array(["a"]), np.ones((1, 1)))
    groups = np.full(len(scores), "a")
    np.testing.assert_allclose(bootstrap.auroc_draws(scores, labels, groups, folds, draws), result.value)


def test_of_many_lines_of_scores_each_is_as_alone():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 9, (4, 60)).astype(np.float32)
    labels, folds = rng.integers(0, 2, 60), rng.integers(-1, 3, 60)
    labels[folds == 2] = 1
    alone = [metrics.auroc(line, labels, folds).value for line in scores]
    np.testing.assert_array_equal(metrics.aurocs(scores, labels, folds), alone)
    assert len(set(alone)) == 4
    assert np.isnan(metrics.aurocs(scores, np.ones(60), folds)).all()


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


def test_within_an_item_every_pair_counts_once():
    scores = np.array([1.0, 0.0, 5.0, 9.0, 2.0, 2.0, 7.0])
    labels = np.array([1, 0, 0, 1, 1, 0, 1])
    items = np.array(["a", "a", "a", "b", "b", "b", "c"])
    folds = np.zeros(7, int)
    # a: 1 > 0, 1 < 5; b: 9 > 2, 2 = 2; c has no pair.
    found = auroc_within(scores, labels, items, folds)
    assert (found.value, found.pairs, found.constant) == (2.5 / 4, 4, False)
    folds[items == "a"] = CALIBRATION
    assert auroc_within(scores, labels, items, folds).value == 1.5 / 2
    assert np.isnan(auroc_within(scores, labels, items, np.full(7, CALIBRATION)).value)
    assert auroc_within(np.zeros(7), labels, items, folds).constant


def test_what_an_item_adds_to_its_scores_cancels_within():
    rng = np.random.default_rng(0)
    items = np.repeat(np.arange(50), 4)
    scores, labels, folds = rng.normal(size=200), rng.integers(0, 2, 200), items % 5
    moved = scores + 100 * rng.normal(size=50)[items]
    assert auroc_within(moved, labels, items, folds) == auroc_within(scores, labels, items, folds)
