"""Changes of behaviour are read without colour, and listed."""

import numpy as np
import pytest
from made.tables import behaviour_rows, draw_behaviour, make_settings


def test_changes_of_behaviour_are_seen_without_colour():
    tasks = ["word_count", "topic", "toxicity"]
    rows = behaviour_rows(["a"], tasks, ["topic"])
    figure = draw_behaviour(rows, make_settings(["a"], tasks))
    erased, flipped, doses, text = figure.canvas.axes[:4]
    for matrix in (erased, flipped):
        assert sum(bool(patch.get_hatch()) for patch in matrix.patches) == 5
        assert sum(patch.get_facecolor()[3] == 0 for patch in matrix.patches) == 2
        numbers = [(text.get_text(), text.get_fontweight()) for text in matrix.texts]
        # Beside the cells, perplexities: of the insufficient one there is none.
        assert numbers == [
            *(("−40", "bold"), ("0", "normal"), ("0", "normal"), ("−40", "bold")),
            *(("1.01", "normal"), ("–", "normal"), ("1.01", "normal")),
        ]
    assert [note.get_text() for note in doses.texts] == ["insufficient: topic"]
    for line in doses.lines:
        np.testing.assert_allclose(line.get_xdata(), [-4, -2, 0, 0.5, 2])
        np.testing.assert_allclose(line.get_ydata(), [28, 44, 60, 64, 76])
    assert len(doses.lines) == 2 and doses.lines[0].get_marker() == "o"
    mean = next(line for line in text.lines if line.get_marker() == "o")
    assert mean.get_ydata()[2] == 1 and mean.get_ydata()[0] == pytest.approx(17, rel=0.01)


def test_behaviour_lists_what_it_shows():
    tasks = ["word_count", "topic"]
    settings = make_settings(["a"], tasks)
    rows = draw_behaviour(behaviour_rows(["a"], tasks), settings).rows
    panels = [row["panel"] for row in rows]
    assert {name: panels.count(name) for name in panels} == {"erase": 4, "flip": 4, "steer": 10, "text": 16}
    steered = [row for row in rows if row["panel"] == "steer" and row["task"] == "topic"]
    assert [row["strength"] for row in steered] == [-4, -2, 0, 0.5, 2]
    assert [row["condition"] for row in steered if row["strength"] == 0] == ["identity"]
    # Of perplexity there may be none.
    rows = draw_behaviour(behaviour_rows(["a"], tasks, texts=False), settings)
    assert "no text" in [text.get_text() for axes in rows.canvas.axes for text in axes.texts]
