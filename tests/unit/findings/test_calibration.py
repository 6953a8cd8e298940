"""A planted world is judged as a model is, in both scopes."""

import pytest
from made.worlds import small_settings
from skillprobe.findings import calibration
from skillprobe.findings.calibration import VERDICT_COLUMNS, judge_world, outcome
from skillprobe.findings.rules import CONTRADICTED, NOT_BEYOND, SUPPORTED, UNPLANNED, VERDICTS
from skillprobe.findings.worlds import BEYOND, WORLDS


@pytest.mark.parametrize(
    "truth, outcomes",
    [
        # Of: supported, planning untested, not beyond likelihood, contradicted, inconclusive, insufficient.
        (SUPPORTED, ("right", "open", "open", "wrong", "open", "open")),
        (CONTRADICTED, ("wrong", "open", "wrong", "right", "open", "open")),
        (UNPLANNED, ("wrong", "right", "open", "wrong", "open", "open")),
        (NOT_BEYOND, ("wrong", "open", "right", "wrong", "open", "open")),
        ("unsupported", ("wrong", "wrong", "wrong", "right", "right", "right")),
        ("uncontradicted", ("right", "right", "right", "wrong", "right", "right")),
        ("none", ("wrong", "wrong", "wrong", "wrong", "right", "right")),
    ],
)
def test_outcomes(truth, outcomes):
    assert tuple(outcome(verdict, truth) for verdict in VERDICTS) == outcomes


CLAIMS = {"signal": 0.55, "min_tasks": {"generality": 3}}


@pytest.mark.parametrize(
    "special, residualised, verdict",
    [
        ([0.8, 0.8, 0.8], [0.7, 0.7, 0.5], SUPPORTED),
        ([0.8, 0.8, 0.8], [0.7, 0.5, 0.5], CONTRADICTED),
        ([0.8, 0.8, 0.5], [0.7, 0.7, 0.7], "insufficient"),
    ],
)
def test_a_signal_beyond_confounds_is_one_that_two_thirds_keep(special, residualised, verdict):
    rows = [
        {"model": "w", "scope": "within", "task": f"t{k}", "layer": "selected", "probe": probe}
        | {"metric": "auroc", "estimate": bound + 0.05, "lower99": bound}
        for probe, bounds in (("specialist", special), ("residualised", residualised))
        for k, bound in enumerate(bounds)
    ]
    found = calibration._beyond_confounds(rows, "w", "within", CLAIMS)
    assert (found["verdict"], found["claim"], found["headline"]) == (verdict, BEYOND, "no")
    assert calibration._beyond_confounds(rows, "w", "across", CLAIMS)["verdict"] == "insufficient"


@pytest.mark.parametrize("world", ["compositional", "match_read", "planned"])
def test_a_world_is_judged_by_each_claim_that_it_has_a_truth_for(world):
    rows = judge_world(world, small_settings(), auroc=0.97, bases=80, seed=0)
    truth = {(scope, claim): t for scope, of in WORLDS[world].truth.items() for claim, t in of.items()}
    assert {(row["scope"], row["claim"]): row["truth"] for row in rows} == truth
    assert all(list(row) == list(VERDICT_COLUMNS) for row in rows)
    by = {(row["scope"], row["claim"]): row for row in rows}
    for scope in ("within", "across"):
        assert by[scope, "generality"]["outcome"] == "right" and by[scope, "generality"]["specialist"] > 0.8
    assert [row["headline"] for row in rows if row["claim"] == "generality"] == ["yes", "no"]
    assert "wrong" not in {row["outcome"] for row in rows}
    if world == "match_read":
        assert by["within", "specificity"]["verdict"] == SUPPORTED
