"""What can be read at each position of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from skillprobe.findings.rules import MEAN, SELECTED, has_estimate
from skillprobe.report.figures.style import (
    CHANCE,
    FAINT,
    FEW_TASKS,
    STYLE,
    TEXT,
    TITLE,
    Figure,
    auroc_ticks,
    blank_tasks,
    by_category,
    category_colours,
    draw_missing,
    legend_key,
    name_positions,
    question_mark,
    task_lines,
    wrapped,
)

# Of the means over tasks: probes dark, what the text alone says grey. Mark, line and words.
SERIES = {
    "trained": {"color": TEXT, "ls": "-", "lw": 1.6, "marker": "o", "ms": 3},
    "eos_back": {"color": "#0173b2", "ls": "-", "lw": 1.1, "marker": "<", "ms": 3},
    "prompt_forward": {"color": "#b34d00", "ls": "-", "lw": 1.1, "marker": ">", "ms": 3},
    "text": {"color": FAINT, "ls": "--", "lw": 1.3},
    "words": {"color": FAINT, "ls": ":", "lw": 1.1},
    "length": {"color": FAINT, "ls": "-.", "lw": 0.8},
}
WORDS = {
    "trained": "probe trained at the position, 95 % band",
    "eos_back": "EOS probe at earlier positions",
    "prompt_forward": "prompt-end probe at later positions",
    "text": "no model: verdict on the text so far",
    "words": "no model: words of the text so far",
    "length": "no model: its length",
}


def time_courses(rows: Sequence[Mapping], settings: Mapping) -> Figure:
    """AUROC over the text, a column of panels a model: means over tasks, by position and by number of tokens,
    then each category's tasks, probes trained at the position beside what the text so far decides.

    rows: tables/time.csv; settings: as for `specialist_against_general`.
    """
    columns = ("model", "task", "category", "probe", "position", "estimate", "lower95", "upper95")
    columns += ("n", "n_groups", "valid", "status")
    models = settings["models"]
    rows = [row for row in rows if row["layer"] == SELECTED and row["probe"] in SERIES]
    rows = [row for model in models for row in rows if str(row["model"]) == model]
    positions = dict.fromkeys(row["position"] for row in rows)
    relative = [name for name in positions if not name.startswith("tokens_")]
    # Only some answers are very long.
    reached = {row["position"] for row in rows if row["task"] == MEAN and has_estimate(row)}
    spans = [name for name in positions if name not in relative and name in reached]
    tasks = [row for row in rows if row["task"] != MEAN]
    groups, colours = by_category(tasks, settings), category_colours(tasks, settings)
    seen = [
        row["estimate"]
        for row in rows
        if has_estimate(row) and (row["task"] == MEAN or row["position"] in relative)
    ]
    limits = (min(0.38, min(seen, default=CHANCE) - 0.03), 1.03)
    styles, keys_of_tasks = task_lines(groups, colours)
    lines = 2 + len(groups)
    with matplotlib.style.context(STYLE, after_reset=True):
        # Beside each other, two of the legend's entries are wider than the panels of one model.
        columns_of_legend = min(2, len(models))
        height = 1.5 * lines + (1.9 if columns_of_legend == 2 else 2.4)
        canvas = Canvas(figsize=(2.6 + 2.3 * len(models), height), layout="constrained")
        grid = canvas.subplots(lines, len(models), sharey=True, squeeze=False)
        for model, column in zip(models, grid.T, strict=True):
            own = [row for row in rows if str(row["model"]) == model]
            mean = [row for row in own if row["task"] == MEAN]
            column[0].set_title(wrapped(model, 26))
            _means(column[0], mean, relative)
            _means(column[1], mean, spans)
            for axes, (category, names) in zip(column[2:], groups.items(), strict=True):
                _tasks(axes, own, names, relative, styles, colours[category])
        for axes in grid[0]:
            name_positions(axes, relative)
        for axes in grid[1]:
            name_positions(axes, spans)
        for number, line in enumerate(grid[2:], start=3):
            for axes in line:
                name_positions(axes, relative)
                axes.tick_params(labelbottom=number == lines)
        for words, line in zip(["mean of tasks", "mean, by tokens generated", *groups], grid, strict=True):
            line[0].set_ylabel(f"{words}\nAUROC")
        grid[0, 0].set(ylim=limits, yticks=auroc_ticks(limits, 0.25))
        canvas.suptitle("When can satisfaction be read" + question_mark(rows), **TITLE)
        drawn = {row["probe"] for row in rows}
        keys = [legend_key(WORDS[name], **style) for name, style in SERIES.items() if name in drawn]
        canvas.legend(handles=keys, loc="outside lower center", ncols=columns_of_legend)
        if len(settings["tasks"]) <= FEW_TASKS:
            canvas.legend(handles=keys_of_tasks, loc="outside right center", handlelength=2.6)
    shown = [{key: row[key] for key in columns} for row in rows]
    return Figure(canvas, shown, columns, settings["figures"]["dpi"])


def _means(axes: Axes, rows: Sequence[Mapping], positions: Sequence[str]) -> None:
    axes.axhline(CHANCE, color=FAINT, ls="--", lw=0.7, zorder=1)
    for name, style in SERIES.items():
        _line(axes, [row for row in rows if row["probe"] == name], positions, style, band=name == "trained")


def _tasks(axes: Axes, rows, tasks, positions, styles: Mapping, colour) -> None:
    axes.axhline(CHANCE, color=FAINT, ls="--", lw=0.7, zorder=1)
    blank = []
    for task in tasks:
        own = [row for row in rows if row["task"] == task]
        trained = [row for row in own if row["probe"] == "trained"]
        if not any(map(has_estimate, trained)):
            blank.append(task)
            continue
        _line(axes, trained, positions, styles[task] | {"color": colour}, band=len(tasks) <= FEW_TASKS)
        text = styles[task] | {"color": FAINT, "marker": "", "lw": 0.9}
        _line(axes, [row for row in own if row["probe"] == "text"], positions, text)
    if blank:
        draw_missing(axes, blank_tasks(blank, 40))


def _line(axes: Axes, rows, positions: Sequence[str], style: Mapping, band: bool = False) -> None:
    found = {row["position"]: row for row in rows if has_estimate(row)}
    shown = [(x, found[name]) for x, name in enumerate(positions) if name in found]
    places = [x for x, _ in shown]
    if band:
        bounds = ([row[end] for _, row in shown] for end in ("lower95", "upper95"))
        axes.fill_between(places, *bounds, color=style["color"], alpha=0.12, lw=0)
    axes.plot(places, [row["estimate"] for _, row in shown], **style)
