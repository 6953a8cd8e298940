"""What one model's monitors tell while an answer is written, and whether their probabilities hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from skillprobe.findings.rules import MEAN, has_estimate
from skillprobe.report.figures.style import (
    CHANCE,
    FAINT,
    STYLE,
    TEXT,
    TITLE,
    Figure,
    auroc_ticks,
    by_category,
    category_colours,
    draw_missing,
    legend_key,
    name_positions,
    wrapped,
)
from skillprobe.storage.tables import ACROSS, task_words

MONITOR, TRIVIAL = "monitor", "trivial"
COLUMNS = ("panel", "model", "task", "category", "reader", "position", "bin", "probability", "estimate")
COLUMNS += ("lower95", "upper95", "n", "status")
# Three tasks beside each other, each with two panels.
TASKS_BESIDE = 3
LOOKS = {
    MONITOR: {"ls": "-", "lw": 1.5, "marker": "o", "ms": 3},
    TRIVIAL: {"ls": "--", "lw": 1.2, "marker": "s", "ms": 2.6, "color": FAINT},
}


def monitor_quality(curves: Sequence[Mapping], reliability: Sequence[Mapping], settings: Mapping) -> Figure:
    """For each task of one model: AUROC by position, of its monitor and of the best trivial one, and the
    share of satisfied responses by probability. curves, reliability: tables/monitors/<model>.csv and
    tables/monitors_reliability/<model>.csv; settings: as for `specialist_against_general`."""
    readers = (MONITOR, TRIVIAL)
    curves = [
        row
        for row in curves
        if row["scope"] == ACROSS
        and row["quantity"] == "auroc"
        and row["reader"] in readers
        and row["task"] != MEAN
        and not row["position"].startswith("tokens_")
    ]
    positions = list(dict.fromkeys(row["position"] for row in curves))
    tasks, colours = by_category(curves, settings), category_colours(curves, settings)
    named = [(task, category) for category, names in tasks.items() for task in names]
    model = str(curves[0]["model"]) if curves else ""
    seen = [row["estimate"] for row in curves if has_estimate(row)]
    limits = (min(0.38, min(seen, default=CHANCE) - 0.03), 1.03)
    with matplotlib.style.context(STYLE, after_reset=True):
        beside = min(TASKS_BESIDE, max(len(named), 1))
        lines = max(1, math.ceil(len(named) / beside))
        canvas = Canvas(figsize=(0.5 + 3.7 * beside, 0.9 + 2.1 * lines), layout="constrained")
        grid = canvas.subplots(lines, 2 * beside, squeeze=False, width_ratios=[1.45, 1] * beside)
        cells = grid.reshape(lines * beside, 2)
        for (task, category), (course, bins) in zip(named, cells, strict=False):
            own = [row for row in curves if row["task"] == task]
            course.set_title(wrapped(task_words(task), 30), color=colours[category])
            _course(course, own, positions, colours[category])
            course.set(ylim=limits, yticks=auroc_ticks(limits, 0.25))
            _bins(bins, [row for row in reliability if row["task"] == task], colours[category])
        for pair in cells[len(named) :]:
            for axes in pair:
                axes.remove()
        for number, (course, bins) in enumerate(cells[: len(named)]):
            if number % beside == 0:
                course.set_ylabel("AUROC")
            below = number + beside >= len(named)
            course.tick_params(labelbottom=below)
            if below:
                bins.set_xlabel("probability")
        canvas.suptitle(f"Does the monitor of {model} tell more than the text so far?", **TITLE)
        keys = [
            legend_key("monitor, 95 % band", color=TEXT, **LOOKS[MONITOR]),
            legend_key(
                "best trivial monitor: verifier on the text so far, params, or both", **LOOKS[TRIVIAL]
            ),
            legend_key("right panels: share that is satisfied, by predicted probability", color="none"),
        ]
        canvas.legend(handles=keys, loc="outside lower center", ncols=1)
    return Figure(canvas, _shown(curves, reliability), COLUMNS, settings["figures"]["dpi"])


def _shown(curves: Sequence[Mapping], reliability: Sequence[Mapping]) -> list[dict]:
    """Numbers of both kinds of panels, with empty cells where a kind has no such column."""
    blank = dict.fromkeys(COLUMNS, "")
    parts = (("course", curves), ("reliability", reliability))
    return [
        blank | {key: row[key] for key in COLUMNS if key in row} | {"panel": panel}
        for panel, rows in parts
        for row in rows
    ]


def _course(axes: Axes, rows, positions: Sequence[str], colour) -> None:
    axes.axhline(CHANCE, color=FAINT, ls=":", lw=0.7, zorder=1)
    for reader, look in LOOKS.items():
        found = {row["position"]: row for row in rows if row["reader"] == reader and has_estimate(row)}
        shown = [(x, found[name]) for x, name in enumerate(positions) if name in found]
        style = {"color": colour} | look
        places = [x for x, _ in shown]
        if reader == MONITOR:
            bounds = ([row[end] for _, row in shown] for end in ("lower95", "upper95"))
            axes.fill_between(places, *bounds, color=colour, alpha=0.15, lw=0)
        axes.plot(places, [row["estimate"] for _, row in shown], **style)
    if not any(map(has_estimate, rows)):
        draw_missing(axes, "too little data")
    name_positions(axes, positions)


def _bins(axes: Axes, rows: Sequence[Mapping], colour) -> None:
    axes.plot((0, 1), (0, 1), color=FAINT, ls=":", lw=0.7, zorder=1)
    for reader, look in LOOKS.items():
        own = [row for row in rows if row["reader"] == reader and has_estimate(row)]
        style = {"color": colour} | look
        x, y = ([row[key] for row in own] for key in ("probability", "estimate"))
        if reader == MONITOR:
            axes.vlines(
                x, *([row[end] for row in own] for end in ("lower95", "upper95")), color=colour, lw=0.8
            )
        axes.plot(x, y, **style)
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_xticklabels(("0", "½", "1"))
    axes.set_yticklabels(("0", "½", "1"))
