"""The ablation is read without colour, and lists what it shows."""

import pytest
from made.tables import ablation_rows, draw_ablation, make_settings, texts_of
from skillprobe.report.figures.style import OUTLINES


def test_words_of_the_ablation_are_seen_without_colour():
    tasks = ["word_count", "topic", "toxicity", "register"]
    settings = make_settings(["a"], tasks)
    rows = ablation_rows(["a"], tasks, constant=["register"])
    matrix, graph, _ = draw_ablation(rows, settings).canvas.axes[:3]
    outlines = [patch.get_linewidth() for patch in matrix.patches if patch.get_facecolor()[3] == 0]
    assert sorted(outlines) == [OUTLINES[word] for word in ("undecided", "dependent", "dependent")]
    # Of the cells without a word, those of a task without signal have a cross, and only they no number.
    assert [line.get_marker() for line in matrix.lines] == ["x"] * 6
    numbers = [(text.get_text(), text.get_fontweight()) for text in matrix.texts]
    assert len(numbers) == 10 and numbers.count((".10", "bold")) == 2 and (".00", "normal") in numbers
    assert len(graph.patches) == 2


def test_a_graph_without_arrows_says_why():
    tasks = ["word_count", "topic"]
    settings = make_settings(["a"], tasks)
    assert "no dependent cell" in texts_of("ablation", ablation_rows(["a"], tasks, dependent=False), settings)
    assert "no cell tested" in texts_of("ablation", ablation_rows(["a"], tasks, constant=tasks), settings)


def test_numbers_of_the_ablation_stop_where_there_is_no_room():
    tasks = [f"task_{k}" for k in range(40)]
    figure = draw_ablation(ablation_rows(["a"], tasks), make_settings(["a"], tasks))
    assert not figure.canvas.axes[0].texts


def test_the_ablation_lists_what_its_curves_show():
    tasks = ["word_count", "topic", "toxicity"]
    rows = draw_ablation(ablation_rows(["a"], tasks, ["topic"]), make_settings(["a"], tasks)).rows
    curves = {(r["source"], r["target"], r["rank"]): r["estimate"] for r in rows if r["panel"] == "curves"}
    assert curves["toxicity", "toxicity", 2] == pytest.approx(0.7)
    # The mean of the others, without the insufficient one; and of an insufficient one there is none.
    assert curves["toxicity", "mean", 2] == pytest.approx(0.9)
    assert ("topic", "mean", 2) not in curves and ("toxicity", "word_count", 2) not in curves
    assert len(rows) == 9 + 9 + 6
