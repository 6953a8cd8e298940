"""Are things of one group more alike than others? The block statistic and its permutation test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np

# The paper's own grouping (docs/definitions.md, "Transfer").
PAPER_GROUPS = (
    ("word_count", "character_count", "json_format"),
    ("topic", "sentiment"),
    ("term_exclusion", "toxicity"),
    ("term_inclusion",),
    ("register",),
)
PERMUTATIONS = 10_000


def paper_groups(tasks: Sequence[str], joined: Mapping[str, str] | None = None) -> list[str]:
    """A name of each task's group.

    A task that the paper doesn't have is a group by itself. joined: {task: another, whose group it is of}
    (`tasks.clusters_of`), where a task's file says so.
    """
    group_of = {task: str(number) for number, group in enumerate(PAPER_GROUPS) for task in group}
    leaders = [(joined or {}).get(task, task) for task in tasks]
    return [group_of.get(leader, leader) for leader in leaders]


def forms_blocks(groups: Sequence[str]) -> bool:
    """Whether there are pairs within groups as well as between them."""
    return 1 < len(set(groups)) < len(groups)


def block_statistic(alike: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean within groups minus mean between them, after removing what is common to a row and its column.

    alike: [..., m, m] symmetric, of which the diagonal is never read; groups: [m]. The row and column
    effects are the least-squares ones of the off-diagonal cells.
    """
    first, second = np.triu_indices(alike.shape[-1], 1)
    same = groups[first] == groups[second]
    residual = _residual(alike)[..., first, second]
    return residual[..., same].mean(axis=-1) - residual[..., ~same].mean(axis=-1)


def _residual(alike: np.ndarray) -> np.ndarray:
    """S_ij − μ − a_i − a_j, fitted to the off-diagonal cells; for m = 3 nothing is left."""
    m = alike.shape[-1]
    if m < 4:
        return np.zeros_like(alike)
    sums = np.where(np.eye(m, dtype=bool), 0.0, alike).sum(axis=-1)
    mean = sums.sum(axis=-1, keepdims=True) / (m * (m - 1))
    effect = (sums - (m - 1) * mean) / (m - 2)
    return alike - mean[..., None] - effect[..., :, None] - effect[..., None, :]


class Permuted(NamedTuple):
    """One-sided p's of a permutation test: the shares of permutations whose statistic is at least (p), or at
    most (p_other), the observed one's; and how many distinct partitions into groups of these sizes there are,
    from which permutations are taken."""

    p: float
    p_other: float
    n: int


def permutation_p(alike: np.ndarray, groups: np.ndarray) -> Permuted:
    """Of `block_statistic` when names are permuted.

    All distinct partitions into groups of these sizes, the observed one among them, or, where there are more
    than PERMUTATIONS, so many random ones and the observed one.
    """
    return joint_permutation_p([alike], groups)


def joint_permutation_p(matrices: Sequence[np.ndarray], groups: np.ndarray) -> Permuted:
    """As `permutation_p`, of the mean statistic of several matrices [m, m], names permuted in all at once.

    A matrix is of the tasks on whose row it is finite; where no two of them, or all, fall into one group, it
    has no statistic and the mean is that of the others. Partitions without any are left out; if the observed
    one is such, both p's are 1.
    """
    sizes = sorted(np.bincount(groups)[np.bincount(groups) > 0].tolist(), reverse=True)
    n = n_partitions(sizes)
    if n <= PERMUTATIONS:
        labels = np.array([groups, *partitions(sizes)])
        counted = slice(1, None)  # The observed one is among them.
    else:
        rng = np.random.default_rng(0)
        labels = np.stack([groups, *(rng.permutation(groups) for _ in range(PERMUTATIONS))])
        counted = slice(None)
    statistics = np.full((len(matrices), len(labels)), np.nan)
    for into, alike in zip(statistics, matrices, strict=True):
        off = np.where(np.eye(len(alike), dtype=bool), np.nan, alike)
        known = np.flatnonzero(np.isfinite(off).any(axis=1))
        first, second = np.triu_indices(len(known), 1)
        residual = _residual(alike[np.ix_(known, known)])[first, second]
        same = labels[:, known[first]] == labels[:, known[second]]
        n_same = same.sum(axis=1)
        usable = (n_same > 0) & (n_same < len(first))
        within = np.where(same, residual, 0).sum(1)[usable] / n_same[usable]
        into[usable] = within - np.where(same, 0, residual).sum(1)[usable] / (len(first) - n_same[usable])
    usable = np.isfinite(statistics).any(axis=0)
    if not usable[0]:
        return Permuted(1.0, 1.0, n)
    observed = np.nanmean(statistics[:, 0])
    mean = np.nanmean(statistics[:, counted][:, usable[counted]], axis=0)
    return Permuted(float(np.mean(mean >= observed - 1e-12)), float(np.mean(mean <= observed + 1e-12)), n)


def n_partitions(sizes: Sequence[int]) -> int:
    """In how many ways sum(sizes) things fall into unnamed groups of these sizes."""
    left, count = sum(sizes), 1
    for size in sizes:
        count *= comb(left, size)
        left -= size
    for size in set(sizes):
        for repeated in range(2, list(sizes).count(size) + 1):
            count //= repeated
    return count


def partitions(sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every partition of sum(sizes) things into unnamed groups of these sizes, as a group number a thing."""
    labels = [-1] * sum(sizes)

    def fill(sizes: tuple[int, ...], group: int) -> Iterator[tuple[int, ...]]:
        if not sizes:
            yield tuple(labels)
            return
        free = [thing for thing, label in enumerate(labels) if label < 0]
        # The first free thing belongs to some group: trying each size once names no group twice.
        for size in sorted(set(sizes)):
            rest = list(sizes)
            rest.remove(size)
            for others in combinations(free[1:], size - 1):
                members = (free[0], *others)
                for thing in members:
                    labels[thing] = group
                yield from fill(tuple(rest), group + 1)
                for thing in members:
                    labels[thing] = -1

    yield from fill(tuple(sizes), 0)
