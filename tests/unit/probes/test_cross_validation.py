"""The protocol leaks nothing."""

import numpy as np
import pytest
from made.probes import SETTINGS, fit_one, task_data
from skillprobe.errors import UserError
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.solver import Rows
from skillprobe.probes.specialists import specialist
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.metrics import auroc


def test_test_labels_reach_no_score_of_their_fold():
    x, y, groups = task_data(signal=0.5)
    result = specialist(x, y, groups, SETTINGS)
    test = result.folds[0] == 2
    flipped = np.where(test, 1 - y, y)
    other = specialist(x, flipped, groups, SETTINGS)
    np.testing.assert_array_equal(other.scores[0, test], result.scores[0, test])
    assert other.chosen_c[0, 2] == result.chosen_c[0, 2]
    assert other.inner_auroc[0, 2] == result.inner_auroc[0, 2]


def test_inner_auroc_is_of_probes_trained_on_the_other_inner_folds():
    x, y, groups = task_data(signal=0.5)
    one = Settings(penalties=(0.01,), fold_seeds=(4,), feature_scaling=False)
    result = specialist(x, y, groups, one)
    fold, scores = result.folds[0], np.zeros(len(y), np.float32)
    for g in range(1, 5):
        train = np.flatnonzero((fold != 0) & (fold != g) & (fold != CALIBRATION))
        scores[fold == g] = fit_one(Rows(x), train, y, [0.01])[1][0, fold == g]
    expected = auroc(scores, y, np.where(fold == 0, CALIBRATION, fold)).value
    assert result.inner_auroc[0, 0] == pytest.approx(expected)


def test_row_order_and_other_tasks_change_nothing():
    x, y, groups = task_data()
    ids = np.array([f"{group}/{i}" for i, group in enumerate(groups)])
    result = specialist(x, y, groups, SETTINGS, ids=ids)
    order = np.random.default_rng(0).permutation(len(y))
    shuffled = specialist(x[order], y[order], groups[order], SETTINGS, ids=ids[order])
    np.testing.assert_allclose(shuffled.scores, result.scores[:, order], atol=1e-5)
    np.testing.assert_array_equal(shuffled.chosen_c, result.chosen_c)
    # A task that lacks groups keeps the folds of the rest, given the study's groups.
    kept = groups != "b007"
    part = specialist(x[kept], y[kept], groups[kept], SETTINGS, study_groups=groups)
    np.testing.assert_array_equal(part.folds, result.folds[:, kept])


def test_constant_activations_are_flagged_not_scored():
    x, y, groups = task_data()
    result = specialist(np.ones_like(x), y, groups, SETTINGS)
    assert result.status == "" and auroc(result.scores[0], y, result.folds[0]).constant


def test_bad_input_is_refused_in_words():
    x, y, groups = task_data()
    with pytest.raises(UserError, match="NaN or infinite"):
        specialist(np.where(x > 2, np.nan, x), y, groups, SETTINGS)
    with pytest.raises(UserError, match="labels must be"):
        specialist(x, y + 1, groups, SETTINGS)
    with pytest.raises(UserError, match="one each"):
        specialist(x, y[1:], groups, SETTINGS)
    with pytest.raises(UserError, match="ascending"):
        Settings(penalties=(1.0, 0.1))
