"""The plane of specificity."""

from made.tables import make_settings, specificity_rows
from skillprobe.report.figures.specificity import specificity


def test_the_plane_of_specificity_has_a_point_for_each_task():
    tasks = ["word_count", "topic", "toxicity"]
    rows = specificity_rows(["a"], tasks, insufficient=["topic"])
    plane, projections = specificity(rows, make_settings(["a"], tasks)).canvas.axes
    points = [line.get_xydata()[0] for line in plane.lines if line.get_marker() not in ("", "None")]
    assert [point.tolist() for point in points] == [[0.6, 0.8]] * 2
    text = " ".join(text.get_text() for text in plane.texts)
    assert "S +0.200 [+0.150, +0.250]" in text and "insufficient: topic" in text
    hollow = [
        line.get_markerfacecolor() == "white" for line in projections.lines if line.get_marker() in "oD"
    ]
    assert hollow == [False, True, False, True] * 2
