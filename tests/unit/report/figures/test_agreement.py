"""What the figure of agreement marks."""

from made.tables import agreement_rows, draw_agreement, make_settings, texts_of


def test_agreement_marks_own_and_dependent_tasks(tmp_path):
    tasks = ["word_count", "topic", "toxicity"]
    settings = make_settings(["a"], tasks)
    axes = draw_agreement(agreement_rows(["a"], tasks), settings).canvas.axes[0]
    points = [line for line in axes.lines if line.get_marker() in ("o", "x")]
    assert sorted(line.get_marker() for line in points) == ["o"] * 6 + ["x"] * 3
    assert [line.get_markeredgewidth() for line in points if line.get_marker() == "o"].count(1.0) == 1
    assert "ρ −0.20, p 0.7\nρ within −0.20, p 0.7" in texts_of(
        "agreement", agreement_rows(["a"], tasks), settings
    )
    assert "insufficient" in texts_of("agreement", [], settings)
