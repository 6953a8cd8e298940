"""The variance between items, and how much of it a score explains: unbiased, by simulation and by hand."""

import numpy as np
import pytest
from skillprobe.statistics.bootstrap import Draws, draw_groups
from skillprobe.statistics.variance import between_variance, explained_variance

GROUPS, PER_GROUP, SAMPLES = 30, 2, 4
NAMES = np.repeat([f"g{number:02d}" for number in range(GROUPS)], PER_GROUP)


def sampled(rng, spread=0.25):
    """Items whose probability is half the group's: p, satisfied."""
    p = 0.5 + spread * (np.repeat(rng.uniform(-1, 1, GROUPS), PER_GROUP) + rng.uniform(-1, 1, len(NAMES)))
    return p, rng.binomial(SAMPLES, p)


def test_the_variance_is_that_of_the_probabilities():
    """Of twice 0.25²/3, though the rates' own variance is half as much again."""
    rng, samples = np.random.default_rng(0), np.full(len(NAMES), SAMPLES)
    found, rates = [], []
    for _ in range(600):
        _, satisfied = sampled(rng)
        found.append(between_variance(satisfied, samples, NAMES)[0])
        rates.append((satisfied / samples).var())
    error = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(2 * 0.25**2 / 3, abs=3 * error) and error < 0.001
    assert np.mean(rates) > 1.5 * np.mean(found)


def test_a_score_explains_its_squared_correlation():
    """A score that knows the group's half of the probability explains half of the variance, and noise none,
    though all the items of a group have the same."""
    rng, samples = np.random.default_rng(1), np.full(len(NAMES), SAMPLES)
    folds = np.repeat(np.arange(GROUPS) % 5, PER_GROUP)
    half, nothing = [], []
    for _ in range(600):
        of_group = np.repeat(rng.uniform(-1, 1, GROUPS), PER_GROUP)
        p = 0.5 + 0.25 * (of_group + rng.uniform(-1, 1, len(NAMES)))
        rate = rng.binomial(SAMPLES, p) / samples
        half.append(explained_variance(3 * of_group + 7, rate, NAMES, folds, 0.04)[0])
        noise = np.repeat(rng.normal(size=GROUPS), PER_GROUP)
        nothing.append(explained_variance(noise, rate, NAMES, folds, 0.04)[0])
    for found, expected in ((half, 0.25**2 / 3), (nothing, 0.0)):
        # An estimated covariance is squared, whose variance stays: less than a tenth here.
        assert np.mean(found) == pytest.approx(expected, abs=0.002)


def test_the_wrong_way_round_is_less_than_nothing():
    rate = np.array([0.0, 0.25, 0.5, 1.0])
    groups, folds = np.array(list("abcd")), np.zeros(4, int)
    right, wrong = (explained_variance(sign * rate, rate, groups, folds, 0.1)[0] for sign in (1, -1))
    assert right == pytest.approx(rate.var(ddof=1)) and wrong == pytest.approx(-right)


def test_levels_of_folds_say_nothing():
    rng = np.random.default_rng(2)
    rate, score = rng.random(40), rng.random(40)
    groups, folds = np.arange(40).astype(str), np.arange(40) % 5
    before = explained_variance(score, rate, groups, folds, 0.05)
    assert explained_variance(score + 10 * folds, rate, groups, folds, 0.05) == pytest.approx(before)
    # Nor do items of calibration groups.
    folds[:8] = -1
    before = explained_variance(score[8:], rate[8:], groups[8:], folds[8:], 0.05)
    assert explained_variance(score, rate, groups, folds, 0.05) == pytest.approx(before)


def test_a_score_that_hardly_varies_explains_nothing():
    rng = np.random.default_rng(3)
    rate = rng.random(40)
    groups, folds = np.arange(40).astype(str), np.zeros(40, int)
    assert explained_variance(0.05 * rate, rate, groups, folds, rate.var())[0] == 0
    assert explained_variance(0.15 * rate, rate, groups, folds, rate.var())[0] > 0.9 * rate.var()
    draws = draw_groups(groups, n_draws=5)
    assert (explained_variance(np.ones(40), rate, groups, folds, 0.1, draws) == np.zeros(6)).all()


def test_draws_are_those_of_repeated_groups():
    """A draw of each group once is the estimate; of groups left out, that of the rest."""
    rng, samples = np.random.default_rng(4), np.full(len(NAMES), SAMPLES)
    p, satisfied = sampled(rng)
    folds, rate = np.repeat(np.arange(GROUPS) % 5, PER_GROUP), satisfied / samples
    weights = np.ones((2, GROUPS))
    weights[1, :10] = 0
    draws, kept = Draws(np.unique(NAMES), weights), np.arange(len(NAMES)) >= 10 * PER_GROUP
    value, same, rest = between_variance(satisfied, samples, NAMES, draws)
    assert value == pytest.approx(same)
    assert rest == pytest.approx(between_variance(satisfied[kept], samples[kept], NAMES[kept])[0])
    value, same, rest = explained_variance(p, rate, NAMES, folds, 0.04, draws)
    assert value == pytest.approx(same)
    expected = explained_variance(p[kept], rate[kept], NAMES[kept], folds[kept], 0.04)[0]
    assert rest == pytest.approx(expected)


def test_items_of_one_sample_have_no_variance_to_tell():
    """They count in the mean alone."""
    groups = np.array(list("abcd"))
    assert np.isnan(between_variance(np.array([1, 0, 1, 0]), np.ones(4, int), groups)[0])
    satisfied, samples = np.array([2, 0, 1, 0]), np.array([2, 2, 1, 1])
    # Mean of 1 and 0; of the twelve ordered pairs of groups, the two of a and c have two satisfied.
    assert between_variance(satisfied, samples, groups)[0] == pytest.approx(0.5 - 2 / 12)
