"""Why tasks don't count, and what to change."""

import pytest
from made.findings import THRESHOLDS
from skillprobe.report.missing import LONGER, MORE, PILOT, SAMPLES, missing_tasks

NAN = float("nan")
CONFIG = {"tasks": ["topic"], "claims": THRESHOLDS, "probes": {"max_truncated": 0.05}}
CONFIG |= {"models": [{"name": "m", "temperature": None, "max_new_tokens": None}]}
OWN = {"name": "m", "temperature": 0.7, "max_new_tokens": 256}
LONGER_FOR_ALL = LONGER.format("generation.max_new_tokens")
SAMPLES_FOR_ALL = SAMPLES.format("generation.temperature")


def label(**cells):
    row = {"model": "m", "task": "topic", "compliance": 0.5, "truncated": 0.0, "mixed": 0.4}
    return row | cells


def probe(estimate=NAN, lower=NAN, upper=NAN, scope="within", status="insufficient: 12 violated"):
    row = {"model": "m", "task": "topic", "layer": "selected", "metric": "auroc", "probe": "specialist"}
    row |= {"estimate": estimate, "lower99": lower, "upper99": upper, "scope": scope}
    return row | {"status": "" if estimate == estimate else status}


@pytest.mark.parametrize(
    "labels, probes, why, change",
    [
        ([label(compliance=0.12)], [probe()], "has 12\u00a0% satisfied responses", PILOT),
        ([label(compliance=0.95)], [probe()], "has 95\u00a0% satisfied responses", PILOT),
        (
            [label(truncated=0.3, compliance=0.12)],
            [probe()],
            "has 30\u00a0% truncated responses",
            LONGER_FOR_ALL,
        ),
        (
            [label(mixed=0.03)],
            [probe()],
            "has both outcomes for only 3\u00a0% of its prompts",
            SAMPLES_FOR_ALL,
        ),
        ([label()], [probe()], "has too little data (12 violated)", MORE),
        ([], [probe()], "has no responses", ""),
        ([label()], [], "has too little data (there is no probe)", MORE),
        (
            [label()],
            [probe(0.56, 0.5, 0.62)],
            "has no clear signal yet (AUROC 0.56, interval 0.50 to 0.62)",
            MORE,
        ),
        ([label()], [probe(0.51, 0.48, 0.54)], "has no signal (AUROC 0.51, interval 0.48 to 0.54)", ""),
    ],
)
def test_each_cause_has_its_remedy(labels, probes, why, change):
    (found,) = missing_tasks("m", "within", labels, probes, CONFIG)
    assert (found.task, found.why, found.change) == ("topic", why, change)


def test_a_model_with_its_own_sampling_is_to_change_that():
    own = CONFIG | {"models": [OWN | {"name": "other"}, OWN]}
    (found,) = missing_tasks("m", "within", [label(truncated=0.3)], [probe()], own)
    assert found.change == LONGER.format("models[1].max_new_tokens")
    (found,) = missing_tasks("m", "within", [label(mixed=0.03)], [probe()], own)
    assert found.change == SAMPLES.format("models[1].temperature")


def test_tasks_with_a_clear_signal_are_not_missing():
    assert missing_tasks("m", "within", [label()], [probe(0.7, 0.6, 0.8)], CONFIG) == []


def test_scopes_and_models_are_looked_at_alone():
    rows = [probe(0.7, 0.6, 0.8, "across"), probe()]
    assert missing_tasks("m", "across", [label(mixed=0.0)], rows, CONFIG) == []
    # Few prompts with both outcomes matter within prompts only.
    (found,) = missing_tasks("m", "across", [label(mixed=0.0)], rows[1:], CONFIG)
    assert "there is no probe" in found.why
    (found,) = missing_tasks("n", "within", [label()], rows, CONFIG)
    assert found.why == "has no responses" and found.whole == "has no responses (there is no probe)"
