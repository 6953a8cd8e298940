"""Colours mean the same in every figure."""

from made.tables import generality_rows, make_settings
from skillprobe.report.figures.style import category_colours


def test_a_category_has_one_colour_whatever_the_tasks():
    alone = generality_rows(["a"], ["x"])
    for row in alone:
        row["category"] = "stylistic"
    together = generality_rows(["a"], ["p", "q", "r", "x"])
    one = category_colours(alone, make_settings(["a"], ["x"]))
    assert one["stylistic"] == category_colours(together, make_settings(["a"], list("pqrx")))["stylistic"]
