"""Which answers are shown."""

from made.pages import examples_settings, label_row
from skillprobe.labels.verdicts import by_turns
from skillprobe.report import examples


def test_examples_alternate_while_there_are_both():
    rows = [label_row(k, "yes", True) for k in range(6)] + [label_row(9, "no", False)]
    rows += [
        label_row(10, "cut", False, truncated=True),
        label_row(11, "plain", False, variant="unconstrained"),
    ]
    chosen = by_turns(rows, 4, seed=0)
    assert [row["satisfied"] for row in chosen] == [True, False, True, True]
    assert by_turns(rows[::-1], 4, seed=0) == chosen
    assert by_turns(rows, 4, seed=1) != chosen
    assert by_turns(rows, 0, seed=0) == []
    assert len(by_turns(rows, 99, seed=0)) == 7
    assert "No responses to show" in examples.examples_page({}, examples_settings(3))
