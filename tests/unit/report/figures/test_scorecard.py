"""The scorecard shows verdicts and what decides them."""

import pytest
from made.findings import TASKS
from made.tables import draw_scorecard, make_settings, scorecard_rows
from skillprobe.findings import rules
from skillprobe.report.figures import scorecard
from skillprobe.report.verdicts import LOOKS


def marks(axes):
    """{(x, y)}: marker, face and size."""
    return {
        (line.get_xdata()[0], line.get_ydata()[0]): (
            line.get_marker(),
            line.get_markerfacecolor(),
            line.get_markersize(),
        )
        for line in axes.lines
        if line.get_marker() not in ("None", "")
    }


def test_the_scorecard_shows_verdicts_and_what_decides_them():
    rows = scorecard_rows(["a"], TASKS)
    axes = draw_scorecard(rows, make_settings(["a"], TASKS)).canvas.axes
    assert len(axes) == len(rules.CLAIMS)
    first = axes[0]
    assert first.get_title(loc="left").replace("\n", " ").endswith("general probe (within prompts)")
    assert axes[list(rules.CLAIMS).index("monitoring")].get_title(loc="left").endswith("(across\nprompts)")
    # Supported above the margin, contradicted below it.
    zones = [patch.get_corners()[:, 0] for patch in first.patches]
    assert [zone.max() > 0.03 for zone in zones] == [True, False]
    assert [zones[0].min(), zones[1].max()] == pytest.approx([0.02, 0.02])
    nothing = draw_scorecard([], make_settings(["a"], TASKS)).canvas.axes[0]
    assert [text.get_text() for text in nothing.texts] == ["insufficient"]


def test_each_verdict_has_its_mark_and_the_other_scope_is_small():
    rows = scorecard_rows(["a", "b"], TASKS)
    axes = draw_scorecard(rows, make_settings(["a", "b"], TASKS)).canvas.axes
    seen = set()
    for panel, claim in zip(axes, rules.CLAIMS, strict=True):
        drawn, signs = marks(panel), [text.get_text() for text in panel.texts]
        for y, model in enumerate(["a", "b", rules.POOLED]):
            of_claim = [row for row in rows if (row["model"], row["claim"]) == (model, claim)]
            for row in of_claim:
                look, large = LOOKS[row["verdict"]], row["headline"] == "yes"
                place = (row["estimate"], y if large else y + scorecard.BELOW)
                if row["estimate"] != row["estimate"]:
                    assert not large or "insufficient" in signs
                    continue
                seen.add((row["verdict"], large))
                marker, face, size = drawn[place]
                assert marker == scorecard.MARKERS[look.shape]
                assert face == (look.fill if large else "white")
                assert size < 0.6 * scorecard.LARGE or large
                assert not large or look.sign in signs
    assert {verdict for verdict, large in seen if large} == set(rules.VERDICTS) - {"insufficient"}
    keys = [text.get_text() for text in panel.figure.legends[0].get_texts()]
    assert len(keys) == 9 and "contradicted (−)" in keys and "small: the other scope" in keys
    assert keys[-2:] == ["part where the claim holds", "part where the opposite holds"]
