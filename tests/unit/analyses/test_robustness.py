"""What the table says of probes across wordings, on planted rows."""

from dataclasses import replace

import numpy as np
import pytest
from made.wordings import BASES, PROBES, SETTINGS, SIZE, axis, plant, same
from skillprobe.analyses.robustness import COLUMNS, robustness_table
from skillprobe.errors import UserError
from skillprobe.probes.results import load, save
from skillprobe.probes.wordings import fit_wordings
from skillprobe.storage.tables import in_scope

KINDS = ("human", "plm", "entailment")


def by_kind(number, kind, polarity):
    return axis(KINDS.index(kind))


def tabulate(by_task, n_draws=200, scope="across"):
    """{(task, contrast, trained on or number of phrasings, tested on): row} at the selected layer."""
    tasks = {task: fit_wordings(rows, SETTINGS) for task, rows in by_task.items()}
    table = robustness_table(
        "m", {3: tasks}, dict.fromkeys(by_task, "structural"), n_draws=n_draws, study_groups=BASES
    )
    assert all(tuple(row) == COLUMNS for row in table)
    return {
        (row["task"], row["contrast"], row["n_phrasings"] or row["trained_on"], row["tested_on"]): row
        for row in table
        if (row["layer"], row["scope"]) == ("selected", scope)
    }


@pytest.fixture(scope="module")
def tables():
    return {
        "same": tabulate({"t": plant(same)}),
        "by_kind": tabulate({"t": plant(by_kind)}),
        "null": tabulate({"t": plant(lambda *_: np.zeros(SIZE))}),
    }


# --- what is planted is found


def test_one_direction_for_all_wordings_carries_over(tables):
    found = tables["same"]
    for contrast, groups in (("type", KINDS), ("polarity", ("positive", "negated"))):
        for a in groups:
            for b in groups:
                assert found["t", contrast, a, b]["estimate"] > 0.8
        difference = found["t", contrast, "within_minus_across", ""]
        assert abs(difference["estimate"]) < 0.05 and difference["lower99"] < 0 < difference["upper99"]
    difference = found["t", "held_out", "any_minus_other", ""]
    assert abs(difference["estimate"]) < 0.03


def test_a_direction_of_each_type_stays_within(tables):
    found = tables["by_kind"]
    for a in KINDS:
        for b in KINDS:
            row = found["t", "type", a, b]
            assert row["estimate"] > 0.85 if a == b else abs(row["estimate"] - 0.5) < 0.15
    assert found["t", "type", "within_minus_across", ""]["lower99"] > 0.2
    assert abs(found["t", "type", "others_minus_across", ""]["estimate"]) < 0.15


def test_a_negation_that_turns_the_direction_round_is_below_chance():
    found = tabulate(
        {"t": plant(lambda number, kind, polarity: axis(0) * (-1 if polarity == "negated" else 1))}
    )
    assert found["t", "polarity", "positive", "negated"]["upper99"] < 0.3
    assert found["t", "polarity", "positive", "positive"]["estimate"] > 0.85


def test_noise_gives_chance_everywhere(tables):
    for row in tables["null"].values():
        assert row["lower99"] <= (0 if "_minus_" in str(row["trained_on"]) else 0.5) <= row["upper99"], row


def test_more_phrasings_help_where_each_has_its_own_direction():
    """The shared part is small beside what a phrasing adds, which averages out over phrasings."""
    own = np.random.default_rng(5).normal(size=(16, SIZE)) / np.sqrt(SIZE)
    phrasings = [(KINDS[k % 3], "positive") for k in range(16)]
    rows = {
        f"t{seed}": plant(
            lambda k, *_: 0.6 * axis(0) + own[k], phrasings=phrasings, seed=seed, per_base=6, noise=0.5
        )
        for seed in range(2)
    }
    found = tabulate(rows)
    curve = [found["mean", "diversity", k, "unseen"]["estimate"] for k in (1, 4, 8)]
    assert curve == sorted(curve) and curve[-1] - curve[0] > 0.05
    assert found["mean", "diversity", "most_minus_fewest", ""]["lower95"] > 0
    assert found["mean", "diversity", 8, "unseen"]["n_tasks"] == 2
    # Beside phrasings that it was trained on, a probe is worse on those that it was not.
    assert found["mean", "held_out", "any_minus_other", ""]["estimate"] > 0


def test_within_prompts_directions_carry_over_or_not_as_across():
    for direction, carries in ((same, True), (by_kind, False)):
        found = tabulate({"t": plant(direction)}, scope="within")
        for a in KINDS:
            for b in KINDS:
                row = found["t", "type", a, b]
                good = row["estimate"] > 0.75 if carries or a == b else abs(row["estimate"] - 0.5) < 0.2
                assert good, (a, b, row)
        difference = found["t", "type", "within_minus_across", ""]
        assert (difference["lower99"] > 0.1) != carries
        assert found["t", "diversity", 4, "unseen"]["status"] == ""


def test_how_easy_a_prompt_is_carries_over_across_prompts_and_is_nothing_within():
    """A state that holds the prompt's odds, which are also the wording's, and nothing of the response."""
    rows, rng = plant(lambda *_: np.zeros(SIZE)), np.random.default_rng(3)
    odds = dict(zip(BASES, rng.normal(size=len(BASES)), strict=True))
    of_row = np.array([odds[group] for group in rows.groups])
    y = (rng.logistic(size=len(of_row)) < 1.5 * of_row).astype(np.int8)
    told = {"t": replace(rows, y=y, x=rows.x + (2 * of_row[:, None] * np.eye(SIZE)[0]).astype(np.float32))}
    for scope, read in (("across", True), ("within", False)):
        row = tabulate(told, scope=scope)["t", "held_out", "other_phrasings", "held_out"]
        assert row["lower99"] > 0.55 if read else row["lower99"] < 0.5 < row["upper99"]


# --- insufficient, in words


def test_a_curve_starts_where_half_of_the_draws_suffice(tables):
    curve = [tables["same"]["t", "diversity", k, "unseen"] for k in (1, 2, 4)]
    assert [row["status"] for row in curve] == ["", "", ""]
    table = robustness_table(
        "m",
        {3: {"t": fit_wordings(plant(same), SETTINGS | {"probes": PROBES | {"min_rows": 60}})}},
        {"t": "structural"},
        n_draws=100,
        study_groups=BASES,
    )
    rows = {
        row["n_phrasings"]: row
        for row in in_scope(table)
        if row["contrast"] == "diversity" and row["layer"] == 3
    }
    assert rows[1]["status"].startswith("insufficient:") and rows[4]["status"] == ""
    assert rows[""]["trained_on"] == "most_minus_fewest" and rows[""]["status"].startswith("insufficient:")


def test_one_wording_leaves_words_where_the_contrast_would_be():
    one = {"t": plant(same, phrasings=[("plm", "positive")])}
    found = tabulate(one)
    words = {
        contrast: {row["status"] for key, row in found.items() if key[1] == contrast}
        for contrast in ("type", "polarity", "held_out", "diversity")
    }
    assert words == {
        "type": {"insufficient: there is only one instruction type"},
        "polarity": {"insufficient: human phrasings have only one polarity"},
        "held_out": {"insufficient: there is only one phrasing"},
        "diversity": {"insufficient: there are fewer than four phrasings"},
    }
    two = tabulate({"t": plant(same, phrasings=[("human", "positive"), ("plm", "positive")])})
    assert two["t", "type", "plm", "human"]["estimate"] > 0.8
    assert two["t", "type", "others_minus_across", ""]["status"].startswith("insufficient")
    assert ("t", "type", "other_types", "human") not in two


def test_means_are_of_the_tasks_that_have_the_cell(tables):
    found = tabulate({"a": plant(same), "b": plant(same, phrasings=[("plm", "positive")])})
    row = found["mean", "type", "plm", "human"]
    assert row["n_tasks"] == 1
    assert row["estimate"] == pytest.approx(found["a", "type", "plm", "human"]["estimate"])
    assert found["b", "type", "within", ""]["status"] == "insufficient: there is only one instruction type"


def test_results_survive_a_file_and_the_best_layer_is_selected(tmp_path):
    rows = plant(same)
    blank = replace(rows, x=np.random.default_rng(1).normal(size=rows.x.shape).astype(np.float32))
    by_layer = {layer: {"t": fit_wordings(part, SETTINGS)} for layer, part in ((0, blank), (3, rows))}
    for layer, results in by_layer.items():
        save(tmp_path / f"{layer}.h5", results)
    again = {layer: load(tmp_path / f"{layer}.h5") for layer in by_layer}
    assert not again[3]["t"]["across"]["type"]["plm"]["human"].weights.size
    table = robustness_table("m", again, {"t": "structural"}, n_draws=100, study_groups=BASES)
    value = {
        row["layer"]: row["estimate"]
        for row in in_scope(table)
        if (row["task"], row["trained_on"], row["tested_on"]) == ("t", "plm", "human")
    }
    assert value["selected"] == pytest.approx(value[3]) and abs(value[0] - 0.5) < 0.15
    with pytest.raises(UserError, match="no probes across wordings of model 'm'"):
        robustness_table("m", {}, {})
