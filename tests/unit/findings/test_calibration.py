"""How verdicts on planted worlds are counted, and when a rate counts as refuted."""

import pytest
from skillprobe.findings import calibration
from skillprobe.findings.calibration import ANY, calibration_table, describe, outcome, power_table
from skillprobe.findings.rules import CLAIMS, VERDICTS


@pytest.mark.parametrize(
    "truth, outcomes",
    [
        ("supported", ("right", "wrong", "open", "open")),
        ("contradicted", ("wrong", "right", "open", "open")),
        ("unsupported", ("wrong", "right", "right", "right")),
        ("none", ("wrong", "wrong", "right", "right")),
    ],
)
def test_outcomes(truth, outcomes):
    assert tuple(outcome(verdict, truth) for verdict in VERDICTS) == outcomes


def verdicts(words, world="compositional", claim="generality", truth="supported", auroc=0.9, bases=90):
    return [
        {"world": world, "auroc": auroc, "bases": bases, "seed": seed, "claim": claim, "truth": truth}
        | {"verdict": word, "outcome": outcome(word, truth), "specialist": 0.8}
        for seed, word in enumerate(words)
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
        # Two claims are supported in the same seeds: those are counted once.
        words = ["supported" if seed < seeds and number < 2 else "insufficient" for seed in range(20)]
        rows += verdicts(words, "noise", claim, "none", 0.5)
    rows += verdicts(["supported"] * 20, "noise", "signal_beyond_confounds", "contradicted", 0.5)
    table = {row["claim"]: row for row in calibration_table(rows)}
    assert (table[ANY]["wrong"], table[ANY]["met"]) == (seeds / 20, met)
    assert table["signal_beyond_confounds"]["met"] == "no"
    text = describe(list(table.values()), SETTINGS)
    assert f"| noise | 0.5 | 0.80 | {ANY} |" in text
    assert "with 90 content requests (360 responses per task)" in text
    assert f"Of all 160 verdicts on claims, at every size, {2 * seeds} are wrong." in text


SETTINGS = {
    "tasks": ["topic"],
    "prompts": {"bases": 90, "items_per_base": 1},
    "generation": {"samples": 4},
    "calibration": {"hidden_size": 128, "num_layers": 4},
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
    assert f"| generality | compositional | supported | 0.9 | 0.80 | {shares} | {words} |" in text
    # The first table is of the study's size.
    assert f"| 20 | {round(20 * sizes[90])} | 0 |" in text


def test_the_chance_of_a_count():
    assert calibration._at_least(0, 3, 0.2) == pytest.approx(1)
    assert calibration._at_least(2, 3, 0.05) == pytest.approx(3 * 0.05**2 * 0.95 + 0.05**3)
