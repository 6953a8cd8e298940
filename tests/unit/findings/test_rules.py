"""The rules that decide a claim, at and around their thresholds, and what is pooled over models."""

import json
import math
import re

import numpy as np
import pytest
from made.findings import TASKS, THRESHOLDS, estimate, noises, planted_matrix, row_of, study
from skillprobe.analyses.blocks import PAPER_GROUPS
from skillprobe.findings import rules
from skillprobe.statistics.intervals import Estimate
from skillprobe.storage import files
from skillprobe.storage.tables import DRAWS, N_UNTESTED

NAN = float("nan")
NAMES = ["p", "q", "r", "s", "t", "u"]
NOTHING = (NAN, NAN, NAN)
ACROSS, WITHIN = "across", "within"


def row(found, scope=WITHIN, tasks=NAMES, model="m", status="", **cells):
    value, lower, upper = found
    about = {"model": model, "scope": scope, "layer": "selected", "status": status}
    about |= {"estimate": value, "lower99": lower, "upper99": upper}
    return about | {"n_tasks": len(tasks), "tasks": " ".join(tasks)} | cells


def generality(difference=(0.1, 0.05, 0.15), **more):
    cells = {"task": "mean", "metric": "auroc", "n": 10, "n_groups": 5}
    probe = "specialist_minus_general_centred"
    wrong = (-1.0, -1.0, -1.0)
    # What a rule must not take by mistake: other layers, probes, scopes and models.
    return [
        row(wrong, probe=probe, **cells) | {"layer": 1},
        row(wrong, probe="specialist_minus_general_all", **cells),
        row(wrong, probe=probe, **cells) | {"scope": "neither"},
        row(wrong, probe=probe, **cells) | {"model": "x"},
        row((0.8, 0.7, 0.9), probe="specialist", **cells | more),
        row(difference, probe=probe, **cells | more),
    ]


def summary(quantity, found, grouping="", **more):
    more = {"p": NAN, "p_other": NAN, "n_permutations": 0} | more
    return [row((-1.0, -9.0, 9.0), quantity=quantity, grouping=grouping, **more) | {"layer": 2}] + [
        row(found, quantity=quantity, grouping=grouping, **more)
    ]


def block(found, p=0.5, p_other=0.5, n=1260):
    other = summary("block", (0.9, 0.8, 1.0), "categories", p=0.0001, n_permutations=9)
    return other + summary("block", found, "paper", p=p, p_other=p_other, n_permutations=n)


def tau(found, **more):
    return [row(found, task="all", quantity="tau", **more)]


def ablation(
    diagonal=(0.2, 0.15, 0.25),
    dependent=0.1,
    independent=0.8,
    asymmetry=(0.01, 0.003, 0.02),
    whole=None,
    **more,
):
    values = {"diagonal": diagonal, "asymmetry": asymmetry, "asymmetry_whole": whole or asymmetry}
    values |= {"dependent": (dependent, NAN, NAN), "independent": (independent, NAN, NAN)}
    return [row(found, method="inlp", quantity=name, **more) for name, found in values.items()]


def over_time(gain, planned=NOTHING, recovered=NOTHING, planning_tasks=NAMES, status="", **more):
    cells = {"task": "mean", "scope": ACROSS}
    rows = [
        row(gain, quantity="gain", **cells | more),
        row(planned, quantity="planning_share", **cells, status=status) | {"n_tasks": len(planning_tasks)},
        row(recovered, quantity="recovered", **cells, status=status) | {"n_tasks": len(planning_tasks)},
    ]
    wrong = {"estimate": -1.0, "lower99": -2.0, "upper99": -0.5}
    return (
        [each | wrong | {"layer": 3} for each in rows]
        + [each | wrong | {"task": "p"} for each in rows]
        + rows
    )


def match(found, beyond=(0.1, 0.01, 0.2), **more):
    rows = [row(found, quantity="match", **more), row(beyond, quantity="match_beyond_likelihood", **more)]
    wrong = {"estimate": -1.0, "lower99": -1.0, "upper99": -1.0, "task": "mean"}
    return [each | wrong | {"layer": 2} for each in rows] + [each | {"task": "mean"} for each in rows]


ADDS, NOT, OPEN = (0.1, 0.05, 0.15), (-0.1, -0.15, 0.019), (0.03, -0.01, 0.07)


def gains(by_task, model="m"):
    """Rows of tables/monitors_summary.csv: each task's gain, and the mean of those that have one."""
    cells = {"scope": ACROSS, "model": model, "quantity": "auroc", "reader": "monitor_minus_trivial"}
    known = [task for task, found in by_task.items() if found is not NOTHING]
    mean = tuple(np.mean([by_task[task] for task in known], axis=0).tolist()) if known else NOTHING
    status = "" if known else "insufficient: no task has enough data"
    rows = [
        row(found, tasks=[task] if task in known else [], **cells) | {"task": task}
        for task, found in by_task.items()
    ]
    # Neither other readers nor other quantities are looked at.
    more = [each | {"reader": "together_minus_trivial", "lower99": 0.5} for each in rows]
    more += [each | {"quantity": "brier", "upper99": -0.5} for each in rows]
    return [*more, *rows, row(mean, tasks=known, status=status, **cells) | {"task": "mean"}]


@pytest.mark.parametrize(
    "found, verdict, reason",
    [
        ([ADDS, ADDS, ADDS, NOT, NOT], "supported", "adds in p, q, r; does not in s, t"),
        # The mean may be below 0, and it is supported all the same: the tasks decide.
        ([ADDS, ADDS, ADDS, (-0.5, -0.6, -0.4)], "supported", "adds in p, q, r; does not in s"),
        ([ADDS, ADDS, OPEN, NOT], "inconclusive", "adds in p, q; open in r; does not in s"),
        # Two are left, of three that are needed.
        ([ADDS, OPEN, NOT, NOT], "contradicted", "adds in p; open in q; does not in r, s"),
        ([NOT, NOT, NOT], "contradicted", "does not in p, q, r"),
        # At the margin it is neither.
        ([(0.1, 0.02, 0.18)] * 3, "inconclusive", "open in p, q, r"),
        ([(0.0, -0.02, 0.02)] * 3, "inconclusive", "open in p, q, r"),
        ([ADDS, ADDS, NOTHING], "insufficient", "2 tasks have a monitor; 3 are needed"),
        ([ADDS, NOTHING, NOTHING], "insufficient", "1 task has a monitor; 3 are needed"),
    ],
)
def test_what_monitors_add_is_decided_task_by_task(found, verdict, reason):
    names = ["p", "q", "r", "s", "t"][: len(found)]
    tables = {"monitors_summary": gains(dict(zip(names, found, strict=True)))}
    finding = rules.judge(tables | {"generality": []}, ["m"], names, THRESHOLDS)["m"]["monitor_adds"]
    assert (finding["verdict"], finding["reason"]) == (verdict, reason)
    assert finding["scope"] == ACROSS and finding["secondary"] is None


def test_where_there_are_no_monitors_nothing_is_said_of_them():
    assert judge("monitor_adds")["reason"] == "there is no estimate"
    nothing = judge("monitor_adds", monitors_summary=gains(dict.fromkeys(NAMES, NOTHING)))
    assert nothing["verdict"] == "insufficient" and nothing["estimate"] is None


def test_of_all_models_the_gain_of_each_task_is_their_mean():
    """In each model two tasks add, and of the mean of models three do."""
    drawn = np.random.default_rng(0).normal(0, 0.005, 2000)
    values = {"a": [0.2, 0.2, -0.02, 0.0], "b": [0.2, -0.02, 0.2, 0.0]}
    rows = []
    for model, by_task in values.items():
        cells = {"scope": ACROSS, "model": model, "quantity": "auroc", "reader": "monitor_minus_trivial"}
        for task, value in zip(("p", "q", "r", "s", "mean"), (*by_task, np.mean(by_task)), strict=True):
            made = Estimate(np.full(3, value), value + drawn, factor=1.0)
            named = ["p", "q", "r", "s"] if task == "mean" else [task]
            about = {"n_tasks": len(named), "tasks": " ".join(named), "status": "", DRAWS: made}
            rows.append(cells | {"task": task} | made.cells() | about)
    tables = {"generality": [], "monitors_summary": rows}
    judged = rules.judge(tables, ["a", "b"], ["p", "q", "r", "s"], THRESHOLDS)
    assert [judged[model]["monitor_adds"]["verdict"] for model in ("a", "b")] == ["contradicted"] * 2
    pooled = judged[rules.POOLED]["monitor_adds"]
    assert pooled["verdict"] == "supported" and pooled["reason"] == "adds in p, q, r; does not in s"
    assert pooled["counted"] == {"contradicted": ["a", "b"]}


def judge(claim, model="m", thresholds=None, **tables):
    tables = {"generality": generality()} | {name: list(rows) for name, rows in tables.items()}
    found = rules.judge(tables, [model], NAMES, THRESHOLDS | (thresholds or {}))[model]
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
        (NOTHING, "insufficient"),
        ((0.05, NAN, NAN), "inconclusive"),
    ],
)
def test_generality(difference, verdict):
    found = judge("generality", generality=generality(difference))
    assert found["verdict"] == verdict and found["scope"] == WITHIN
    assert "above 0.02" in found["rule"] and found["rules_version"] == rules.VERSION == 2
    if verdict != "insufficient":
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
    assert judge("transfer_weak", transfer_summary=summary("ratio", ratio))["verdict"] == verdict


@pytest.mark.parametrize(
    "statistic, p, p_other, verdict",
    [
        ((0.3, 0.1, 0.5), 0.009, 0.99, "supported"),
        ((0.3, 0.1, 0.5), 0.01, 0.99, "inconclusive"),
        ((-0.3, -0.5, -0.1), 0.9, 0.04, "contradicted"),
        ((-0.3, -0.5, -0.1), 0.9, 0.05, "inconclusive"),
        ((-0.3, -0.5, 0.0), 0.9, 0.04, "inconclusive"),
    ],
)
def test_clustered_transfer(statistic, p, p_other, verdict):
    found = judge("transfer_clustered", transfer_summary=block(statistic, p, p_other))
    assert found["verdict"] == verdict


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
    assert judge("layers_stratified", layers=tau(found))["verdict"] == verdict


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
    tables = ablation(dependent=dependent, independent=independent)
    found = judge("ablation_sparse", ablation_summary=tables)
    assert (found["verdict"], found["estimate"], found["interval"]) == (verdict, dependent, None)


@pytest.mark.parametrize(
    "asymmetry, whole, verdict, explained",
    [
        # A quarter of the fall of 0.2, squared: 0.0025.
        ((0.01, 0.0026, 0.02), (0.01, 0.003, 0.02), "supported", False),
        ((0.01, 0.0025, 0.02), (0.01, 0.002, 0.02), "inconclusive", False),
        ((0.0, -0.002, 0.003), (0.0, -0.002, 0.0024), "contradicted", False),
        ((0.0, -0.002, 0.002), (0.0, -0.002, 0.0026), "inconclusive", False),
        # Strength of the source explains it.
        ((0.0, -0.002, 0.002), (0.01, 0.003, 0.02), "inconclusive", True),
    ],
)
def test_asymmetric_dependencies(asymmetry, whole, verdict, explained):
    tables = ablation(asymmetry=asymmetry, whole=whole)
    found = judge("ablation_asymmetric", ablation_summary=tables)
    assert found["verdict"] == verdict
    assert ("unequal strength" in found["reason"]) is explained


LOW, POWER = (0.1, -0.1, 0.3), (0.7, 0.6, 0.8)


@pytest.mark.parametrize(
    "gain, planned, recovered, verdict",
    [
        ((0.2, 0.06, 0.3), LOW, POWER, "supported"),  # 0.3 < ½ · 0.7
        ((0.2, 0.06, 0.3), (0.1, -0.1, 0.35), POWER, "supported, planning untested"),
        ((0.2, 0.06, 0.3), LOW, (0.7, 0.5, 0.8), "supported, planning untested"),
        ((0.2, 0.06, 0.3), NOTHING, NOTHING, "supported, planning untested"),
        ((0.2, 0.05, 0.3), LOW, POWER, "inconclusive"),  # at the threshold, not above it
        ((0.2, 0.06, 0.3), (0.8, 0.51, 1.1), POWER, "contradicted"),
        ((0.2, 0.06, 0.3), (0.8, 0.5, 1.1), POWER, "supported, planning untested"),
        ((0.0, -0.1, 0.049), LOW, POWER, "contradicted"),
        ((0.0, -0.1, 0.05), LOW, POWER, "inconclusive"),
        ((0.0, -0.1, 0.049), NOTHING, NOTHING, "contradicted"),
        (NOTHING, LOW, POWER, "insufficient"),
    ],
)
def test_monitoring(gain, planned, recovered, verdict):
    status = "insufficient: little is decided by the prompt" if planned is NOTHING else ""
    found = judge("monitoring", time_summary=over_time(gain, planned, recovered, status=status))
    assert (found["verdict"], found["scope"], found["secondary"]) == (verdict, ACROSS, None)
    if verdict == "insufficient":
        assert found["estimate"] is None
        return
    assert found["estimate"] == gain[0] and found["interval"] == list(gain[1:])
    if verdict == "supported, planning untested":
        assert found["reason"].startswith("planning")
        untested = "planning untested: little is decided by the prompt"
        assert (found["reason"] == untested) is (planned is NOTHING)
    else:
        assert found["reason"] == ""


def test_planning_needs_as_many_tasks_itself():
    gain, planned = (0.2, 0.06, 0.3), (0.8, 0.6, 1.1)
    assert judge("monitoring", time_summary=over_time(gain, planned, POWER))["verdict"] == "contradicted"
    few = judge("monitoring", time_summary=over_time(gain, planned, POWER, ["p", "q"]))
    assert few["verdict"] == "supported, planning untested"
    assert few["reason"] == "planning untested: 2 tasks count; 3 are needed"


@pytest.mark.parametrize(
    "found, beyond, verdict",
    [
        ((0.7, 0.551, 0.8), (0.1, 0.001, 0.2), "supported"),
        ((0.7, 0.551, 0.8), (0.1, 0.0, 0.2), "supported, not beyond likelihood"),
        ((0.7, 0.551, 0.8), NOTHING, "supported, not beyond likelihood"),
        ((0.7, 0.55, 0.8), (0.1, 0.01, 0.2), "inconclusive"),
        ((0.5, 0.4, 0.55), (0.1, 0.01, 0.2), "inconclusive"),
        ((0.5, 0.4, 0.549), (0.1, 0.01, 0.2), "contradicted"),
        (NOTHING, NOTHING, "insufficient"),
    ],
)
def test_specificity(found, beyond, verdict):
    found = judge("specificity", specificity=match(found, beyond))
    assert found["verdict"] == verdict
    assert bool(found["reason"]) is (verdict not in ("supported", "inconclusive", "contradicted"))


def test_a_count_whose_number_is_untested_is_named():
    rows = match((0.7, 0.6, 0.8))
    rows.append(row(NOTHING, quantity="match_n", status=f"{N_UNTESTED}: 3 crossings") | {"task": "q"})
    found = judge("specificity", specificity=rows)
    assert (found["verdict"], found["reason"]) == ("supported", f"q: {N_UNTESTED}")


@pytest.mark.parametrize("claim", ["ablation_sparse", "ablation_asymmetric"])
@pytest.mark.parametrize("lower, worked", [(0.051, True), (0.05, False)])
def test_where_erasure_failed_nothing_follows(claim, lower, worked):
    found = judge(claim, ablation_summary=ablation(diagonal=(0.08, lower, 0.1)))
    assert found["verdict"] == ("supported" if worked else "insufficient")
    assert found["reason"].startswith("erasure failed: it lowers a task's own AUROC by 0.080") is not worked


SUPPORTING = {
    "transfer_summary": lambda tasks: [
        *summary("ratio", (0.1, 0.0, 0.2), tasks=tasks),
        *block((0.3, 0.1, 0.5), 0.001, n=1260 if len(tasks) > 3 else 15),
    ],
    "ablation_summary": lambda tasks: ablation(tasks=tasks),
    "layers": lambda tasks: tau((0.8, 0.1, 1.0), tasks=tasks),
    "time_summary": lambda tasks: over_time((0.2, 0.1, 0.3), LOW, POWER, tasks, tasks=tasks),
    "specificity": lambda tasks: match((0.7, 0.6, 0.8), tasks=tasks),
    "generality": lambda tasks: generality(tasks=" ".join(tasks), n_tasks=len(tasks)),
    "monitors_summary": lambda tasks: gains(dict.fromkeys(tasks, ADDS)),
}


@pytest.mark.parametrize("claim", rules.CLAIMS)
def test_every_claim_needs_its_number_of_tasks(claim):
    least = THRESHOLDS["min_tasks"].get(claim, 4)
    for n, verdict in ((least, "supported"), (least - 1, "insufficient")):
        tables = {name: rows(NAMES[:n]) for name, rows in SUPPORTING.items()}
        found = judge(claim, **tables)
        assert found["verdict"] == verdict
        # The number is shown all the same.
        assert found["estimate"] is not None
        if claim != "transfer_clustered":
            assert found["tasks"] == NAMES[:n] and found["n"]["tasks"] == n
            reasons = "", rules.few_tasks(n, least)
            if claim == "monitor_adds":
                reasons = f"adds in {', '.join(NAMES[:n])}", f"{n} tasks have a monitor; {least} are needed"
            assert found["reason"] == reasons[n != least]
            words = "have a monitor" if claim == "monitor_adds" else "count"
            assert f"at least {least} tasks {words}" in found["rule"]
        elif n < least:
            assert found["reason"] == (
                "the names of the tasks that count can be permuted in 15 ways; 200 are needed"
            )


def test_the_other_scope_has_its_own_verdict_and_never_the_headline():
    rows = [
        *generality((0.1, 0.05, 0.15)),
        *(each | {"scope": ACROSS} for each in generality((0.0, -0.01, 0.01))),
    ]
    found = judge("generality", generality=rows)
    assert (found["verdict"], found["scope"]) == ("supported", WITHIN)
    other = found["secondary"]
    assert (other["verdict"], other["scope"]) == ("contradicted", ACROSS) and "secondary" not in other
    # Nothing within: the other doesn't take its place.
    rows = [each for each in rows if each["scope"] == ACROSS]
    found = judge("generality", generality=rows)
    assert (found["verdict"], found["secondary"]["verdict"]) == ("insufficient", "contradicted")


def test_a_table_without_a_number_says_why():
    rows = summary("block", NOTHING, "paper", status="insufficient: no groups to compare")
    found = judge("transfer_clustered", transfer_summary=rows)
    assert (found["verdict"], found["reason"]) == ("insufficient", "no groups to compare")
    assert found["estimate"] is found["interval"] is None
    assert judge("layers_stratified")["reason"] == "there is no estimate"
    assert judge("generality", generality=[])["verdict"] == "insufficient"


def test_thresholds_come_from_the_config():
    rows = generality((0.05, 0.03, 0.08))
    assert judge("generality", generality=rows)["verdict"] == "supported"
    found = judge("generality", generality=rows, thresholds={"margin": 0.04})
    assert found["verdict"] == "inconclusive" and "above 0.04" in found["rule"]
    many = {"min_tasks": THRESHOLDS["min_tasks"] | {"generality": 7}}
    assert judge("generality", generality=rows, thresholds=many)["verdict"] == "insufficient"


def test_what_would_have_contradicted_a_claim_is_said():
    for claim in rules.CLAIMS:
        words = rules.opposite(claim, THRESHOLDS)
        assert words and "{" not in words
    assert "within 0.02" in rules.opposite("generality", THRESHOLDS)


def test_more_looks_have_their_level_and_a_smaller_p():
    twice = {"looks": 2}
    assert judge("generality")["level"] == 0.99
    assert judge("generality", thresholds=twice)["level"] == 0.995
    rows = block((0.2, 0.1, 0.3), p=0.006)
    assert judge("transfer_clustered", transfer_summary=rows)["verdict"] == "supported"
    found = judge("transfer_clustered", transfer_summary=rows, thresholds=twice)
    assert found["verdict"] == "inconclusive" and "p is below 0.005" in found["rule"]


def test_pooled_intervals_have_the_level_of_the_looks(use_looks):
    noise = noises("a", "b", spread=0.02)
    tables = study({"a": 0.05, "b": 0.05}, noise)

    def lower(looks):
        use_looks(looks)
        found = rules.judge(tables, ["a", "b"], TASKS, THRESHOLDS | {"looks": looks})
        return found[rules.POOLED]["generality"]["interval"][0]

    error = ((noise["a"] + noise["b"]) / 2).std()
    assert [lower(1), lower(2)] == pytest.approx([0.05 - 2.5758 * error, 0.05 - 2.8070 * error], abs=1e-4)


def test_a_model_may_be_named_by_a_number():
    """A CSV file doesn't tell "7" from 7."""
    rows = [each | {"model": 7} for each in generality()[4:]]
    assert judge("generality", model="7", generality=rows)["verdict"] == "supported"


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
    assert pooled["n"] == {"tasks": 3, "fewest_tasks": 3, "responses": 900, "subjects": 62}
    own = judged["a"]["generality"]
    assert own["n"] == {"tasks": 3, "fewest_tasks": 3, "responses": 300, "subjects": 62}


def test_a_finding_counts_its_own_tasks_and_their_responses():
    """Of each model the tasks that count there; of all models, those that count in every one."""
    models = ["a", "b"]
    counting = {"a": TASKS[:2], "b": TASKS[1:]}
    tables = {"generality": [], "time_summary": []}
    for model in models:
        for name, rows in study({model: 0.1}, noises(model), counting[model]).items():
            tables[name] += rows
    few = THRESHOLDS | {"min_tasks": THRESHOLDS["min_tasks"] | {"generality": 2, "monitoring": 3}}
    judged = rules.judge(tables, models, TASKS, few)
    for model, subjects in (("a", 61), ("b", 62)):
        own = judged[model]["generality"]
        assert own["tasks"] == counting[model]
        assert own["n"] == {"tasks": 2, "fewest_tasks": 2, "responses": 200, "subjects": subjects}
    pooled = judged[rules.POOLED]["generality"]
    # Each model's mean is over its two tasks, though only one of these counts in both.
    assert (pooled["verdict"], pooled["tasks"]) == ("supported", TASKS[1:2])
    assert pooled["n"] == {"tasks": 1, "fewest_tasks": 2, "responses": 400, "subjects": 62}
    line = next(each for each in rules.table(judged) if each["model"] == rules.POOLED)
    assert [line[name] for name in ("n_tasks", "fewest_tasks", "n_responses", "n_subjects")] == [
        1,
        2,
        400,
        62,
    ]
    # Where too few models are sufficient, what is shown and counted is of those that have a number.
    tables["generality"] = [
        each | ({"estimate": NAN, "tasks": "", "n_tasks": 0} if each["model"] == "b" else {})
        for each in tables["generality"]
    ]
    alone = rules.judge(tables, models, TASKS, few)[rules.POOLED]["generality"]
    assert (alone["reason"], alone["tasks"]) == ("sufficient in 1 of 2 models", TASKS[:2])
    assert alone["n"] == {"tasks": 2, "fewest_tasks": 2, "responses": 200, "subjects": 61}
    # A claim without a number rests on nothing.
    nothing = judged["a"]["layers_stratified"]
    assert nothing["n"] == {"tasks": 0, "fewest_tasks": 0, "responses": 0, "subjects": 0}


def test_sentences_that_count_models_have_a_level_for_all_of_them():
    """A lower bound of 0.0215 at 99 % is below the margin of 0.02 at 99.67 %."""
    models = ["a", "b", "c"]
    found = study({"a": 0.0473, "b": 0.1, "c": 0.0}, noises(*models))
    judged = rules.judge(found, models, TASKS, THRESHOLDS)
    assert judged["a"]["generality"]["verdict"] == "supported"
    counted = judged[rules.POOLED]["generality"]["counted"]
    assert counted == {"inconclusive": ["a", "c"], "supported": ["b"]}


def test_pooled_are_those_that_are_sufficient():
    found = study({"a": 0.1, "b": 0.1}, noises("a", "b"))
    few = study({"c": -0.5}, noises("c"), ["topic"])
    found = {name: rows + few[name] for name, rows in found.items()}
    judged = rules.judge(found, ["a", "b", "c"], TASKS, THRESHOLDS)[rules.POOLED]
    assert judged["generality"]["models"] == ["a", "b"]
    assert judged["generality"]["estimate"] == pytest.approx(0.1)
    assert judged["generality"]["tasks"] == TASKS
    # Planning can't be tested in either: said of each.
    assert judged["monitoring"]["verdict"] == "supported, planning untested"
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
        matrix = planted_matrix(rng, groups, 2.0)
        found["transfer"] += [
            {"model": model, "scope": WITHIN, "layer": "selected", "source": a, "target": b}
            | {"ratio": matrix[i, j]}
            for i, a in enumerate(tasks)
            for j, b in enumerate(tasks)
        ]
        cells = {"quantity": "block", "grouping": "paper", "p": 0.02, "p_other": 0.98, "n_permutations": 7560}
        found["transfer_summary"].append(row_of(model, estimate(0.5, noises(model)[model]), tasks, **cells))
    judged = rules.judge(found, ["a", "b"], tasks, THRESHOLDS)
    assert judged["a"]["transfer_clustered"]["verdict"] == "inconclusive"
    assert judged[rules.POOLED]["transfer_clustered"]["verdict"] == "supported"


def test_clusters_are_pooled_with_the_blocks_that_tasks_join():
    tasks = ["topic", "x", "register", "y", "word_count", "z"]
    rng = np.random.default_rng(2)
    ratios, rows = [], {}
    for model in ("a", "b"):
        matrix = planted_matrix(rng, np.array([0, 0, 1, 1, 2, 2]), 2.0)
        rows[model] = {"estimate": {"tasks": " ".join(tasks)}}
        ratios += [
            {"model": model, "scope": WITHIN, "layer": "selected", "source": a, "target": b}
            | {"ratio": matrix[i, j]}
            for i, a in enumerate(tasks)
            for j, b in enumerate(tasks)
        ]

    def pooled(joined):
        return rules._pooled_p(ratios, rows, ["a", "b"], tasks, WITHIN, joined)["p"]

    # Of the 15 partitions into pairs the planted one is the best; by themselves, the tasks form no block.
    joined = {"x": "topic", "y": "register", "z": "word_count"}
    assert pooled(joined) == pytest.approx(1 / 15)
    assert pooled({}) == pooled(None) == 1
    cells = {"quantity": "block", "grouping": "paper", "p": 0.02, "p_other": 0.98, "n_permutations": 7560}
    summaries = [row_of(m, estimate(0.5, noises(m)[m]), tasks, **cells) for m in rows]
    tables = {"generality": [], "transfer_summary": summaries, "transfer": ratios}
    lenient = THRESHOLDS | {"cluster_p": 0.07}
    found = [rules.judge(tables, ["a", "b"], tasks, lenient, joined=each) for each in (joined, None)]
    verdicts = [each[rules.POOLED]["transfer_clustered"]["verdict"] for each in found]
    assert verdicts == ["supported", "inconclusive"]


def test_findings_as_a_table():
    reported = files.read_json("workflow/resources/paper.json")["claims"]
    judged = rules.judge(
        study({"a": 0.1, "b": 0.1}, noises("a", "b")), ["a", "b"], TASKS, THRESHOLDS, reported
    )
    rows = rules.table(judged)
    assert all(tuple(row) == rules.COLUMNS for row in rows)
    # Monitoring and what monitors add have one scope, the others two.
    assert len(rows) == 3 * (2 * len(rules.CLAIMS) - 2)
    first, second = rows[:2]
    assert (first["model"], first["claim"], first["n_responses"]) == ("a", "generality", 300)
    assert (first["scope"], first["headline"], first["tasks"]) == (WITHIN, "yes", " ".join(TASKS))
    assert (second["scope"], second["headline"]) == (ACROSS, "no")
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


def test_negative_numbers_of_a_reason_have_a_minus_and_no_hyphen():
    """As the numbers beside them, in the report and in the CSV."""
    below = {"estimate": -0.338, "lower99": -0.439, "upper99": -0.2, "status": "", "n_tasks": 9}
    at = THRESHOLDS
    said = [
        rules._likelihood({"beyond": below}, at)[1],
        rules._erasure_failed({"diagonal": below}, at),
        rules._planning({"planned": below, "recovered": below}, at)[1],
    ]
    assert "the probe's match minus that of the log-probability is −0.338, lower bound −0.439" in said[0]
    assert "by −0.338, lower bound −0.439" in said[1] and "only −0.34 would be recovered" in said[2]
    high = below | {"estimate": 0.9, "lower99": 0.8, "upper99": 0.95}
    said.append(rules._planning({"planned": below | {"upper99": 0.6}, "recovered": high}, at)[1])
    assert "its share is −0.34, upper bound 0.60" in said[3]
    assert not any(re.search(r"(?<!\w)-\d", reason) for reason in said)
