"""Shares of answers that obey."""

from skillprobe.analyses.compliance import as_text, summarise


def test_compliance_of_nothing():
    summary = summarise([], n_draws=10, seed=0)
    assert (
        summary["n"] == 0
        and summary["compliance"] == summary["truncated"] == summary["twin_compliance"] == ""
    )


def test_mixed_items_are_those_with_both_outcomes():
    rows = [
        {"item": f"topic/b{k:03d}/0", "group": f"g{k:03d}", "variant": "constrained", "response": f"{k}"}
        | {"satisfied": satisfied, "truncated": truncated}
        for k, of_item in enumerate([(1, 1, 0), (1, 1, 1), (0, 0, 0), (1, 0, None), (0, None, None)])
        for satisfied, truncated in ((bool(label), label is None) for label in of_item)
    ]
    rows += [row | {"variant": "unconstrained", "satisfied": not row["satisfied"]} for row in rows]
    summary = summarise(rows, n_draws=10, seed=0)
    # Of the last item one whole response is left, which has nothing to be compared with.
    assert (summary["mixed"], summary["n_items"], summary["n_per_item"]) == (0.5, 4, 11 / 4)
    assert summary["n_groups"] == 5 and round(summary["truncated"], 12) == 3 / 15
    assert summarise([], n_draws=10, seed=0)["mixed"] == ""


def test_the_text_says_why_there_is_no_rate():
    row = {
        "item": "topic/b000/0",
        "group": "g000",
        "variant": "constrained",
        "satisfied": True,
        "truncated": True,
        "response": "x",
    }
    table = [
        {"model": "a", "task": "topic"} | summarise([row | {"truncated": False}], n_draws=10, seed=0),
        {"model": "b", "task": "topic"} | summarise([row], n_draws=10, seed=0),
        {"model": "c", "task": "topic"} | summarise([], n_draws=10, seed=0),
    ]
    assert as_text(table).splitlines()[1].split("  ")[-1].strip() == "no responses"
    assert as_text(table).split()[-5:] == ["topic", "100.0%", "truncated", "no", "responses"]


def test_undecided_answers_are_no_part_of_the_rates_and_counted():
    about = {"variant": "constrained", "item": "i", "truncated": False, "group": "g", "response": "a"}
    rows = [about | {"satisfied": n < 2} for n in range(4)]
    rows += [about | {"satisfied": True, "undecided": True}, about | {"satisfied": True, "truncated": True}]
    rows += [about | {"variant": "unconstrained", "satisfied": True, "undecided": True}]
    found = summarise(rows, 50, 0)
    assert (found["n"], found["compliance"], found["n_twin"]) == (4, 0.5, 0)
    assert found["undecided"] == 1 - 4 / 5 and found["truncated"] == 1 - 5 / 6
    left = summarise([row | {"undecided": True} for row in rows], 50, 0)
    assert left["undecided"] == 1 and left["compliance"] == ""
    table = [left | {"model": "m", "task": "t"}]
    assert "undecided" in as_text(table)
