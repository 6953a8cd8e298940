"""Tasks count by groups that had no say in what is measured of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from skillprobe.analyses.counting import Counting, Pairs, count_tasks, fold_aurocs
from skillprobe.statistics.bootstrap import draw_groups
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import Estimate, auroc_estimate
from skillprobe.statistics.metrics import auroc

K, GROUPS, PER_GROUP = 5, 60, 6


def result(effect, seed=0, status="", items=()):
    """Scores of two fold seeds that differ by the label's effect, in standard deviations."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), PER_GROUP)
    labels = rng.integers(0, 2, len(group))
    scores = rng.normal(size=(2, len(group))) + np.asarray(effect) * labels
    folds = np.stack([group % K, (group // K) % K])
    folds[:, group >= GROUPS - 5] = CALIBRATION
    return SimpleNamespace(
        scores=scores,
        labels=labels,
        groups=np.array([f"g{g:03d}" for g in group]),
        folds=folds,
        items=np.asarray(items, str),
        status=status,
    )


def draws_of(one):
    return draw_groups(one.groups[one.folds[0] != CALIBRATION], n_draws=200)


def test_strong_tasks_count_and_silent_or_insufficient_ones_do_not():
    results = {"strong": [result(1.5)], "silent": [result(0)], "few": [result(1.5, status="few violated")]}
    found = count_tasks(results, draws_of(results["strong"][0]), 0.55)
    assert found.counts.shape == (2, K, 3)
    assert found.counts[..., 0].all() and not found.counts[..., 1:].any()
    assert found.names == ["strong"]


def test_a_fold_has_no_say_in_whether_its_task_counts():
    """With the signal in one test fold only, the task counts nowhere but there it would be measured."""
    one = result(0)
    for s in range(2):
        one.scores[s] += 6 * one.labels * (one.folds[s] == 2)
    found = count_tasks({"topic": [one]}, draws_of(one), 0.55)
    assert not found.counts[:, 2].any()


def test_aurocs_of_folds_are_of_their_rows():
    one = result(1.0)
    found = fold_aurocs(one, draws_of(one), K)
    assert found.by_seed.shape == (2, K) and found.drawn.shape == (200, 2, K)
    for s, f in np.ndindex(2, K):
        rows = one.folds[s] == f
        expected = auroc(one.scores[s][rows], one.labels[rows], one.folds[s][rows]).value
        assert found.by_seed[s, f] == pytest.approx(expected)
    assert found.drawn.mean() == pytest.approx(found.by_seed.mean(), abs=0.02)


@pytest.mark.parametrize("within", [False, True])
def test_pairs_of_all_folds_and_of_all_but_one(within):
    items = np.repeat(np.arange(GROUPS * PER_GROUP // 3), 3).astype(str) if within else ()
    one = result(1.0, items=items)
    draws = draws_of(one)
    pairs = Pairs.of(one, draws, K)
    pooled, expected = pairs.pooled(), auroc_estimate(one, draws)
    np.testing.assert_allclose(pooled.by_seed, expected.by_seed)
    np.testing.assert_allclose(pooled.drawn, expected.drawn)
    values, drawn = pairs.without(2)
    rest = SimpleNamespace(**{**vars(one), "folds": np.where(one.folds == 2, CALIBRATION, one.folds)})
    expected = auroc_estimate(rest, draws)
    np.testing.assert_allclose(values, expected.by_seed)
    np.testing.assert_allclose(drawn.mean(axis=1), expected.drawn)


def test_means_are_over_the_tasks_that_count_in_each_fold():
    counts = np.array([[[True, False], [True, True], [False, False]]])
    by_seed = {"a": np.array([[0.1, 0.2, 9.0]]), "b": np.array([[9.0, 0.4, 9.0]])}
    by_fold = {task: Estimate(value, np.tile(value, (7, 1, 1))) for task, value in by_seed.items()}
    mean = Counting(("a", "b"), counts).mean(by_fold)
    # A fold weighs as many tasks as count there.
    assert mean.value == pytest.approx((0.1 + 0.2 + 0.4) / 3) and mean.drawn.shape == (7,)
    assert Counting(("a", "b"), counts).names == ["a"]
    assert Counting(("a", "b"), counts & False).mean(by_fold) is None


def test_the_mean_has_no_winners_curse():
    """Of weak tasks those that look strong count. Had the measured folds a say in it, the mean would be too
    high."""
    honest, naive, truth = [], [], []
    for world in range(30):
        results = {f"t{t}": [result(0.6, seed=100 * world + t)] for t in range(6)}
        draws = draws_of(results["t0"][0])
        found = count_tasks(results, draws, 0.55)
        by_fold = {task: fold_aurocs(each[0], draws, K) for task, each in results.items()}
        values = np.array([each.by_seed.mean() for each in by_fold.values()])
        truth.append(values.mean())
        if (mean := found.mean(by_fold)) is not None:
            honest.append(float(mean.value))
        naive += [value for task, value in zip(found.tasks, values, strict=True) if task in found.names]
    assert len(honest) > 20
    assert abs(np.mean(honest) - np.mean(truth)) < 0.01 < np.mean(naive) - np.mean(truth)
