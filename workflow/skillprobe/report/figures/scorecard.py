"""All claims and all models on one page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from skillprobe.findings.rules import CLAIMS, COLUMNS, POOLED
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
from skillprobe.statistics.intervals import level_words
from skillprobe.storage.tables import is_number

ZONES = ("supported", "contradicted")
LOOKS = {
    "supported": ("#0173b2", "o"),
    "contradicted": ("#b34d00", "X"),
    "inconclusive": (TEXT, "o"),
    "insufficient": ("#b5b5b5", "|"),
}
# What is estimated, where the verdict turns, and on which side the claim is supported (+1: above). None: a p,
# or a threshold that depends on the study, decides the other side.
AXES = {
    "generality": ("AUROC, specialist − general", {"margin": +1}, {"margin": -1}),
    "transfer_weak": (
        "AUROC above ½: other task's probe / own probe",
        {"weak_ratio": -1},
        {"weak_ratio": +1},
    ),
    "transfer_clustered": ("transfer within groups − between", {}, {0.0: -1}),
    "ablation_sparse": (
        "share of pairs that are dependent",
        {"sparse_dependent": -1},
        {"not_sparse": +1},
    ),
    "ablation_asymmetric": ("Σ over pairs, product of both halves' differences", {0.0: +1}, {}),
    "layers_stratified": ("Kendall's tau of category and depth", {0.0: +1}, {0.0: -1}),
    "monitoring": ("AUROC, EOS − end of the prompt", {"gain": +1}, {"gain": -1}),
    "specificity": ("AUROC, with the constraint − without", {"margin": +1}, {"margin": -1}),
}


def scorecard(rows: Sequence[Mapping], thresholds: Mapping, settings: Mapping) -> Figure:
    """Estimate, interval and verdict of every claim, by model and of all models together.

    rows: tables/findings.csv; thresholds: the config's `claims`; settings: as for `compliance`.
    """
    names = [*settings["models"], *([POOLED] if any(row["model"] == POOLED for row in rows) else [])]
    found = {(str(row["model"]), row["claim"]): row for row in rows}
    height = 0.62 + 0.2 * len(names)
    lines = math.ceil(len(CLAIMS) / 2)
    with matplotlib.style.context(STYLE, after_reset=True):
        canvas = Canvas(figsize=(7.6, lines * (height + 0.42) + 0.8), layout="constrained")
        grid = canvas.subplots(lines, 2, squeeze=False, sharey=True)
        for axes in grid.flat[len(CLAIMS) :]:
            axes.remove()
        for axes, (claim, meaning) in zip(grid.flat, CLAIMS.items(), strict=False):
            axes.set_title(wrapped(meaning[0].upper() + meaning[1:], 46), loc="left")
            _panel(axes, [found.get((name, claim)) for name in names], claim, thresholds)
        for axes in grid[:, 0]:
            axes.set_yticks(range(len(names)), [wrapped(name, 20) for name in names])
        keys = [
            legend_key(verdict, color=colour, marker=marker, mfc=colour if verdict in ZONES else "white")
            for verdict, (colour, marker) in LOOKS.items()
        ]
        canvas.legend(handles=keys, loc="outside lower center", ncols=len(LOOKS))
        level = level_words(thresholds["looks"])
        canvas.suptitle(f"Claims and verdicts, by model, with {level} intervals", **TITLE)
    shown = [{column: row[column] for column in COLUMNS} for row in rows]
    return Figure(canvas, shown, COLUMNS, settings["figures"]["dpi"])


def _panel(axes: Axes, rows: Sequence[Mapping | None], claim: str, thresholds: Mapping) -> None:
    label, supported, contradicted = AXES[claim]
    turns = {
        verdict: {thresholds.get(at, at): side for at, side in sides.items()}
        for verdict, sides in (("supported", supported), ("contradicted", contradicted))
    }
    values = [row[key] for row in rows if row for key in ("estimate", "lower99", "upper99")]
    values = [value for value in values if is_number(value)]
    values += [at for sides in turns.values() for at in sides] or [0.0]
    room = 0.12 * (max(values) - min(values)) or 0.1
    limits = min(values) - room, max(values) + room
    axes.set(xlim=limits, ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlabel(label, fontsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.hlines(range(len(rows)), 0, 1, LINES, lw=0.6, zorder=0, transform=axes.get_yaxis_transform())
    for verdict, sides in turns.items():
        for at, side in sides.items():
            axes.axvspan(at, limits[side > 0], color=LOOKS[verdict][0], alpha=0.08, lw=0, zorder=0)
            axes.axvline(at, color=FAINT, lw=0.7, ls=(0, (4, 2)), zorder=1)
    for y, row in enumerate(rows):
        if row is None or not is_number(row["estimate"]):
            blank_line(axes, y, "insufficient")
            continue
        colour, marker = LOOKS[row["verdict"]]
        if is_number(row["lower99"]) and is_number(row["upper99"]):
            axes.plot((row["lower99"], row["upper99"]), (y, y), color=colour, lw=1.6, solid_capstyle="butt")
        face = colour if row["verdict"] in ZONES else "white"
        size = 6 if row["model"] == POOLED else 5
        axes.plot(row["estimate"], y, marker, color=colour, mfc=face, mew=1.1, ms=size, zorder=3)
