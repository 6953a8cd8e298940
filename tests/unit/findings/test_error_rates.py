"""How verdicts on planted worlds are counted, and when a rate counts as refuted."""

import pytest
from skillprobe.findings.calibration import outcome
from skillprobe.findings.error_rates import (
    ANY,
    at_least,
    calibration_table,
    describe,
    nothing_there,
    power_table,
)
from skillprobe.findings.rules import CLAIMS, RULES


def verdicts(
    words,
    world="compositional",
    claim="generality",
    truth="supported",
    auroc=0.9,
    bases=90,
    scope="within",
    headline="yes",
):
    return [
        {"world": world, "auroc": auroc, "bases": bases, "seed": seed, "claim": claim, "truth": truth}
        | {"verdict": word, "outcome": outcome(word, truth), "specialist": 0.8}
        | {"scope": scope, "headline": headline}
        for seed, word in enumerate(words)
    ]


def test_scopes_are_counted_apart():
    words = ["supported"] * 20
    rows = verdicts(words) + verdicts(["inconclusive"] * 20, scope="across", headline="no")
    within, across = calibration_table(rows)
    assert (within["scope"], within["right"], within["met"]) == ("within", 1.0, "yes")
    assert (across["scope"], across["right"], across["met"]) == ("across", 0.0, "no")


def test_verdicts_that_leave_a_part_open_are_counted():
    words = ["supported, planning untested"] * 18 + ["supported"] * 2
    (row,) = calibration_table(verdicts(words, "half_planned", "monitoring", words[0], scope="across"))
    assert (row[words[0]], row["supported"], row["right"], row["wrong"]) == (18, 2, 0.9, 0.1)
    assert (
        "| half planned | 0.9 | across | 0.80 | monitoring | supported, planning untested | 20 | 2 | 18 |"
        in (describe([row], SETTINGS))
    )


def test_two_worlds_have_nothing_to_find():
    assert [world for world in ("noise", "subjects", "params", "universal") if nothing_there(world)] == [
        "noise",
        "subjects",
    ]


@pytest.mark.parametrize(
    "right, wrong, met",
    [
        (20, 0, "yes"),
        (19, 1, "yes"),
        (16, 1, "yes"),
        (15, 0, "unsure"),  # of 20, 15 or fewer have a chance of 37 % at a rate of 80 %
        (10, 0, "no"),
        (18, 2, "unsure"),
        (17, 3, "unsure"),  # 3 or more wrong: 7.5 % at a rate of 5 %
        (16, 4, "unsure"),  # 1.6 %
        (15, 5, "no"),  # 0.3 %
    ],
)
def test_a_rate_is_refuted_beyond_the_bound_only(right, wrong, met):
    words = ["supported"] * right + ["contradicted"] * wrong + ["inconclusive"] * (20 - right - wrong)
    (row,) = calibration_table(verdicts(words))
    assert (row["n_seeds"], row["right"], row["wrong"], row["met"]) == (20, right / 20, wrong / 20, met)
    assert (row["supported"], row["contradicted"]) == (right, wrong)


@pytest.mark.parametrize("seeds, met", [(2, "yes"), (3, "unsure"), (7, "no")])
def test_noise_counts_the_seeds_in_which_any_claim_is_supported(seeds, met):
    rows = []
    for number, claim in enumerate(CLAIMS):
        # Two claims are supported in the same seeds: those are counted once, and the other scope is not.
        words = ["supported" if seed < seeds and number < 2 else "insufficient" for seed in range(20)]
        rows += verdicts(words, "noise", claim, "none", 0.5, scope=RULES[claim].scopes[0])
    other = {"scope": "across", "headline": "no"}
    rows += verdicts(["supported"] * 20, "noise", "generality", "none", 0.5, **other)
    rows += verdicts(["supported"] * 20, "noise", "signal_beyond_confounds", "none", 0.5, headline="no")
    table = {(row["scope"], row["claim"]): row for row in calibration_table(rows)}
    found = table["headline", ANY]
    assert (found["wrong"], found["met"]) == (seeds / 20, met)
    assert table["within", "signal_beyond_confounds"]["met"] == "no"
    text = describe(list(table.values()), SETTINGS)
    assert f"| noise | 0.5 | headline | 0.80 | {ANY} |" in text
    assert "with 90 content requests (720 responses per task)" in text
    assert f"Of all 200 verdicts on claims, at every size, {2 * seeds + 20} are wrong." in text


SETTINGS = {
    "tasks": ["topic"],
    "prompts": {"bases": 90, "items_per_base": 2},
    "generation": {"samples": 4},
    "calibration": {"hidden_size": 48, "num_layers": 3},
}


@pytest.mark.parametrize(
    "right, needed",
    [
        ((0, 1, 1), 90),
        ((1, 1, 1), 45),
        ((1, 0.75, 1), 180),  # What a larger study loses again wasn't there.
        ((0, 0.8, 0.85), 90),
        ((1, 1, 0.75), None),
    ],
)
def test_how_many_requests_a_verdict_takes(right, needed):
    sizes = dict(zip((45, 90, 180), right, strict=True))
    rows = []
    for bases, share in sizes.items():
        n = round(20 * share)
        rows += verdicts(["supported"] * n + ["inconclusive"] * (20 - n), bases=bases)
        rows += verdicts(["inconclusive"] * 20, claim="transfer_clustered", truth="unsupported", bases=bases)
    table = calibration_table(rows)
    power = power_table(table)
    assert {row["bases"]: row["right"] for row in power} == sizes  # None where there is nothing to find.
    assert [row["needed"] for row in power] == pytest.approx([needed or float("nan")] * 3, nan_ok=True)
    text = describe(table, SETTINGS)
    shares = " | ".join(f"{share:.0%}" for share in right)
    words = needed or "more than 180"
    assert f"| generality | within | compositional | supported | 0.9 | 0.80 | {shares} | {words} |" in text
    # The first table is of the study's size.
    assert f"| 20 | {round(20 * sizes[90])} | 0 | 0 |" in text


def test_the_chance_of_a_count():
    assert at_least(0, 3, 0.2) == pytest.approx(1)
    assert at_least(2, 3, 0.05) == pytest.approx(3 * 0.05**2 * 0.95 + 0.05**3)


def test_how_often_intervals_miss_is_shown():
    row = {"quantity": "auroc", "scope": "within", "probes": "fixed", "n_studies": 400, "truth": 0.75}
    row |= {"sd": 0.02, "se": 0.019, "missed95": 0.0525, "missed99": 0.01, "met": "yes"}
    table = calibration_table(verdicts(["supported"] * 20))
    assert "| auroc | within | fixed | 400 | 0.750 | 0.020 | 0.019 | 5.2% | 1.0% | yes |" in (
        describe(table, SETTINGS, [row])
    )
    assert "intervals miss" not in describe(table, SETTINGS)
