"""Every planted world says what is true of it."""

import pytest
from skillprobe.findings.rules import RULES, VERDICTS
from skillprobe.findings.worlds import BEYOND, NONE, STRUCTURE, UNCONTRADICTED, UNSUPPORTED, WORLDS
from skillprobe.storage.files import read_json
from skillprobe.storage.tables import ACROSS, WITHIN
from skillprobe.study.schema import SCHEMA

# Claims that are across prompts only, and of worlds with a course.
OVER_TIME = {"monitoring", "monitor_adds"}


def test_the_config_knows_all_worlds():
    known = read_json(SCHEMA)["properties"]["calibration"]["properties"]["worlds"]
    assert known["items"]["enum"] == known["default"] == list(WORLDS)


@pytest.mark.parametrize("name", WORLDS)
def test_truths_are_of_claims_in_scopes_that_have_them(name):
    world = WORLDS[name]
    assert list(world.truth) == [WITHIN, ACROSS]
    for scope, of_scope in world.truth.items():
        for claim, truth in of_scope.items():
            assert claim == BEYOND or scope in RULES[claim].scopes
            assert truth in (*VERDICTS, NONE, UNSUPPORTED, UNCONTRADICTED)
        # Of all worlds, since the others mean little without them.
        assert {"generality", BEYOND} <= set(of_scope)
    # What is judged in one scope is judged in the other, if it can be.
    assert {claim for claim in world.truth[ACROSS] if claim not in OVER_TIME} == set(world.truth[WITHIN])
    # Nothing is known of time where EOS is all there is, nor of what is read without crossings.
    assert world.course or not OVER_TIME & set(world.truth[ACROSS])
    assert world.reads or "specificity" not in world.truth[ACROSS]


def test_every_claim_is_supported_in_one_world_and_contradicted_in_another():
    """But for asymmetry, of which no more can be planted than the rule asks for, and clusters."""
    for claim in RULES:
        headline = RULES[claim].scopes[0]
        truths = {world.truth[headline].get(claim) for world in WORLDS.values()}
        if claim != "ablation_asymmetric":
            assert "supported" in truths
        if claim not in ("transfer_clustered", "ablation_asymmetric"):
            assert "contradicted" in truths
    assert set(STRUCTURE) == set(RULES) - {*OVER_TIME, "specificity"} | {BEYOND}
