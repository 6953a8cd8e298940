"""The match, and the plane of specificity."""

from made.tables import make_settings, specificity_rows
from skillprobe.report.figures.specificity import specificity


def test_the_plane_of_specificity_has_a_point_for_each_task():
    tasks = ["word_count", "topic", "toxicity"]
    rows = specificity_rows(["a"], tasks, insufficient=["topic"])
    _, plane, projections = specificity(rows, make_settings(["a"], tasks)).canvas.axes
    points = [line.get_xydata()[0] for line in plane.lines if line.get_marker() not in ("", "None")]
    assert [point.tolist() for point in points] == [[0.6, 0.8]] * 2
    text = " ".join(text.get_text() for text in plane.texts)
    assert "S +0.200 [+0.150, +0.250]" in text and "insufficient: topic" in text
    hollow = [
        line.get_markerfacecolor() == "white" for line in projections.lines if line.get_marker() in "oD"
    ]
    assert hollow == [False, True, False, True] * 2


def test_each_task_has_its_match_and_the_likelihoods_beside_it():
    tasks = ["word_count", "topic", "toxicity"]
    rows = specificity_rows(["a"], tasks, insufficient=["topic"])
    match = specificity(rows, make_settings(["a"], tasks)).canvas.axes[0]
    points = [line.get_xydata()[0].tolist() for line in match.lines if line.get_marker() in ("o", "s")]
    # Two tasks and the mean, the likelihood's first.
    assert [x for x, _ in points] == [0.6, 0.8] * 3
    assert [text.get_text() for text in match.texts] == ["insufficient: few violated"]


def test_where_there_are_probes_within_items_the_match_is_theirs():
    tasks = ["word_count"]
    rows = specificity_rows(["a"], tasks)
    rows += [row | {"scope": "within", "estimate": 0.9} for row in rows if row["quantity"] == "match"]
    match = specificity(rows, make_settings(["a"], tasks)).canvas.axes[0]
    assert [line.get_xydata()[0][0] for line in match.lines if line.get_marker() == "o"] == [0.9, 0.9]
