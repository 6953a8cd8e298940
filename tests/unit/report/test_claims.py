"""How the report, and the page on findings, speak of claims."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from made.findings import THRESHOLDS, estimate, finding, row_of
from made.pages import parse
from skillprobe.findings import rules
from skillprobe.report import claims


def test_numbers_in_words():
    above = finding("generality")
    words = claims.number_words("generality", above, 1)
    assert words == (
        "the AUROC of specialists is 0.081 above that of the general probe (99 % interval 0.052 to 0.110)"
    )
    below = above | {"estimate": -0.02, "interval": [-0.05, 0.01]}
    assert "0.020 below that" in (words := claims.number_words("generality", below, 2))
    assert "(99.5 % interval −0.050 to 0.010)" in words
    share = claims.number_words("transfer_weak", finding("transfer_weak"), 1)
    assert "keeps 31\u00a0% of the AUROC above ½" in share and "20\u00a0% to 42\u00a0%)" in share
    assert "is 0.0021 (99 % interval 0.0008 to 0.0034)" in claims.number_words(
        "ablation_asymmetric", finding("ablation_asymmetric"), 1
    )
    assert claims.number_words("generality", above | {"interval": None}, 1).endswith("general probe")
    assert claims.number_words("generality", finding("generality", "insufficient"), 1) == ""


@pytest.mark.parametrize("claim", claims.SHOWN)
def test_verdicts_turn_where_the_rules_say(claim):
    """An interval beyond a threshold of the scorecard has the verdict that the zone stands for."""
    rule = rules.RULES[claim]
    for verdict, sides in claims.turns(claim, THRESHOLDS).items():
        for threshold, side in sides.items():
            for beyond, expected in ((True, verdict), (False, None)):
                value = threshold + side * (0.1 if beyond else -0.1)
                found = estimate(value, np.zeros(10))
                row = row_of("m", found) | {"p": 0.5, "p_other": 0.01}
                rows = {name: row for name in rule.evidence}
                # What the zone says nothing of doesn't stand in the way.
                rows |= {name: None for name in ("planned", "recovered", "beyond") if name in rows}
                if "independent" in rows:
                    rows["independent"] = row_of("m", estimate(1.0, np.zeros(10)))
                decided = getattr(rule, verdict)(rows, THRESHOLDS)
                assert decided == (expected == verdict), (claim, verdict, value)


def test_every_claim_has_words():
    assert claims.SHOWN.keys() == rules.CLAIMS.keys()
    short = [shown.short for shown in claims.SHOWN.values()]
    assert len(set(short)) == len(short)


@pytest.mark.parametrize(
    "value, times", [(0.07, (0.06 / 0.05) ** 2), (0.05, 4.0), (-0.01, (0.06 / 0.03) ** 2)]
)
def test_how_many_requests_would_decide(value, times):
    """The half-width falls with the root of the number of requests, until the threshold of 0.02 is out."""
    found = finding("generality", "inconclusive", estimate=value, interval=[value - 0.06, value + 0.06])
    assert claims.times_as_many("generality", found, THRESHOLDS) == pytest.approx(times)
    half = 0.06 / math.sqrt(times)
    assert abs(value - THRESHOLDS["margin"]) == pytest.approx(half)


def test_why_a_finding_is_inconclusive():
    found = finding("generality", "inconclusive", estimate=0.05, interval=[-0.01, 0.11])
    assert "about 4 times as many content requests" in claims.width_words("generality", found, THRESHOLDS)
    near = finding("generality", "inconclusive", estimate=0.0201, interval=[-0.01, 0.05])
    assert "no affordable number" in claims.width_words("generality", near, THRESHOLDS)
    exact = finding("generality", "inconclusive", estimate=0.02, interval=[-0.01, 0.05])
    assert "so near to 0.020" in claims.width_words("generality", exact, THRESHOLDS)
    assert "no interval" in claims.width_words("generality", found | {"interval": None}, THRESHOLDS)
    # Not one threshold alone decides these.
    for claim in ("ablation_sparse", "ablation_asymmetric", "transfer_clustered"):
        words = claims.width_words(claim, finding(claim, "inconclusive"), THRESHOLDS)
        assert "about four times as many content requests" in words and "halve the interval" in words


def test_rules_are_listed_with_what_they_share_said_once():
    found = {claim: finding(claim) for claim in rules.CLAIMS}
    text = parse(claims.rules_list(found)).text
    assert text.count("A task counts in a test fold if") == 1
    assert text.count("Insufficient unless at least 4 tasks count.") == 3
    found["generality"] |= {"rule": "Another <rule>. With another end."}
    text = parse(claims.rules_list(found)).text
    # The others still share theirs.
    assert "Another <rule>. With another end." in text and text.count("A task counts in a test fold if") == 1


def test_estimates_in_cells():
    assert claims.estimate_words(finding("generality")) == "0.081\u00a0[0.052,\u00a00.110]"
    assert claims.estimate_words(finding("ablation_asymmetric")) == "0.0021\u00a0[0.0008,\u00a00.0034]"
    assert claims.estimate_words(finding("generality", interval=None)) == "0.081"
    assert claims.estimate_words(finding("generality", "insufficient")) == ""


def test_the_page_on_findings_agrees_with_the_rules():
    page = Path("docs/findings.md").read_text(encoding="utf-8")
    table = page.partition("\n## Claims\n")[2].partition("\n## ")[0]
    rows = {name: line for line in table.splitlines() for name in re.findall(r"^\| `(\w+)`", line)}
    assert list(rows) == list(rules.CLAIMS)
    assert f"version {rules.VERSION} of the rules" in page
    for claim, line in rows.items():
        *_, supported, contradicted, needed, headline = (cell.strip() for cell in line.strip("|").split("|"))
        assert headline == rules.RULES[claim].scopes[0]
        least = THRESHOLDS["min_tasks"].get(claim, THRESHOLDS["min_partitions"])
        assert needed.split()[0] == str(least)
        for verdict, words in (("supported", supported), ("contradicted", contradicted)):
            for threshold in claims.turns(claim, THRESHOLDS)[verdict]:
                assert f"{threshold:g}" in words or f"{threshold:.0%}".replace("%", " %") in words
    verdicts = re.findall(r"^- \*\*(.+?)\*\*", page, re.M)
    assert set(verdicts) == set(rules.VERDICTS)


def test_the_page_on_findings_has_what_a_finding_counts():
    page = Path("docs/findings.md").read_text(encoding="utf-8")
    table = page.partition("\n## What a finding counts\n")[2].partition("\n## ")[0]
    keys, columns = zip(*re.findall(r"^\| `([\w.]+)` \| `(\w+)` \|", table, re.M), strict=True)
    assert {f"n.{key}" for key in finding("generality")["n"]} | {"tasks"} == set(keys)
    counted = [name for name in rules.COLUMNS if name in ("tasks", "fewest_tasks") or name.startswith("n_")]
    assert sorted(counted) == sorted(columns)


def test_what_a_task_needs_beside_a_signal():
    config = {"claims": THRESHOLDS, "ablation": {"min_rows": 71}}
    words = {claim: claims.also_words(claim, config) for claim in rules.CLAIMS}
    assert "40 crossings of 20 subjects" in words.pop("specificity")
    assert all("needs 71 responses" in words.pop(f"ablation_{name}") for name in ("sparse", "asymmetric"))
    assert set(words.values()) == {""}
