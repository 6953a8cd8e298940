"""The bootstrap is that of ESTIMANDS, exactly."""

import numpy as np
import pytest
from made.scores import BASES, brute_force_auroc, clustered
from skillprobe.statistics import bootstrap
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.metrics import auroc_within


def test_bootstrap_weights_equal_brute_force_resampling():
    rng = np.random.default_rng(0)
    scores, labels, groups, folds = clustered(rng, n_groups=15, per_base=3)
    scores = scores.round(1)
    folds[groups == "b003"] = CALIBRATION
    draws = bootstrap.draw_groups(BASES[:15], n_draws=8, seed=3)
    quick = bootstrap.auroc_draws(scores, labels, groups, folds, draws)
    threshold = bootstrap.threshold_metrics(scores, labels, groups, folds, draws)
    for i, weights in enumerate(draws.weights.astype(int)):
        rows = np.concatenate(
            [
                np.tile(np.flatnonzero(groups == group), times)
                for group, times in zip(draws.groups, weights, strict=True)
            ]
        ).astype(int)
        s, y, f = scores[rows], labels[rows], folds[rows]
        assert quick[i] == pytest.approx(brute_force_auroc(s, y, f))
        s, y = s[f >= 0], y[f >= 0]
        right = (s > 0) == y
        assert threshold["accuracy"][1][i] == pytest.approx(right.mean())
        assert threshold["balanced_accuracy"][1][i] == pytest.approx(
            (right[y == 1].mean() + right[y == 0].mean()) / 2
        )
        probability = 1 / (1 + np.exp(-s))
        assert threshold["log_loss"][1][i] == pytest.approx(
            -np.log(np.where(y == 1, probability, 1 - probability)).mean()
        )
        assert threshold["base_rate"][1][i] == pytest.approx(y.mean())


def test_draws_are_joint_and_a_lacking_base_is_ignored():
    rng = np.random.default_rng(0)
    scores, labels, groups, folds = clustered(rng)
    draws = bootstrap.draw_groups(BASES[:40], n_draws=50)
    assert np.array_equal(draws.weights, bootstrap.draw_groups(BASES[39::-1], n_draws=50).weights)
    assert (draws.weights.sum(1) == 40).all()
    kept = groups != "b000"
    without = bootstrap.auroc_draws(scores[kept], labels[kept], groups[kept], folds[kept], draws)
    zero = bootstrap.Draws(draws.groups, draws.weights * (draws.groups != "b000"))
    np.testing.assert_allclose(without, bootstrap.auroc_draws(scores, labels, groups, folds, zero))
    with pytest.raises(KeyError):
        bootstrap.auroc_draws(scores, labels, np.full(len(groups), "other"), folds, draws)


def test_pairs_within_an_item_are_drawn_with_their_group():
    rng = np.random.default_rng(1)
    scores, labels, groups, folds = clustered(rng, n_groups=12, per_base=8)
    items = np.array([f"{group}/{n % 2}" for n, group in enumerate(groups)])
    draws = bootstrap.draw_groups(groups, n_draws=6, seed=2)
    value, drawn = bootstrap.auroc_lines(scores[None], labels, groups, folds, draws, items)
    assert value[0] == auroc_within(scores, labels, items, folds).value
    for i, weights in enumerate(draws.weights.astype(int)):
        copies = [
            (np.flatnonzero(groups == group), copy)
            for group, times in zip(draws.groups, weights, strict=True)
            for copy in range(times)
        ]
        rows = np.concatenate([rows for rows, _ in copies])
        # Each copy of a group has items of its own.
        own = np.concatenate([[f"{items[row]}/{copy}" for row in rows] for rows, copy in copies])
        assert drawn[0, i] == pytest.approx(auroc_within(scores[rows], labels[rows], own, folds[rows]).value)
