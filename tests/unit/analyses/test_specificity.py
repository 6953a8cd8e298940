"""The same probe with and without the constraint: by hand and on planted worlds."""

from dataclasses import replace

import numpy as np
import pytest
from made.crossings import WORLDS, crossings
from made.unconstrained import BASES, CATEGORIES, LAYERS, SETTINGS, make_worlds
from skillprobe.analyses.specificity import COLUMNS, _interval_cells, specificity_table
from skillprobe.errors import UserError
from skillprobe.probes.rows import read_rows
from skillprobe.probes.specialists import fit_specialist
from skillprobe.probes.unconstrained import read_both_prompts
from skillprobe.statistics.intervals import Estimate
from skillprobe.storage.tables import columns_of


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    return make_worlds(tmp_path_factory)


def tabulate(layers):
    rows = specificity_table("m", layers, CATEGORIES, n_draws=300, study_groups=BASES)
    assert all(columns_of(row) == COLUMNS for row in rows)
    return {(row["layer"], row["task"], row["quantity"]): row for row in rows}


@pytest.fixture(scope="module")
def tables(worlds):
    return {name: tabulate(read_both_prompts(*world, SETTINGS)) for name, world in worlds.items()}


def test_specificity_is_the_paired_difference(tables):
    for name in ("planned", "monitored"):
        for layer in (*LAYERS, "selected"):
            for task in (*CATEGORIES, "mean"):
                own, other, difference = (
                    tables[name][layer, task, quantity]["estimate"]
                    for quantity in ("constrained", "twins", "specificity")
                )
                assert difference == pytest.approx(own - other)


def test_what_is_there_without_the_constraint_is_not_specific(tables):
    row = tables["planned"]["selected", "mean", "specificity"]
    assert row["upper99"] < 0.1 and abs(row["estimate"]) < 0.05
    assert tables["planned"]["selected", "mean", "twins"]["lower99"] > 0.8


def test_what_is_silent_without_the_constraint_is_specific(tables):
    assert tables["monitored"]["selected", "mean", "specificity"]["lower99"] > 0.2
    assert abs(tables["monitored"]["selected", "mean", "twins"]["estimate"] - 0.5) < 0.12
    for task in CATEGORIES:
        at = {
            name: tables["monitored"]["selected", task, name]["estimate"]
            for name in ("satisfied", "violated", "twin_satisfied", "twin_violated")
        }
        # In standard deviations of the constrained rows, from their mean.
        assert at["satisfied"] > 0.4 > -0.4 > at["violated"]
        assert abs(at["twin_satisfied"] - at["twin_violated"]) < 0.5


def test_matches_are_rows_of_their_scope_beside_the_others(worlds):
    layers = read_both_prompts(*worlds["planned"], SETTINGS)
    made = crossings(WORLDS["match"])
    # Of as many fold seeds as the probes.
    of_seeds = ("folds", "scores", "inner_auroc", "answer_folds", "with_constraint", "without_constraint")
    made = replace(made, **{name: getattr(made, name)[:2] for name in of_seeds})
    of_layers = {layer: dict.fromkeys(CATEGORIES, made) for layer in LAYERS}
    both = {"across": of_layers, "within": of_layers}
    of_scope = worlds["planned"][1]
    crossed = {"crossings": both, "specialists": {"across": of_scope, "within": of_scope}}
    rows = specificity_table("m", layers, CATEGORIES, **crossed, n_draws=300, study_groups=BASES)
    alone = specificity_table("m", layers, CATEGORIES, n_draws=300, study_groups=BASES)
    assert rows[: len(alone)] == alone
    found = {(row["scope"], row["layer"], row["task"], row["quantity"]): row for row in rows}
    assert len(found) == len(rows) and all(columns_of(row) == COLUMNS for row in rows)
    for scope in both:
        for layer in (*LAYERS, "selected"):
            row = found[scope, layer, "mean", "match"]
            assert row["estimate"] > 0.95 and row["upper99"] <= 1 and row["lower99"] > 0.55
            assert (row["n_tasks"], row["tasks"], row["truncated"]) == (2, "word_count topic", 0)
    few = specificity_table(
        "m", layers, CATEGORIES, **crossed, least=(500, 20), n_draws=300, study_groups=BASES
    )
    of_few = {(row["scope"], row["layer"], row["task"], row["quantity"]): row for row in few}
    status = of_few["within", "selected", "topic", "match"]["status"]
    assert status.startswith("insufficient: ") and "the match needs 500 of 20" in status
    silent = specificity_table("m", layers, CATEGORIES, **crossed, signal=0.999, n_draws=300)
    for row in silent:
        if (row["task"], row["quantity"]) == ("mean", "match"):
            assert (row["n_tasks"], row["tasks"]) == (0, "")
            assert row["status"] == "insufficient: no task has a signal"


def test_noise_is_neither(tables):
    row = tables["noise"]["selected", "mean", "specificity"]
    assert row["lower99"] < 0.02 and row["upper99"] > -0.02


def test_probes_share_less_of_the_unconstrained_responses_they_are_silent_of(tables):
    of = tables["monitored"]
    own, others, chance = (of[2, "topic", f"row_space_{name}"] for name in ("constrained", "twins", "random"))
    assert chance["estimate"] == 2 / 32
    assert own["estimate"] > others["estimate"] and own["lower99"] > 0
    assert ("selected", "topic", "row_space_twins") not in of


def test_a_task_without_unconstrained_responses_is_insufficient(worlds):
    paths, specialists = worlds["planned"]
    strict = SETTINGS | {"probes": SETTINGS["probes"] | {"min_groups": 96}}
    table = tabulate(read_both_prompts(paths, specialists, strict))
    for task in CATEGORIES:
        row = table["selected", task, "specificity"]
        assert row["status"].startswith("insufficient: unconstrained: ") and np.isnan(row["estimate"])
        assert table["selected", task, "constrained"]["status"] == ""
    row = table["selected", "mean", "specificity"]
    assert row["status"] == "insufficient: no task has enough responses both with and without the constraint"


def test_where_the_probe_is_insufficient_so_is_specificity(worlds):
    paths, specialists = worlds["planned"]
    few = SETTINGS | {"probes": SETTINGS["probes"] | {"min_rows": 500}}
    broken = {layer: fit_specialist(read_rows([paths[1]], layer, "eos"), few) for layer in LAYERS}
    table = tabulate(read_both_prompts(paths, specialists | {"topic": broken}, SETTINGS))
    row = table["selected", "topic", "specificity"]
    assert "probes need 500" in row["status"] and "unconstrained:" not in row["status"]
    mean, other = (table["selected", task, "specificity"]["estimate"] for task in ("mean", "word_count"))
    assert mean == other


def test_away_from_eos_there_are_no_unconstrained_rows(worlds):
    paths, _ = worlds["planned"]
    away = SETTINGS | {"probes": SETTINGS["probes"] | {"position": "onset"}}
    specialists = {
        task: {2: fit_specialist(read_rows([path], 2, "onset"), away)}
        for task, path in zip(CATEGORIES, paths, strict=True)
    }
    table = tabulate(read_both_prompts(paths, specialists, away))
    assert table["selected", "topic", "specificity"]["status"].startswith(
        "insufficient: unconstrained: only 0 folds"
    )


def test_nothing_to_tabulate_is_refused():
    with pytest.raises(UserError, match="no probes of model 'm'"):
        specificity_table("m", {}, CATEGORIES)


def test_where_nearly_all_crossings_match_the_interval_is_as_wide_as_a_coins():
    """And not all of [0, 1], as it would be on the logit scale."""
    drawn = 0.999 + 0.05 * np.random.default_rng(0).normal(size=500)
    cells = _interval_cells("match", Estimate(np.array([0.999]), drawn, factor=1.0))
    assert (
        cells["lower99"] == pytest.approx(0.999 - 2.576 * drawn.std(ddof=1), abs=1e-4)
        and cells["upper99"] == 1.0
    )
    assert np.isnan(_interval_cells("match", None)["lower99"])
