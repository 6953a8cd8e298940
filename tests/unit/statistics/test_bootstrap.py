"""The bootstrap is that of docs/definitions.md, "Intervals", exactly."""

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


@pytest.mark.parametrize("within", [False, True])
def test_pairs_of_folds_are_those_of_their_rows_as_they_are_and_drawn(within):
    rng = np.random.default_rng(2)
    made = [clustered(rng, n_groups=15, per_base=8) for _ in range(2)]
    _, labels, groups, _ = made[0]
    scores = np.stack([each[0] for each in made]).round(1)
    folds = np.stack([made[0][3], np.roll(made[0][3], 8)])
    folds[:, groups == "b003"] = CALIBRATION
    items = np.array([f"{group}/{n % 2}" for n, group in enumerate(groups)]) if within else None
    draws = bootstrap.draw_groups(groups[folds[0] != CALIBRATION], n_draws=6, seed=2)
    right, pairs = bootstrap.fold_pairs(scores, labels, groups, folds, draws, 5, items)
    assert right.shape == pairs.shape == (7, 2, 5)
    weights = np.vstack([np.ones(len(draws.groups)), draws.weights]).astype(int)
    for draw, line, f in np.ndindex(3, 2, 5):
        copies = [
            (row, copy)
            for group, times in zip(draws.groups, weights[draw], strict=True)
            for copy in range(times)
            for row in np.flatnonzero((groups == group) & (folds[line] == f))
        ]
        of_fold = [
            float(scores[line, a] > scores[line, b]) + 0.5 * float(scores[line, a] == scores[line, b])
            for a, copy in copies
            for b, other in copies
            if labels[a] > labels[b] and (not within or (items[a] == items[b] and copy == other))
        ]
        assert pairs[draw, line, f] == len(of_fold) and right[draw, line, f] == pytest.approx(sum(of_fold))
    # Without rows there are no pairs, and no AUROC.
    assert not bootstrap.fold_pairs(scores, labels, groups, folds, draws, 6, items)[1][..., 5].any()
    assert np.isnan(bootstrap.share(np.zeros(2), np.array([0.0, 2.0]))).tolist() == [True, False]
