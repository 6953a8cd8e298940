"""All claims and all models on one page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from skillprobe.findings.rules import CLAIMS, COLUMNS, POOLED
from skillprobe.report.claims import SHOWN, turns
from skillprobe.report.figures.style import (
    FAINT,
    LINES,
    STYLE,
    TEXT,
    TITLE,
    Figure,
    blank_line,
    legend_key,
    wrapped,
)
from skillprobe.report.verdicts import LOOKS, SCOPE_WORDS, Look
from skillprobe.statistics.intervals import level_words
from skillprobe.storage.tables import is_number

MARKERS = {"circle": "o", "square": "s", "diamond": "D"}
# In points: of the scope that decides, and of the other.
LARGE, SMALL = 9.5, 4.5
# Of a model's line: how far below its middle the other scope is.
BELOW = 0.34


def scorecard(rows: Sequence[Mapping], thresholds: Mapping, settings: Mapping) -> Figure:
    """Estimate, interval and verdict of every claim, by model and of all models together: the scope that
    decides large and filled, the other small below it.

    rows: tables/findings.csv; thresholds: the config's `claims`; settings: as for `compliance`.
    """
    names = [*settings["models"], *([POOLED] if any(row["model"] == POOLED for row in rows) else [])]
    found = {(str(row["model"]), row["claim"], row["headline"]): row for row in rows}
    scopes = {row["claim"]: row["scope"] for row in rows if row["headline"] == "yes"}
    height = 0.62 + 0.3 * len(names)
    lines = math.ceil(len(CLAIMS) / 2)
    with matplotlib.style.context(STYLE, after_reset=True):
        canvas = Canvas(figsize=(7.6, lines * (height + 0.42) + 1.0), layout="constrained")
        grid = canvas.subplots(lines, 2, squeeze=False, sharey=True)
        for axes in grid.flat[len(CLAIMS) :]:
            axes.remove()
        for axes, (claim, meaning) in zip(grid.flat, CLAIMS.items(), strict=False):
            where = f" ({SCOPE_WORDS[scopes[claim]]})" if claim in scopes else ""
            axes.set_title(wrapped(f"{meaning[0].upper()}{meaning[1:]}{where}", 46), loc="left")
            shown = [[found.get((name, claim, headline)) for headline in ("yes", "no")] for name in names]
            _panel(axes, shown, claim, thresholds)
        for axes in grid[:, 0]:
            axes.set_yticks(range(len(names)), [wrapped(name, 20) for name in names])
        canvas.legend(handles=_keys(), loc="outside lower center", ncols=3)
        level = level_words(thresholds["looks"])
        canvas.suptitle(f"Claims and verdicts, by model, with {level} intervals", **TITLE)
    shown = [{column: row[column] for column in COLUMNS} for row in rows]
    return Figure(canvas, shown, COLUMNS, settings["figures"]["dpi"])


def _panel(axes: Axes, rows: Sequence[Sequence[Mapping | None]], claim: str, thresholds: Mapping) -> None:
    """rows: of each model, the scope that decides and the other."""
    at = turns(claim, thresholds)
    values = [row[key] for both in rows for row in both if row for key in ("estimate", "lower99", "upper99")]
    values = [value for value in values if is_number(value)]
    values += [threshold for sides in at.values() for threshold in sides] or [0.0]
    room = 0.12 * (max(values) - min(values)) or 0.1
    limits = min(values) - room, max(values) + room
    axes.set(xlim=limits, ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlabel(SHOWN[claim].axis, fontsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.hlines(range(len(rows)), 0, 1, LINES, lw=0.6, zorder=0, transform=axes.get_yaxis_transform())
    for verdict, sides in at.items():
        for threshold, side in sides.items():
            axes.axvspan(threshold, limits[side > 0], color=LOOKS[verdict].edge, alpha=0.08, lw=0, zorder=0)
            axes.axvline(threshold, color=FAINT, lw=0.7, ls=(0, (4, 2)), zorder=1)
    for y, (headline, other) in enumerate(rows):
        if headline is None or not is_number(headline["estimate"]):
            blank_line(axes, y, "insufficient")
        else:
            _draw(axes, headline, y, LARGE)
        if other is not None and is_number(other["estimate"]):
            _draw(axes, other, y + BELOW, SMALL)


def _draw(axes: Axes, row: Mapping, y: float, size: float) -> None:
    look, large = LOOKS[row["verdict"]], size == LARGE
    if is_number(row["lower99"]) and is_number(row["upper99"]):
        width = 1.6 if large else 0.8
        axes.plot((row["lower99"], row["upper99"]), (y, y), color=look.edge, lw=width, solid_capstyle="butt")
    axes.plot(row["estimate"], y, **_marker(look, size))
    if large:
        _sign(axes, row["estimate"], y, look)


def _marker(look: Look, size: float) -> dict:
    """Of a line; the small ones are hollow."""
    diamond = 0.85 if look.shape == "diamond" else 1.0
    style = {"marker": MARKERS[look.shape], "ms": size * diamond, "mec": look.edge, "ls": "none", "zorder": 3}
    return style | {"mfc": look.fill if size == LARGE else "white", "mew": 1.1 if size == LARGE else 0.9}


def _sign(axes: Axes, x: float, y: float, look: Look) -> None:
    size = 7.5 if len(look.sign) == 1 else 5.5
    style = {"color": look.ink, "fontsize": size, "fontweight": "bold", "zorder": 4}
    axes.text(x, y, look.sign, ha="center", va="center_baseline", **style)


def _keys() -> list[Line2D]:
    """Of the legend: verdicts with their signs, the two sizes, and the parts of a panel."""
    keys = []
    for verdict, look in LOOKS.items():
        label = f"{verdict} ({look.sign})" if look.sign else verdict
        keys.append(legend_key(label, **_marker(look, LARGE)))
        if look.dashed:
            keys[-1].set_markeredgecolor(FAINT)
    # Black, which no verdict is.
    other = Look("#ffffff", TEXT, "circle", "")
    keys.append(legend_key("small: the other scope", **_marker(other, SMALL)))
    for verdict, what in (("supported", "the claim"), ("contradicted", "the opposite")):
        part = {"marker": "s", "ms": LARGE, "mfc": LOOKS[verdict].edge, "mew": 0, "alpha": 0.2, "ls": "none"}
        keys.append(legend_key(f"part where {what} holds", **part))
    return keys
