"""Shares of answers that obey."""

from skillprobe.analyses.compliance import summarise


def test_compliance_of_nothing():
    summary = summarise([], n_draws=10, seed=0)
    assert (
        summary["n"] == 0
        and summary["compliance"] == summary["truncated"] == summary["twin_compliance"] == ""
    )
