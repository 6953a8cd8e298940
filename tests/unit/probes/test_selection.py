"""The layer of each outer fold is the one of best inner AUROC there."""

from types import SimpleNamespace

import numpy as np
from skillprobe.probes.selection import best_layers, best_of_task


def result(inner, own=None, status=""):
    inner = np.array([inner], float)
    own = inner if own is None else np.array([own], float)
    return SimpleNamespace(inner_auroc=inner, task_inner_auroc=own, status=status)


def test_a_tasks_layer_is_the_first_of_its_best():
    by_layer = {0: result([0.6, 0.7, 0.5]), 2: result([0.7, 0.7, 0.4]), 4: result([0.7, 0.6, 0.9])}
    np.testing.assert_array_equal(best_of_task(by_layer), [[1, 0, 2]])


def test_a_general_probe_has_the_layer_that_is_best_for_the_task():
    by_layer = {0: result([0.9, 0.9], own=[0.6, 0.8]), 1: result([0.8, 0.8], own=[0.7, 0.7])}
    np.testing.assert_array_equal(best_of_task(by_layer), [[0, 0]])
    np.testing.assert_array_equal(best_of_task(by_layer, own=True), [[1, 0]])


def test_a_task_that_was_left_out_has_the_layer_of_those_that_were_not():
    nothing = [np.nan, np.nan]
    by_layer = {0: result([0.6, 0.8], own=nothing), 1: result([0.7, 0.7], own=nothing)}
    np.testing.assert_array_equal(best_of_task(by_layer, own=True), [[1, 0]])


def test_the_common_layer_is_best_on_average_over_sufficient_tasks():
    specialists = {
        "topic": {0: result([0.9, 0.5]), 1: result([0.6, 0.6])},
        "register": {0: result([0.5, 0.5]), 1: result([0.7, 0.5])},
        "toxicity": {0: result([np.nan] * 2, status="few"), 1: result([np.nan] * 2, status="few")},
    }
    np.testing.assert_array_equal(best_layers(specialists, [0, 1]), [[0, 1]])
    assert best_layers({"toxicity": specialists["toxicity"]}, [0, 1]) is None
