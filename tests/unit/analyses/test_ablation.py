"""What the tables make of the scores of planted worlds after erasure."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from made.ablated import (
    CLAIMS,
    MARGINS,
    SETTINGS,
    TASKS,
    ablate,
    ablated,
    circular_world,
    own_world,
    same,
    tabulate,
    value,
    world,
)
from made.scopes import SETTINGS as SCOPED
from made.scopes import probe_rows
from skillprobe.analyses.ablation import (
    BOUNDS,
    CELL_COLUMNS,
    CURVE_COLUMNS,
    SELECTED,
    SUMMARY_COLUMNS,
    Margins,
    _asymmetries,
    _beyond_strength,
    _cell_words,
    ablate_layer,
    ablation_tables,
    selected_layer,
)
from skillprobe.erasure.cross import FROZEN, RETRAINED
from skillprobe.errors import UserError
from skillprobe.probes.specialists import fit_scopes
from skillprobe.statistics.bootstrap import auroc_lines, draw_tested
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import Estimate
from skillprobe.statistics.metrics import auroc_within
from skillprobe.storage.tables import SCOPES, columns_of


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
    assert len({tuple(row[c] for c in CELL_COLUMNS[:7]) for row in cells}) == len(cells)
    cut = {task: k / 100 for k, task in enumerate(TASKS)}
    specialists = {
        task: replace(each, truncated=cut[task]) for task, each in world("compositional")[1].items()
    }
    cells, *_ = tabulate(specialists, ablated("compositional")[0])
    assert all(row["truncated"] == cut[row["target"]] for row in cells)


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
    """The word of a cell whose net fall has this simultaneous interval, beside another that falls by ½; these
    are the margins where a task's own probe falls by 0.7."""
    middle, half = (lower_of_one + upper_of_one) / 2, (upper_of_one - lower_of_one) / 2
    by_seed = np.array([[[0.7, middle], [0.5, 0.7]]])
    # Draws as far off on one side as on the other: each cell's half-width is that distance.
    drawn = np.where(np.arange(400)[:, None, None] % 2 == 0, by_seed + half, by_seed - half)
    net = Estimate(by_seed, drawn, 1.0)
    matrix = SimpleNamespace(net=net, off=~np.eye(2, dtype=bool), own=lambda: net.mean(np.eye(2, dtype=bool)))
    lower, upper, words = _cell_words(matrix, Margins(*dependent, *independent))
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
    # As they are, and as shares of 0.7.
    assert cell(lower, upper, (0.02, 0.0), (0.05, 1.0)) == word
    assert cell(lower, upper, (0.0, 0.02 / 0.7), (1.0, 0.05 / 0.7)) == word
    # The stricter of both decides.
    assert cell(lower, upper, (0.02, 0.01), (0.05, 0.5)) == word
    assert cell(0.021, 0.2, (0.02, 0.1), (0.05, 0.4)) == "undecided"
    assert cell(-0.3, 0.04, (0.02, 0.1), (0.05, 0.05)) == "undecided"


def test_cells_follow_their_intervals_in_the_tables():
    for name in ("universal", "compositional"):
        cells, _, summary = tables(name)
        own = find(summary, layer=0, quantity="diagonal")["estimate"]
        dependent, independent = max(0.02, 0.1 * own), min(0.05, 0.4 * own)
        words = []
        for row in primary(cells):
            assert (row["cell"] == "") == (row["source"] == row["target"])
            if row["cell"]:
                lower, upper = row["lower_simultaneous99"], row["upper_simultaneous99"]
                assert lower <= row["net_lower99"] + 0.02 and upper >= row["net_upper99"] - 0.02
                words.append(
                    "dependent"
                    if lower > dependent
                    else "independent"
                    if upper < independent
                    else "undecided"
                )
                assert row["cell"] == words[-1]
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
    _, _, summary = tabulate(specialists, scores, margins=Margins(-1.0, -1.0, 0.0, 0.0))
    assert find(summary, layer=0, quantity="dependent")["estimate"] == 1
    _, _, summary = tabulate(specialists, scores, margins=Margins(1.0, 0.0, 1.0, 9.0))
    assert find(summary, layer=0, quantity="independent")["estimate"] == 1
    cells, _, summary = tabulate(specialists, scores, signal=0.999)
    assert all(row["cell"] == "" for row in cells)
    assert {row["status"] for row in summary} == {"insufficient: no task's AUROC is clearly above chance"}
    assert all(row["n_tasks"] == 0 and row["tasks"] == "" for row in summary)


def test_summaries_are_of_the_tasks_that_count():
    cells, _, summary = tables("compositional")
    own = [row["net"] for row in primary(cells) if row["source"] == row["target"]]
    row = find(summary, layer=0, quantity="diagonal")
    assert row["estimate"] == pytest.approx(np.mean(own))
    assert row["n_tasks"] == row["n_cells"] == 4 and row["status"] == "" and row["tasks"] == " ".join(TASKS)

    # Two of four tasks without a signal: their own cells are no evidence, whatever was erased.
    e = np.eye(16)
    x, specialists = own_world([e[0], e[1], 0 * e[0], 0 * e[0]])
    for counting in (TASKS, TASKS[:2]):
        cells, _, summary = tabulate(specialists, ablate(x, specialists, counting=counting)[0])
        own = [find(primary(cells), source=task, target=task)["net"] for task in TASKS[:2]]
        row = find(summary, layer=0, quantity="diagonal")
        assert row["n_tasks"] == 2 and row["tasks"] == " ".join(TASKS[:2]) and row["status"] == ""
        assert row["estimate"] == pytest.approx(np.mean(own))
        judged = {(row["source"], row["target"]) for row in primary(cells) if row["cell"]}
        assert judged == {tuple(TASKS[:2]), tuple(TASKS[1::-1])}
        row = find(summary, layer=0, quantity="asymmetry")
        assert row["n_cells"] == 1 and "three tasks" in row["status"] and np.isnan(row["estimate"])
        for row in primary(cells):
            known = row["source"] in counting
            assert np.isfinite(row["net"]) == known and row["status"].startswith("insufficient") != known


def test_a_task_of_few_violations_leaves_the_others_their_verdict():
    """It is judged as a target, and its eraser, of too few rows, is none."""
    x, specialists = own_world(np.eye(16)[:4], n_groups=120, rare={"topic": 0.07})
    scores = ablate(x, specialists, replace(SETTINGS, min_rows=80))[0]
    cells, _, summary = tabulate(specialists, scores)
    rest = [task for task in TASKS if task != "topic"]
    for row in primary(cells):
        if row["source"] == "topic":
            assert "erasers need 80 of each" in row["status"] and np.isnan(row["net"]) and row["cell"] == ""
        else:
            assert (row["cell"] != "") == (row["source"] != row["target"])
    row = find(summary, layer=0, quantity="diagonal")
    assert row["tasks"] == " ".join(rest) and row["lower99"] > 0.05
    independent = find(summary, layer=0, quantity="independent")
    assert independent["n_cells"] == 9 and independent["estimate"] >= 0.5
    nothing = ablate(x, specialists, replace(SETTINGS, min_rows=1000))[0]
    statuses = {row["status"] for row in tabulate(specialists, nothing)[2]}
    assert statuses == {"insufficient: no task that counts has enough responses of each class to be erased"}


def test_one_task_that_counts_has_no_pairs():
    x, specialists = own_world([np.eye(16)[0]] * 4)
    alone = {TASKS[0]: specialists[TASKS[0]]}
    scores = ablate({TASKS[0]: x[TASKS[0]]}, alone)[0]
    _, _, summary = tabulate(alone, scores)
    assert find(summary, layer=0, quantity="diagonal")["status"] == ""
    for quantity in ("dependent", "independent"):
        row = find(summary, layer=0, quantity=quantity)
        assert np.isnan(row["estimate"]) and row["n_cells"] == 0
        assert row["status"] == "insufficient: only one task counts"


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
    assert find(summary, layer=0, quantity="diagonal")["status"] == ""


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


def planted_asymmetry(n, beyond, error, rng):
    """Net falls of n tasks of unequal strength, and 200 draws of them; the true mean square beyond strength
    is `beyond`², in units of the mean fall of a task's own probe."""
    circle = rng.normal(size=(n, n))
    circle = _beyond_strength(circle - circle.T)
    pairs = np.triu_indices(n, 1)
    circle *= beyond / np.sqrt((circle[pairs] ** 2).sum() / ((n - 1) * (n - 2) / 2))
    strength = 0.3 * rng.normal(size=n)
    net = np.eye(n) + (circle + strength[:, None] - strength) / 2
    seen = net + error * rng.normal(size=net.shape)
    return Estimate(seen[None], seen - 0.1 * error + error * rng.normal(size=(200, n, n)), 1.0)


@pytest.mark.parametrize("beyond", [0.0, 0.3])
@pytest.mark.parametrize("n", [4, 7])
def test_intervals_of_the_asymmetry_cover_it(n, beyond):
    """At 95 %, all but 7 % (10 %, as they are 400 only); on average the square is the true one."""
    rng, found = np.random.default_rng(5), []
    for _ in range(400):
        estimate, _ = _asymmetries(planted_asymmetry(n, beyond, 0.07, rng))
        cells = estimate.cells()
        found.append((cells["estimate"], cells["lower95"], cells["upper95"], cells["lower99"]))
    value, lower, upper, surely = np.array(found).T
    assert abs(value.mean() - beyond**2) < 3.5 * value.std() / np.sqrt(len(value))
    assert ((lower > beyond**2) | (upper < beyond**2)).mean() <= 0.10
    assert (surely > beyond**2).mean() <= 0.02


def test_what_strength_explains_is_no_asymmetry_beyond_it():
    strength = np.array([0.0, 0.1, 0.3, 0.7])
    net = (strength[:, None] - strength)[None] / 2
    rest, whole = _asymmetries(Estimate(net, np.repeat(net, 3, axis=0), 1.0))
    assert rest.value == pytest.approx(0)
    pairs = [(a - b) ** 2 for k, a in enumerate(strength) for b in strength[k + 1 :]]
    assert whole.value == pytest.approx(np.mean(pairs))
    # Round in a circle, everything is beyond it.
    circle = np.roll(np.eye(4), 1, axis=1)[None] * 0.2
    rest, whole = _asymmetries(Estimate(circle, np.repeat(circle, 3, axis=0), 1.0))
    assert rest.value == pytest.approx(4 * 0.04 / 3) and whole.value == pytest.approx(4 * 0.04 / 6)


def test_both_sources_of_error_are_taken_from_the_square():
    """Of draws × their factor, and of fold seeds."""
    rng = np.random.default_rng(0)
    net = rng.normal(size=(3, 4, 4))
    drawn = net.mean(axis=0) + rng.normal(size=(100, 4, 4))
    whole = _asymmetries(Estimate(net, drawn, 1.3))[1]
    differences = Estimate(net - net.swapaxes(1, 2), drawn - drawn.swapaxes(1, 2), 1.3)
    pairs = np.triu_indices(4, 1)
    squares = differences.value[pairs] ** 2 - differences.standard_error()[pairs] ** 2
    assert whole.value == pytest.approx(squares.mean()) and whole.factor == 1.0
    assert (_asymmetries(Estimate(net, drawn, 1.0))[1].value > whole.value).all()


QUICK = replace(SETTINGS, primary_only=True, max_rank=2, shuffles=5)


def asymmetries(x, specialists, settings):
    scores = ablate(x, specialists, settings, n_refits=40)[0]
    cells, _, summary = tabulate(specialists, scores)
    found = {row["quantity"]: row for row in summary if row["layer"] == 0}
    assert found["asymmetry"]["n_cells"] == found["asymmetry_whole"]["n_cells"] == 6
    least = (0.25 * found["diagonal"]["estimate"]) ** 2
    return cells, found["asymmetry"], found["asymmetry_whole"], least


def test_tasks_that_need_one_another_in_a_circle_are_asymmetric():
    _, rest, whole, least = asymmetries(*circular_world(n_groups=400), replace(QUICK, rank=1, max_rank=1))
    assert rest["lower99"] > least and whole["lower99"] > 0 and rest["status"] == ""


def test_one_direction_with_tasks_of_unequal_strength_is_not_asymmetric():
    """The first task has a direction that all others share, beside one of their own: it is hurt by all of
    them, and hurts them little. Strength of sources and targets explains that."""
    e = np.eye(24)
    x, specialists = own_world([e[0], e[0] + e[1], e[0] + e[2], e[0] + e[3]], n_groups=300, strength=1.0)
    cells, rest, whole, least = asymmetries(x, specialists, QUICK)
    for task in TASKS[1:]:
        of_first = find(primary(cells), source=TASKS[0], target=task)["net"]
        of_other = find(primary(cells), source=task, target=TASKS[0])["net"]
        assert of_other > of_first + 0.02
    assert whole["lower99"] > 0 and whole["upper99"] > least
    assert rest["lower99"] < least / 4 and abs(rest["estimate"]) < whole["estimate"] / 4


@cache
def symmetric_asymmetries(n_seeds=5):
    """Asymmetry of worlds whose tasks differ in nothing but their direction."""
    worlds = [own_world(np.eye(16)[:4], seed=seed, n_groups=60) for seed in range(n_seeds)]
    return [asymmetries(*each, QUICK)[1:] for each in worlds]


def test_symmetric_worlds_are_not_asymmetric():
    for rest, whole, least in symmetric_asymmetries():
        assert rest["lower99"] <= 0 and whole["upper99"] < least and abs(rest["estimate"]) < least / 4


def test_asymmetry_of_symmetric_worlds_is_zero_on_average():
    """Or below: draws have fewer groups to learn from, and scatter more than worlds."""
    values, least = np.array([(rest["estimate"], least) for rest, _, least in symmetric_asymmetries()]).T
    assert -0.1 * least.mean() < values.mean() < 3 * values.std(ddof=1) / np.sqrt(len(values))


# ---------------------------------------------------------------------------------------- refits and scopes


def test_cells_with_refits_have_their_intervals_and_the_null_keeps_its_probes():
    x, specialists = own_world(np.eye(16)[:4], n_groups=60)
    counting = TASKS[:3]
    plain = ablate(x, specialists, QUICK, counting=counting)[0]
    refitted = ablate(x, specialists, QUICK, counting=counting, n_refits=50)[0]
    cells, curves, summary = tabulate(specialists, refitted)
    others = tabulate(specialists, plain)
    draws = draw_tested(specialists.values(), n_draws=50)
    for row, other in zip(primary(cells), primary(others[0]), strict=True):
        i, target = TASKS.index(row["source"]), row["target"]
        assert row["net"] == pytest.approx(other["net"], nan_ok=True) and row["before"] == other["before"]
        if row["source"] not in counting:
            assert np.isnan(row["net"])
        elif target not in counting:
            # A target that wasn't refitted.
            assert row["net_lower99"] == other["net_lower99"]
        else:
            each, result = refitted[target], specialists[target]
            used = result.folds[0] != CALIBRATION
            lines = np.concatenate([each.before[:1], each.null[:, i]])[:, used]
            about = (result.labels[used], result.groups[used], result.folds[0, used], draws)
            chance = auroc_lines(lines, *about)[1]
            falls = each.refitted_before - each.refitted_after[:, i]
            net = falls - (chance[0] - chance[1:].mean(axis=0))
            assert row["net_upper95"] - row["net"] == pytest.approx(1.96 * net.std(ddof=1), rel=1e-3)
            assert row["upper95"] - row["estimate"] == pytest.approx(1.96 * falls.std(ddof=1), rel=1e-3)
    own = find(summary, layer=0, quantity="diagonal")
    assert own["draws"].factor == 1.0 and len(own["draws"].drawn) == 50
    other = find(others[2], layer=0, quantity="diagonal")
    assert other["draws"].factor > 1 and own["estimate"] == pytest.approx(other["estimate"])
    same(curves, others[1])


@cache
def scoped(directions):
    """Tables of both scopes of four tasks whose prompts have a state, and whose answers have directions."""
    rows = {
        task: probe_rows(prompt=0.8, response=1.0, task=task, seed=k, direction=1 + d)
        for k, (task, d) in enumerate(zip(TASKS, directions, strict=True))
    }
    fitted = {task: fit_scopes(each, SCOPED) for task, each in rows.items()}
    found = {}
    for scope in SCOPES:
        tested = {task: each if scope == "across" else each.within() for task, each in rows.items()}
        specialists = {task: each[scope] for task, each in fitted.items()}
        options = {"signal": 0.55, "n_draws": 200}
        scores, erasers = ablate_layer(
            {task: each.x for task, each in tested.items()},
            {task: each.ids for task, each in tested.items()},
            specialists,
            replace(QUICK, min_rows=40, rank=1, max_rank=1),
            n_refits=40,
            **options,
        )
        assert list(erasers["tasks"]) == TASKS
        assert all(len(each.refitted_before) == 40 for each in scores.values())
        found[scope] = ablation_tables(
            "toy",
            {task: {3: each} for task, each in specialists.items()},
            {3: scores},
            margins=MARGINS,
            scope=scope,
            **options,
        )
    return found


@pytest.mark.parametrize("scope", SCOPES)
def test_tasks_with_directions_of_their_own_are_sparse_in_both_scopes(scope):
    """Whatever the prompts say to all of them."""
    cells, _, summary = scoped((0, 1, 2, 3))[scope]
    assert {row["scope"] for row in cells + summary} == {scope}
    row = find(summary, layer=SELECTED, quantity="diagonal")
    assert row["lower99"] > 0.05 and row["n_tasks"] == 4
    share = {word: find(summary, layer=3, quantity=word)["estimate"] for word in ("dependent", "independent")}
    assert share["dependent"] == 0 and share["independent"] >= 0.5


def test_tasks_with_one_direction_are_dependent_within_prompts():
    _, _, summary = scoped((0, 0, 0, 0))["within"]
    assert find(summary, layer=SELECTED, quantity="dependent")["estimate"] >= 0.5
    assert find(summary, layer=SELECTED, quantity="independent")["estimate"] == 0


def test_aurocs_within_prompts_are_of_pairs_within_items():
    rows = probe_rows(prompt=0.8, response=0.7, task="topic", direction=1)
    result, own = fit_scopes(rows, SCOPED)["within"], rows.within()
    one = replace(QUICK, min_rows=40)
    args = ({"topic": own.x}, {"topic": own.ids}, {"topic": result}, one)
    scores = ablate_layer(*args, signal=0.55, n_draws=100, n_refits=5)[0]
    cells = ablation_tables("toy", {"topic": {3: result}}, {3: scores}, **CLAIMS, scope="within")[0]
    row = find(primary(cells, 3), source="topic")
    for name, values in (("before", scores["topic"].before), ("after", scores["topic"].retrained["inlp"][0])):
        each = [
            auroc_within(line, result.labels, result.items, folds).value
            for line, folds in zip(values, result.folds, strict=True)
        ]
        assert row[name] == pytest.approx(np.mean(each))


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
            without=("", ""),
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


def test_the_selected_layer_is_the_one_of_the_best_probes_that_count():
    """Of a silent task, however lucky its inner folds are, nobody asks."""
    by_layer, scores = two_layers()
    draws = draw_tested([each[2] for each in by_layer.values()], n_draws=100)
    assert selected_layer(by_layer, draws, 0.55) == 5
    lucky = by_layer["topic"][2]
    lucky = replace(lucky, inner_auroc=np.full_like(lucky.inner_auroc, 1.0))
    weak = {
        task: {2: each[2], 5: replace(each[5], inner_auroc=np.full_like(each[5].inner_auroc, 0.7))}
        for task, each in by_layer.items()
    }
    silent = {2: lucky, 5: replace(by_layer["topic"][2], inner_auroc=np.full_like(lucky.inner_auroc, 0.0))}
    assert selected_layer(weak | {"topic": silent}, draws, 0.55) == 5
    # None counts: all that are sufficient are asked.
    assert selected_layer({"topic": silent}, draws, 0.55) == 2
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
