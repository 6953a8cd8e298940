"""Probes across wordings leak nothing, and say where there are too few rows."""

from dataclasses import replace

import numpy as np
import pytest
from made.wordings import BASES, PROBES, SETTINGS, SIZE, plant, same
from skillprobe.probes.wordings import fit_wordings
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.metrics import auroc, auroc_within

# --- nothing leaks


def test_what_is_remembered_of_a_base_does_not_help():
    """Within a group all labels agree, and activations tell the group, nothing else: a leak would give 1."""
    values: dict[str, list[float]] = {}
    for seed in range(3):
        rows, rng = plant(same), np.random.default_rng(seed)
        of_base = {group: (rng.integers(0, 2), 5 * rng.normal(size=SIZE)) for group in BASES}
        y = np.array([of_base[group][0] for group in rows.groups], np.int8)
        x = np.array([of_base[group][1] for group in rows.groups], np.float32)
        for contrast, by_trained in fit_wordings(replace(rows, x=x, y=y), SETTINGS)["across"].items():
            for result in (each for by_tested in by_trained.values() for each in by_tested.values()):
                if not result.status:
                    found = auroc(result.scores[0], result.labels, result.folds[0]).value
                    values.setdefault(contrast, []).append(found)
    assert set(values) >= {"type", "held_out", "diversity"}
    for found in values.values():
        assert max(found) < 0.8 and abs(np.mean(found) - 0.5) < 0.08


@pytest.mark.parametrize("contrast", ["held_out", "diversity"])
def test_labels_of_tested_phrasings_reach_no_score(contrast):
    rows = plant(same)
    result = fit_wordings(rows, SETTINGS)["across"][contrast]
    if contrast == "held_out":
        result = result["other_phrasings"]["held_out"]
        # Parts are folds of their own: those of the first part are the lowest.
        tested = np.isin(rows.phrasings, rows.phrasings[(result.folds[0] >= 0) & (result.folds[0] < 4)])
        tested &= result.folds[0] < 4
    else:
        result = result["2"]["draw_1"]
        tested = np.isin(rows.ids, result.ids)
    flipped = replace(rows, y=np.where(tested, 1 - rows.y, rows.y).astype(np.int8))
    again = fit_wordings(flipped, SETTINGS)["across"][contrast]
    again = again["other_phrasings"]["held_out"] if contrast == "held_out" else again["2"]["draw_1"]
    of_tested = tested if contrast == "held_out" else slice(None)
    np.testing.assert_array_equal(again.scores[:, of_tested], result.scores[:, of_tested])
    assert not np.array_equal(again.labels, result.labels)


def test_held_out_phrasings_are_compared_within_their_part():
    rows = plant(same)
    result = fit_wordings(rows, SETTINGS)["across"]["held_out"]["any_phrasing"]["held_out"]
    dealt = result.folds[0] != CALIBRATION
    of_part = {}
    for name, fold in zip(rows.phrasings[dealt], result.folds[0][dealt] // PROBES["folds"], strict=True):
        of_part.setdefault(name, set()).add(int(fold))
    assert all(len(parts) == 1 for parts in of_part.values())
    assert sorted(part for parts in of_part.values() for part in parts) == [0, 0, 0, 1, 1, 1, 2, 2]


def test_within_prompts_probes_are_those_of_the_prompts_with_both_outcomes():
    rows = plant(same)
    found = fit_wordings(rows, SETTINGS)["within"]
    within = rows.within()
    for tested in ("plm", "human"):
        result = found["type"]["plm"][tested]
        here = within.instruction_types == tested
        assert result.ids.tolist() == within.ids[here].tolist() and not result.status
        assert result.items.tolist() == within.items[here].tolist()
    # Trained on one type's rows only: the labels of the others change nothing but how they are judged.
    flipped = np.where(rows.instruction_types == "human", 1 - rows.y, rows.y).astype(np.int8)
    again = fit_wordings(replace(rows, y=flipped), SETTINGS)["within"]["type"]["plm"]["human"]
    np.testing.assert_array_equal(again.scores, found["type"]["plm"]["human"].scores)
    value = auroc_within(again.scores[0], again.labels, again.items, again.folds[0]).value
    assert value < 0.25


# --- insufficient, in words


def test_too_few_rows_are_insufficient_in_words():
    strict = SETTINGS | {"probes": PROBES | {"min_rows": 60}}
    found = fit_wordings(plant(same), strict)["across"]
    for by_tested in found["type"].values():
        for result in by_tested.values():
            assert "to train on; probes need 60 from 5 of each class" in result.status
            assert np.isnan(result.scores).all()
    assert not found["held_out"]["other_phrasings"]["held_out"].status
    sizes = {size: [result.status for result in by.values()] for size, by in found["diversity"].items()}
    assert list(sizes) == ["1", "2", "4"] and all(sizes["1"]) and all(sizes["2"])
    assert sizes["4"] == ["", ""]


def test_truncated_tasks_are_insufficient():
    found = fit_wordings(replace(plant(same), truncated=0.2), SETTINGS)
    for by_trained in (each for scope in found.values() for each in scope.values()):
        for by_tested in by_trained.values():
            assert all("20.0% of the responses are truncated" in r.status for r in by_tested.values())
