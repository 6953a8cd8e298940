"""The bootstrap is that of ESTIMANDS, exactly."""

import numpy as np
import pytest
from made.scores import BASES, brute_force_auroc, clustered
from skillprobe.statistics import bootstrap
from skillprobe.statistics.folds import CALIBRATION


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
