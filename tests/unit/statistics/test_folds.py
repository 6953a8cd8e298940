"""Folds depend on the groups alone, and tell whether they suffice."""

import numpy as np
import pytest
from made.scores import BASES, clustered
from skillprobe.errors import UserError
from skillprobe.statistics.folds import (
    CALIBRATION,
    assign_folds,
    row_folds,
    sufficiency,
    unpaired,
    within_sufficiency,
)


def test_folds_depend_on_the_set_of_bases_only():
    folds = assign_folds(BASES)
    assert assign_folds(BASES[::-1] + BASES[:7]) == folds
    counts = np.bincount([fold for fold in folds.values() if fold >= 0])
    assert len(counts) == 5 and counts.max() - counts.min() <= 1
    assert sum(fold == CALIBRATION for fold in folds.values()) == 6


def test_calibration_is_the_same_for_all_fold_seeds_but_folds_differ():
    first, second = (assign_folds(BASES, fold_seed=s) for s in (0, 1))
    assert [b for b in BASES if first[b] < 0] == [b for b in BASES if second[b] < 0]
    assert first != second
    other = assign_folds(BASES, seed=1)
    assert [b for b in BASES if first[b] < 0] != [b for b in BASES if other[b] < 0]


def test_a_base_without_a_fold_is_refused_by_name():
    with pytest.raises(UserError, match="zzz"):
        row_folds(["b000", "zzz"], assign_folds(BASES))


def test_sufficiency_gives_one_reason():
    rng = np.random.default_rng(0)
    _, labels, groups, folds = clustered(rng)
    assert sufficiency(labels, groups, folds) == ""
    assert "truncated" in sufficiency(labels, groups, folds, truncated_fraction=0.06)
    assert sufficiency(labels, groups, folds, truncated_fraction=0.05) == ""
    need = "probes need 20 from 10 of each class"
    assert sufficiency(np.ones_like(labels), groups, folds) == (
        f"0 violated responses from 0 groups to train on; {need}"
    )
    # Enough rows, but of four groups in fold 0 and four in fold 1.
    of_few = np.isin(groups, [*np.unique(groups[folds == 0])[:4], *np.unique(groups[folds == 1])[:4]])
    assert sufficiency((~of_few).astype(int), groups, folds) == (
        f"32 violated responses from 4 groups to train on; {need}"
    )
    # One test fold without a class.
    no_pairs = np.where(folds == 2, 1, labels)
    assert "a test fold has no violated" in sufficiency(no_pairs, groups, folds)
    assert "folds have rows" in sufficiency(labels[:0], groups[:0], folds[:0])


def test_a_test_fold_without_pairs_is_told():
    labels, folds = np.array([0, 1, 0, 0, 1]), np.array([0, 0, 1, 1, CALIBRATION])
    assert unpaired(labels, folds) == "a test fold has no satisfied responses"
    folds[4] = 1
    assert unpaired(labels, folds) == ""
    parts = np.array([[True, True, True, True, False], [False, False, False, False, True]])
    assert unpaired(labels, folds, parts) == (
        "a test fold has no satisfied and violated responses that could be compared"
    )
    assert unpaired(labels, folds, parts[1:]) == "a test fold has no violated responses"


def test_within_prompts_it_takes_prompts_with_both_outcomes():
    items = np.repeat([f"i{i}" for i in range(100)], 4)
    groups = np.repeat([f"g{i:03d}" for i in range(50)], 8)
    folds = np.repeat(np.arange(50) % 5, 8)
    labels = np.tile([1, 0, 1, 1], 100)
    assert within_sufficiency(labels, groups, items, folds) == ""
    labels[: 4 * 50] = 1
    assert within_sufficiency(labels, groups, items, folds).startswith("50 prompts of 25 groups have both")
    assert within_sufficiency(labels, groups, items, folds, min_items=50, min_groups=25) == ""
    assert within_sufficiency(
        labels, groups, items, folds, min_items=50, min_groups=25, min_fold_items=11
    ) == ("a test fold has 10 prompts with both satisfied and violated responses; it takes 11")
    folds[groups >= "g040"] = CALIBRATION
    assert within_sufficiency(labels, groups, items, folds).startswith("30 prompts of 15 groups")
    assert "truncated" in within_sufficiency(labels, groups, items, folds, truncated_fraction=0.2)
