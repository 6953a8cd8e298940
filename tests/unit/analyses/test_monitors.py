"""Tables of monitors whose quality is planted: what each reader knows, and when."""

from dataclasses import replace

import numpy as np
import pytest
from skillprobe.analyses import monitors
from skillprobe.analyses.monitors import FLAGGED, GAIN, MONITOR, TOGETHER_GAIN, TRIVIAL, monitor_tables
from skillprobe.errors import UserError
from skillprobe.findings import rules
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.monitors import HeldOut
from skillprobe.probes.trivial_monitors import KINDS, TrivialMonitors
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.bootstrap import draw_groups, draw_tested
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.metrics import auroc
from skillprobe.storage.tables import DRAWS, MEAN

PROBES = {"penalties": [1e-3], "folds": 5, "fold_seeds": 2, "feature_scaling": True}
PROBES |= {"calibration_fraction": 0.1, "min_rows": 20, "min_groups": 10, "max_truncated": 0.2}
SETTINGS = {"seed": 0, "probes": PROBES}
POSITIONS = ["prompt_50", "prompt_100", "onset", "body_50", "body_90", "last", "eos"]
N_GROUPS, ITEMS, SAMPLES = 80, 2, 4
LENGTH = 20
TOKENS = [-3, 0, 1, 10, 18, 19, 20]


def made(seed, monitor, trivial, own=1.0, noise=1.0):
    """Held-out probabilities: of what decides the label, three independent parts, the monitor sees some with
    these weights, and the trivial monitors others. All are calibrated, as log-odds of a logistic model."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(group_ids(N_GROUPS), ITEMS * SAMPLES)
    n = len(groups)
    ids = np.array([f"topic/{g}/{k // SAMPLES % ITEMS}/constrained/{k}" for k, g in enumerate(groups)])
    folds = Settings.from_config(PROBES, 0).row_folds(groups, group_ids(N_GROUPS))
    parts = rng.normal(size=(2, n)) * own
    y = (rng.random(n) < 1 / (1 + np.exp(-parts.sum(axis=0)))).astype(np.int8)
    odds = {name: np.array(weights) @ parts for name, weights in (("m", monitor), ("t", trivial))}
    shape = (2, len(POSITIONS), n)
    said = {}
    for name, each in odds.items():
        p = np.broadcast_to(1 / (1 + np.exp(-each)), shape).astype(np.float32).copy()
        p[:, 0] = np.nan
        p[np.broadcast_to((folds == CALIBRATION)[:, None], shape)] = np.nan
        said[name] = p
    tokens = np.repeat(np.array(TOKENS)[:, None], n, axis=1)
    valid = np.ones((len(POSITIONS), n), bool)
    held_out = HeldOut(ids, groups, y, folds, POSITIONS, tokens, valid, said["m"])
    kinds = np.stack([said["t"]] * len(KINDS))
    inner = np.full((len(KINDS), 2, 5, 3), 0.7)
    return held_out, TrivialMonitors(ids, ["prompt_100", "tokens_1", "eos"], "", inner, kinds, said["t"])


def tables(pairs, **more):
    held_out, trivial = ({task: pair[k] for task, pair in pairs.items()} for k in range(2))
    options = {"n_draws": 300, "study_groups": group_ids(N_GROUPS)} | more
    return monitor_tables(
        "m", held_out, trivial, dict.fromkeys(pairs, "semantic"), settings=SETTINGS, **options
    )


def cell(rows, **cells):
    (row,) = [row for row in rows if all(row[key] == value for key, value in cells.items())]
    return row


THRESHOLDS = {"looks": 1, "signal": 0.55, "monitor_gain": 0.02, "min_tasks": {"monitor_adds": 3}}


def verdict(pairs):
    summary = tables(pairs)[2]
    rows = rules.evidence({"monitors_summary": summary}, "m", "monitor_adds", "across")
    return rules._finding("monitor_adds", "across", rows, list(pairs), THRESHOLDS)


TASKS = ["topic", "sentiment", "register"]


def test_a_state_that_knows_more_than_the_text_adds_and_one_that_repeats_it_does_not():
    adds = verdict({task: made(k, (2, 2), (0, 2), own=2) for k, task in enumerate(TASKS)})
    assert adds["verdict"] == "supported" and adds["reason"] == "adds in topic, sentiment, register"
    # The state knows as well as the text, but no more: the difference is 0.
    same = verdict({task: made(k, (0, 2), (0, 2), own=2) for k, task in enumerate(TASKS)})
    assert same["verdict"] == "contradicted" and same["estimate"] == 0
    # As good alone, by other things: it adds nothing as a monitor of its own.
    other = {task: made(k, (1, 0), (0, 1), own=2) for k, task in enumerate(TASKS)}
    assert verdict(other)["verdict"] != "supported"
    summary = tables(other)[2]
    together = cell(summary, scope="across", task=MEAN, quantity="auroc", reader=TOGETHER_GAIN)
    # But together with the text it does.
    assert together["lower99"] > 0.05


def test_the_gain_is_the_mean_over_the_middle_of_the_difference_of_aurocs():
    held_out, trivial = made(0, (1, 1), (0, 1))
    # Onset is useless, the others are not; those at the ends of the answer don't take part.
    held_out.probabilities[:, POSITIONS.index("onset")] = trivial.best[:, 0]
    held_out.probabilities[:, 2] = np.where(np.isnan(held_out.probabilities[:, 3]), np.nan, 0.5)
    held_out.probabilities[:, -2:] = 1 - held_out.probabilities[:, -2:]
    curves, _, summary = tables({"topic": (held_out, trivial)})
    row = cell(summary, scope="across", task="topic", quantity="auroc", reader=GAIN)
    expected = []
    for position in (2, 3, 4):
        for p, q, fold in zip(held_out.probabilities, trivial.best, held_out.folds, strict=True):
            used = (
                np.where(fold == CALIBRATION, 0, p[position]),
                np.where(fold == CALIBRATION, 0, q[position]),
            )
            expected.append(np.subtract(*(auroc(each, held_out.labels, fold).value for each in used)))
    assert row["estimate"] == pytest.approx(np.mean(expected))
    assert row["lower99"] < row["lower95"] < row["estimate"] < row["upper95"] < row["upper99"]
    assert row[DRAWS].cells()["lower99"] == row["lower99"]
    # And the curves have each position by itself.
    by_position = [
        cell(curves, scope="across", task="topic", reader=GAIN, position=name)["estimate"]
        for name in ("onset", "body_50", "body_90")
    ]
    assert np.mean(by_position) == pytest.approx(row["estimate"])
    last = cell(curves, scope="across", task="topic", reader=GAIN, position="last")
    assert last["estimate"] < -0.1


def test_spans_of_tokens_have_the_answers_that_are_as_long():
    held_out, trivial = made(0, (1, 1), (0, 1))
    held_out.tokens[3] = np.where(np.arange(held_out.tokens.shape[1]) % 2, 10, 3)
    curves = tables({"topic": (held_out, trivial)})[0]
    used = held_out.folds[0] != CALIBRATION
    odd = np.arange(held_out.tokens.shape[1]) % 2 == 1
    counts = {
        name: cell(curves, scope="across", task="topic", reader=MONITOR, position=name, quantity="auroc")["n"]
        for name in ("tokens_1", "tokens_3_4", "tokens_9_16", "tokens_17_32")
    }
    assert counts["tokens_1"] == counts["tokens_17_32"] == used.sum()
    assert counts["tokens_3_4"] == (used & ~odd).sum() and counts["tokens_9_16"] == (used & odd).sum()


def test_within_prompts_all_that_the_prompt_says_cancels():
    held_out, trivial = made(0, (1, 1), (0, 1))
    item = np.array([name.rpartition("/constrained/")[0] for name in held_out.ids.tolist()])
    rate = {name: held_out.labels[item == name].mean() for name in set(item)}
    known = np.array([rate[name] for name in item], np.float32)
    p = np.where(np.isnan(held_out.probabilities), np.nan, known)
    curves = tables({"topic": (replace(held_out, probabilities=p), trivial)})[0]
    rows = {
        scope: cell(curves, scope=scope, task="topic", reader=MONITOR, position="body_50", quantity="auroc")
        for scope in ("across", "within")
    }
    assert rows["across"]["estimate"] > 0.7 and rows["within"]["estimate"] == 0.5
    assert not any(row["scope"] == "within" and row["position"] == "prompt_100" for row in curves)


def test_brier_and_calibration_of_probabilities_that_hold_and_that_are_too_sure():
    held_out, trivial = made(0, (1, 1), (0, 1), own=1.5)
    odds = np.log(held_out.probabilities) - np.log1p(-held_out.probabilities)
    sure = replace(held_out, probabilities=(1 / (1 + np.exp(-4 * odds))).astype(np.float32))
    values, bins = {}, {}
    for name, each in (("true", held_out), ("sure", sure)):
        _, reliability, summary = tables({"topic": (each, trivial)})
        for quantity in ("brier", "brier_skill", "calibration_error"):
            row = cell(summary, scope="across", task="topic", quantity=quantity, reader=MONITOR)
            values[name, quantity] = row["estimate"]
        bins[name] = [row for row in reliability if row["reader"] == MONITOR]
    used = held_out.folds[0] != CALIBRATION
    p, y = held_out.probabilities[0, 3, used], held_out.labels[used]
    assert values["true", "brier"] == pytest.approx(np.mean((p - y) ** 2), abs=1e-6)
    # The base rate of the other folds is about the whole one.
    base = np.mean((y.mean() - y) ** 2)
    assert values["true", "brier_skill"] == pytest.approx(1 - values["true", "brier"] / base, abs=0.02)
    assert values["sure", "brier"] > values["true", "brier"] + 0.02
    assert values["true", "calibration_error"] < 0.05 < 0.1 < values["sure", "calibration_error"]
    # Bins of equal numbers, in whose intervals nearly all probabilities lie, but not if they are too sure.
    assert len(bins["true"]) == 10 and all(abs(row["n"] - 172.8) < 3 for row in bins["true"])
    inside = {
        name: sum(row["lower99"] <= row["probability"] <= row["upper99"] for row in rows)
        for name, rows in bins.items()
    }
    assert inside["true"] >= 9 and inside["sure"] <= 6


def test_equal_probabilities_are_in_one_bin():
    held_out, trivial = made(0, (1, 1), (0, 1))
    p = np.where(np.isnan(trivial.best), np.nan, np.where(trivial.best > 0.5, 0.7, 0.3)).astype(np.float32)
    rows = [
        row for row in tables({"topic": (held_out, replace(trivial, best=p))})[1] if row["reader"] == TRIVIAL
    ]
    assert [round(row["probability"], 4) for row in rows] == [0.3, 0.7]


def alarms(held_out, trivial, reader=MONITOR):
    summary = tables({"topic": (held_out, trivial)})[2]
    return {
        name: cell(summary, scope="across", task="topic", quantity=name, reader=reader)["estimate"]
        for name in monitors.ALARMS
    }


def test_alarms_where_it_is_known_when_they_ring():
    """Violated answers fall to 0.1 at 50 %, but one of ten doesn't; satisfied ones do in one of five."""
    held_out, trivial = made(0, (1, 1), (0, 1))
    rng = np.random.default_rng(1)
    n = len(held_out.labels)
    falls = np.where(held_out.labels == 0, rng.random(n) < 0.95, rng.random(n) < 0.2)
    p = np.full(held_out.probabilities.shape, 0.8, np.float32)
    p[:, 3:] = np.where(falls, 0.1, 0.8)
    found = alarms(replace(held_out, probabilities=p), trivial)
    used = held_out.folds[0] != CALIBRATION
    violated, satisfied = used & (held_out.labels == 0), used & (held_out.labels == 1)
    assert found["missed"] == pytest.approx(1 - falls[violated].mean())
    assert found["false_alarms"] == pytest.approx(falls[satisfied].mean())
    # The tenth of twenty tokens.
    assert found["delay_tokens"] == 10 and found["delay_share"] == pytest.approx(0.5)
    # EOS is too late for an alarm, and a missed one counts as flagged there; a constant flags all at once.
    p[:, 3:] = 0.8
    p[:, -1] = np.where(held_out.labels == 0, 0.1, 0.8)
    found = alarms(replace(held_out, probabilities=p), trivial)
    assert (found["missed"], found["false_alarms"], found["delay_tokens"]) == (0, 1, 1)


def test_so_many_are_missed_as_thresholds_are_made_for():
    held_out, trivial = made(0, (1, 1), (0, 1), own=1.5)
    found, worse = alarms(held_out, trivial), alarms(held_out, trivial, TRIVIAL)
    assert abs(found["missed"] - (1 - FLAGGED)) < 0.04 and abs(worse["missed"] - (1 - FLAGGED)) < 0.04
    assert found["false_alarms"] < worse["false_alarms"] - 0.1


def test_a_threshold_comes_from_the_other_folds():
    """In one fold the violated answers have low probabilities, in the others high ones: its own threshold
    would be low, and no satisfied answer of it would be flagged."""
    held_out, trivial = made(0, (1, 1), (0, 1))
    low = held_out.folds == 2
    p = np.where(held_out.labels == 0, 0.6, 0.7) - 0.5 * low
    p = np.broadcast_to(p[:, None], held_out.probabilities.shape).astype(np.float32)
    task = monitors._Task(
        replace(held_out, probabilities=p),
        trivial,
        draw_tested([held_out], n_draws=5),
        Settings.from_config(PROBES, 0),
    )
    used = held_out.folds != CALIBRATION
    satisfied = used & (held_out.labels == 1)
    expected = np.mean([(low[s] & satisfied[s]).sum() / satisfied[s].sum() for s in range(2)])
    assert monitors._alarms(task, MONITOR)["false_alarms"].value == pytest.approx(expected)


def test_the_median_of_a_draw_is_that_of_the_groups_that_are_drawn():
    rng = np.random.default_rng(0)
    groups = np.repeat([f"g{k}" for k in range(9)], 3)
    values = rng.integers(0, 30, 27).astype(float)
    draws = draw_groups(set(groups), n_draws=50)
    median, drawn = monitors._median(values, groups, draws)
    assert median == np.median(values)
    for weights, found in zip(draws.weights, drawn, strict=True):
        times = weights[draws.columns(groups)].astype(int)
        assert found == np.median(np.repeat(values, times))


def test_the_stack_is_a_logistic_regression_of_the_other_folds():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x, fresh = rng.normal(size=(400, 2)) * [1, 3] + [2, 0], rng.normal(size=(50, 2))
    y = (rng.random(400) < 1 / (1 + np.exp(-(x[:, 0] - 2 + 0.3 * x[:, 1])))).astype(np.int8)
    z, w = (x - x.mean(axis=0)) / x.std(axis=0), (fresh - x.mean(axis=0)) / x.std(axis=0)
    expected = LogisticRegression(C=1.0, tol=1e-10).fit(z, y).predict_proba(w)[:, 1]
    np.testing.assert_allclose(monitors._logistic(x, y, fresh), expected, atol=1e-5)
    held_out, trivial = made(0, (1, 0), (0, 1))
    together = monitors._stacked(held_out.probabilities, trivial.best, held_out)
    tested = held_out.folds[0] == 3
    turned = replace(held_out, labels=np.where(tested, 1 - held_out.labels, held_out.labels))
    again = monitors._stacked(held_out.probabilities, trivial.best, turned)
    np.testing.assert_array_equal(again[0][:, tested], together[0][:, tested])
    # A position that no response of the other folds reaches.
    few = np.where(tested, held_out.probabilities, np.nan)
    with np.errstate(all="raise"):
        assert np.isnan(monitors._stacked(few[:1], trivial.best[:1], held_out)).all()


def test_what_is_missing_is_said():
    held_out, trivial = made(0, (1, 1), (0, 1))
    why = "12 violated responses from 6 groups"
    blank = replace(held_out, probabilities=np.full_like(held_out.probabilities, np.nan))
    curves, reliability, summary = tables(
        {"topic": (held_out, trivial), "register": (blank, replace(trivial, status=why, stages=[]))}
    )
    for rows in (curves, reliability, summary):
        own = [row for row in rows if row["task"] == "register"]
        assert own and all(row["status"] == f"insufficient: {why}" for row in own)
        assert all(np.isnan(row["estimate"]) for row in own)
    mean = cell(summary, scope="across", task=MEAN, quantity="auroc", reader=GAIN)
    assert (mean["n_tasks"], mean["tasks"], mean["status"]) == (1, "topic", "")
    with pytest.raises(UserError, match="no monitors of model 'm'"):
        monitor_tables("m", {}, {}, {}, settings=SETTINGS)
    with pytest.raises(UserError, match="of other responses"):
        tables({"topic": (held_out, replace(trivial, ids=trivial.ids[::-1]))})
