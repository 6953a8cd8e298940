"""What the tables say of transfer on planted worlds."""

from dataclasses import replace

import numpy as np
import pytest
from made.transfers import TASKS, D, world
from skillprobe.analyses.transfer import CELL_COLUMNS, SUMMARY_COLUMNS, leaf_order, transfer_tables
from skillprobe.probes.refits import Refits
from skillprobe.probes.transfer import cross_scores
from skillprobe.statistics.intervals import FIXED_PROBES
from skillprobe.statistics.metrics import auroc
from skillprobe.storage.tables import columns_of

CATEGORIES = dict(zip(TASKS, ["structural"] * 2 + ["semantic"] * 2 + ["lexical", "stylistic"], strict=True))


def tables(directions, layer=3, refits=None, **kwargs):
    x, ids, specialists = world(directions, **kwargs)
    crossed = {layer: cross_scores(x, ids, specialists)}
    by_layer = {task: {layer: result} for task, result in specialists.items()}
    return transfer_tables("toy", by_layer, crossed, CATEGORIES, signal=0.55, n_draws=400, refits=refits)


def find(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, wanted
    return found[0]


def test_universal_world_transfers_fully():
    cells, summary = tables([np.eye(D)[0]] * 6)
    row = find(summary, layer="selected", quantity="ratio")
    assert row["lower99"] > 0.5 and 0.85 < row["estimate"] < 1.15 and row["status"] == ""
    assert all(tuple(row) == CELL_COLUMNS for row in cells)
    assert all(set(columns_of(row)) == set(SUMMARY_COLUMNS) for row in summary)


def test_cells_tell_how_much_of_the_target_was_cut_short():
    x, ids, specialists = world(np.eye(D)[:6])
    cut = {task: k / 100 for k, task in enumerate(specialists)}
    by_layer = {task: {3: replace(each, truncated=cut[task])} for task, each in specialists.items()}
    crossed = {3: cross_scores(x, ids, specialists)}
    cells, _ = transfer_tables("toy", by_layer, crossed, CATEGORIES, signal=0.55, n_draws=50)
    assert all(row["truncated"] == cut[row["target"]] for row in cells)


def test_compositional_world_transfers_nothing():
    cells, summary = tables(np.eye(D)[:6])
    row = find(summary, layer="selected", quantity="ratio")
    assert row["upper99"] < 0.5 and abs(row["estimate"]) < 0.15
    assert all(row["lower_simultaneous95"] <= row["lower95"] for row in cells)


def test_simultaneous_intervals_hold_what_the_probes_do_on_new_data():
    """For every cell at once; what they hold is these probes' AUROC, which is not quite ½ even where tasks
    have nothing in common: a probe's noise points somewhere."""
    directions = np.eye(D)[:6]
    _, _, specialists = world(directions)
    cells, _ = tables(directions)
    rng = np.random.default_rng(9)
    y = rng.integers(0, 2, 3000)
    for target, direction in zip(TASKS, directions, strict=True):
        x = rng.normal(size=(len(y), D)) + (2 * y - 1)[:, None] * direction
        for source in TASKS:
            weights = specialists[source].fold_weights.reshape(-1, D)
            truth = np.mean([auroc(x @ w, y, np.zeros(len(y))).value for w in weights])
            row = find(cells, layer=3, source=source, target=target)
            assert row["lower_simultaneous95"] < truth < row["upper_simultaneous95"], (source, target)


def test_clustered_world_is_found_and_ordered():
    first, second, third = np.eye(D)[:3]
    cells, summary = tables([first, first, second, second, third, third])
    row = find(summary, layer="selected", quantity="block", grouping="paper")
    assert row["lower99"] > 0.3 and row["n_permutations"] == 15
    assert row["p"] == pytest.approx(1 / 15)  # the observed partition alone is as good as itself
    assert row["p_other"] == 1.0
    assert (row["n_tasks"], row["tasks"]) == (6, " ".join(TASKS))
    place = {row["source"]: row["source_place"] for row in cells if row["layer"] == "selected"}
    for a, b in (TASKS[:2], TASKS[2:4], TASKS[4:]):
        assert abs(place[a] - place[b]) == 1


def test_a_reversed_skill_keeps_its_sign():
    direction = np.eye(D)[0]
    cells, _ = tables([direction, -direction, *np.eye(D)[1:5]])
    row = find(cells, layer=3, source="word_count", target="character_count")
    assert row["estimate"] < 0.2 and row["upper_simultaneous95"] < 0.5 and row["ratio"] < -0.6


def test_insufficient_and_silent_tasks_flow_through():
    directions = [*np.eye(D)[:5], np.zeros(D)]
    cells, summary = tables(directions, constant=["topic"])
    for row in cells:
        if "topic" in (row["source"], row["target"]):
            assert row["status"].startswith("insufficient: topic: 0 violated") and np.isnan(row["estimate"])
            assert np.isnan(row["lower_simultaneous95"]) and np.isnan(row["ratio"])
        elif row["target"] == "toxicity":  # sufficient, but without a signal to take a share of
            assert row["status"] == "" and np.isfinite(row["estimate"]) and np.isnan(row["ratio"])
    row = find(summary, layer=3, quantity="ratio")
    assert (row["n_tasks"], row["tasks"]) == (4, "word_count character_count sentiment term_exclusion")
    assert max(row["source_place"] for row in cells if row["source"] == "topic") == 5

    _, summary = tables([np.zeros(D)] * 6, constant=TASKS[:3])
    few = "insufficient: 0 of 6 tasks with an AUROC clearly above 0.55"
    assert all(row["status"].startswith(few) and row["n_tasks"] == 0 for row in summary)
    _, summary = tables([np.eye(D)[0]] * 2 + [np.zeros(D)] * 4)
    assert find(summary, layer=3, quantity="ratio")["status"] == ""
    for row in (row for row in summary if row["quantity"] == "block"):
        assert row["status"] == few.replace("0 of", "2 of") + "; blocks take 4" and np.isnan(row["p"])
    _, summary = tables([np.zeros(D)] * 6, constant=TASKS)
    assert all(np.isnan(row["estimate"]) for row in summary)


def test_a_task_is_of_the_block_that_it_joins():
    """Pairs of tasks share a direction, and one of each is new: there are the blocks that its file says."""
    new = {"character_count": "a", "sentiment": "b", "toxicity": "c"}
    made = world([np.eye(D)[k // 2] for k in range(6)])
    x, ids, specialists = ({new.get(task, task): each[task] for task in TASKS} for each in made)
    by_layer = {task: {3: result} for task, result in specialists.items()}
    crossed = {3: cross_scores(x, ids, specialists)}
    categories = {new.get(task, task): category for task, category in CATEGORIES.items()}

    def block(joined):
        options = {"signal": 0.55, "n_draws": 200, "joined": joined}
        _, summary = transfer_tables("toy", by_layer, crossed, categories, **options)
        return find(summary, layer="selected", quantity="block", grouping="paper")

    assert block(None)["status"] == "insufficient: the tasks that count form no blocks to compare"
    found = block({"a": "word_count", "b": "topic", "c": "term_exclusion"})
    assert found["status"] == "" and found["lower99"] > 0.5 and found["n_permutations"] == 15
    assert found["p"] == pytest.approx(1 / 15)
    wrong = block({"a": "topic", "b": "term_exclusion", "c": "word_count"})
    assert wrong["upper99"] < 0 and wrong["n_permutations"] == 15


def test_selected_layer_is_common_to_all_tasks_and_nested():
    x, ids, good = world(np.eye(D)[:6])
    noise, _, bad = world(np.eye(D)[:6], strength=0.0, seed=0)
    crossed = {0: cross_scores(noise, ids, bad), 1: cross_scores(x, ids, good)}
    by_layer = {task: {0: bad[task], 1: good[task]} for task in TASKS}
    # Both layers have the labels of the good one: the same draws of a seeded generator.
    assert all((bad[task].labels == good[task].labels).all() for task in TASKS)
    cells, _ = transfer_tables("toy", by_layer, crossed, CATEGORIES, signal=0.55, n_draws=100)
    for source, target in (("topic", "topic"), ("topic", "toxicity")):
        chosen = find(cells, layer="selected", source=source, target=target)
        assert chosen["estimate"] == find(cells, layer=1, source=source, target=target)["estimate"]


def test_leaf_order_puts_likes_together():
    tasks = list("abcdef")
    value = np.full((6, 6), 0.5) + 0.4 * (np.arange(6)[:, None] % 3 == np.arange(6)[None, :] % 3)
    value[2, :] = value[:, 2] = np.nan
    order = leaf_order(tasks, value)
    assert order[-1] == "c" and abs(order.index("a") - order.index("d")) == 1
    assert abs(order.index("b") - order.index("e")) == 1


def test_silent_sources_make_no_transfer_weak():
    """Three tasks share one direction, three have enough data and no signal. The mean over all sources, as of
    version 1, would call transfer weak."""
    cells, summary = tables([np.eye(D)[0]] * 3 + [np.zeros(D)] * 3)
    row = find(summary, layer="selected", quantity="ratio")
    assert row["lower99"] > 0.5 and abs(row["estimate"] - 1) < 0.15 and row["n_tasks"] == 3
    strong = [
        cell
        for cell in cells
        if cell["layer"] == "selected" and cell["target"] in TASKS[:3] and cell["source"] != cell["target"]
    ]
    assert np.mean([cell["ratio"] for cell in strong]) < 0.5
    # Strong targets weigh more than weak ones: a ratio of sums, not a mean of ratios.
    both = [
        find(cells, layer="selected", source=a, target=b)["estimate"] - 0.5
        for a in TASKS[:3]
        for b in TASKS[:3]
        if a != b
    ]
    own = [find(cells, layer="selected", source=a, target=a)["estimate"] - 0.5 for a in TASKS[:3]]
    assert row["estimate"] == pytest.approx(sum(both) / (2 * sum(own)), abs=0.01)


def made_refits(spread, seed=0):
    """Of tasks whose own probe is right in 0.9 of the pairs, and another's in 0.7, of every draw the same but
    for noise that all probes have in common, and for the `spread` of each."""
    rng = np.random.default_rng(seed)
    n = len(TASKS)
    pairs = np.full((n, 150, 5), 100.0)
    shares = np.where(np.eye(n, dtype=bool), 0.9, 0.7)[..., None, None]
    shares = shares + rng.normal(0, spread, (n, n, 150, 5))
    nothing = np.full_like(pairs, np.nan)
    return Refits(tuple(TASKS), pairs, nothing, nothing, pairs * shares)


def test_intervals_at_the_selected_layer_are_of_refits():
    directions = np.eye(D)[0] + 0.7 * np.eye(D)[1:7]
    fixed, refitted = (tables(directions, refits=refits) for refits in (None, made_refits(0.05)))
    for before, after in zip(fixed[0], refitted[0], strict=True):
        assert before["estimate"] == after["estimate"]
        assert (before == after) == (before["layer"] != "selected")
        if after["layer"] == "selected":
            error = 0.05 / np.sqrt(5)
            values = np.array([after[bound] for bound in ("lower95", "estimate", "upper95")])
            logit = np.log(values / (1 - values))
            slope = values[1] * (1 - values[1])
            # Of three fold seeds, which agree here to a hundredth.
            assert (logit[2] - logit[0]) / 2 * slope / 1.96 == pytest.approx(error, abs=0.008)
    row = find(refitted[1], layer="selected", quantity="ratio")
    assert row["draws"].factor == 1.0 and len(row["draws"].drawn) == 150
    # Thirty cells of five folds above six diagonal ones.
    own = [find(refitted[0], layer="selected", source=t, target=t)["estimate"] - 0.5 for t in TASKS]
    error = 0.05 / np.sqrt(5) / np.mean(own) * np.sqrt(1 / 30 + row["estimate"] ** 2 / 6)
    assert row["draws"].drawn.std() == pytest.approx(error, rel=0.2)
    block = find(refitted[1], layer="selected", quantity="block", grouping="paper")
    assert block["draws"].factor == 1.0 and len(block["draws"].drawn) == 150
    assert find(fixed[1], layer="selected", quantity="ratio")["draws"].factor == FIXED_PROBES
