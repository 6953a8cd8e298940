"""Intervals of draws and fold seeds hold the truth as often as they say."""

import numpy as np
import pytest
from made.scores import BASES, clustered
from skillprobe.statistics import bootstrap, intervals, metrics


def test_draws_without_pairs_are_dropped_and_counted():
    scores, labels = np.array([1.0, 2.0]), np.array([0, 1])
    groups, folds = np.array(["b000", "b001"]), np.zeros(2, int)
    draws = bootstrap.draw_groups(["b000", "b001"], n_draws=200)
    values = bootstrap.auroc_draws(scores, labels, groups, folds, draws)
    dropped = np.isnan(values).sum()
    assert 50 < dropped < 150
    assert intervals.interval([1.0], values) == intervals.Interval(1.0, 1.0, 1.0, 0.95, dropped)


def test_interval_is_the_percentile_interval_and_fold_seeds_widen_it():
    draws = np.random.default_rng(0).normal(0.7, 0.02, 4000)
    plain = intervals.interval([0.7, 0.7, 0.7], draws)
    np.testing.assert_allclose([plain.lower, plain.upper], np.quantile(draws, [0.025, 0.975]), atol=1e-3)
    wide = intervals.interval([0.68, 0.7, 0.72], draws)  # seed variance = bootstrap variance
    assert (wide.upper - wide.lower) / (plain.upper - plain.lower) == pytest.approx(np.sqrt(2), rel=0.03)
    finding = intervals.interval([0.7] * 3, draws, level=0.99)
    assert finding.lower < plain.lower < plain.upper < finding.upper
    assert intervals.interval([0.7] * 3, draws, bounds=(0.0, 0.71)).upper == 0.71
    assert np.isnan(intervals.interval([np.nan], np.full(9, np.nan)).lower)


def test_interval_covers():
    """200 studies of 40 groups: the 95 % interval holds the true AUROC in about 95 % of them."""
    rng = np.random.default_rng(0)
    truth = np.mean([metrics.auroc(s, y, f).value for s, y, _, f in (clustered(rng) for _ in range(1500))])
    draws = bootstrap.draw_groups(BASES[:40], n_draws=400)
    covered = 0
    for _ in range(200):
        scores, labels, groups, folds = clustered(rng)
        value = metrics.auroc(scores, labels, folds).value
        found = intervals.interval([value], bootstrap.auroc_draws(scores, labels, groups, folds, draws))
        covered += found.lower <= truth <= found.upper
    assert 0.91 <= covered / 200 <= 0.995
