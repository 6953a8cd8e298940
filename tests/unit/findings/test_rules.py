"""The rules that decide a claim, at and around their thresholds, and what is pooled over models."""

import json
import math

import numpy as np
import pytest
from made.findings import TASKS, THRESHOLDS, estimate, noises, planted_matrix, row_of, study
from skillprobe.analyses.blocks import PAPER_GROUPS
from skillprobe.findings import rules
from skillprobe.storage import files

NAN = float("nan")
NAMES = ["p", "q", "r"]


def generality(signal=NAMES, difference=(0.1, 0.05, 0.15), model="m"):
    about = {"model": model, "layer": "selected", "metric": "auroc", "status": ""}
    rows = [
        about
        | {"task": task, "probe": "specialist", "estimate": 0.8 if task in signal else NAN}
        # Known, but too low to be a signal.
        | {"lower99": 0.7 if task in signal else 0.55, "upper99": 0.9}
        for task in NAMES
    ]
    estimate, lower, upper = difference
    rows.append(
        about
        | {"task": "mean", "probe": "specialist_minus_general_centred", "estimate": estimate}
        | {"lower99": lower, "upper99": upper}
    )
    # What a rule must not take by mistake: other layers, metrics, probes and models.
    other = {"task": "mean", "estimate": -1.0, "lower99": -1.0, "upper99": -1.0}
    return [
        about | other | {"layer": 1, "probe": "specialist_minus_general_centred"},
        about | other | {"probe": "specialist_minus_general_all"},
        about | other | {"model": "x", "probe": "specialist_minus_general_centred"},
        *rows,
    ]


def summary(quantity, grouping, estimate, p=NAN, status="", model="m"):
    value, lower, upper = estimate
    row = {"model": model, "layer": "selected", "quantity": quantity, "grouping": grouping, "p": p}
    row |= {"estimate": value, "lower99": lower, "upper99": upper, "status": status}
    return [row | {"layer": 2, "estimate": -1.0, "lower99": -9.0, "upper99": 9.0}, row]


def tau(value, lower, upper, status=""):
    row = {"model": "m", "task": "all", "quantity": "tau", "status": status}
    return [row | {"estimate": value, "lower99": lower, "upper99": upper}]


def ablation(diagonal=(0.2, 0.15, 0.25), dependent=0.1, independent=0.8, asymmetry=(0.01, 0.005, 0.02)):
    about = {"model": "m", "layer": "selected", "method": "inlp", "n_cells": 6, "status": ""}
    values = {
        "diagonal": diagonal,
        "dependent": (dependent, NAN, NAN),
        "independent": (independent, NAN, NAN),
        "asymmetry": asymmetry,
    }
    return [
        about | {"quantity": name, "estimate": value, "lower99": lower, "upper99": upper}
        for name, (value, lower, upper) in values.items()
    ]


def specificity(difference):
    about = {"model": "m", "layer": "selected", "task": "mean", "quantity": "specificity", "status": ""}
    value, lower, upper = difference
    row = about | {"estimate": value, "lower99": lower, "upper99": upper}
    wrong = row | {"estimate": -1.0, "lower99": -1.0, "upper99": -1.0}
    return [wrong | {"layer": 2}, wrong | {"task": "p"}, wrong | {"quantity": "twins"}, row]


def over_time(gain, index, status=""):
    about = {"model": "m", "layer": "selected", "task": "mean", "status": ""}
    rows = [
        about
        | {"quantity": name, "estimate": value, "lower99": lower, "upper99": upper}
        | {"status": status if name == "planning_index" else ""}
        for name, (value, lower, upper) in (("gain", gain), ("planning_index", index))
    ]
    wrong = {"estimate": -1.0, "lower99": -2.0, "upper99": -0.5}
    return [row | wrong | {"layer": 3} for row in rows] + [row | wrong | {"task": "p"} for row in rows] + rows


def judge(
    claim,
    generality_rows=None,
    transfer=(),
    layers=(),
    model="m",
    thresholds=THRESHOLDS,
    ablated=None,
    time=None,
    specific=None,
):
    tables = {
        "generality": generality() if generality_rows is None else generality_rows,
        "transfer_summary": list(transfer),
        "ablation_summary": ablation() if ablated is None else ablated,
        "layers": list(layers),
    }
    if time is not None:
        tables["time_summary"] = time
    if specific is not None:
        tables["specificity"] = specificity(specific)
    found = rules.judge(tables, [model], NAMES, thresholds)[model]
    assert list(found) == list(rules.CLAIMS)
    # No NaN, which is no JSON.
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found[claim]


@pytest.mark.parametrize(
    "difference, verdict",
    [
        ((0.05, 0.021, 0.08), "supported"),
        ((0.05, 0.02, 0.08), "inconclusive"),  # at the margin, not above it
        ((0.0, -0.03, 0.02), "inconclusive"),
        ((0.0, -0.03, 0.019), "contradicted"),
        ((-0.1, -0.15, -0.05), "contradicted"),
        ((NAN, NAN, NAN), "insufficient"),
        ((0.05, NAN, NAN), "inconclusive"),
    ],
)
def test_generality(difference, verdict):
    found = judge("generality", generality(difference=difference))
    assert found["verdict"] == verdict
    assert "above 0.02" in found["rule"] and found["rules_version"] == rules.VERSION
    if verdict not in ("insufficient",):
        assert found["estimate"] == difference[0]


@pytest.mark.parametrize(
    "ratio, verdict",
    [
        ((0.2, 0.1, 0.49), "supported"),
        ((0.2, 0.1, 0.5), "inconclusive"),
        ((0.8, 0.5, 0.9), "inconclusive"),
        ((0.8, 0.51, 0.9), "contradicted"),
    ],
)
def test_weak_transfer(ratio, verdict):
    rows = summary("mean_ratio_signal", "", (0.0, 0.0, 0.0)) + summary("mean_ratio", "", ratio)
    assert judge("transfer_weak", transfer=rows)["verdict"] == verdict


@pytest.mark.parametrize(
    "statistic, p, verdict",
    [
        ((0.3, 0.1, 0.5), 0.009, "supported"),
        ((0.3, 0.1, 0.5), 0.01, "inconclusive"),
        ((-0.3, -0.5, -0.1), 0.9, "contradicted"),
        ((-0.3, -0.5, 0.0), 0.9, "inconclusive"),
    ],
)
def test_clustered_transfer(statistic, p, verdict):
    rows = summary("block", "categories", (0.9, 0.8, 1.0), 0.0001) + summary("block", "paper", statistic, p)
    assert judge("transfer_clustered", transfer=rows)["verdict"] == verdict


@pytest.mark.parametrize(
    "found, verdict",
    [
        ((0.8, 0.1, 1.0), "supported"),
        ((0.8, 0.0, 1.0), "inconclusive"),
        ((-0.8, -1.0, -0.1), "contradicted"),
        ((-0.8, -1.0, 0.0), "inconclusive"),
    ],
)
def test_stratified_layers(found, verdict):
    assert judge("layers_stratified", layers=tau(*found))["verdict"] == verdict


@pytest.mark.parametrize(
    "dependent, independent, verdict",
    [
        (0.25, 0.5, "supported"),
        (0.26, 0.6, "inconclusive"),
        (0.1, 0.49, "inconclusive"),
        (0.49, 0.0, "inconclusive"),
        (0.5, 0.0, "contradicted"),
    ],
)
def test_sparse_dependencies(dependent, independent, verdict):
    found = judge("ablation_sparse", ablated=ablation(dependent=dependent, independent=independent))
    assert (found["verdict"], found["estimate"], found["interval"]) == (verdict, dependent, None)


@pytest.mark.parametrize(
    "asymmetry, verdict",
    [
        ((0.01, 0.0001, 0.02), "supported"),
        ((0.01, 0.0, 0.02), "inconclusive"),
        # 6 pairs of 0.02² each: 0.0024.
        ((0.0, -0.002, 0.0025), "inconclusive"),
        ((0.0, -0.002, 0.0023), "contradicted"),
    ],
)
def test_asymmetric_dependencies(asymmetry, verdict):
    assert judge("ablation_asymmetric", ablated=ablation(asymmetry=asymmetry))["verdict"] == verdict


LITTLE, NO_INDEX = (0.2, -0.1, 0.4), (NAN, NAN, NAN)


@pytest.mark.parametrize(
    "gain, index, verdict",
    [
        ((0.2, 0.06, 0.3), LITTLE, "supported"),
        ((0.2, 0.05, 0.3), LITTLE, "inconclusive"),  # at the threshold, not above it
        ((0.2, 0.06, 0.3), (0.3, 0.1, 0.5), "inconclusive"),
        ((0.2, 0.06, 0.3), (0.8, 0.51, 1.1), "contradicted"),
        ((0.2, 0.06, 0.3), (0.8, 0.5, 1.1), "inconclusive"),
        ((0.0, -0.1, 0.049), LITTLE, "contradicted"),
        ((0.0, -0.1, 0.05), LITTLE, "inconclusive"),
        ((0.0, -0.1, 0.049), NO_INDEX, "contradicted"),
        ((0.2, 0.06, 0.3), NO_INDEX, "supported"),
        (NO_INDEX, LITTLE, "insufficient"),
    ],
)
def test_monitoring(gain, index, verdict):
    status = "insufficient: the ceiling is only 0.010 above" if index is NO_INDEX else ""
    found = judge("monitoring", time=over_time(gain, index, status))
    assert found["verdict"] == verdict
    if verdict == "insufficient":
        assert found["estimate"] is None
        return
    assert found["estimate"] == gain[0] and found["interval"] == list(gain[1:])
    untested = "planning untested: the ceiling is only 0.010 above" if index is NO_INDEX else ""
    assert found["reason"] == untested


@pytest.mark.parametrize(
    "difference, verdict",
    [
        ((0.05, 0.021, 0.08), "supported"),
        ((0.05, 0.02, 0.08), "inconclusive"),
        ((0.0, -0.03, 0.02), "inconclusive"),
        ((0.0, -0.03, 0.019), "contradicted"),
        ((NAN, NAN, NAN), "insufficient"),
    ],
)
def test_specificity(difference, verdict):
    assert judge("specificity", specific=difference)["verdict"] == verdict


def test_a_study_without_positions_says_nothing_of_monitoring():
    assert judge("monitoring")["verdict"] == "insufficient"
    few = judge("monitoring", generality(signal=["p"]), time=over_time((0.2, 0.1, 0.3), LITTLE))
    assert few["verdict"] == "insufficient" and few["reason"] == "1 of 3 tasks have a signal"


@pytest.mark.parametrize("claim", ["ablation_sparse", "ablation_asymmetric"])
@pytest.mark.parametrize("lower, worked", [(0.051, True), (0.05, False)])
def test_where_erasure_failed_nothing_follows(claim, lower, worked):
    found = judge(claim, ablated=ablation(diagonal=(0.08, lower, 0.1)))
    assert found["verdict"] == ("supported" if worked else "insufficient")
    assert found["reason"].startswith("erasure failed: it lowers a task's own AUROC by 0.080") is not worked


@pytest.mark.parametrize("claim", rules.CLAIMS)
@pytest.mark.parametrize("signal, enough", [(["p", "q"], True), (["r"], False), ([], False)])
def test_every_claim_needs_two_thirds_of_the_tasks(claim, signal, enough):
    transfer = summary("mean_ratio", "", (0.1, 0.0, 0.2)) + summary("block", "paper", (0.3, 0.1, 0.5), 0.001)
    time = over_time((0.2, 0.1, 0.3), LITTLE)
    measured = {"time": time, "specific": (0.1, 0.05, 0.15)}
    found = judge(claim, generality(signal), transfer, tau(0.8, 0.1, 1.0), **measured)
    assert found["verdict"] == ("supported" if enough else "insufficient")
    assert found["tasks_with_signal"] == signal
    assert found["reason"] == ("" if enough else f"{len(signal)} of 3 tasks have a signal")
    # The number is shown all the same.
    assert found["estimate"] is not None


def test_a_table_without_a_number_says_why():
    rows = summary("block", "paper", (NAN, NAN, NAN), status="insufficient: no groups to compare")
    found = judge("transfer_clustered", transfer=rows)
    assert (found["verdict"], found["reason"]) == ("insufficient", "no groups to compare")
    assert found["estimate"] is found["interval"] is None
    assert judge("layers_stratified")["reason"] == "there is no estimate"
    assert judge("generality", [])["verdict"] == "insufficient"


def test_thresholds_come_from_the_config():
    rows = generality(difference=(0.05, 0.03, 0.08))
    assert judge("generality", rows)["verdict"] == "supported"
    strict = THRESHOLDS | {"margin": 0.04}
    found = judge("generality", rows, thresholds=strict)
    assert found["verdict"] == "inconclusive" and "above 0.04" in found["rule"]
    assert judge("generality", rows, thresholds=THRESHOLDS | {"signal": 0.75})["verdict"] == "insufficient"


def test_more_looks_have_their_level_and_a_smaller_p():
    twice = THRESHOLDS | {"looks": 2}
    assert judge("generality")["level"] == 0.99 and judge("generality", thresholds=twice)["level"] == 0.995
    rows = summary("block", "paper", (0.2, 0.1, 0.3), p=0.006)
    assert judge("transfer_clustered", transfer=rows)["verdict"] == "supported"
    found = judge("transfer_clustered", transfer=rows, thresholds=twice)
    assert found["verdict"] == "inconclusive" and "p is below 0.005" in found["rule"]


def test_pooled_intervals_have_the_level_of_the_looks(use_looks):
    noise = noises("a", "b", spread=0.02)
    tables = study({"a": 0.05, "b": 0.05}, noise)

    def lower(looks):
        use_looks(looks)
        found = rules.judge(tables, ["a", "b"], TASKS, THRESHOLDS | {"looks": looks})
        return found[rules.POOLED]["generality"]["interval"][0]

    once, twice = lower(1), lower(2)
    drawn = 0.05 + (noise["a"] + noise["b"]) / 2
    assert [once, twice] == pytest.approx([np.quantile(drawn, 0.005), np.quantile(drawn, 0.0025)])
    assert twice < once


def test_a_model_may_be_named_by_a_number():
    """A CSV file doesn't tell "7" from 7."""
    assert judge("generality", generality(model=7), model="7")["verdict"] == "supported"


@pytest.mark.parametrize("joint, width", [(True, 1.0), (False, 1 / math.sqrt(3))])
def test_pooled_intervals_are_of_joint_draws(joint, width):
    """Models that answered the same requests err together: their mean is then no surer than each of them."""
    models = ["a", "b", "c"]
    found = study({"a": 0.02, "b": 0.05, "c": 0.08}, noises(*models, joint=joint))
    judged = rules.judge(found, models, TASKS, THRESHOLDS)
    pooled = judged[rules.POOLED]["generality"]
    assert pooled["estimate"] == pytest.approx(0.05, abs=1e-9)
    lower, upper = pooled["interval"]
    assert upper - lower == pytest.approx(2 * 2.576 * 0.01 * width, rel=0.06)
    assert (pooled["verdict"], pooled["models"]) == ("supported", models)
    assert judged["a"]["generality"]["verdict"] == "inconclusive"
    assert pooled["n"] == {"tasks": 3, "answers": 900, "requests": 81}
    assert judged["a"]["generality"]["n"] == {"tasks": 3, "answers": 300, "requests": 81}


def test_pooled_are_those_that_are_sufficient():
    found = study({"a": 0.1, "b": 0.1, "c": -0.5}, noises("a", "b", "c"))
    for row in found["generality"]:
        if row["model"] == "c" and row["task"] in TASKS:
            row["lower99"] = 0.5
    judged = rules.judge(found, ["a", "b", "c"], TASKS, THRESHOLDS)[rules.POOLED]
    assert judged["generality"]["models"] == ["a", "b"]
    assert judged["generality"]["estimate"] == pytest.approx(0.1)
    # The index can't be tested in either: said of each.
    assert judged["monitoring"]["verdict"] == "supported"
    assert judged["monitoring"]["reason"].startswith("a: planning untested")
    one = rules.judge(study({"a": 0.1, "b": 0.3}, noises("a", "b"), ["topic"]), ["a", "b"], TASKS, THRESHOLDS)
    alone = one[rules.POOLED]["generality"]
    assert (alone["verdict"], alone["reason"]) == ("insufficient", "sufficient in 0 of 2 models")
    assert alone["estimate"] == pytest.approx(0.2)  # The number is shown all the same.
    assert rules.POOLED not in rules.judge(study({"a": 0.1}, noises("a")), ["a"], TASKS, THRESHOLDS)
    json.dumps(one, allow_nan=False)


def test_clusters_are_pooled_by_the_permutation_test():
    tasks = [task for group in PAPER_GROUPS for task in group]
    groups = np.repeat(range(len(PAPER_GROUPS)), [len(group) for group in PAPER_GROUPS])
    rng = np.random.default_rng(2)
    found = {"generality": [], "transfer_summary": [], "transfer": []}
    for model in ("a", "b"):
        about = {"model": model, "layer": "selected", "metric": "auroc", "probe": "specialist", "status": ""}
        about |= {"estimate": 0.8, "lower99": 0.7, "upper99": 0.9, "n": 300, "n_groups": 81}
        found["generality"] += [about | {"task": task} for task in (*tasks, "mean")]
        matrix = planted_matrix(rng, groups, 2.0)
        found["transfer"] += [
            {"model": model, "layer": "selected", "source": a, "target": b, "ratio": matrix[i, j]}
            for i, a in enumerate(tasks)
            for j, b in enumerate(tasks)
        ]
        block = row_of(model, estimate(0.5, noises(model)[model]), quantity="block", grouping="paper", p=0.02)
        found["transfer_summary"].append(block)
    judged = rules.judge(found, ["a", "b"], tasks, THRESHOLDS)
    assert judged["a"]["transfer_clustered"]["verdict"] == "inconclusive"
    assert judged[rules.POOLED]["transfer_clustered"]["verdict"] == "supported"


def test_findings_as_a_table():
    reported = files.read_json("workflow/resources/paper.json")["claims"]
    judged = rules.judge(
        study({"a": 0.1, "b": 0.1}, noises("a", "b")), ["a", "b"], TASKS, THRESHOLDS, reported
    )
    rows = rules.table(judged)
    assert all(tuple(row) == rules.COLUMNS for row in rows)
    assert len(rows) == 3 * len(rules.CLAIMS)
    first = rows[0]
    assert (first["model"], first["claim"], first["n_answers"]) == ("a", "generality", 300)
    assert (
        "specialist character count: accuracy 0.84; general all character count: accuracy 0.68"
        in first["paper"]
    )
    by_claim = {row["claim"]: row["paper"] for row in rows}
    assert "transfer topic -> sentiment: accuracy 0.78" in by_claim["transfer_weak"]
    # What the paper gives no number for is never filled in.
    assert [claim for claim, words in by_claim.items() if words != "not reported"] == [
        "generality",
        "transfer_weak",
    ]
