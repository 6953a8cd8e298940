"""Compliance against tokens spent, where policies act on the monitors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from skillprobe.analyses.guard import (
    AGAIN,
    ALL,
    BEST,
    CHECKED,
    COMPLIANCE,
    EARLY,
    PLAIN,
    PREFIX,
    STEER,
    TOKENS,
)
from skillprobe.findings.rules import has_estimate
from skillprobe.report.figures.style import (
    FAINT,
    FEW_TASKS,
    LINES,
    STYLE,
    TEXT,
    TITLE,
    Figure,
    blank_line,
    legend_key,
    task_words,
    why,
    wrapped,
)
from skillprobe.storage.tables import MEAN

# What needs no monitor is grey; the others have colours of the palette.
SERIES = {
    AGAIN: {"color": FAINT, "ls": "-", "marker": "o", "ms": 2.5, "lw": 1.2},
    PREFIX: {"color": FAINT, "ls": ":", "marker": "o", "ms": 2.5, "lw": 1.2, "mfc": "white"},
    EARLY: {"ls": "-", "marker": "s", "ms": 2.5, "lw": 0.9},
    CHECKED: {"ls": "-", "marker": "D", "ms": 2.5, "lw": 0.9},
    BEST: {"ls": "-", "marker": "^", "ms": 3, "lw": 0.9},
    STEER: {"ls": "none", "marker": "x", "ms": 4, "mew": 1.1},
}
WORDS = {
    AGAIN: "no monitor: verify, sample again",
    PREFIX: "no monitor: verifier on the prefix",
    EARLY: "stop early (darker: higher threshold)",
    CHECKED: "stop early, and verify",
    BEST: "best of n",
    STEER: "steer where the probability is low",
}
COLUMNS = ("model", "task", "policy", "threshold", "tries", "strength")
COLUMNS += ("tokens", "tokens_lower95", "tokens_upper95", "estimate", "lower95", "upper95")
COLUMNS += ("n", "n_groups", "status")


def guard(rows: Sequence[Mapping], settings: Mapping) -> Figure:
    """A column of panels a model: the mean over tasks, then each task, if they are few.

    rows: tables/guard.csv; settings: as for `compliance`.
    """
    models = settings["models"]
    points, series = _points(rows, settings), _series(settings)
    shown = [MEAN, *(settings["tasks"] if len(settings["tasks"]) <= FEW_TASKS else ())]
    heights = [2.2, *[1.25] * (len(shown) - 1)]
    with matplotlib.style.context(STYLE, after_reset=True):
        canvas = Canvas(figsize=(1.0 + max(3.4, 2.4 * len(models)), sum(heights) + 1.8), layout="constrained")
        grid = canvas.subplots(
            len(shown), len(models), sharex=True, sharey=True, squeeze=False, height_ratios=heights
        )
        furthest = max([1.5, *(row["tokens"] for row in points if has_estimate(row))])
        for line, task in enumerate(shown):
            for column, model in enumerate(models):
                axes = grid[line, column]
                axes.set(ylim=(-0.03, 1.03), xscale="log", yticks=(0, 0.5, 1), yticklabels=("0", "50", "100"))
                ticks = [tick for tick in (0.5, 1, 2, 4, 8, 16, 32) if tick <= 1.05 * furthest]
                axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
                axes.minorticks_off()
                axes.grid(color=LINES, lw=0.5, zorder=0)
                own = [row for row in points if row["task"] == task and str(row["model"]) == model]
                _draw(axes, own, series)
                if not line:
                    axes.set_title(wrapped(model, 26))
                if not column:
                    axes.set_ylabel(f"{task_words(task)}\ncompliance, %" if not line else task_words(task))
        for axes in grid[-1]:
            axes.set_xlabel("tokens spent, plain = 1")
        canvas.suptitle("Does acting on the monitors pay?", **TITLE)
        keys = [legend_key(WORDS[policy], **style) for policy, style in series.items()]
        keys.append(legend_key("one plain response", marker="*", ms=6, color=TEXT))
        canvas.legend(handles=keys, loc="outside lower center", ncols=1 if len(models) == 1 else 2)
    return Figure(canvas, points, COLUMNS, settings["figures"]["dpi"])


def _series(settings: Mapping) -> dict[str, dict]:
    coloured = [policy for policy, style in SERIES.items() if "color" not in style]
    palette = seaborn.color_palette(settings["figures"]["palette"], len(coloured))
    colours = dict(zip(coloured, palette, strict=True))
    return {policy: {"color": colours.get(policy), **style} for policy, style in SERIES.items()}


def _draw(axes: Axes, rows: Sequence[Mapping], series: Mapping[str, Mapping]) -> None:
    if not any(map(has_estimate, rows)):
        blank_line(axes, 0.5, why(rows[0] if rows else None))
        return
    thresholds = sorted({row["threshold"] for row in rows if row["threshold"] != ""})
    for policy, style in series.items():
        lines: dict[object, list[Mapping]] = {}
        for row in rows:
            if row["policy"] == policy:
                lines.setdefault(row["threshold"], []).append(row)
        for threshold, line in lines.items():
            shade = 1.0
            if policy in (EARLY, CHECKED):
                shade = 0.3 + 0.7 * (thresholds.index(threshold) + 1) / len(thresholds)
            line = sorted(line, key=lambda row: row["tokens"])
            for row in line:
                axes.plot(
                    (row["tokens"],) * 2,
                    (row["lower95"], row["upper95"]),
                    color=style["color"],
                    lw=0.5,
                    alpha=0.35 * shade,
                    zorder=1,
                )
            x, y = ([row[key] for row in line] for key in ("tokens", "estimate"))
            axes.plot(x, y, alpha=shade, zorder=3, **style)
    for row in rows:
        if row["policy"] == PLAIN:
            axes.plot(row["tokens"], row["estimate"], marker="*", ms=6, color=TEXT, zorder=4)


def _points(rows: Sequence[Mapping], settings: Mapping) -> list[dict]:
    """Each setting with its tokens and compliance, in the study's order."""
    found: dict[tuple, dict[str, Mapping]] = {}
    for row in rows:
        if row["quantity"] in (COMPLIANCE, TOKENS) and row["tries"] != ALL:
            found.setdefault(tuple(row[name] for name in COLUMNS[:6]), {})[row["quantity"]] = row
    places = {task: number for number, task in enumerate((MEAN, *settings["tasks"]))}
    points = []
    for key, of in found.items():
        row, tokens = of[COMPLIANCE], of.get(TOKENS, of[COMPLIANCE])
        if str(key[0]) not in settings["models"] or key[1] not in places:
            continue
        points.append(
            dict(zip(COLUMNS[:6], key, strict=True))
            | {"estimate": row["estimate"], "tokens": tokens["estimate"]}
            | {"tokens_lower95": tokens["lower95"], "tokens_upper95": tokens["upper95"]}
            | {name: row[name] for name in ("lower95", "upper95", "n", "n_groups", "status")}
        )
    points.sort(key=lambda row: (settings["models"].index(str(row["model"])), places[row["task"]]))
    return points
