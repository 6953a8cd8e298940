"""What the tables make of the scores of planted worlds after erasure."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from made.ablated import CLAIMS, SETTINGS, TASKS, ablate, ablated, own_world, same, tabulate, value, world
from skillprobe.analyses.ablation import (
    BOUNDS,
    CELL_COLUMNS,
    CURVE_COLUMNS,
    SELECTED,
    SUMMARY_COLUMNS,
    _cell_words,
    ablation_tables,
)
from skillprobe.erasure.cross import FROZEN, RETRAINED
from skillprobe.errors import UserError
from skillprobe.statistics.intervals import Estimate
from skillprobe.storage.tables import columns_of


@cache
def tables(name):
    return tabulate(world(name)[1], ablated(name)[0])


def find(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, wanted
    return found[0]


def primary(cells, layer=0):
    return [
        row for row in cells if (row["layer"], row["method"], row["probe"]) == (layer, "inlp", "retrained")
    ]


# ------------------------------------------------------------------------------------------------ worlds


def test_in_a_universal_world_every_task_falls_with_every_other():
    cells, _, summary = tables("universal")
    assert all(row["estimate"] > 0.1 and row["net"] > 0.1 for row in primary(cells))
    assert {row["cell"] for row in primary(cells)} <= {"", "dependent", "undecided"}
    assert find(summary, layer=0, quantity="dependent")["estimate"] >= 0.5
    assert find(summary, layer=0, quantity="independent")["estimate"] == 0


def test_in_a_compositional_world_a_task_falls_with_itself_alone():
    cells, _, summary = tables("compositional")
    for row in primary(cells):
        if row["source"] == row["target"]:
            assert row["estimate"] > 0.15 and row["net_lower99"] > 0 and row["cell"] == ""
        else:
            assert abs(row["estimate"]) < 0.05 and row["cell"] in ("independent", "undecided")
    assert find(summary, layer=0, quantity="dependent")["estimate"] == 0
    assert find(summary, layer=0, quantity="independent")["estimate"] >= 0.5
    assert find(summary, layer=0, quantity="diagonal")["lower99"] > 0.05


@pytest.mark.parametrize("name", ["universal", "compositional"])
def test_erasers_of_shuffled_labels_and_random_ones_take_next_to_nothing(name):
    cells = primary(tables(name)[0])
    for control in ("null", "random"):
        falls = [row[control] for row in cells]
        assert abs(np.mean(falls)) < 0.03 and np.abs(falls).max() < 0.08
    own = [row["net"] for row in cells if row["source"] == row["target"]]
    assert np.mean(own) > 5 * abs(np.mean([row["null"] for row in cells]))


def test_frozen_probes_tell_what_was_erased_from_what_was_kept():
    def summarised(name, quantity, method="inlp"):
        return find(tables(name)[2], layer=0, quantity=quantity, method=method)["estimate"]

    for method in FROZEN:
        assert summarised("compositional", "selectivity", method) > 0.9
        assert summarised("compositional", "completeness", method) > 0.5
        assert summarised("universal", "selectivity", method) < 0.6
        together = summarised("compositional", "reliability", method)
        parts = [summarised("compositional", part, method) for part in ("completeness", "selectivity")]
        assert together == pytest.approx(2 * parts[0] * parts[1] / sum(parts))


@pytest.mark.parametrize("method, goal", [("inlp", 0.0), ("inlp_reflected", -1.0), ("leace", 0.0)])
def test_completeness_and_selectivity_are_shares_of_what_was_there(method, goal):
    """Canby et al.: 1 where all that was to go has gone, and where nothing else has."""
    cells, _, summary = tables("compositional")
    complete, selective = [], []
    for row in cells:
        if (row["layer"], row["method"], row["probe"]) == (0, method, "frozen"):
            left = (row["after"] - 0.5) / (row["before"] - 0.5)
            if row["source"] == row["target"]:
                complete.append(np.clip(1 - abs(left - goal) / (1 - goal), 0, 1))
            else:
                selective.append(np.clip(1 - abs(left - 1), 0, 1))
    for quantity, expected in (("completeness", complete), ("selectivity", selective)):
        row = find(summary, layer=0, quantity=quantity, method=method)
        assert row["estimate"] == pytest.approx(np.mean(expected))
        assert row["lower95"] <= row["estimate"] <= row["upper95"] <= 1


# ------------------------------------------------------------------------------------------------ tables


def test_tables_have_their_columns_and_one_row_for_each_cell():
    cells, curves, summary = tables("compositional")
    assert all(tuple(row) == CELL_COLUMNS for row in cells)
    assert all(tuple(row) == CURVE_COLUMNS for row in curves)
    assert all(set(columns_of(row)) == set(SUMMARY_COLUMNS) for row in summary)
    pairs = len(TASKS) ** 2
    assert len(cells) == 2 * pairs * (len(RETRAINED) + len(FROZEN))  # a layer, and "selected"
    assert len(curves) == 2 * pairs * (SETTINGS.max_rank + 1)
    assert len({tuple(row[c] for c in CELL_COLUMNS[:6]) for row in cells}) == len(cells)


def test_cells_are_differences_of_aurocs():
    _, specialists = world("compositional")
    scores = ablated("compositional")[0]
    cells = tables("compositional")[0]
    for row in cells:
        if row["layer"] != 0:
            continue
        result, each = specialists[row["target"]], scores[row["target"]]
        i = TASKS.index(row["source"])
        before = value(each.before[0], result)
        after = value(getattr(each, row["probe"])[row["method"]][i, 0], result)
        assert (row["before"], row["after"]) == (before, after)
        assert row["estimate"] == pytest.approx(before - after)
        assert row["lower99"] <= row["lower95"] <= row["estimate"] <= row["upper95"] <= row["upper99"]
        if (row["method"], row["probe"]) == ("inlp", "retrained"):
            null = before - np.mean([value(line, result) for line in each.null[:, i]])
            random = before - np.mean([value(line, result) for line in each.random])
            assert row["null"] == pytest.approx(null) and row["random"] == pytest.approx(random)
            assert row["net"] == pytest.approx(row["estimate"] - null)
        else:
            assert np.isnan(row["null"]) and np.isnan(row["net"]) and row["cell"] == ""


def test_curves_begin_with_nothing_erased_and_pass_the_primary_rank():
    cells, curves, _ = tables("compositional")
    for row in primary(cells):
        where = {"layer": 0, "source": row["source"], "target": row["target"]}
        assert find(curves, **where, rank=0)["estimate"] == row["before"]
        at_rank = find(curves, **where, rank=SETTINGS.rank)["estimate"]
        assert at_rank == pytest.approx(row["after"], abs=1e-3)


def cell(lower_of_one, upper_of_one, dependent, independent):
    """The word of a cell whose net fall has this simultaneous interval, beside another that falls by ½."""
    middle, half = (lower_of_one + upper_of_one) / 2, (upper_of_one - lower_of_one) / 2
    by_seed = np.array([[[0.7, middle], [0.5, 0.7]]])
    # Draws as far off on one side as on the other: each cell's half-width is that distance.
    drawn = np.where(np.arange(400)[:, None, None] % 2 == 0, by_seed + half, by_seed - half)
    matrix = SimpleNamespace(net=Estimate(by_seed, drawn))
    lower, upper, words = _cell_words(matrix, np.array([True, True]), dependent, independent)
    np.testing.assert_allclose([lower[0, 1], upper[0, 1]], [lower_of_one, upper_of_one], atol=1e-3 * half)
    assert words[0, 0] == words[1, 1] == "" and np.isnan(lower[0, 0]) and words[1, 0] == "dependent"
    return words[0, 1]


@pytest.mark.parametrize(
    "lower, upper, word",
    [
        (0.021, 0.2, "dependent"),
        (0.019, 0.2, "undecided"),
        (0.021, 0.04, "dependent"),  # small, but there: not independent
        (0.019, 0.049, "independent"),
        (-0.3, 0.049, "independent"),
        (-0.3, -0.1, "independent"),
        (0.019, 0.051, "undecided"),
        (-0.3, 0.3, "undecided"),
    ],
)
def test_words_of_cells_turn_at_the_thresholds(lower, upper, word):
    assert cell(lower, upper, 0.02, 0.05) == word


def test_cells_follow_their_intervals_in_the_tables():
    for name in ("universal", "compositional"):
        cells, _, summary = tables(name)
        words = []
        for row in primary(cells):
            assert (row["cell"] == "") == (row["source"] == row["target"])
            if row["cell"]:
                lower, upper = row["lower_simultaneous99"], row["upper_simultaneous99"]
                assert lower <= row["net_lower99"] + 0.02 and upper >= row["net_upper99"] - 0.02
                expected = "dependent" if lower > 0.02 else "independent" if upper < 0.05 else "undecided"
                assert row["cell"] == expected
                words.append(expected)
        for word in ("dependent", "independent"):
            row = find(summary, layer=0, quantity=word)
            assert row["estimate"] == words.count(word) / len(words) and row["n_cells"] == len(words)
            assert all(np.isnan(row[bound]) for bound in BOUNDS)


def test_simultaneous_intervals_have_the_level_of_the_looks(use_looks):
    _, specialists = world("universal")
    bounds = []
    for looks in (1, 5):
        use_looks(looks)
        cells, _, _ = tabulate(specialists, ablated("universal")[0])
        bounds.append([row["lower_simultaneous99"] for row in primary(cells) if row["cell"]])
    once, often = np.array(bounds)
    assert len(once) and (often < once).all()


def test_thresholds_are_the_callers():
    _, specialists = world("universal")
    scores = ablated("universal")[0]
    _, _, summary = tabulate(specialists, scores, dependent=-1.0)
    assert find(summary, layer=0, quantity="dependent")["estimate"] == 1
    _, _, summary = tabulate(specialists, scores, dependent=1.0, independent=1.0)
    assert find(summary, layer=0, quantity="independent")["estimate"] == 1
    cells, _, summary = tabulate(specialists, scores, signal=0.999)
    assert all(row["cell"] == "" for row in cells) and all(row["status"] for row in summary)


def test_the_diagonal_gates_and_counts_tasks_with_a_signal():
    cells, _, summary = tables("compositional")
    own = [row["net"] for row in primary(cells) if row["source"] == row["target"]]
    row = find(summary, layer=0, quantity="diagonal")
    assert row["estimate"] == pytest.approx(np.mean(own))
    assert row["n_tasks"] == row["n_cells"] == 4 and row["status"] == ""

    # Two of four tasks without a signal are too few; their own cells are no evidence.
    e = np.eye(16)
    x, specialists = own_world([e[0], e[1], 0 * e[0], 0 * e[0]])
    cells, _, summary = tabulate(specialists, ablate(x, specialists)[0])
    assert all("2 of 4 tasks have a signal; two thirds are needed" in row["status"] for row in summary)
    own = [find(primary(cells), source=task, target=task)["net"] for task in TASKS[:2]]
    row = find(summary, layer=0, quantity="diagonal")
    assert row["n_tasks"] == 2 and row["estimate"] == pytest.approx(np.mean(own))
    judged = {(row["source"], row["target"]) for row in primary(cells) if row["cell"]}
    assert judged == {tuple(TASKS[:2]), tuple(TASKS[1::-1])}
    assert find(summary, layer=0, quantity="asymmetry")["n_cells"] == 1


def test_one_task_with_a_signal_has_no_pairs():
    x, specialists = own_world([np.eye(16)[0]] * 4)
    alone = {TASKS[0]: specialists[TASKS[0]]}
    scores = ablate({TASKS[0]: x[TASKS[0]]}, alone)[0]
    _, _, summary = tabulate(alone, scores)
    assert all(row["status"] == "insufficient: fewer than two tasks have a signal" for row in summary)
    for quantity in ("dependent", "independent", "asymmetry"):
        row = find(summary, layer=0, quantity=quantity)
        assert np.isnan(row["estimate"]) and row["n_cells"] == 0


def test_insufficient_tasks_flow_through_as_no_evidence():
    directions = list(np.eye(16)[:4])
    x, specialists = own_world(directions, constant=["toxicity"])
    plain = replace(SETTINGS, feature_scaling=False)
    scores, erasers = ablate(x, specialists, plain)
    assert list(scores) == TASKS and set(erasers) == set(TASKS) - {"toxicity"}
    cells, curves, summary = tabulate(specialists, scores)
    rest = {task: each for task, each in specialists.items() if task != "toxicity"}
    without = tabulate(rest, ablate({task: x[task] for task in rest}, rest, plain)[0])
    for rows, expected in ((cells, without[0]), (curves, without[1])):
        known = {tuple(row[key] for key in row if isinstance(row[key], (str, int))): row for row in expected}
        assert known
        for row in rows:
            if "toxicity" in (row["source"], row["target"]):
                assert row["status"].startswith("insufficient: toxicity: 0 violated")
                assert np.isnan(row["estimate"]) and np.isnan(row["lower99"])
                assert row.get("cell", "") == ""
            else:
                assert row["status"] == "" and np.isfinite(row["estimate"])
        # As if it had not been there.
        kept = [row for row in rows if not row["status"]]
        assert [row["estimate"] for row in kept] == pytest.approx([row["estimate"] for row in expected])
    assert [row["cell"] for row in primary(cells) if not row["status"]] == [
        row["cell"] for row in primary(without[0])
    ]
    assert find(summary, layer=0, quantity="diagonal")["n_tasks"] == 3
    assert find(summary, layer=0, quantity="diagonal")["status"] == ""  # three of four: two thirds


def test_without_any_sufficient_task_there_are_tables_of_nothing():
    x, specialists = own_world(np.eye(16)[:4], constant=TASKS)
    scores, erasers = ablate(x, specialists)
    assert erasers == {}
    cells, curves, summary = tabulate(specialists, scores)
    assert all(np.isnan(row["estimate"]) and row["status"] for row in cells + curves + summary)


def test_tables_need_scores():
    _, specialists = world("compositional")
    with pytest.raises(UserError, match="no ablation scores of model 'toy'"):
        ablation_tables("toy", {task: {0: each} for task, each in specialists.items()}, {}, **CLAIMS)


# --------------------------------------------------------------------------------------------- asymmetry


def test_asymmetry_finds_tasks_that_need_one_another_one_way_only():
    """All others tell satisfied by the first task's direction and by one of their own: without the former
    they go on, while the first task has nothing beside what they have."""
    e = np.eye(16)
    x, specialists = own_world([e[0], e[0] + e[1], e[0] + e[2], e[0] + e[3]], n_groups=100, strength=1.6)
    one = replace(SETTINGS, rank=1, max_rank=1, primary_only=True)
    cells, _, summary = tabulate(specialists, ablate(x, specialists, one)[0])
    for task in TASKS[1:]:
        of_first = find(primary(cells), source=TASKS[0], target=task)["net"]
        of_other = find(primary(cells), source=task, target=TASKS[0])["net"]
        assert of_other > of_first + 0.02
    row = find(summary, layer=0, quantity="asymmetry")
    assert row["lower99"] > 0 and row["n_cells"] == 6 and row["status"] == ""


def test_asymmetry_is_left_open_where_halves_are_too_small():
    x, specialists = own_world(np.eye(16)[:4], n_groups=20, strength=2.0)
    assert not any(result.status for result in specialists.values())
    cells, _, summary = tabulate(specialists, ablate(x, specialists)[0])
    assert np.isnan(find(summary, layer=0, quantity="asymmetry")["estimate"])
    assert all(np.isfinite(row["net"]) for row in primary(cells))


@cache
def symmetric_asymmetries(n_seeds=12):
    """Asymmetry of worlds whose tasks differ in nothing but their direction."""
    found = []
    for seed in range(n_seeds):
        x, specialists = own_world(np.eye(32)[:4], seed=seed, n_groups=120)
        scores = ablate(x, specialists, replace(SETTINGS, primary_only=True))[0]
        summary = tabulate(specialists, scores, n_draws=200)[2]
        found.append(find(summary, layer=0, quantity="asymmetry"))
    return found


def test_asymmetry_of_symmetric_worlds_is_below_what_counts():
    values = [row["estimate"] for row in symmetric_asymmetries()]
    assert np.abs(values).max() < 3 * 6 * 0.02**2 and abs(np.mean(values)) < 6 * 0.02**2


def test_asymmetry_of_symmetric_worlds_is_zero_on_average():
    values = [row["estimate"] for row in symmetric_asymmetries()]
    assert abs(np.mean(values)) < 3 * np.std(values, ddof=1) / np.sqrt(len(values))


def test_symmetric_worlds_are_not_called_asymmetric():
    """At 99 %, one of twelve at most."""
    assert sum(row["lower99"] > 0 for row in symmetric_asymmetries()) <= 1


# ---------------------------------------------------------------------------------------- layers and draws


@cache
def two_layers():
    """Noise, and the same tasks with a signal: {task: {layer: specialist}}, {layer: scores}."""
    silent = own_world(np.zeros((4, 16)), seed=0)
    loud = own_world(np.eye(16)[:4], seed=0)
    assert all((silent[1][task].labels == loud[1][task].labels).all() for task in TASKS)
    by_layer = {task: {2: silent[1][task], 5: loud[1][task]} for task in TASKS}
    return by_layer, {2: ablate(*silent)[0], 5: ablate(*loud)[0]}


def test_tables_of_fewer_layers_are_parts_of_those_of_all():
    by_layer, scores = two_layers()
    both = ablation_tables("toy", by_layer, scores, **CLAIMS)
    one = ablation_tables("toy", by_layer, {5: scores[5]}, **CLAIMS)
    for rows, others in zip(both, one, strict=True):
        same([row for row in rows if row["layer"] == 5], [row for row in others if row["layer"] == 5])


def test_tables_of_fewer_tasks_have_the_same_draws():
    by_layer, scores = two_layers()
    groups = by_layer["topic"][5].groups.tolist()
    all_cells = ablation_tables("toy", by_layer, {5: scores[5]}, **CLAIMS, study_groups=groups)[0]
    two = TASKS[:2]
    fewer = {
        target: replace(
            scores[5][target],
            sources=tuple(two),
            null=scores[5][target].null[:, :2],
            curve=scores[5][target].curve[:, :2],
            retrained={method: each[:2] for method, each in scores[5][target].retrained.items()},
            frozen={method: each[:2] for method, each in scores[5][target].frozen.items()},
        )
        for target in two
    }
    options = CLAIMS | {"study_groups": groups}
    cells = ablation_tables("toy", {task: by_layer[task] for task in two}, {5: fewer}, **options)[0]
    for row in primary(cells, layer=5):
        other = find(primary(all_cells, layer=5), source=row["source"], target=row["target"])
        for key in ("before", "after", "estimate", "net", *BOUNDS, *(f"net_{bound}" for bound in BOUNDS)):
            assert row[key] == other[key]


def test_the_selected_layer_is_that_of_the_best_probes():
    by_layer, scores = two_layers()
    for rows in ablation_tables("toy", by_layer, scores, **CLAIMS):
        chosen = [{**row, "layer": 5} for row in rows if row["layer"] == SELECTED]
        same(chosen, [row for row in rows if row["layer"] == 5])


def test_a_seed_gives_the_same_tables_and_another_one_others():
    _, specialists = world("compositional")
    scores = ablated("compositional")[0]
    for rows, others in zip(tabulate(specialists, scores), tables("compositional"), strict=True):
        same(rows, others)
    cells = tabulate(specialists, scores, seed=1)[0]
    for row, other in zip(primary(cells), primary(tables("compositional")[0]), strict=True):
        assert row["estimate"] == other["estimate"] and row["lower99"] != other["lower99"]


def test_cells_are_means_over_fold_seeds():
    x, specialists = world("compositional", fold_seeds=(0, 1))
    scores = ablate(x, specialists, replace(SETTINGS, primary_only=True))[0]
    row = find(primary(tabulate(specialists, scores)[0]), source="topic", target="topic")
    result, each, i = specialists["topic"], scores["topic"], TASKS.index("topic")
    falls = [
        value(each.before[s], result, s) - value(each.retrained["inlp"][i, s], result, s) for s in (0, 1)
    ]
    assert row["estimate"] == pytest.approx(np.mean(falls)) and falls[0] != falls[1]
