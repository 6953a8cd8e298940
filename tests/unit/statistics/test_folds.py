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
    assert "truncated" in sufficiency(labels, groups, folds, truncated_fraction=0.21)
    assert sufficiency(labels, groups, folds, truncated_fraction=0.2) == ""
    need = "probes need 20 from 10 of each class"
    assert sufficiency(np.ones_like(labels), groups, folds) == (
        f"0 violated responses from 0 groups to train on; {need}"
    )
    # Enough rows, but of four groups in fold 0 and four in fold 1.
    of_few = np.isin(groups, [*np.unique(groups[folds == 0])[:4], *np.unique(groups[folds == 1])[:4]])
    assert sufficiency((~of_few).astype(int), groups, folds) == (
        f"32 violated responses from 4 groups to train on; {need}"
    )
    # One test fold without a class is skipped, two are too many.
    no_pairs = np.where(folds == 2, 1, labels)
    assert sufficiency(no_pairs, groups, folds) == ""
    no_pairs[folds == 4] = 1
    assert sufficiency(no_pairs, groups, folds) == (
        "only 3 of 5 test folds have satisfied and violated responses to compare; at least 80% must"
    )
    # Of one fold seed only.
    both = np.stack([folds, assign_by_row(folds)])
    assert sufficiency(no_pairs, groups, both[1:]) == ""
    assert sufficiency(no_pairs, groups, both).startswith("only 3 of 5")
    assert "folds have rows" in sufficiency(labels[:0], groups[:0], folds[:0])


def assign_by_row(folds):
    """Other folds, each with rows of all of these."""
    return np.arange(len(folds)) % 5


def test_a_part_is_not_trained_on_where_a_class_is_in_one_fold():
    """Inner folds would leave nothing of it."""
    groups = np.repeat([f"g{i:03d}" for i in range(60)], 8)
    folds = np.repeat(np.arange(60) % 3, 8)
    labels = np.where(folds == 0, np.arange(480) % 2, 1)
    labels[folds == 1] = np.arange(160) % 2
    assert sufficiency(labels, groups, folds) == "all violated responses to train on are in one fold"


def test_too_few_test_folds_with_pairs_are_told():
    folds = np.append(np.repeat(np.arange(5), 2), CALIBRATION)
    labels = np.append(np.tile([0, 1], 5), 0)
    assert unpaired(labels, folds) == ""
    # A fold without a class, and one without any rows.
    assert unpaired(np.where(folds == 1, 0, labels), folds) == ""
    assert unpaired(labels, np.where(folds == 1, CALIBRATION, folds)) == ""
    told = "test folds have satisfied and violated responses to compare; at least 80% must"
    assert unpaired(np.where(folds < 2, 0, labels), folds) == f"only 3 of 5 {told}"
    assert unpaired(labels, np.where(folds < 2, CALIBRATION, folds)) == f"only 3 of 5 {told}"
    # Of three folds, all.
    assert unpaired(labels, np.where(folds > 1, 2, folds)) == ""
    assert unpaired(np.where(folds == 1, 0, labels), np.where(folds > 1, 2, folds)) == f"only 2 of 3 {told}"
    # A fold needs a part that has both classes: its own rows, that is, and not one of either part.
    alone = np.arange(11) == 0
    assert unpaired(labels, folds, np.array([~alone, alone])) == ""
    odd = np.arange(11) % 2 == 1
    assert unpaired(labels, folds, np.array([odd, ~odd])) == f"only 0 of 5 {told}"


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
    assert "truncated" in within_sufficiency(labels, groups, items, folds, truncated_fraction=0.3)
