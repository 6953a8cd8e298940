"""Tasks that fall into groups: the statistic, and its permutations."""

import numpy as np
import pytest
from made.findings import planted_matrix
from skillprobe.analyses.blocks import (
    block_statistic,
    forms_blocks,
    joint_permutation_p,
    n_partitions,
    paper_groups,
    partitions,
    permutation_p,
)


def blocks(tasks, joined=None):
    """Sets of tasks of one group."""
    groups = paper_groups(tasks, joined)
    return {frozenset(task for task, own in zip(tasks, groups, strict=True) if own == g) for g in groups}


def test_a_new_task_is_a_block_of_its_own_unless_it_joins_another():
    known = ["word_count", "topic", "sentiment", "register"]
    alone = {frozenset(["word_count"]), frozenset(["topic", "sentiment"]), frozenset(["register"])}
    assert blocks(known) == alone
    assert blocks([*known, "a", "b"]) == alone | {frozenset("a"), frozenset("b")}
    assert blocks([*known, "a", "b"], {"b": "a"}) == alone | {frozenset("ab")}
    with_topic = blocks([*known, "a"], {"a": "sentiment"})
    assert with_topic == alone - {frozenset(["topic", "sentiment"])} | {
        frozenset(["topic", "sentiment", "a"])
    }
    # The task whose block it joins need not be studied.
    assert blocks(["a", "topic"], {"a": "sentiment"}) == {frozenset(["a", "topic"])}
    assert blocks(["a", "b"], {"a": "c", "b": "c"}) == {frozenset("ab")}
    # The paper's tasks stay where they are.
    assert paper_groups(known, {"a": "topic"}) == paper_groups(known)


def test_block_statistic_ignores_rows_and_columns_and_the_diagonal():
    rng = np.random.default_rng(0)
    groups = np.array([0, 0, 1, 1, 2])
    alike = rng.normal(size=(5, 5))
    alike += alike.T
    effect = rng.normal(size=5)
    moved = alike + effect[:, None] + effect[None, :] + np.diag(rng.normal(size=5)) + 3
    assert block_statistic(moved, groups) == pytest.approx(block_statistic(alike, groups))
    planted = alike * 0 + (groups[:, None] == groups[None, :])
    assert block_statistic(planted, groups) > block_statistic(planted, np.array([0, 1, 0, 1, 2])) + 0.3
    # The fitted effects leave residuals that add up to nothing along each row.
    from skillprobe.analyses.blocks import _residual

    residual = _residual(alike)
    np.fill_diagonal(residual, 0)
    np.testing.assert_allclose(residual.sum(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("sizes", [(3, 2, 2, 1, 1), (2, 2), (3,), (1, 1, 1), (4, 2)])
def test_partitions_are_all_there_once(sizes):
    found = {
        frozenset(frozenset(np.flatnonzero(np.array(labels) == group)) for group in set(labels))
        for labels in partitions(sizes)
    }
    assert len(found) == n_partitions(sizes) == len(list(partitions(sizes)))
    assert all(sorted(map(len, each)) == sorted(sizes) for each in found)
    assert n_partitions((3, 2, 2, 1, 1)) == 3780


def test_permutation_p_is_uniform_under_the_null():
    rng = np.random.default_rng(0)
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 3, 4])
    values = []
    for _ in range(200):
        alike = rng.normal(size=(9, 9))
        values.append(permutation_p(alike + alike.T, groups)[0])
    assert 0.02 < np.mean(np.array(values) < 0.1) < 0.19 and abs(np.mean(values) - 0.5) < 0.08


def test_names_are_permuted_in_all_models_at_once():
    rng = np.random.default_rng(1)
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 3, 4])
    matrices = [planted_matrix(rng, groups, 0.7) for _ in range(3)]
    alone = [permutation_p(each, groups)[0] for each in matrices]
    together = joint_permutation_p(matrices, groups)
    assert together.p < np.median(alone) and together.n == 3780
    assert joint_permutation_p(matrices[:1], groups) == permutation_p(matrices[0], groups)
    # A task without signal in one model takes no part there.
    missing = matrices[0].copy()
    missing[:, 8] = missing[8] = np.nan
    kept = permutation_p(matrices[0][:8, :8], groups[:8])[0]
    assert joint_permutation_p([missing], groups)[0] == pytest.approx(kept, abs=0.02)
    # Under the null p is uniform.
    nulls = [
        joint_permutation_p([planted_matrix(rng, groups, 0.0) for _ in range(2)], groups)[0]
        for _ in range(60)
    ]
    assert 0.35 < np.mean(nulls) < 0.65 and np.mean(np.array(nulls) < 0.1) < 0.25


def test_both_sides_of_the_test_share_the_partitions_that_are_alike():
    rng = np.random.default_rng(2)
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 3, 4])
    alike = planted_matrix(rng, groups, 3.0)
    found, turned = permutation_p(alike, groups), permutation_p(-alike, groups)
    assert found.p < 0.01 and found.p_other > 0.99
    assert (turned.p, turned.p_other) == pytest.approx((found.p_other, found.p))
    # Every permutation is at least or at most the observed one, which is both.
    assert found.p + found.p_other >= 1 + 1 / found.n - 1e-12
    several = [planted_matrix(rng, groups, -2.0) for _ in range(3)]
    together = joint_permutation_p(several, groups)
    assert together.p_other < 0.01 < 0.99 < together.p


def test_partitions_that_there_are_too_many_of_are_counted_and_not_listed():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(4), 3)
    found = permutation_p(planted_matrix(rng, groups, 0.9), groups)
    assert found.n == n_partitions((3, 3, 3, 3)) == 15_400
    assert 0 < found.p < 0.01 and found.p_other > 0.99


def test_partitions_without_a_statistic_are_left_out():
    """With one pair of tasks known to a group, half of all partitions say nothing."""
    groups = np.array([0, 0, 1, 2, 3])
    alike = np.full((5, 5), np.nan)
    known = [0, 1, 2, 3]
    alike[np.ix_(known, known)] = np.random.default_rng(4).normal(size=(4, 4))
    alike = (alike + alike.T) / 2
    found = joint_permutation_p([alike], groups)
    alone = permutation_p(alike[:4, :4], groups[:4])
    # Ten pairs of five tasks, of which four are with the unknown one.
    assert found.n == 10 and alone.n == 6
    assert (found.p, found.p_other) == pytest.approx((alone.p, alone.p_other))
    nothing = joint_permutation_p([alike], np.array([0, 1, 2, 3, 0]))
    assert (nothing.p, nothing.p_other) == (1.0, 1.0)


@pytest.mark.parametrize("groups", ["", "a", "ab", "aa", "aab", "abc", "aaa", "aabb"])
def test_blocks_are_compared_where_there_are_pairs_within_and_between_them(groups):
    pairs = [left == right for n, left in enumerate(groups) for right in groups[:n]]
    assert forms_blocks(groups) == (any(pairs) and not all(pairs))
