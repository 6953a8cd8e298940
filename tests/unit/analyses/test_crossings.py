"""Does a probe read the match? Worlds planted as scores, whose truth is known."""

import numpy as np
import pytest
from made.crossings import GROUPS, SEEDS, TESTED, WORLDS, crossings
from skillprobe.analyses import crossings as analysed
from skillprobe.analyses.counting import Counting
from skillprobe.analyses.crossings import Cell, matched
from skillprobe.statistics.bootstrap import draw_groups
from skillprobe.storage.tables import N_UNTESTED

DRAWS = draw_groups(TESTED, n_draws=400)


def match_cells(layers, draws, least=(40, 20), silent=(), counts=None):
    """With tasks that count everywhere, but for the silent ones; counts: {task: [K] bool}."""
    tasks = tuple(next(iter(layers.values())))
    counting = np.ones((SEEDS, 5, len(tasks)), bool)
    for k, task in enumerate(tasks):
        counting[..., k] = (counts or {}).get(task, task not in silent)
    return analysed.match_cells(layers, draws, Counting(tasks, counting), least)


def of_world(name, layers=(2,), **changes):
    found = match_cells({layer: {"topic": crossings(WORLDS[name], **changes)} for layer in layers}, DRAWS)
    return {
        quantity: cell for (layer, task, quantity), cell in found.items() if (layer, task) == (2, "topic")
    }


def bounds(cell, level=0.99):
    cells = cell[0].cells()
    return cells["estimate"], cells[f"lower{level * 100:.0f}"], cells[f"upper{level * 100:.0f}"]


@pytest.mark.parametrize("name", ["text only", "prompt only"])
def test_who_reads_the_text_or_the_prompt_alone_has_a_match_of_a_half(name):
    shares = [of_world(name, seed=seed)["match"][0].value for seed in range(12)]
    assert abs(np.mean(shares) - 0.5) < 0.03
    estimate, lower, upper = bounds(of_world(name)["match"])
    assert lower < 0.5 < upper and abs(estimate - 0.5) < 0.15


def test_a_mean_of_tasks_has_the_floor_of_as_many_coins_and_so_can_be_contradicted():
    """Of 54 tested groups a coin is 0.07 from a half: no upper bound of one task could be below 0.55."""
    tasks = [f"task {number}" for number in range(9)]
    world = {2: {task: crossings(WORLDS["text only"], seed=seed) for seed, task in enumerate(tasks)}}
    found = match_cells(world, DRAWS)
    alone, mean = (found[2, task, "match"][0] for task in (tasks[0], "mean"))
    assert alone.standard_error() >= np.sqrt(0.25 / len(TESTED)) - 1e-9
    assert np.sqrt(0.25 / (9 * len(TESTED))) - 1e-9 <= mean.standard_error() < 0.5 * alone.standard_error()
    agreeing = {2: {task: crossings(WORLDS["match"], seed=seed) for seed, task in enumerate(tasks)}}
    found = match_cells(agreeing, DRAWS)[2, "mean", "match"][0]
    assert found.standard_error() == pytest.approx(np.sqrt(0.25 / (9 * len(TESTED))), rel=0.05)


def test_main_effects_however_strong_leave_a_half_exactly_where_there_is_no_noise():
    n = 50
    rng = np.random.default_rng(0)
    scores = 1e3 * rng.normal(size=(n, 1, 2)) + 1e3 * rng.normal(size=(n, 2, 1)) + np.zeros((n, 2, 2))
    assert matched(scores, np.zeros(n)).tolist() == [0.5] * n
    scores[:, 0, 0] += 1
    assert matched(scores, np.zeros(n)).tolist() == [1] * n
    scores[:, 0, 1] += 2
    assert matched(scores, np.zeros(n)).tolist() == [0] * n


def test_who_reads_the_match_below_strong_main_effects_has_nearly_one():
    found = of_world("match")
    assert bounds(found["match"])[0] > 0.95 and bounds(found["match"])[1] > 0.55
    assert bounds(found["match_beyond_likelihood"])[1] > 0


def test_who_reads_the_likelihood_has_no_match_beyond_it():
    found = of_world("likelihood")
    assert bounds(found["likelihood_match"])[1] < 0.5 < bounds(found["likelihood_match"])[2]
    # A likelihood that tells matches too.
    scores = WORLDS["match"]
    told = np.random.default_rng(1).normal(size=(120, 2, 2)) + 9 * (np.eye(2) - 0.5)
    found = match_cells({2: {"topic": crossings(scores, log_probability=told)}}, DRAWS)
    own, other, beyond = (
        found[2, "topic", name] for name in ("match", "likelihood_match", "match_beyond_likelihood")
    )
    assert own[0].value > 0.95 and other[0].value > 0.95
    assert beyond[0].value == pytest.approx(own[0].value - other[0].value)
    assert bounds(beyond)[1] < 0 < bounds(beyond)[2]
    # As much of one that prefers what doesn't match: read the other way round, it gives the match away.
    found = match_cells({2: {"topic": crossings(scores, log_probability=-told)}}, DRAWS)
    assert found[2, "topic", "likelihood_match"][0].value < 0.05
    for task in ("topic", "mean"):
        again = found[2, task, "match_beyond_likelihood"]
        assert again[0].value == pytest.approx(beyond[0].value, abs=0.01) and bounds(again)[1] < 0


def test_errors_are_at_least_those_of_a_coin_thrown_once_a_group():
    found = of_world("match")
    for name in ("match", "likelihood_match", "match_beyond_likelihood"):
        assert found[name][0].drawn.std(ddof=1) >= 0.999 * np.sqrt(0.25 / len(TESTED))


def test_too_few_crossings_are_insufficient_with_the_reason():
    found = of_world("match", per_group=1, groups=GROUPS[:24])
    n = sum(group in TESTED for group in GROUPS[:24])
    few = f"insufficient: {n} crossings of {n} groups; the match needs 40 of 20"
    assert found["match"] == Cell(None, n, n, few)
    few = {2: {"topic": crossings(WORLDS["match"], per_group=1, groups=GROUPS[:24])}}
    assert match_cells(few, DRAWS)[2, "mean", "match"][3].startswith("insufficient: no task has enough")
    assert match_cells(few, DRAWS, (10, 10))[2, "topic", "match"][3] == ""
    broken = of_world("match", status="12 violated responses")
    assert {cell[3] for cell in broken.values()} == {"insufficient: 12 violated responses"}


def test_the_mean_is_of_the_tasks_with_a_match():
    tasks = {
        "topic": crossings(WORLDS["match"]),
        "sentiment": crossings(WORLDS["text only"]),
        "toxicity": crossings(WORLDS["match"], groups=GROUPS[:2]),
    }
    found = match_cells({2: tasks}, DRAWS)
    values = [found[2, task, "match"][0].value for task in ("topic", "sentiment")]
    mean = found[2, "mean", "match"]
    # Over folds, which have about as many crossings.
    assert mean.estimate.value == pytest.approx(np.mean(values), abs=0.01)
    assert mean.n == 2 * found[2, "topic", "match"].n and mean.tasks == ("topic", "sentiment")


def test_a_task_whose_probe_is_silent_has_no_part_in_the_mean():
    """Nor a fold in which a task doesn't count."""
    tasks = {"topic": crossings(WORLDS["match"]), "sentiment": crossings(WORLDS["text only"])}
    found = match_cells({2: tasks}, DRAWS, silent=("sentiment",))
    mean, own = found[2, "mean", "match"], found[2, "topic", "match"]
    assert mean.tasks == ("topic",) and (mean.n, mean.n_groups) == (own.n, own.n_groups)
    assert mean.estimate.value == pytest.approx(own.estimate.value, abs=0.01)
    assert found[2, "sentiment", "match"].status == ""
    first = np.arange(5) == 0
    cell = match_cells({2: tasks}, DRAWS, counts={"topic": first, "sentiment": ~first})[2, "mean", "match"]
    by_fold = {task: found[2, task, "match"].by_fold.by_seed for task in tasks}
    expected = (by_fold["topic"][:, 0] + by_fold["sentiment"][:, 1:].sum(axis=1)) / 5
    np.testing.assert_allclose(cell.estimate.by_seed, expected)
    # It counts in too few folds to be named.
    assert cell.tasks == ("sentiment",)
    none = match_cells({2: tasks}, DRAWS, silent=tuple(tasks))
    for name in ("match", "match_beyond_likelihood"):
        assert none[2, "mean", name] == Cell(None, 0, 0, "insufficient: no task has a signal")


def test_a_mean_is_no_surer_than_a_coin_thrown_once_a_group_of_the_folds_that_count():
    tasks = {"topic": crossings(WORLDS["match"])}
    some = np.arange(5) < 3
    found = match_cells({2: tasks}, DRAWS, counts={"topic": some})[2, "mean", "match"]
    folds, groups = tasks["topic"].folds, tasks["topic"].groups
    n = min(len(set(groups[np.isin(of_seed, (0, 1, 2))])) for of_seed in folds)
    assert found.estimate.drawn.std(ddof=1) == pytest.approx(np.sqrt(0.25 / n), rel=0.01)
    assert n < 0.7 * len(TESTED)


def test_counts_say_whether_the_number_was_tested():
    found = of_world("match", counts=True)
    assert (
        found["match_n"][3] == "" and found["match_one_relation"][1] < found["match_n"][1] < found["match"][1]
    )
    assert "match_n" not in of_world("match")
    far = of_world("match", counts=True, one_relation=np.zeros(120, bool), n_difference=np.full(120, 9.0))
    assert far["match_n"][:3] == (None, 0, 0) and far["match_n"][3].startswith(f"{N_UNTESTED}: 0 crossings")
    assert far["match"][3] == ""


def test_same_answers_lose_what_the_constraint_gave():
    found = of_world("match")
    own, without, difference = (found[f"same_answers_{name}"] for name in ("with", "without", "difference"))
    assert own[0].value > 0.95 and abs(without[0].value - 0.5) < 0.15
    assert difference[0].value == pytest.approx(own[0].value - without[0].value)
    assert own[1] == sum(group in TESTED for group in np.repeat(GROUPS, 2))


def test_each_fold_is_scored_at_its_own_best_layer():
    inner = np.full((SEEDS, 5), 0.6)
    inner[:, :2] = 0.9
    layers = {
        1: {"topic": crossings(WORLDS["match"], inner_auroc=inner)},
        2: {"topic": crossings(WORLDS["text only"])},
    }
    found = match_cells(layers, DRAWS)
    of = {layer: found[layer, "topic", "match"][0].by_seed for layer in (1, 2, "selected")}
    for seed in range(SEEDS):
        folds = layers[1]["topic"].folds[seed]
        shares = []
        for layer, chosen in ((1, np.isin(folds, (0, 1))), (2, folds >= 2)):
            shares += matched(layers[layer]["topic"].scores[seed, chosen], folds[chosen]).tolist()
        assert of["selected"][seed] == pytest.approx(np.mean(shares))
    assert (of[2] < of["selected"]).all() and (of["selected"] < of[1]).all()
