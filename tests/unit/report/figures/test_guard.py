"""Curves of policies: one a threshold, the mean over tasks first, and the numbers in the table."""

import numpy as np
from made.tables import guard_figure, guard_rows, make_settings


def test_each_policy_has_its_curve_and_a_task_without_data_says_why():
    tasks = ["word_count", "topic"]
    rows = guard_rows(["a"], tasks, ["topic"])
    figure = guard_figure(rows, make_settings(["a"], tasks))
    mean, own, blank = figure.canvas.axes
    assert mean.get_ylabel().startswith("mean of tasks") and own.get_ylabel() == "word count"
    curves = [line for line in own.lines if line.get_marker() not in ("None", "*")]
    # Two trivial ones, two thresholds of each of two policies, the best, and what is steered.
    assert len(curves) == 8
    again = next(line for line in curves if len(line.get_xdata()) == 4)
    np.testing.assert_allclose(again.get_xdata(), [1, 1.5, 2, 2.5])
    np.testing.assert_allclose(again.get_ydata(), [0.5, 0.6, 0.7, 0.8])
    assert [text.get_text() for text in blank.texts] == ["insufficient: few violated"]
    listed = [row for row in figure.rows if row["task"] == "topic"]
    assert len(listed) == 1 and np.isnan(listed[0]["estimate"])


def test_of_many_tasks_the_mean_alone_is_drawn_and_all_are_listed():
    tasks = [f"task_{number}" for number in range(20)]
    figure = guard_figure(guard_rows(["a", "b"], tasks), make_settings(["a", "b"], tasks))
    assert len(figure.canvas.axes) == 2
    assert {row["task"] for row in figure.rows} == {*tasks, "mean"}
