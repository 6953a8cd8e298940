"""Responses without the constraint are scored by probes that never saw their group."""

import numpy as np
import pytest
from made.unconstrained import SETTINGS, make_worlds
from skillprobe.probes.rows import read_rows
from skillprobe.probes.unconstrained import read_both_prompts
from skillprobe.statistics.folds import CALIBRATION


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    return make_worlds(tmp_path_factory)


def test_unconstrained_responses_are_scored_by_probes_that_never_saw_their_base(worlds):
    paths, specialists = worlds["planned"]
    found = read_both_prompts(paths, specialists, SETTINGS)[2]["topic"]
    rows, probe = read_rows([paths[1]], 2, "eos", "unconstrained"), specialists["topic"][2]
    fold_of = dict(zip(probe.groups.tolist(), probe.folds[1].tolist(), strict=True))
    assert found.unconstrained.ids.tolist() == rows.ids.tolist() and len(rows.y) == 240
    for row, group in enumerate(rows.groups.tolist()):
        fold = fold_of[group]
        assert found.unconstrained.folds[1, row] == fold
        score = found.unconstrained.scores[1, row]
        if fold == CALIBRATION:
            assert np.isnan(score)
        else:
            expected = rows.x[row] @ probe.fold_weights[1, fold] + probe.fold_intercepts[1, fold]
            assert score == pytest.approx(expected, abs=1e-4)


def test_energy_is_what_lies_in_the_row_space(worlds):
    paths, specialists = worlds["planned"]
    found = read_both_prompts(paths, specialists, SETTINGS)[2]["topic"]
    x, probe = read_rows([paths[1]], 2, "eos").x, specialists["topic"][2]
    row = int(np.flatnonzero(probe.folds[0] == 3)[0])
    weights = np.array([each[2].fold_weights[0, 3] for each in specialists.values()], float)
    centred = (x - x.mean(axis=0))[row]
    inside = weights.T @ np.linalg.lstsq(weights.T, centred, rcond=None)[0]
    assert found.energy["constrained"][row] == pytest.approx([inside @ inside, centred @ centred], rel=1e-4)
    assert np.isnan(found.energy["constrained"][probe.folds[0] == CALIBRATION]).all()
    assert (found.rank, found.hidden_size) == (2, 32)
