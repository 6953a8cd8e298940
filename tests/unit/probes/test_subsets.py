"""Probes of subsets have training parts of one size."""

from dataclasses import replace

import numpy as np
from made.wordings import BASES, PROBES, plant, same
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.subsets import equal_parts, on_subsets
from skillprobe.statistics.folds import CALIBRATION, row_folds


def test_training_parts_are_equally_large_of_their_own_subset_and_of_whole_bases():
    rows = plant(same)
    subsets = [rows.instruction_types == "plm", rows.instruction_types == "human", np.ones(len(rows.y), bool)]
    folds = row_folds(rows.groups, Settings.from_config(PROBES, 0).folds(BASES)[0])
    for fold in range(4):
        mask = (folds != fold) & (folds != CALIBRATION)
        picks = [pick(mask) for pick in equal_parts(subsets, rows.groups, rows.ids, 0)]
        assert {int(pick.sum()) for pick in picks} == {int((mask & subsets[0]).sum())}
        for pick, subset in zip(picks, subsets, strict=True):
            assert not (pick & ~(mask & subset)).any()
        # As many groups, or the larger subset would be the more diverse one.
        assert len({len(set(rows.groups[pick])) for pick in picks}) == 1
    order = np.random.default_rng(0).permutation(len(rows.y))
    again = equal_parts([s[order] for s in subsets], rows.groups[order], rows.ids[order], 0)
    assert set(rows.ids[order][again[1](mask[order])]) == set(rows.ids[picks[1]])


def test_a_subset_of_all_rows_alone_is_the_specialist():
    from skillprobe.probes.specialists import specialist

    rows, settings = plant(same), replace(Settings.from_config(PROBES, 0), shuffles=0)
    every = np.ones(len(rows.y), bool)
    [[found]] = on_subsets(rows.x, rows.y, rows.groups, settings, [[every]], ids=rows.ids, study_groups=BASES)
    expected = specialist(rows.x, rows.y, rows.groups, settings, ids=rows.ids, study_groups=BASES)
    np.testing.assert_array_equal(found.scores, expected.scores)
