"""What the figure of wordings tells."""

import pytest
from made.tables import draw_robustness, make_settings, robustness_rows, texts_of


def test_robustness_tells_cells_and_how_many_tasks_they_are_of():
    tasks = ["word_count", "topic", "toxicity"]
    settings = make_settings(["a"], tasks)
    figure = draw_robustness(robustness_rows(["a"], tasks, ["topic"]), settings)
    compliance, types, polarities, curve = figure.canvas.axes
    numbers = [text.get_text() for text in types.texts]
    assert numbers.count(".90") == 3 and numbers.count(".60") == 6 and numbers.count(".70") == 3
    assert numbers.count("2") == 12 and "own − other type +0.30 [+0.25, +0.35]" in numbers
    assert sum(bool(patch.get_hatch()) for patch in polarities.patches) == 4
    assert "own − other polarity: insufficient" in [text.get_text() for text in polarities.texts]
    assert "any − others −0.02 [−0.07, +0.03]" in [text.get_text() for text in curve.texts]
    mean = [line for line in curve.lines if line.get_zorder() == 5]
    assert [line.get_ydata().tolist() for line in mean] == [pytest.approx([0.7, 0.9]), [0.7, 0.7]]
    assert mean[0].get_xdata().tolist() == [1, 2]
    panels = [row["panel"] for row in figure.rows if row["task"] == "mean"]
    assert {name: panels.count(name) for name in dict.fromkeys(panels)} == {
        "type": 13,
        "polarity": 4,
        "held_out": 3,
        "diversity": 3,
        "compliance": 5,
    }
    assert [text.get_text() for text in curve.texts].count("insufficient") == 1
    assert "no responses" in texts_of("robustness", [], settings)
