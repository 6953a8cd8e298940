"""What the rows of planning say of planted prompts, beside the index of siblings of version 1."""

import re

import numpy as np
import pytest
from made.prompts import SAMPLES, drawn, plant, scored
from skillprobe.analyses.planning import planning_rows
from skillprobe.statistics.metrics import auroc
from skillprobe.statistics.variance import between_variance, explained_variance

QUANTITIES = ("between_variance", "surface_r2", "both_r2", "planning_share", "recovered")


def tabulate(worlds, least=0.02, **options):
    """{(task, quantity): row} of worlds {task: planted}."""
    scores = {task: scored(made, task=task, **options) for task, made in worlds.items()}
    rows = planning_rows(
        scores, dict.fromkeys(worlds, "semantic"), drawn(next(iter(scores.values()))), least=least
    )
    return {(row["task"], row["quantity"]): row for row in rows}


@pytest.fixture(scope="module")
def half():
    """Two tasks whose state knows half of what the surface leaves, and one whose prompt decides little."""
    worlds = {
        name: plant(seed, 90, known=0.25, unknown=0.25) for seed, name in enumerate(("topic", "register"))
    }
    return tabulate(worlds | {"toxicity": plant(9, 90, surface=0.02)}, directions=2)


def test_a_state_that_knows_half_has_planned_half(half):
    share, recovered = half["mean", "planning_share"], half["mean", "recovered"]
    assert share["lower95"] < 0.5 < share["upper95"] and share["estimate"] == pytest.approx(0.5, abs=0.15)
    assert share["lower99"] > 0.1 and recovered["estimate"] > 0.5
    assert half["mean", "between_variance"]["n_tasks"] == 3
    assert (share["n_tasks"], share["tasks"], recovered["tasks"]) == (2, "topic register", "topic register")


def test_shares_are_ratios_of_sums(half):
    names = ("topic", "register")
    variance, surface, both, share = (
        np.array([half[task, quantity]["estimate"] for task in names]) for quantity in QUANTITIES[:4]
    )
    np.testing.assert_allclose(share, (both - surface) / (1 - surface))
    pooled = (variance * (both - surface)).sum() / (variance * (1 - surface)).sum()
    assert half["mean", "planning_share"]["estimate"] == pytest.approx(pooled)
    for quantity, values in (("surface_r2", surface), ("both_r2", both)):
        assert half["mean", quantity]["estimate"] == pytest.approx((variance * values).sum() / variance.sum())


def test_intervals_are_symmetric_and_nested(half):
    for task in ("topic", "mean"):
        for quantity in QUANTITIES:
            row = half[task, quantity]
            assert row["lower99"] < row["lower95"] < row["estimate"] < row["upper95"] < row["upper99"]
            assert row["lower95"] + row["upper95"] == pytest.approx(2 * row["estimate"])
            assert row["status"] == "" and (row["draws"] is not None) == (task == "mean")


def test_a_task_whose_prompt_decides_little_does_not_count(half):
    assert half["toxicity", "between_variance"]["upper99"] < 0.05
    for quantity in QUANTITIES[1:]:
        row = half["toxicity", quantity]
        assert np.isnan(row["estimate"]) and row["n_tasks"] == 0
        assert row["status"].startswith("insufficient: ") and "the variance between items" in row["status"]
        assert "-0." not in row["status"]


def test_a_task_that_can_not_count_needs_no_scores(half):
    """Rows are the same as if it had been scored, but for its own redrawn labels, of which there are none."""
    little = plant(9, 90, surface=0.02)
    rows = []
    for least in (0.02, -np.inf):
        scores = {"toxicity": scored(little, task="toxicity", directions=2, least=least)}
        assert np.isnan(scores["toxicity"].both).all() == (least == 0.02)
        assert len(scores["toxicity"].drawn_both) == (0 if least == 0.02 else 2)
        draws = drawn(scores["toxicity"])
        rows.append([*planning_rows(scores, {"toxicity": "stylistic"}, draws, least=0.02)])
    for one, other in zip(*rows, strict=True):
        assert str({**one, "draws": None}) == str({**other, "draws": None})


def test_a_state_that_knows_all_beside_a_surface_that_knows_part():
    found = tabulate({"topic": plant(3, 90, surface=0.15, known=0.25)}, directions=1)
    assert found["topic", "planning_share"]["lower99"] > 0.5
    assert 0.1 < found["topic", "surface_r2"]["estimate"] < 0.45
    assert found["topic", "both_r2"]["estimate"] > 0.75


def test_a_state_that_knows_no_more_than_the_surface_has_planned_nothing():
    """Though the params are in the state, and though such a state would give away what it knew: r is high."""
    found = tabulate({name: plant(seed, 90, unknown=0.27) for seed, name in enumerate(("topic", "register"))})
    share, recovered = found["mean", "planning_share"], found["mean", "recovered"]
    assert share["estimate"] == pytest.approx(0, abs=0.1) and share["upper99"] < recovered["estimate"] / 2
    assert recovered["lower95"] > 0.4


def test_params_that_foretell_the_label_leave_nothing_to_plan():
    found = tabulate({"topic": plant(4, 90, surface=0.3)}, directions=1)
    assert found["topic", "surface_r2"]["estimate"] > 0.85
    assert found["topic", "planning_share"]["status"].startswith(
        "insufficient: the prompt's surface leaves a variance between items of 0.0"
    )
    # A lower bound below 0 has the minus that other numbers of the report have.
    assert re.search(
        r"its lower bound is −0\.\d{3} and must be above", found["topic", "planning_share"]["status"]
    )
    assert np.isnan(found["mean", "planning_share"]["estimate"])


def test_a_prompt_that_decides_nothing_says_so():
    # Of 180 groups, so that little can be told from something.
    found = tabulate(
        {name: plant(seed, 240, surface=0.0) for seed, name in enumerate(("topic", "json"))}, directions=1
    )
    for task in ("topic", "json", "mean"):
        status = found[task, "planning_share"]["status"]
        assert status.startswith("insufficient: little is decided by the prompt")
    assert "in every task" in found["mean", "planning_share"]["status"]


def test_tasks_without_scores_are_named():
    made = plant(5)
    found = tabulate({"topic": made}, status="only 3 responses")
    assert {row["status"] for key, row in found.items() if key[0] == "topic"} == {
        "insufficient: only 3 responses"
    }
    assert found["mean", "planning_share"]["status"] == "insufficient: no task has enough data"
    assert found["mean", "between_variance"]["n_tasks"] == 0


def test_the_index_of_siblings_is_biased_where_the_share_is_not():
    """Of the best scores that there are: a state that knows half of the variance has a share of a half, and
    an index, (prompt − surface) / (siblings − surface) in AUROC, of more."""
    indices, shares = [], []
    for seed in range(20):
        made = plant(seed, 300, surface=0.0, known=0.25, unknown=0.25)
        items, rate = made.items, made.items.satisfied / SAMPLES
        variance = between_variance(items.satisfied, items.samples, items.groups)[0]
        folds = np.zeros(len(rate), int)
        shares.append(explained_variance(made.h, rate, items.groups, folds, variance)[0] / variance)
        # A row a sample, the satisfied ones of each item first.
        item = np.repeat(np.arange(len(rate)), SAMPLES)
        labels = (np.arange(len(item)) % SAMPLES < items.satisfied[item]).astype(np.int8)
        siblings = (items.satisfied[item] - labels) / (SAMPLES - 1)
        state, best = (auroc(score, labels, folds[item]).value for score in (made.h[item], siblings))
        indices.append((state - 0.5) / (best - 0.5))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.mean(indices) > 0.6
