"""Probes over time: what is compared with what, by hand and on planted worlds."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from skillprobe.analyses.time import CURVE_COLUMNS, SUMMARY_COLUMNS, time_tables
from skillprobe.errors import UserError
from skillprobe.findings import planted
from skillprobe.probes.course import CourseRows, fit_course, read_course, spans
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.prefix import ceiling, fit_prefixes, params_features, verdict_features
from skillprobe.probes.results import load, save
from skillprobe.probes.specialists import specialist
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.metrics import auroc
from skillprobe.storage.tables import columns_of

CATEGORIES = {"word_count": "structural", "topic": "semantic"}
PROBES = {"penalties": [1e-3, 1e-2], "folds": 5, "fold_seeds": 2, "feature_scaling": True}
PROBES |= {"calibration_fraction": 0.1, "min_rows": 20, "min_bases": 10, "max_truncated": 0.05}
SETTINGS = {"seed": 0, "prompts": {"bases": 60}, "probes": PROBES}
BASES = [f"b{number:03d}" for number in range(60)]
POSITIONS = ["prompt_100", "onset", "body_50", "last", "eos"]


def make(world, folder, seed=0):
    """{task: (path of its shard, its label rows)}"""
    made = planted.plant(world, CATEGORIES, BASES, seed=seed, auroc=0.97, hidden_size=32, num_layers=2)
    paths = {task: str(folder / f"{task}.h5") for task in made}
    planted.write_shards(paths, made, position="eos", study="test", world=world)
    return {task: (paths[task], planted.label_rows(task, rows)) for task, rows in made.items()}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    return {name: make(name, tmp_path_factory.mktemp(name)) for name in ("planned", "monitored", "noise")}


def analyse(world, layers=(2,)):
    courses = {
        layer: {task: fit_course(read_course([path], layer), SETTINGS) for task, (path, _) in world.items()}
        for layer in layers
    }
    prefixes = {
        task: fit_prefixes(read_course([path], None), labels, planted.verify, SETTINGS)
        for task, (path, labels) in world.items()
    }
    return courses, prefixes


def tabulate(courses, prefixes, headroom=0.05):
    curves, summary = time_tables(
        "m", courses, prefixes, CATEGORIES, headroom=headroom, n_draws=300, study_bases=BASES
    )
    assert all(tuple(row) == CURVE_COLUMNS for row in curves)
    assert all(columns_of(row) == SUMMARY_COLUMNS for row in summary)
    return (
        {(row["layer"], row["task"], row["probe"], row["position"]): row for row in curves},
        {(row["layer"], row["task"], row["quantity"]): row for row in summary},
    )


@pytest.fixture(scope="module")
def tables(worlds):
    return {name: tabulate(*analyse(world)) for name, world in worlds.items()}


# Rows


def test_rows_know_where_their_positions_are(worlds):
    path, labels = worlds["monitored"]["topic"]
    rows = read_course([path], 2)
    assert list(rows.x) == list(rows.valid) == POSITIONS
    for number, label in enumerate(labels):
        words = label["response"].split()
        assert rows.ids[number] == label["id"]
        assert rows.tokens["prompt_100"][number] == 0 and rows.characters["prompt_100"][number] == 0
        assert rows.tokens["onset"][number] == 1 and rows.tokens["last"][number] == len(words)
        assert rows.tokens["eos"][number] == len(words) + 1
        for position in POSITIONS:
            seen = label["response"][: rows.characters[position][number]].split()
            assert len(seen) == min(rows.tokens[position][number], len(words))
    without = read_course([path], None)
    assert without.x == {} and (without.y == rows.y).all()


def small_rows(tokens, valid=None):
    n = len(next(iter(tokens.values())))
    valid = valid or {name: np.ones(n, bool) for name in tokens}
    names = np.array([f"r{k}" for k in range(n)])
    tokens = {name: np.array(values) for name, values in tokens.items()}
    return CourseRows(np.zeros(n, np.int8), names, names, 0.0, valid, tokens, tokens, {})


def test_a_row_is_in_a_span_once_at_its_last_position_there():
    rows = small_rows(
        {
            "prompt_100": [0, 0, 0],
            "onset": [1, 1, 1],
            "body_50": [3, 2, 3],
            "body_90": [4, 2, 5],
            "last": [4, 2, 6],
            "eos": [5, 3, 7],
        },
        {
            "prompt_100": np.ones(3, bool),
            "onset": np.ones(3, bool),
            "body_50": np.array([True, False, True]),
            "body_90": np.array([False, False, True]),
            "last": np.ones(3, bool),
            "eos": np.ones(3, bool),
        },
    )
    found = {span: {at: which.tolist() for at, which in by.items()} for span, by in spans(rows).items()}
    assert found == {
        "tokens_1": {"onset": [True, True, True]},
        "tokens_2": {"last": [False, True, False]},
        "tokens_3_4": {"body_50": [False, False, True], "last": [True, False, False]},
        "tokens_5_8": {"last": [False, False, True]},
    }


# Probes


def test_each_position_has_the_specialists_own_protocol(worlds):
    path, _ = worlds["monitored"]["topic"]
    rows, found = read_course([path], 2), fit_course(read_course([path], 2), SETTINGS)
    settings = Settings.from_config(PROBES, 0)
    source = None
    for position in ("eos", "body_50"):
        own = specialist(rows.x[position], rows.y, rows.bases, settings, ids=rows.ids, study_bases=BASES)
        np.testing.assert_allclose(found["trained"][position].scores, own.scores)
        source = source or own
        # Carried back: the probe of EOS that never saw the row's base.
        for seed, row in ((0, 5), (1, 40)):
            fold = own.folds[seed, row]
            expected = (
                rows.x[position][row] @ source.fold_weights[seed, fold] + source.fold_intercepts[seed, fold]
            )
            back = found["eos_back"][position].scores[seed, row]
            assert np.isnan(back) if fold == CALIBRATION else back == pytest.approx(expected, abs=1e-4)
        assert (found["eos_back"][position].inner_auroc == source.inner_auroc).all()
    assert found["trained"]["tokens_1"].ids.tolist() == rows.ids.tolist()
    assert not found["trained"]["eos"].fold_weights.size


def test_results_survive_a_file(worlds, tmp_path):
    path, _ = worlds["monitored"]["topic"]
    found = {"topic": fit_course(read_course([path], 2), SETTINGS)}
    save(tmp_path / "course.h5", found)
    again = load(tmp_path / "course.h5")
    assert list(again["topic"]["eos_back"]) == list(found["topic"]["eos_back"])
    np.testing.assert_array_equal(
        again["topic"]["eos_back"]["onset"].scores, found["topic"]["eos_back"]["onset"].scores
    )


def test_where_too_few_rows_are_valid_all_three_are_insufficient(worlds):
    path, _ = worlds["monitored"]["topic"]
    rows = read_course([path], 2)
    few = np.arange(len(rows.y)) < 30
    rows = CourseRows(**{**rows.__dict__, "valid": {**rows.valid, "body_50": few}})
    found = fit_course(rows, SETTINGS)
    for probe in ("trained", "eos_back", "prompt_forward"):
        assert found[probe]["body_50"].status and not found[probe]["last"].status
        assert np.isnan(found[probe]["body_50"].scores).all()
        assert len(found[probe]["body_50"].labels) == 30


def test_a_position_that_no_answer_has_to_itself_is_insufficient(worlds):
    """Of answers of one token, the onset is the last; of empty ones there is only EOS."""
    world = {}
    for task, (path, labels) in worlds["monitored"].items():
        rows = read_course([path], 2)
        nowhere = np.zeros(len(rows.y), bool)
        valid = {**rows.valid, "onset": nowhere, "body_50": nowhere, "last": nowhere}
        world[task] = CourseRows(**{**rows.__dict__, "valid": valid}), labels
    courses = {2: {task: fit_course(rows, SETTINGS) for task, (rows, _) in world.items()}}
    prefixes = {
        task: fit_prefixes(rows, labels, planted.verify, SETTINGS) for task, (rows, labels) in world.items()
    }
    assert not [name for name in courses[2]["topic"]["trained"] if name.startswith("tokens_")]
    curves, summary = tabulate(courses, prefixes)
    for probe in ("trained", "eos_back", "prompt_forward", "text", "words", "length"):
        row = curves["selected", "topic", probe, "body_50"]
        assert (row["n"], row["valid"]) == (0, 0) and row["status"].startswith("insufficient: only 0 folds")
    assert summary["selected", "mean", "gain"]["status"] == ""
    for quantity in ("onset_jump", "slope", "eos_gain"):
        assert summary["selected", "mean", quantity]["status"].startswith("insufficient")


# Baselines


def test_the_ceiling_is_the_rate_of_the_other_samples(worlds):
    path, labels = worlds["monitored"]["topic"]
    rows = read_course([path], None)
    result = fit_prefixes(rows, labels, planted.verify, SETTINGS)["surface"]["prompt_100"]
    small = replace(
        result, labels=np.array([1, 1, 0, 0, 1], np.int8), folds=np.array([[0, 0, 0, 1, CALIBRATION]])
    )
    # Of three others of item a, and none of item b.
    expected = [[2 / 3, 2 / 3, 1.0, 0.5, np.nan]]
    np.testing.assert_allclose(ceiling(small, ["a", "a", "a", "b", "a"]).scores, expected, rtol=1e-6)
    assert ceiling(replace(small, status="too few"), []).status == "too few"


def test_params_become_columns():
    params = [
        {"relation": "at_least", "n": 5, "terms": ["sea", "tea"]},
        {"relation": "at_most", "n": 7, "terms": ["sea"]},
        {"relation": "at_most", "n": 9, "terms": ["pea"]},
    ]
    x = params_features(params)
    # log n, n, "relation at_most", "terms length", "terms sea"; what one row alone has tells of no other.
    expected = [[np.log1p(5), 5, 0, 2, 1], [np.log1p(7), 7, 1, 1, 1], [np.log1p(9), 9, 1, 1, 0]]
    np.testing.assert_allclose(x, expected)
    assert params_features([{}, {}]).shape == (2, 0)


def test_verdicts_become_columns():
    verdicts = [
        SimpleNamespace(satisfied=True, evidence={"counts": {"sea": 2, "tea": 1}, "missing": []}),
        SimpleNamespace(satisfied=False, evidence={"counts": {"pea": 0}, "missing": ["pea"]}),
    ]
    # counts length, smallest and sum; missing length; satisfied.
    np.testing.assert_allclose(verdict_features(verdicts), [[2, 1, 3, 0, 1], [1, 0, 0, 1, 0]])


def test_the_whole_text_decides_and_its_beginning_only_what_it_says(worlds):
    path, labels = worlds["monitored"]["topic"]
    rows = read_course([path], None)
    found = fit_prefixes(rows, labels, planted.verify, SETTINGS)
    assert set(found) == {"text", "length", "words", "surface", "ceiling"}
    value = {
        (name, position): auroc(result.scores[0], result.labels, result.folds[0])
        for name, by in found.items()
        for position, result in by.items()
    }
    assert value["text", "eos"].value == value["text", "last"].value == 1
    # The last word decides here, so before it there is nothing to see.
    assert value["text", "body_50"].constant and value["words", "prompt_100"].constant
    assert value["ceiling", "prompt_100"].value > 0.65
    assert abs(value["surface", "prompt_100"].value - 0.5) < 0.1
    assert list(found["surface"]) == list(found["ceiling"]) == ["prompt_100"]
    # The first token is the onset, whichever way it is counted.
    np.testing.assert_array_equal(found["text"]["tokens_1"].scores, found["text"]["onset"].scores)


def test_a_row_without_a_label_is_refused(worlds):
    path, labels = worlds["monitored"]["topic"]
    with pytest.raises(
        UserError, match="'topic/b000/constrained/0' is in the activations but not in the labels"
    ):
        fit_prefixes(read_course([path], None), labels[1:], planted.verify, SETTINGS)


# Tables


def test_quantities_are_sums_of_the_curves(tables):
    curves, summary = tables["planned"]
    for layer in (2, "selected"):
        for task in (*CATEGORIES, "mean"):
            at = {p: curves[layer, task, "trained", p]["estimate"] for p in POSITIONS}
            text = {p: curves["selected", task, "text", p]["estimate"] for p in POSITIONS}
            surface, best = (
                curves["selected", task, name, "prompt_100"]["estimate"] for name in ("surface", "ceiling")
            )
            for quantity, expected in {
                "gain": at["eos"] - at["prompt_100"],
                "onset_jump": at["onset"] - at["prompt_100"],
                "eos_gain": at["eos"] - at["last"],
                "beyond_text": at["eos"] - text["eos"],
                "gain_beyond_text": at["eos"] - at["prompt_100"] - text["eos"] + text["prompt_100"],
                "headroom": best - surface,
                "planning_index": (at["prompt_100"] - surface) / (best - surface),
            }.items():
                row = summary[layer, task, quantity]
                assert row["estimate"] == pytest.approx(expected), quantity
                assert row["lower99"] <= row["lower95"] <= row["upper95"] <= row["upper99"]
                assert row["n_tasks"] == (2 if task == "mean" else 1) and row["status"] == ""


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
    index = tables["planned"][1]["selected", "mean", "planning_index"]
    assert index["lower99"] > 0.5
    forward = tables["planned"][0]["selected", "mean", "prompt_forward", "eos"]
    assert forward["lower99"] > 0.6


def test_what_is_monitored_is_known_when_it_is_written(tables):
    curves, summary = tables["monitored"]
    assert summary["selected", "mean", "gain"]["lower99"] > 0.05
    assert summary["selected", "mean", "planning_index"]["upper99"] < 0.5
    trained = [curves["selected", "mean", "trained", p]["estimate"] for p in ("onset", "body_50", "last")]
    assert trained == sorted(trained)
    # Known before the text says so, and no more once it does.
    assert curves["selected", "mean", "trained_minus_text", "body_50"]["lower99"] > 0
    assert summary["selected", "mean", "beyond_text"]["upper99"] < 0


def test_noise_is_neither(tables):
    _, summary = tables["noise"]
    gain, index = (summary["selected", "mean", name] for name in ("gain", "planning_index"))
    assert gain["lower99"] < 0 < gain["upper99"] and index["lower99"] < 0.5
    assert abs(summary["selected", "mean", "prompt"]["estimate"] - 0.5) < 0.12


def test_without_headroom_planning_is_not_tested(worlds):
    courses, prefixes = analyse(worlds["monitored"])
    _, summary = tabulate(courses, prefixes, headroom=0.6)
    row = summary["selected", "mean", "planning_index"]
    assert np.isnan(row["estimate"])
    assert (
        row["status"].startswith("insufficient: the ceiling is only 0.") and "it must be 0.6" in row["status"]
    )
    assert summary["selected", "mean", "headroom"]["status"] == ""


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
    fake.sum = lambda signs: _Aurocs.sum(fake, signs)
    assert _slope(fake).value == pytest.approx(0.25)
    del fake.estimates["trained", "body_10"], fake.estimates["trained", "body_90"]
    assert _slope(fake) is None


def test_an_insufficient_task_is_left_out_of_the_mean(worlds):
    courses, prefixes = analyse(worlds["monitored"])
    path, labels = worlds["monitored"]["topic"]
    strict = SETTINGS | {"probes": PROBES | {"min_rows": 500}}
    courses[2]["topic"] = fit_course(read_course([path], 2), strict)
    prefixes["topic"] = fit_prefixes(read_course([path], None), labels, planted.verify, strict)
    curves, summary = tabulate(courses, prefixes, headroom=-1.0)
    assert "probes need 500 from 10 of each class" in curves["selected", "topic", "trained", "eos"]["status"]
    assert summary["selected", "topic", "gain"]["status"].startswith("insufficient:")
    assert summary["selected", "topic", "planning_index"]["status"].startswith("insufficient:")
    for quantity in ("gain", "planning_index"):
        mean, word_count = (summary["selected", task, quantity] for task in ("mean", "word_count"))
        assert mean["estimate"] == pytest.approx(word_count["estimate"]) and mean["n_tasks"] == 1


def test_nothing_to_tabulate_is_refused():
    with pytest.raises(UserError, match="no probes over time of model 'm'"):
        time_tables("m", {}, {}, CATEGORIES, headroom=0.05)
