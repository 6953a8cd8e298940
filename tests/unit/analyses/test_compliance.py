"""Shares of answers that obey."""

from skillprobe.analyses.compliance import as_text, summarise


def test_compliance_of_nothing():
    summary = summarise([], n_draws=10, seed=0)
    assert (
        summary["n"] == 0
        and summary["compliance"] == summary["truncated"] == summary["twin_compliance"] == ""
    )


def test_the_text_says_why_there_is_no_rate():
    row = {"group": "g000", "variant": "constrained", "satisfied": True, "truncated": True, "response": "x"}
    table = [
        {"model": "a", "task": "topic"} | summarise([row | {"truncated": False}], n_draws=10, seed=0),
        {"model": "b", "task": "topic"} | summarise([row], n_draws=10, seed=0),
        {"model": "c", "task": "topic"} | summarise([], n_draws=10, seed=0),
    ]
    assert as_text(table).splitlines()[1].split("  ")[-1].strip() == "no responses"
    assert as_text(table).split()[-5:] == ["topic", "100.0%", "truncated", "no", "responses"]
