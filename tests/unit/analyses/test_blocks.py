"""Tasks that fall into groups: the statistic, and its permutations."""

import numpy as np
import pytest
from made.findings import planted_matrix
from skillprobe.analyses.blocks import (
    block_statistic,
    joint_permutation_p,
    n_partitions,
    partitions,
    permutation_p,
)


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
    together, n = joint_permutation_p(matrices, groups)
    assert together < np.median(alone) and n == 3780
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
