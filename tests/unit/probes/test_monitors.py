"""Monitors on planted worlds: which probe reads which token, whether probabilities hold, and the files."""

import errno
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from made.courses import SETTINGS
from made.monitors import TASK, fitted, made_monitor, split_world
from skillprobe.errors import DamagedFile, UserError
from skillprobe.probes import monitors
from skillprobe.probes.course import CourseRows, gathered, read_course
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.monitors import AT_EOS, CARRIED, TRAINED, calibrate, calibrated, draw_spans, load, save
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.metrics import auroc


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    names = ("monitored", "planned", "noise")
    return {name: fitted(name, tmp_path_factory.mktemp(name)) for name in names}


def read_fresh(fresh, monitor):
    """{stage: (probabilities, labels)} of groups that no choice has seen."""
    rows = read_course([fresh], monitor.card["layer"])
    parts = {"prompt_100": {"prompt_100": rows.valid["prompt_100"]}, "eos": {"eos": rows.valid["eos"]}}
    parts |= draw_spans(rows)
    found = {}
    for number, name in enumerate(monitor.stages):
        which, x = gathered(parts[name], rows.x)
        found[name] = monitor.probability(x, number), rows.y[which]
    return found


def area(p, y):
    return auroc(p, y, np.zeros(len(y), int)).value


# Which probe, and how well


def test_a_signal_that_grows_is_read_better_from_stage_to_stage(worlds):
    _, fresh, monitor, _ = worlds["monitored"]
    areas = {name: area(p, y) for name, (p, y) in read_fresh(fresh, monitor).items()}
    assert abs(areas["prompt_100"] - 0.5) < 0.06
    assert areas["tokens_9_16"] < areas["tokens_17_32"] < areas["tokens_33_64"] < areas["eos"]
    # What the card says of groups that had no part in it holds of others.
    for stage in monitor.card["stages"]:
        if stage["n"] > 400:
            assert abs(stage["auroc"] - areas[stage["name"]]) < 0.07
            p, y = read_fresh(fresh, monitor)[stage["name"]]
            assert abs(stage["brier"] - np.mean((p - y) ** 2)) < 0.03
    # The direction is the same at all positions, and at EOS it is clearest: the one is carried back.
    assert CARRIED in {stage["source"] for stage in monitor.card["stages"]}


def test_a_planned_outcome_is_read_at_the_prompts_end(worlds):
    _, fresh, monitor, _ = worlds["planned"]
    assert monitor.stages[0] == "prompt_100" and monitor.first[0] == 0
    assert area(*read_fresh(fresh, monitor)["prompt_100"]) > 0.8
    assert monitor.card["stages"][0]["auroc_within"] == 0.5


def test_of_noise_the_probability_is_the_base_rate(worlds):
    _, fresh, monitor, held_out = worlds["noise"]
    for stage in monitor.card["stages"]:
        p, y = read_fresh(fresh, monitor)[stage["name"]]
        error = 4 * np.sqrt(0.25 / 3 / min((y == 0).sum(), (y == 1).sum()) * 2)
        assert abs(area(p, y) - 0.5) < error
        assert np.abs(p - stage["base_rate"]).max() < 0.25 and abs(p.mean() - stage["base_rate"]) < 0.02
        assert stage["brier"] < stage["brier_of_base_rate"] + 0.01
    assert np.nanstd(held_out.probabilities) < 0.06


def off(p, y, n_train, bins=6):
    """By how many standard errors the worst of these bins of probabilities misses the share of satisfied
    responses: binomial errors of the bin, and of as large a part of those that the calibration was fitted
    on."""
    worst = 0.0
    for part in np.array_split(np.argsort(p, kind="stable"), bins):
        variance = (p[part] * (1 - p[part])).mean()
        error = np.sqrt(variance / len(part) + variance * bins / n_train)
        worst = max(worst, abs(y[part].mean() - p[part].mean()) / error)
    return worst


@pytest.mark.parametrize("world", ["monitored", "planned", "noise"])
def test_probabilities_hold_within_a_binomial_bound(worlds, world):
    _, fresh, monitor, _ = worlds[world]
    for stage in monitor.card["stages"]:
        p, y = read_fresh(fresh, monitor)[stage["name"]]
        assert off(p, y, stage["n"]) < 4, stage["name"]


def test_probabilities_that_are_too_sure_are_found_out(worlds):
    _, fresh, monitor, _ = worlds["monitored"]
    p, y = read_fresh(fresh, monitor)["eos"]
    odds = np.log(p / (1 - p))
    assert off(1 / (1 + np.exp(-3 * odds)), y, monitor.card["stages"][-1]["n"]) > 4


def test_where_the_signal_lies_elsewhere_the_probe_that_is_trained_there_is_taken(tmp_path):
    """The same world, with the middle of the answer in other coordinates: EOS tells nothing there."""
    own, _, labels = split_world("planned", tmp_path)
    monitor, _ = monitors.fit_monitor([own], [2], labels, SETTINGS, TASK)
    rows = read_course([own], 2)
    turned = {name: x[:, ::-1].copy() if name != "eos" else x for name, x in rows.x.items()}
    choice = one_choice(replace(rows, x=turned))
    assert set(choice.sources) == {TRAINED}
    assert min(choice.inner) > 0.7 and len(choice.inner) == len(monitor.card["stages"])


def test_where_few_responses_are_long_the_eos_probe_is_carried_back(tmp_path):
    own, _, _ = split_world("planned", tmp_path)
    rows = read_course([own], 2)
    few = np.arange(len(rows.y)) % 3 == 0
    valid = {name: seen & few if name == "body_50" else seen for name, seen in rows.valid.items()}
    valid["last"] = np.zeros(len(rows.y), bool)
    choice = one_choice(replace(rows, valid=valid))
    middle = [source for source, name in zip(choice.sources, choice.names, strict=True) if "tokens_" in name]
    assert CARRIED in middle[1:]


def one_choice(rows):
    """What is chosen of all rows, with the names of the stages."""
    own = Settings.from_config(SETTINGS["probes"], 0)
    folds = own.row_folds(rows.groups, monitors.group_ids(SETTINGS["groups"]))
    stages, _ = monitors.stages_of(rows, own, folds)
    level = monitors.Level()
    choice = monitors.fit_layer(rows, stages, folds, own, [level])[level]
    object.__setattr__(choice, "names", [stage.name for stage in stages])
    return choice


def test_nothing_of_a_test_fold_has_a_part_in_what_is_said_of_it(worlds, tmp_path):
    """With the labels of a fold turned round, its probabilities stay, and others change."""
    own, _, monitor, held_out = worlds["monitored"]
    rows = read_course([own], None)
    for seed, fold in ((0, 2), (1, 4)):
        tested = held_out.folds[seed] == fold
        turned = np.where(tested, 1 - rows.y, rows.y).astype(np.int8)
        again = refitted(own, turned)
        # But for rounding: all folds are fitted side by side.
        np.testing.assert_allclose(
            again.probabilities[seed][:, tested], held_out.probabilities[seed][:, tested], atol=1e-5
        )
        rest = ~tested & (held_out.folds[seed] != CALIBRATION)
        assert not np.allclose(
            again.probabilities[seed][:, rest],
            held_out.probabilities[seed][:, rest],
            atol=0.05,
            equal_nan=True,
        )
        assert np.isnan(held_out.probabilities[seed][:, held_out.folds[seed] == CALIBRATION]).all()


def refitted(path, labels):
    """`fit_monitor` with other labels."""
    real = monitors.read_course
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitors, "read_course", lambda *about: replace(real(*about), y=labels))
        return monitors.fit_monitor([path], (1, 2), [], SETTINGS, TASK)[1]


def test_the_held_out_are_read_at_every_position_of_a_response(worlds):
    own, _, monitor, held_out = worlds["monitored"]
    rows = read_course([own], None)
    used = held_out.folds[0] != CALIBRATION
    for place, name in enumerate(held_out.positions):
        said = ~np.isnan(held_out.probabilities[0, place])
        np.testing.assert_array_equal(said, held_out.valid[place] & used)
        np.testing.assert_array_equal(held_out.tokens[place], rows.tokens[name])


def test_a_clear_signal_keeps_its_slope_however_strong_the_penalty(worlds):
    """Where the penalty leaves next to nothing of the weights, a probe's intercept is what differs most
    between folds, against the labels; it must not be taken for the signal."""
    own, _, _, _ = worlds["monitored"]
    rows = read_course([own], 2)
    clear = {name: (rows.y[:, None] + np.zeros((1, 2))).astype(np.float32) for name in rows.x}
    settings = Settings.from_config(SETTINGS["probes"] | {"penalties": [1e-7]}, 0)
    folds = settings.row_folds(rows.groups, monitors.group_ids(SETTINGS["groups"]))
    stages, _ = monitors.stages_of(rows, settings, folds)
    seen = replace(rows, x=clear)
    level = monitors.Level(0, 1)
    choice = monitors.fit_layer(seen, stages, folds, settings, [level])[level]
    said = np.full((2, len(rows.valid), len(rows.y)), np.nan, np.float32)
    monitors.read_test_fold(seen, stages, choice, folds, level, said)
    tested = folds[0] == 1
    p, y = said[0, list(rows.valid).index("eos"), tested], rows.y[tested]
    assert p[y == 1].min() > 0.9 and p[y == 0].max() < 0.1


@pytest.mark.parametrize("signal, least, most", [(0.0, 0.0, 0.5), (0.3, 0.85, 1.0), (2.0, 0.98, 1.0)])
def test_a_slope_is_shrunken_where_it_is_mostly_noise(signal, least, most):
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(40):
        y = rng.integers(0, 2, 900)
        scores = signal * y + rng.normal(size=900)
        slope, shrunken = calibrate(scores, y), monitors.shrunken(scores, y)
        shares.append(shrunken[0] / slope[0] if slope[0] > 0 else 0.0)
        # The mean probability is the same.
        told = [calibrated(scores, each).mean() for each in (slope, shrunken)]
        assert told[1] == pytest.approx(told[0], abs=2e-3)
    assert least <= np.mean(shares) <= most and max(shares) <= 1


# Stages


def test_each_token_has_one_stage():
    monitor = made_monitor(spans=(1, 3, 5))
    assert [monitor.stages[monitor.stage(n)] for n in (0, 1, 2, 3, 4, 5, 900)] == [
        "prompt_100",
        *["tokens_1"] * 2,
        *["tokens_3"] * 2,
        *["tokens_5"] * 2,
    ]
    assert monitor.stages[monitor.stage(4, at_eos=True)] == "eos"
    # Without a stage of the prompt's end, or of anything but EOS.
    assert monitors.stage_numbers(np.array([2, AT_EOS]), np.array([0, 1, 2])).tolist() == [0, 0, 0]
    assert monitors.stage_numbers(np.array([AT_EOS]), np.array([0, 7])).tolist() == [0, 0]


def rows_at(tokens, length):
    """Rows without activations, whose positions are these tokens of a response of so many."""
    n = len(next(iter(tokens.values())))
    tokens = {name: np.array(values) for name, values in tokens.items()} | {"eos": np.full(n, length + 1)}
    valid = {name: values > 0 for name, values in tokens.items()}
    names = np.array([f"r{k}" for k in range(n)])
    return CourseRows(np.zeros(n, np.int8), names, names, 0.0, valid, tokens, tokens, {})


def test_a_response_counts_once_in_a_span_at_a_token_drawn_by_how_many_it_stands_for():
    n = 4000
    found = draw_spans(rows_at({"onset": [1] * n, "body_50": [10] * n, "last": [15] * n}, 15))
    assert list(found) == ["tokens_1", "tokens_9_16"]
    assert found["tokens_1"]["onset"].all()
    both = found["tokens_9_16"]
    assert (both["body_50"] ^ both["last"]).all()
    # Of the span's tokens 9 to 15, four are nearer to 10 (9 to 12), and half of 12.5.
    assert both["body_50"].mean() == pytest.approx(4 / 7, abs=4 * np.sqrt(0.25 / n))
    # A token that isn't there stands for nothing.
    gone = draw_spans(rows_at({"onset": [1] * 9, "body_50": [0] * 9, "last": [15] * 9}, 15))
    assert gone["tokens_9_16"] == {"last": pytest.approx(np.ones(9, bool))}


def test_a_draw_depends_on_the_response_alone():
    rows = rows_at({"body_50": [10] * 50, "last": [15] * 50}, 15)
    some = np.arange(50) % 3 == 0
    part = rows_at({"body_50": [10] * 17, "last": [15] * 17}, 15)
    part = replace(part, ids=rows.ids[some])
    whole, few = draw_spans(rows)["tokens_9_16"], draw_spans(part)["tokens_9_16"]
    np.testing.assert_array_equal(whole["last"][some], few["last"])


def test_stages_with_too_few_responses_are_left_to_the_one_before(worlds):
    monitor = worlds["monitored"][2]
    assert {"tokens_3_4"}.isdisjoint(monitor.stages)
    for name, why in monitor.card["left_out"].items():
        assert name not in monitor.stages and "probes need" in why
    after = monitor.stage(3)
    assert monitor.first[after] <= 3


# Calibration


def test_calibration_finds_the_curve_that_labels_were_drawn_from():
    rng = np.random.default_rng(0)
    scores = rng.normal(3, 2, 40_000)
    labels = rng.random(40_000) < 1 / (1 + np.exp(-(0.7 * scores - 1.5)))
    slope, intercept = calibrate(scores, labels.astype(np.int8))
    assert slope == pytest.approx(0.7, abs=0.03) and intercept == pytest.approx(-1.5, abs=0.1)


def test_a_probe_that_chance_turned_round_says_the_base_rate():
    scores, labels = np.array([3.0, 2.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1, 1])
    slope, _ = flat = calibrate(scores, labels)
    assert slope == 0 and calibrated(scores, flat) == pytest.approx(4 / 7)
    assert calibrate(np.ones(5), labels) == pytest.approx(flat)


def test_separated_classes_have_a_finite_calibration():
    calibration = calibrate(np.array([-1.0, -0.5, 0.5, 1.0] * 20), np.array([0, 0, 1, 1] * 20))
    assert np.isfinite(calibration).all()
    assert calibrated(np.array([-1.0, 1.0]), calibration) == pytest.approx([0.0, 1.0], abs=0.05)
    assert np.isfinite(calibrated(np.array([1e30, -1e30]), calibration)).all()


# Files


def test_three_lines_read_a_file(worlds, tmp_path):
    monitor = worlds["planned"][2]
    path = tmp_path / "topic.safetensors"
    save(path, monitor)

    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        card, parts = (
            json.loads(file.metadata()["card"]),
            {name: file.get_tensor(name) for name in file.keys()},  # noqa: SIM118
        )

    assert card["task"] == TASK and card["study"] == "test" and card["rules_version"] == 2
    assert [part.dtype.name for part in parts.values()].count("float32") == 3
    x = np.random.default_rng(0).normal(size=(3, 32)).astype(np.float32)
    scores = x @ parts["weights"][1] + parts["intercepts"][1]
    slope, intercept = parts["calibration"][1]
    np.testing.assert_allclose(
        monitor.probability(x, 1), 1 / (1 + np.exp(-(slope * scores + intercept))), rtol=1e-5
    )


def test_files_hold_what_was_stored_byte_for_byte(worlds, tmp_path):
    own, _, monitor, held_out = worlds["monitored"]
    again = monitors.fit_monitor([own], (1, 2), [], SETTINGS, TASK)
    card = {**again[0].card, "params": monitor.card["params"]}
    paths = [tmp_path / name / f"{TASK}.safetensors" for name in "ab"]
    save(paths[0], monitor)
    save(paths[1], replace(again[0], card=card))
    monitors.save_held_out(paths[0].with_suffix(".h5"), held_out)
    monitors.save_held_out(paths[1].with_suffix(".h5"), again[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].with_suffix(".h5").read_bytes() == paths[1].with_suffix(".h5").read_bytes()
    found = load(paths[0])
    for name in ("first", "weights", "intercepts", "calibration"):
        np.testing.assert_array_equal(getattr(found, name), getattr(monitor, name))
    assert {key: found.card[key] for key in monitor.card} == monitor.card
    read = monitors.load_held_out(paths[0].with_suffix(".h5"))
    np.testing.assert_array_equal(read.probabilities, held_out.probabilities)
    assert read.positions == held_out.positions and read.ids.tolist() == held_out.ids.tolist()


def test_the_card_says_what_was_asked_and_of_which_files(tmp_path):
    own, _, labels = split_world("params", tmp_path)
    assert {*labels[0]["params"]} == {"relation", "n"}
    card = monitors.fit_monitor([own], [1], labels, {**SETTINGS, "model": {"source": "here"}}, TASK)[0].card
    assert card["params"]["relation"]["values"] == sorted(
        {row["params"]["relation"] for row in labels}, key=lambda each: (len(json.dumps(each)), each)
    )
    n = len({row["params"]["n"] for row in labels})
    assert card["params"]["n"]["n"] == n and (card["params"]["n"]["values"] is None) == (n > 40)
    assert card["identity"] == {"source": "here"} and card["layers"] == [1] and card["layer"] == 1
    assert all(
        re.fullmatch("[0-9a-f]{64}", each) for each in (*card["shards_sha256"], card["settings_sha256"])
    )


def test_a_task_without_enough_data_has_a_file_that_says_so(tmp_path):
    own, _, labels = split_world("noise", tmp_path)
    few = {**SETTINGS, "probes": SETTINGS["probes"] | {"min_rows": 10_000}}
    monitor, held_out = monitors.fit_monitor([own], [1, 2], labels, few, TASK)
    save(tmp_path / "a.safetensors", monitor)
    found = load(tmp_path / "a.safetensors")
    assert found.status.startswith("insufficient: ") and "probes need 10000" in found.status
    assert found.weights.shape == (0, 32) and found.stages == [] and np.isnan(held_out.probabilities).all()


def test_files_that_are_not_as_they_were_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "results/demo/monitors/m/topic.safetensors"
    save(path, made_monitor("topic"))
    content = path.read_bytes()
    assert load(path).card["place"] == "monitors/m/topic.safetensors"
    for damaged in (content[:-9], content[:-1] + bytes([content[-1] ^ 1]), b"", b"{}"):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile, match="can't be read as a monitor"):
            load(path)
    path.write_bytes(content)
    copy = path.with_name("toxicity.safetensors")
    shutil.copy(path, copy)
    with pytest.raises(DamagedFile, match="is a copy of monitors/m/topic.safetensors"):
        load(copy)
    with pytest.raises(UserError, match="there is no monitor"):
        load(tmp_path / "none.safetensors")

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(monitors, "safe_open", refused)
    with pytest.raises(UserError, match="cannot read .* .Permission denied.; correct that") as caught:
        load(path)
    assert not isinstance(caught.value, DamagedFile)


@pytest.mark.parametrize("changed", [{"rules_version": 1}, {"format_version": 9}])
def test_a_study_of_other_rules_is_one_sentence(tmp_path, changed):
    save(tmp_path / "a.safetensors", made_monitor(**changed))
    with pytest.raises(
        UserError, match="was made by version .* of the rules .*; run the study again"
    ) as error:
        load(tmp_path / "a.safetensors")
    assert not isinstance(error.value, DamagedFile)
