"""Boosted trees of many fits at once: scikit-learn's, one by one."""

import numpy as np
import pytest
from skillprobe.probes.planning import TREES
from skillprobe.probes.trees import MAX_BINS, boosted, splits
from sklearn.ensemble import HistGradientBoostingClassifier


@pytest.fixture(scope="module")
def items():
    """Features [n, q], satisfied [L, n], samples [n], training sets [M, n] in which every value occurs."""
    rng = np.random.default_rng(0)
    n = 160
    x = np.column_stack([rng.integers(0, 9, (n, 3)), rng.integers(0, 2, (n, 8)), rng.integers(0, 12, n) / 10])
    p = 1 / (1 + np.exp(-(x[:, 0] - 4) / 2 - x[:, 3] * (x[:, 1] - 4)))
    samples = np.where(np.arange(n) % 7 == 0, 3, 4)
    held = [np.zeros(n, bool), *(rng.random((20, n)) < 0.2)]
    whole = [each for each in held if all(np.isin(column, column[~each]).all() for column in x.T)]
    assert len(whole) > 3
    return x, rng.binomial(samples, p, (3, n)), samples, ~np.array(whole)


def one_by_one(x, satisfied, samples, train):
    """A row for each sample, as scikit-learn wants them."""
    rows = np.repeat(np.flatnonzero(train), samples[train])
    place = np.concatenate([np.arange(size) for size in samples[train]])
    trees = HistGradientBoostingClassifier(**TREES, early_stopping=False)
    return trees.fit(x[rows], place < satisfied[rows]).predict_proba(x)[:, 1]


def test_they_are_scikit_learns(items):
    x, satisfied, samples, train = items
    found = boosted(*items, **TREES)
    assert found.shape == (len(satisfied), len(train), len(x))
    for label, which in np.ndindex(found.shape[:2]):
        expected = one_by_one(x, satisfied[label], samples, train[which])
        assert expected.std() > 0.1
        # Its slopes are in single precision.
        np.testing.assert_allclose(found[label, which], expected, atol=1e-6)


def test_together_they_are_as_alone(items):
    x, satisfied, samples, train = items
    found = boosted(*items, **TREES)
    alone = boosted(x, satisfied[1:2], samples, train[2:3], **TREES)
    np.testing.assert_allclose(found[1, 2], alone[0, 0], rtol=1e-12)


def test_items_outside_the_training_set_count_for_nothing(items):
    x, satisfied, samples, train = items
    turned = np.where(train[1], satisfied, samples - satisfied)
    found, other = (boosted(x, values, samples, train[1:2], **TREES) for values in (satisfied, turned))
    assert (turned != satisfied).any()
    np.testing.assert_array_equal(found, other)


def test_a_leaf_holds_enough_samples_of_enough_weight(items):
    """So many that none can be split: what is left is the rate of the training items."""
    x, satisfied, samples, train = items
    half = samples.sum() // 2 + 1
    found = boosted(x, satisfied, samples, train[:1], **TREES | {"min_samples_leaf": half})
    rates = satisfied.sum(axis=1) / samples.sum()
    np.testing.assert_allclose(found[:, 0], np.repeat(rates[:, None], len(x), axis=1), rtol=1e-9)


def test_of_one_class_no_items_and_no_features(items):
    x, satisfied, samples, train = items
    every = boosted(x, np.array([samples, 0 * samples]), samples, train[:1], **TREES)
    assert (every[0] == 1).all() and (every[1] == 0).all()
    assert (boosted(x, satisfied, samples, 0 * train[:1] > 0, **TREES) == 0.5).all()
    rates = boosted(x[:, :0], satisfied, samples, train[:1], **TREES)[:, 0]
    np.testing.assert_allclose(rates, (satisfied.sum(axis=1) / samples.sum())[:, None] + 0 * rates)


def test_splits_are_between_all_values_up_to_a_number():
    x = np.array([[3.0, 0.0], [1.0, 0.0], [2.0, 1.0], [1.0, 1.0]])
    assert splits(x).tolist() == [[0, 1, 0, 1], [0, 1, 1, 1], [1, 1, 0, 0]]
    assert splits(np.ones((4, 1))).shape == splits(np.ones((4, 0))).shape == (0, 4)
    many = splits(np.arange(3000.0)[:, None])
    assert many.shape == (MAX_BINS - 1, 3000)
    # As many items lie between any two.
    assert set(np.diff(many.sum(axis=1))) <= {11, 12}
