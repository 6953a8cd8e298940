"""What the tables say of probes over time, by hand and on planted worlds."""

from dataclasses import replace

import numpy as np
import pytest
from made.courses import BASES, CATEGORIES, POSITIONS, PROBES, SETTINGS, make, make_worlds
from skillprobe.analyses.time import CURVE_COLUMNS, SUMMARY_COLUMNS, time_tables
from skillprobe.errors import UserError
from skillprobe.findings.planted_shards import verify
from skillprobe.probes import planning
from skillprobe.probes.course import CourseRows, fit_course, read_course
from skillprobe.probes.prefix import fit_prefixes
from skillprobe.storage.tables import columns_of, in_scope

LOOSE = SETTINGS | {"probes": PROBES | {"max_truncated": 0.2}}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    return make_worlds(tmp_path_factory)


def analyse(world, layers=(2,)):
    courses = {
        layer: {task: fit_course(read_course([path], layer), SETTINGS) for task, (path, _) in world.items()}
        for layer in layers
    }
    prefixes = {
        task: fit_prefixes(read_course([path], None), labels, verify, SETTINGS)
        for task, (path, labels) in world.items()
    }
    return courses, prefixes


def tabulate(courses, prefixes, scope="across", categories=CATEGORIES):
    curves, summary = time_tables(
        "m", courses, prefixes, categories, signal=0.55, n_draws=300, study_groups=BASES
    )
    assert all(tuple(row) == CURVE_COLUMNS for row in curves)
    assert all(columns_of(row) == SUMMARY_COLUMNS for row in summary)
    assert {row["scope"] for row in curves} == {row["scope"] for row in summary} == {"across", "within"}
    curves, summary = in_scope(curves, scope), in_scope(summary, scope)
    return (
        {(row["layer"], row["task"], row["probe"], row["position"]): row for row in curves},
        {(row["layer"], row["task"], row["quantity"]): row for row in summary},
    )


@pytest.fixture(scope="module")
def analysed(worlds):
    return {name: analyse(world) for name, world in worlds.items()}


@pytest.fixture(scope="module")
def tables(analysed):
    return {name: tabulate(*found) for name, found in analysed.items()}


@pytest.fixture(scope="module")
def text_reader(tmp_path_factory):
    """A state that holds of the answer what its text says so far, and nothing before."""
    return analyse(make("text_decides", tmp_path_factory.mktemp("text")))


def test_a_position_that_no_answer_has_to_itself_is_insufficient(worlds):
    """Of answers of one token, the onset is the last; of empty ones there is only EOS."""
    world = {}
    for task, (path, labels) in worlds["monitored"].items():
        rows = read_course([path], 2)
        nowhere = np.zeros(len(rows.y), bool)
        valid = {**rows.valid, "onset": nowhere, "body_50": nowhere, "last": nowhere}
        world[task] = CourseRows(**{**rows.__dict__, "valid": valid}), labels
    courses = {2: {task: fit_course(rows, SETTINGS) for task, (rows, _) in world.items()}}
    prefixes = {task: fit_prefixes(rows, labels, verify, SETTINGS) for task, (rows, labels) in world.items()}
    assert not [name for name in courses[2]["topic"]["across"]["trained"] if name.startswith("tokens_")]
    curves, summary = tabulate(courses, prefixes)
    for probe in ("trained", "eos_back", "prompt_forward", "text", "words", "length"):
        row = curves["selected", "topic", probe, "body_50"]
        assert (row["n"], row["valid"]) == (0, 0) and row["status"].startswith("insufficient: only 0 folds")
    assert summary["selected", "mean", "gain"]["status"] == ""
    for quantity in ("onset_jump", "slope", "eos_gain"):
        assert summary["selected", "mean", quantity]["status"].startswith("insufficient")


def test_quantities_are_sums_of_the_curves(tables):
    curves, summary = tables["planned"]
    for layer in (2, "selected"):
        for task in (*CATEGORIES, "mean"):
            at = {p: curves[layer, task, "trained", p]["estimate"] for p in POSITIONS}
            text = {p: curves["selected", task, "text", p]["estimate"] for p in POSITIONS}
            surface = curves["selected", task, "surface", "prompt_100"]["estimate"]
            for quantity, expected in {
                "gain": at["eos"] - at["prompt_100"],
                "onset_jump": at["onset"] - at["prompt_100"],
                "eos_gain": at["eos"] - at["last"],
                "beyond_text": at["eos"] - text["eos"],
                "gain_beyond_text": at["eos"] - at["prompt_100"] - text["eos"] + text["prompt_100"],
                "beyond_surface": at["prompt_100"] - surface,
                "eos_above_chance": at["eos"] - 0.5,
            }.items():
                row = summary[layer, task, quantity]
                # Means are over folds, which have about as many pairs.
                error = 0.01 if task == "mean" else 1e-9
                assert row["estimate"] == pytest.approx(expected, abs=error), quantity
                assert row["lower99"] <= row["lower95"] <= row["upper95"] <= row["upper99"]
                names = " ".join(CATEGORIES) if task == "mean" else task
                assert (row["n_tasks"], row["tasks"], row["status"]) == (len(names.split()), names, "")


def test_one_layer_is_the_selected_one(tables):
    curves, _ = tables["planned"]
    for (layer, task, probe, position), row in curves.items():
        if layer == 2:
            assert curves["selected", task, probe, position]["estimate"] == pytest.approx(
                row["estimate"], nan_ok=True
            )


def test_the_best_layer_is_selected_where_the_probe_was_trained(worlds):
    courses, prefixes = analyse(worlds["planned"], layers=(0, 2))
    curves, _ = tabulate(courses, prefixes)
    for task in CATEGORIES:
        # Signals begin at half of the depth: at the embeddings there is none.
        assert curves[0, task, "trained", "eos"]["estimate"] < 0.65
        for probe, position in (("trained", "eos"), ("eos_back", "onset")):
            chosen, last = (curves[layer, task, probe, position]["estimate"] for layer in ("selected", 2))
            assert chosen == pytest.approx(last, abs=0.02)


def test_what_is_planned_is_known_at_the_prompts_end(tables):
    assert tables["planned"][1]["selected", "mean", "prompt"]["lower99"] > 0.6
    forward = tables["planned"][0]["selected", "mean", "prompt_forward", "eos"]
    assert forward["lower99"] > 0.6


def test_what_is_monitored_is_known_when_it_is_written(tables):
    curves, summary = tables["monitored"]
    assert summary["selected", "mean", "gain"]["lower99"] > 0.05
    trained = [curves["selected", "mean", "trained", p]["estimate"] for p in ("onset", "body_50", "last")]
    assert trained == sorted(trained)
    # Known before the text says so, and no more once it does.
    assert curves["selected", "mean", "trained_minus_text", "body_50"]["lower99"] > 0
    assert summary["selected", "mean", "beyond_text"]["upper99"] < 0


def test_planning_stands_beside_the_quantities_of_the_selected_layer(worlds, analysed, monkeypatch):
    courses, prefixes = analysed["planned"]
    # One direction of the power control is enough to have its row.
    monkeypatch.setattr(planning, "DIRECTIONS", 1)
    scores = {
        task: planning.fit_planning([path], [0, 2], labels, SETTINGS, task, least=0.02)
        for task, (path, labels) in worlds["planned"].items()
    }
    options = {"signal": 0.55, "n_draws": 300, "study_groups": BASES}
    _, before = time_tables("m", courses, prefixes, CATEGORIES, **options)
    _, summary = time_tables(
        "m", courses, prefixes, CATEGORIES, planning=scores, prompt_variance=0.02, **options
    )
    more = summary[len(before) :]
    assert [columns_of(row) for row in more] == [SUMMARY_COLUMNS] * 15
    assert {(row["layer"], row["model"], row["scope"]) for row in more} == {("selected", "m", "across")}
    found = {(row["task"], row["quantity"]): row for row in more}
    # The state knows a prompt's chance, its surface nothing.
    assert found["mean", "planning_share"]["lower99"] > 0.1
    assert found["mean", "surface_r2"]["upper99"] < 0.3 < found["mean", "both_r2"]["estimate"]
    # Without planning, the table is as it was.
    assert [(row["quantity"], row["task"]) for row in summary[: len(before)]] == [
        (row["quantity"], row["task"]) for row in before
    ]


def test_noise_is_neither(tables):
    curves, summary = tables["noise"]
    gain = summary["selected", "mean", "gain"]
    assert np.isnan(gain["estimate"]) and (gain["n_tasks"], gain["tasks"]) == (0, "")
    assert gain["status"] == "insufficient: no task has a signal at eos"
    for task in CATEGORIES:
        gain = summary["selected", task, "gain"]
        assert gain["lower99"] < 0 < gain["upper99"]
        assert abs(curves["selected", task, "trained", "eos"]["estimate"] - 0.5) < 0.12


def test_the_gain_is_that_of_the_tasks_that_count(analysed):
    """A silent task beside one that is monitored: it has no gain, and takes no part in the mean."""
    of_task = {"word_count": analysed["noise"], "topic": analysed["monitored"]}
    courses = {2: {task: courses[2][task] for task, (courses, _) in of_task.items()}}
    prefixes = {task: prefixes[task] for task, (_, prefixes) in of_task.items()}
    _, summary = tabulate(courses, prefixes)
    mean, own, silent = (summary["selected", task, "gain"] for task in ("mean", "topic", "word_count"))
    assert (mean["n_tasks"], mean["tasks"], mean["status"]) == (1, "topic", "")
    assert mean["estimate"] == pytest.approx(own["estimate"], abs=0.01) and mean["lower99"] > 0.05
    assert silent["upper99"] < own["estimate"]


def test_within_prompts_nothing_is_before_the_answer(analysed):
    """What is monitored is read within prompts as well, ever better; positions of the prompt aren't there."""
    for name, read in (("monitored", True), ("noise", False)):
        curves, summary = tabulate(*analysed[name], scope="within")
        assert not [key for key in curves if key[3] == "prompt_100" or key[2] == "prompt_forward"]
        assert {key[2] for key in summary} == {"eos_gain", "beyond_text", "eos_above_chance", "slope"}
        for task in CATEGORIES:
            trained = [curves["selected", task, "trained", p] for p in ("onset", "body_50", "eos")]
            above = summary["selected", task, "eos_above_chance"]
            assert above["estimate"] == pytest.approx(trained[-1]["estimate"] - 0.5)
            if read:
                assert above["lower99"] > 0.05
                assert trained[0]["estimate"] < trained[1]["estimate"] < trained[2]["estimate"]
            else:
                assert above["lower99"] < 0 < above["upper99"]
        assert summary["selected", "mean", "eos_above_chance"]["n_tasks"] == (2 if read else 0)


def test_a_reader_of_the_text_is_not_beyond_it_in_either_scope(text_reader, analysed):
    for scope in ("across", "within"):
        curves, summary = tabulate(*text_reader, scope=scope)
        assert summary["selected", "mean", "eos_above_chance"]["lower99"] > 0.05
        for position in ("body_50", "last", "eos"):
            assert curves["selected", "mean", "trained_minus_text", position]["upper99"] < 0.03
    # As one is that knows before the text says it.
    curves, _ = tabulate(*analysed["monitored"], scope="within")
    assert curves["selected", "mean", "trained_minus_text", "body_50"]["lower99"] > 0


def test_the_share_truncated_is_told(worlds):
    """A tenth is no reason to leave a task out, and stands in every row."""
    path, labels = worlds["monitored"]["topic"]
    rows = replace(read_course([path], 2), truncated=0.1)
    rows = replace(
        rows, **{name: ends_of(getattr(rows, name)) for name in ("valid", "tokens", "characters", "x")}
    )
    course = fit_course(rows, LOOSE)
    prefix = fit_prefixes(rows, labels, verify, LOOSE)
    for scope in ("across", "within"):
        curves, _ = tabulate({2: {"topic": course}}, {"topic": prefix}, scope, {"topic": "semantic"})
        assert {row["truncated"] for row in curves.values()} == {0.1}
        assert curves["selected", "mean", "trained", "eos"]["status"] == ""


def ends_of(by_position):
    return {name: by_position[name] for name in ("prompt_100", "eos")}


def test_the_slope_is_that_of_the_body():
    class Fake:
        def __init__(self, values):
            from skillprobe.statistics.intervals import Estimate

            self.estimates = {
                ("trained", name): Estimate(np.array([value]), np.full(3, value))
                for name, value in values.items()
            }

    from skillprobe.analyses.time import _Aurocs, _slope

    values = {"onset": 0.1, "body_10": 0.6, "body_50": 0.7, "body_90": 0.8, "eos": 0.99}
    fake = Fake(values)
    assert _Aurocs.sum(fake, _slope(fake)).value == pytest.approx(0.25)
    del fake.estimates["trained", "body_10"], fake.estimates["trained", "body_90"]
    assert _slope(fake) == {} and _Aurocs.sum(fake, {}) is None


def test_an_insufficient_task_is_left_out_of_the_mean(worlds, analysed):
    courses, prefixes = ({**each} for each in analysed["monitored"])
    courses[2] = {**courses[2]}
    path, labels = worlds["monitored"]["topic"]
    strict = SETTINGS | {"probes": PROBES | {"min_rows": 500}}
    courses[2]["topic"] = fit_course(read_course([path], 2), strict)
    prefixes["topic"] = fit_prefixes(read_course([path], None), labels, verify, strict)
    curves, summary = tabulate(courses, prefixes)
    assert "probes need 500 from 10 of each class" in curves["selected", "topic", "trained", "eos"]["status"]
    assert summary["selected", "topic", "gain"]["status"].startswith("insufficient:")
    for quantity in ("gain", "prompt"):
        mean, word_count = (summary["selected", task, quantity] for task in ("mean", "word_count"))
        assert mean["estimate"] == pytest.approx(word_count["estimate"], abs=0.01)
        assert (mean["n_tasks"], mean["tasks"]) == (1, "word_count")


def test_nothing_to_tabulate_is_refused():
    with pytest.raises(UserError, match="no probes over time of model 'm'"):
        time_tables("m", {}, {}, CATEGORIES, signal=0.55)
