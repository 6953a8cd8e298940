"""The scorecard shows verdicts and what decides them."""

import pytest
from made.tables import draw_scorecard, make_settings, scorecard_rows
from skillprobe.findings import rules


def test_the_scorecard_shows_verdicts_and_what_decides_them():
    rows = scorecard_rows(["a"], ["topic"])
    axes = draw_scorecard(rows, make_settings(["a"], ["topic"])).canvas.axes
    assert len(axes) == len(rules.CLAIMS)
    first = axes[0]
    marks = [line.get_marker() for line in first.lines if line.get_marker() not in ("None", "")]
    assert marks == ["o", "X"] and first.get_title(loc="left").startswith("A specialist probe")
    # Supported above the margin, contradicted below it.
    zones = [patch.get_corners()[:, 0] for patch in first.patches]
    assert [zone.max() > 0.03 for zone in zones] == [True, False]
    assert [zones[0].min(), zones[1].max()] == pytest.approx([0.02, 0.02])
    nothing = draw_scorecard([], make_settings(["a"], ["topic"])).canvas.axes[0]
    assert [text.get_text() for text in nothing.texts] == ["insufficient"]
