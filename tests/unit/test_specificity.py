"""The same probe with and without the constraint: by hand and on planted worlds."""

import numpy as np
import pytest
from skillprobe.analyses.specificity import COLUMNS, specificity_table
from skillprobe.errors import UserError
from skillprobe.findings import planted
from skillprobe.probes.rows import read_rows
from skillprobe.probes.specialists import fit_specialist
from skillprobe.probes.twins import read_twins
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.storage.tables import columns_of

CATEGORIES = {"word_count": "structural", "topic": "semantic"}
PROBES = {"penalties": [1e-3, 1e-2], "folds": 5, "fold_seeds": 2, "feature_scaling": True, "position": "eos"}
PROBES |= {"calibration_fraction": 0.1, "min_rows": 20, "min_bases": 10, "max_truncated": 0.05}
SETTINGS = {"seed": 0, "prompts": {"bases": 60}, "probes": PROBES | {"confounds": [], "shuffles": 0}}
BASES = [f"b{number:03d}" for number in range(60)]
LAYERS = (0, 2)


def make(world, folder):
    """Shards and specialists of a world."""
    made = planted.plant(world, CATEGORIES, BASES, seed=0, auroc=0.97, hidden_size=32, num_layers=2)
    paths = {task: str(folder / f"{task}.h5") for task in made}
    planted.write_shards(paths, made, position="eos", study="test", world=world)
    specialists = {
        task: {layer: fit_specialist(read_rows([path], layer, "eos"), SETTINGS) for layer in LAYERS}
        for task, path in paths.items()
    }
    return list(paths.values()), specialists


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    return {name: make(name, tmp_path_factory.mktemp(name)) for name in ("planned", "monitored", "noise")}


def tabulate(twins):
    rows = specificity_table("m", twins, CATEGORIES, n_draws=300, study_bases=BASES)
    assert all(columns_of(row) == COLUMNS for row in rows)
    return {(row["layer"], row["task"], row["quantity"]): row for row in rows}


@pytest.fixture(scope="module")
def tables(worlds):
    return {name: tabulate(read_twins(*world, SETTINGS)) for name, world in worlds.items()}


def test_twins_are_scored_by_probes_that_never_saw_their_base(worlds):
    paths, specialists = worlds["planned"]
    found = read_twins(paths, specialists, SETTINGS)[2]["topic"]
    rows, probe = read_rows([paths[1]], 2, "eos", "unconstrained"), specialists["topic"][2]
    fold_of = dict(zip(probe.bases.tolist(), probe.folds[1].tolist(), strict=True))
    assert found.twins.ids.tolist() == rows.ids.tolist() and len(rows.y) == 120
    for row, base in enumerate(rows.bases.tolist()):
        fold = fold_of[base]
        assert found.twins.folds[1, row] == fold
        score = found.twins.scores[1, row]
        if fold == CALIBRATION:
            assert np.isnan(score)
        else:
            expected = rows.x[row] @ probe.fold_weights[1, fold] + probe.fold_intercepts[1, fold]
            assert score == pytest.approx(expected, abs=1e-4)


def test_energy_is_what_lies_in_the_row_space(worlds):
    paths, specialists = worlds["planned"]
    found = read_twins(paths, specialists, SETTINGS)[2]["topic"]
    x, probe = read_rows([paths[1]], 2, "eos").x, specialists["topic"][2]
    row = int(np.flatnonzero(probe.folds[0] == 3)[0])
    weights = np.array([each[2].fold_weights[0, 3] for each in specialists.values()], float)
    centred = (x - x.mean(axis=0))[row]
    inside = weights.T @ np.linalg.lstsq(weights.T, centred, rcond=None)[0]
    assert found.energy["constrained"][row] == pytest.approx([inside @ inside, centred @ centred], rel=1e-4)
    assert np.isnan(found.energy["constrained"][probe.folds[0] == CALIBRATION]).all()
    assert (found.rank, found.hidden_size) == (2, 32)


def test_specificity_is_the_paired_difference(tables):
    for name in ("planned", "monitored"):
        for layer in (*LAYERS, "selected"):
            for task in (*CATEGORIES, "mean"):
                own, twin, difference = (
                    tables[name][layer, task, quantity]["estimate"]
                    for quantity in ("constrained", "twins", "specificity")
                )
                assert difference == pytest.approx(own - twin)


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


def test_noise_is_neither(tables):
    row = tables["noise"]["selected", "mean", "specificity"]
    assert row["lower99"] < 0.02 and row["upper99"] > -0.02


def test_probes_share_less_of_the_twins_they_are_silent_of(tables):
    of = tables["monitored"]
    own, twins, chance = (of[2, "topic", f"row_space_{name}"] for name in ("constrained", "twins", "random"))
    assert chance["estimate"] == 2 / 32
    assert own["estimate"] > twins["estimate"] and own["lower99"] > 0
    assert ("selected", "topic", "row_space_twins") not in of


def test_a_task_without_twins_is_insufficient(worlds):
    paths, specialists = worlds["planned"]
    strict = SETTINGS | {"probes": SETTINGS["probes"] | {"min_bases": 48}}
    table = tabulate(read_twins(paths, specialists, strict))
    for task in CATEGORIES:
        row = table["selected", task, "specificity"]
        assert row["status"].startswith("insufficient: twins: ") and np.isnan(row["estimate"])
        assert table["selected", task, "constrained"]["status"] == ""
    row = table["selected", "mean", "specificity"]
    assert row["status"] == "insufficient: no task has enough of both variants"


def test_where_the_probe_is_insufficient_so_is_specificity(worlds):
    paths, specialists = worlds["planned"]
    few = SETTINGS | {"probes": SETTINGS["probes"] | {"min_rows": 500}}
    broken = {layer: fit_specialist(read_rows([paths[1]], layer, "eos"), few) for layer in LAYERS}
    table = tabulate(read_twins(paths, specialists | {"topic": broken}, SETTINGS))
    row = table["selected", "topic", "specificity"]
    assert "probes need 500" in row["status"] and "twins:" not in row["status"]
    mean, other = (table["selected", task, "specificity"]["estimate"] for task in ("mean", "word_count"))
    assert mean == other


def test_away_from_eos_there_are_no_twins(worlds):
    paths, _ = worlds["planned"]
    away = SETTINGS | {"probes": SETTINGS["probes"] | {"position": "onset"}}
    specialists = {
        task: {2: fit_specialist(read_rows([path], 2, "onset"), away)}
        for task, path in zip(CATEGORIES, paths, strict=True)
    }
    table = tabulate(read_twins(paths, specialists, away))
    assert table["selected", "topic", "specificity"]["status"].startswith("insufficient: twins: only 0 folds")


def test_nothing_to_tabulate_is_refused():
    with pytest.raises(UserError, match="no probes of model 'm'"):
        specificity_table("m", {}, CATEGORIES)
