"""The figure of one model's monitors, from small made-up tables."""

from collections import Counter

import pytest
from made.tables import FIGURES, make_settings, monitor_rows
from skillprobe.report.figures.style import FAINT

TASKS = ["word_count", "topic", "toxicity", "register"]


@pytest.fixture
def drawn():
    rows = monitor_rows(["a"], TASKS, insufficient=["topic"])
    return FIGURES["monitors"](rows, make_settings(["a"], TASKS))


def test_each_task_has_two_panels_and_a_monitor_beside_a_trivial_one(drawn):
    axes = drawn.canvas.axes
    titles = [each.get_title() for each in axes]
    assert titles[::2] == ["word count", "topic", "toxicity", "register"] and set(titles[1::2]) == {""}
    course, bins = axes[0], axes[1]
    # A line at chance, then the monitor, then the trivial one.
    monitor, trivial = course.lines[1:]
    assert monitor.get_ydata().tolist() == [0.9] * 4
    assert trivial.get_ydata() == pytest.approx([0.5, 0.6, 0.7, 0.8]) and trivial.get_color() == FAINT
    assert [label.get_text() for label in axes[4].get_xticklabels()] == [
        "prompt 100 %",
        "onset",
        "50 %",
        "eos",
    ]
    assert bins.lines[1].get_xdata().tolist() == bins.lines[1].get_ydata().tolist()


def test_a_task_without_numbers_says_so(drawn):
    course = drawn.canvas.axes[2]
    assert any("too little data" in text.get_text() for text in course.texts)


def test_its_numbers_are_those_of_both_tables(drawn):
    panels = Counter(row["panel"] for row in drawn.rows)
    # Two readers; spans of tokens and the other scope are not drawn.
    assert panels == {"course": len(TASKS) * 2 * 4, "reliability": 2 * (3 * 5 + 1)}
    assert all(row["model"] == "a" for row in drawn.rows)
