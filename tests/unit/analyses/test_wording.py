"""Compliance by wording, by hand."""

import numpy as np
import pytest
from skillprobe.analyses import wording


def label(group, satisfied, kind="human", polarity="positive", phrasing="p1", **more):
    row = {
        "base": group,
        "group": group,
        "satisfied": satisfied,
        "variant": "constrained",
        "truncated": False,
    }
    return row | {"instruction_type": kind, "polarity": polarity, "phrasing": phrasing} | more


def wordings(labels, groups, min_groups=2):
    table = wording.wording_table(
        "m", labels, dict.fromkeys(labels, "structural"), groups, min_groups=min_groups, n_draws=500
    )
    assert all(tuple(row) == wording.COLUMNS for row in table)
    return {(row["task"], row["by"], row["wording"]): row for row in table}


def test_shares_are_those_counted_by_hand():
    groups = [f"b{k:03d}" for k in range(4)]
    rows = [label(group, k < 3) for k, group in enumerate(groups)]
    rows += [label(group, k < 1, polarity="negated", phrasing="p2") for k, group in enumerate(groups)]
    rows += [label(group, True, kind="plm", phrasing="p3") for group in groups[:2]]
    rows += [label(groups[0], False, kind="plm", phrasing="p3", truncated=True)]
    rows += [label(groups[0], False, kind="plm", phrasing="p3", variant="unconstrained")]
    found = wordings({"t": rows, "u": [row | {"satisfied": True} for row in rows]}, groups)
    for key, share, n in (
        (("instruction_type", "human"), 4 / 8, 8),
        (("instruction_type", "plm"), 1.0, 2),
        (("instruction_type", "human_minus_plm"), -0.5, 10),
        (("polarity", "positive"), 3 / 4, 4),
        (("polarity", "negated"), 1 / 4, 4),
        (("polarity", "positive_minus_negated"), 0.5, 8),
        (("phrasing", "p2"), 1 / 4, 4),
    ):
        row = found["t", *key]
        assert row["estimate"] == pytest.approx(share) and row["n"] == n and row["status"] == ""
        assert row["lower99"] <= row["lower95"] <= share <= row["upper95"] <= row["upper99"]
    assert found["mean", "polarity", "negated"]["estimate"] == pytest.approx((1 / 4 + 1) / 2)
    assert found["mean", "polarity", "positive_minus_negated"]["n_tasks"] == 2
    # No entailment phrasing was asked.
    row = found["t", "instruction_type", "human_minus_entailment"]
    assert row["status"] == "insufficient: no responses to human or to entailment phrasings"
    assert ("mean", "phrasing", "p1") not in found


def test_a_difference_is_paired_over_bases():
    """What is easy in one wording is easy in the other: the difference is surer than its parts."""
    groups = [f"b{k:03d}" for k in range(40)]
    rows = [label(group, k % 2 == 0, kind) for k, group in enumerate(groups) for kind in ("human", "plm")]
    found = wordings({"t": rows}, groups)
    row = found["t", "instruction_type", "human_minus_plm"]
    assert row["estimate"] == row["lower99"] == row["upper99"] == 0
    assert found["t", "instruction_type", "human"]["upper95"] > 0.6


def test_few_bases_have_a_share_but_no_interval():
    groups = [f"b{k:03d}" for k in range(12)]
    rows = [label(group, True) for group in groups] + [label(groups[0], False, "plm", phrasing="p9")]
    found = wordings({"t": rows}, groups, min_groups=10)
    row = found["t", "phrasing", "p9"]
    assert row["estimate"] == 0 and np.isnan(row["lower95"])
    assert row["status"] == "insufficient: responses to 1 groups; an interval needs 10"
    row = found["t", "instruction_type", "human_minus_plm"]
    assert np.isnan(row["estimate"]) and row["status"].startswith("insufficient: responses to 1 groups")
    assert found["mean", "instruction_type", "plm"]["status"] == "insufficient: no task has enough data"


def test_one_type_and_no_answers():
    groups = [f"b{k:03d}" for k in range(12)]
    found = wordings({"t": [label(group, True) for group in groups]}, groups)
    for task in ("t", "mean"):
        for kind in ("plm", "entailment"):
            row = found[task, "instruction_type", f"human_minus_{kind}"]
            assert row["status"] == "insufficient: there is only one instruction type"
        row = found[task, "polarity", "positive_minus_negated"]
        assert row["status"] == "insufficient: human phrasings have only one polarity"
    nothing = wordings({"t": [label(group, True, truncated=True) for group in groups]}, groups)
    assert all(row["status"].startswith("insufficient") for row in nothing.values()) and nothing
