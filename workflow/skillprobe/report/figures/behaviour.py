"""Signals edited while the model writes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator

from skillprobe.findings.rules import MEAN, has_estimate
from skillprobe.report.figures.style import (
    FAINT,
    FEW_TASKS,
    LINES,
    OUTLINES,
    STYLE,
    TEXT,
    TITLE,
    Figure,
    blank_cell,
    blank_line,
    by_category,
    category_colours,
    colour_bar,
    fill_cell,
    legend_key,
    name_cells,
    rows_of,
    task_curves,
    task_words,
    wrapped,
    write_cell,
)
from skillprobe.statistics.intervals import level_words

# Loss is red here as well; the change in percentage points that has the full colour.
BEHAVIOUR_COLOURS = matplotlib.colormaps["RdBu"]
FULL_CHANGE = 50
BEHAVIOUR_KINDS = {"erase": "erased", "flip": "reflected"}


def behaviour(rows: Sequence[Mapping], categories: Mapping[str, str], settings: Mapping) -> Figure:
    """What editing a signal does to the answers, a line of panels a model: the matrices of changes of
    compliance where a signal is erased and where it is reflected, and compliance over strength where each
    task is steered along its own, with how well neutral text is predicted beside all of them.

    rows: tables/behaviour.csv; categories: {task: category}; settings: as for `compliance`, and
    "claims.looks". The figure's rows are told apart by "panel"; those with "mean" as task are means over
    tasks.
    """
    columns = ("panel", "model", "condition", "strength", "task", "quantity", "estimate")
    columns += (*("lower95", "upper95", "lower99", "upper99", "n", "n_groups", "truncated", "status"),)
    models, tasks = settings["models"], settings["tasks"]
    named = rows_of(categories)
    groups, colours = by_category(named, settings), category_colours(named, settings)
    parts = {model: _behaviour_parts(rows, model, tasks) for model in models}
    few = len(tasks) <= FEW_TASKS
    label = 0.068 * max(len(task_words(task)) for task in tasks)
    side = max(1.8, 0.27 * len(tasks))
    # Few tasks leave room for a column of perplexities.
    widths = (side + 0.35 * few, side + 0.35 * few, 2.4)
    with matplotlib.style.context(STYLE, after_reset=True):
        canvas = Canvas(
            figsize=(sum(widths) + 2 * label + 2.4, len(models) * (side + label + 1) + 1.4),
            layout="constrained",
        )
        # The matrices are as high as the two panels beside them together.
        grid = canvas.add_gridspec(
            2 * len(models), 3, width_ratios=widths, height_ratios=(2.4, 1) * len(models)
        )
        perplexity_limits = _perplexity_limits([row for part in parts.values() for row in part["text"]])
        for line, model in enumerate(models):
            part = parts[model]
            for column, (kind, words) in enumerate(BEHAVIOUR_KINDS.items()):
                axes = canvas.add_subplot(grid[2 * line : 2 * line + 2, column])
                cells = {(row["condition"], row["task"]): row for row in part[kind]}
                for (y, source), (x, target) in itertools.product(enumerate(tasks), repeat=2):
                    _change(axes, x, y, cells.get((f"{kind}:{source}", target)), with_number=few)
                name_cells(axes, tasks, [colours[categories[task]] for task in tasks])
                if few:
                    means = {row["condition"]: row for row in part["text"] if row["task"] == MEAN}
                    _name_perplexities(axes, [means.get(f"{kind}:{source}") for source in tasks])
                axes.set_xlabel("responses to")
                axes.set_title(f"{words}: signal of the row")
                if column:
                    axes.tick_params(labelleft=False)
                else:
                    axes.set_ylabel("edited: signal of")
                    axes.set_title(f"{wrapped(model, 40)}\n{axes.get_title()}")
            doses = canvas.add_subplot(grid[2 * line, 2])
            text = canvas.add_subplot(grid[2 * line + 1, 2], sharex=doses)
            _dose_curves(doses, part["steer"], groups, colours)
            _perplexity_curves(text, part["text"], perplexity_limits)
        bar = colour_bar(
            canvas,
            list(canvas.axes),
            BEHAVIOUR_COLOURS,
            (-FULL_CHANGE, FULL_CHANGE),
            "change of compliance in percentage points, minus the same under a random subspace",
            extend="both",
            shrink=0.5,
        )
        bar.set_ticks(
            [-FULL_CHANGE, 0, FULL_CHANGE], labels=[f"−{FULL_CHANGE} loss", "0", f"+{FULL_CHANGE} gain"]
        )
        canvas.suptitle("Do responses change when a signal is edited?", **TITLE)
        level = level_words(settings["claims.looks"])
        square = {"marker": "s", "mfc": "white", "ms": 7}
        canvas.legend(
            handles=[
                legend_key(f"the {level} interval excludes 0", mew=OUTLINES["dependent"], **square),
                legend_key("it includes 0", **square | {"color": LINES}),
                Patch(fc="white", ec=LINES, hatch="////", label="insufficient"),
                legend_key("steered along its own signal" + (", 95 % band" if few else ""), ls="-", lw=1.2),
                legend_key("perplexity of neutral text: mean over tasks", ls="-", lw=1.4, marker="o", ms=3),
                legend_key("each task; dashed: unedited model", ls="-", lw=0.6, color=FAINT),
            ],
            loc="outside lower center",
            ncols=3,
        )
    shown = [
        {"panel": panel, "strength": "", **row}
        for model in models
        for panel, part in parts[model].items()
        for row in part
    ]
    shown = [{column: row[column] for column in columns} for row in shown]
    return Figure(canvas, shown, columns, settings["figures"]["dpi"])


def _behaviour_parts(rows: Sequence[Mapping], model: str, tasks: Sequence[str]) -> dict[str, list[dict]]:
    """{panel: its rows, in order}. Those of "steer" and, where it is steered, "text" have a "strength"; what
    is unedited has 0."""
    found: dict[tuple[str, str, str], Mapping] = {
        (row["quantity"], row["condition"], row["task"]): row for row in rows if str(row["model"]) == model
    }
    conditions = list(dict.fromkeys(condition for _, condition, _ in found))
    strength = {each: float(each.removeprefix("steer:")) for each in conditions if each.startswith("steer:")}
    strengths = sorted(strength, key=strength.get)
    edits = {kind: [f"{kind}:{source}" for source in tasks] for kind in BEHAVIOUR_KINDS}
    parts: dict[str, list[dict]] = {}
    for kind, names in edits.items():
        keys = [("change_minus_random", name, task) for name, task in itertools.product(names, tasks)]
        parts[kind] = [dict(found[key]) for key in keys if key in found]
    parts["steer"], parts["text"] = [], []
    for task in tasks:
        curve = [
            {**found[key], "strength": strength[name]}
            for name in strengths
            if (key := ("compliance", name, task)) in found
        ]
        unedited = [found.get(("unedited", name, task)) for name in ("identity", *strengths)]
        if curve and (plain := next(filter(has_estimate, unedited), None)):
            curve.append({**plain, "strength": 0.0})
        parts["steer"] += sorted(curve, key=lambda row: row["strength"])
    for name in (*itertools.chain(*edits.values()), *strengths):
        of_tasks = [found[key] for task in tasks if (key := ("perplexity_ratio", name, task)) in found]
        if not of_tasks:
            continue
        ratios = [row["estimate"] for row in of_tasks if has_estimate(row) and row["estimate"] > 0]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan
        about = {"task": MEAN, "estimate": mean, "n": sum(row["n"] for row in of_tasks), "n_groups": ""}
        about |= dict.fromkeys(("lower95", "upper95", "lower99", "upper99"), math.nan)
        about |= {"truncated": "", "status": "" if ratios else "insufficient"}
        steered = {"strength": strength[name]} if name in strength else {}
        # Of erased and reflected signals, the figure has the means alone.
        parts["text"] += [{**row, **steered} for row in (of_tasks if steered else [])]
        parts["text"].append({**of_tasks[0], **about, **steered})
    return parts


def _change(axes: Axes, x: int, y: int, row: Mapping | None, with_number: bool) -> None:
    """A cell of behaviour's matrices: colour for the change, outline where its interval excludes 0."""
    if not has_estimate(row):
        blank_cell(axes, x, y)
        return
    points = 100 * row["estimate"]
    fill = BEHAVIOUR_COLOURS((points / FULL_CHANGE + 1) / 2)
    fill_cell(axes, x, y, fill)
    clear = not row["lower99"] <= 0 <= row["upper99"]
    if clear:
        width = OUTLINES["dependent"]
        axes.add_patch(Rectangle((x - 0.45, y - 0.45), 0.9, 0.9, fc="none", ec=TEXT, lw=width, zorder=2))
    if with_number:
        strong = abs(points) > 0.56 * FULL_CHANGE
        text = f"{round(points)}".replace("-", "−")
        write_cell(axes, x, y, text, clear, "white" if strong else TEXT)


def _name_perplexities(axes: Axes, means: Sequence[Mapping | None]) -> None:
    """A column of numbers beside a matrix."""
    x = len(means) + 0.2
    axes.set_xlim(-0.5, x + 0.6)
    for y, row in enumerate(means):
        text = _times(row["estimate"]) if has_estimate(row) else "–"
        axes.text(x, y, text, ha="center", va="center", fontsize=6, color=FAINT)
    names = [label.get_text() for label in axes.get_xticklabels()]
    colours = [label.get_color() for label in axes.get_xticklabels()]
    axes.set_xticks([*range(len(means)), x], [*names, "perplexity ×"], rotation=90)
    for label, colour in zip(axes.get_xticklabels(), (*colours, FAINT), strict=True):
        label.set(color=colour, fontweight="normal" if colour == FAINT else "bold")


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.0f}" if ratio < 999.5 else f"{ratio:.0e}"


def _dose_curves(axes: Axes, rows: Sequence[Mapping], groups: Mapping, colours: Mapping) -> None:
    """Compliance of each task, in percent, over the strength of steering along its own direction."""
    axes.set_title("steered along its own signal")
    curves = {
        task: [
            {**row, "depth": row["strength"]}
            | {key: 100 * row[key] for key in ("estimate", "lower95", "upper95") if has_estimate(row)}
            for row in rows
            if row["task"] == task
        ]
        for tasks in groups.values()
        for task in tasks
    }
    task_curves(axes, curves, groups, colours)
    axes.set(ylabel="compliance, %", ylim=(-3, 103), yticks=(0, 50, 100))
    axes.tick_params(labelbottom=False)


def _perplexity_curves(axes: Axes, rows: Sequence[Mapping], limits: tuple[float, float]) -> None:
    """Perplexity of neutral text over the strength of steering, as a multiple of the unedited."""
    axes.axhline(1, color=FAINT, ls="--", lw=0.9, zorder=1)
    lines: dict[str, dict[float, float]] = {}
    for row in rows:
        if row.get("strength") and has_estimate(row):
            lines.setdefault(row["task"], {0.0: 1.0})[row["strength"]] = row["estimate"]
    for task, line in lines.items():
        style = {"color": FAINT, "lw": 0.6, "alpha": 0.7}
        if task == MEAN:
            style = {"color": TEXT, "lw": 1.4, "marker": "o", "ms": 3}
        axes.plot(*zip(*sorted(line.items()), strict=True), **style)
    if not lines:
        blank_line(axes, 1, "no text")
    axes.set(
        ylabel="perplexity ×", xlabel="λ, standard deviations; + to satisfied", yscale="log", ylim=limits
    )
    step = 1 if limits[1] < 20 else math.ceil(math.log10(limits[1]) / 3)
    ticks = (0.5, 1, 2, 5, 10) if limits[1] < 20 else [10 ** (step * k) for k in range(4)]
    ticks = [tick for tick in ticks if limits[0] <= tick <= limits[1]]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))


def _perplexity_limits(rows: Sequence[Mapping]) -> tuple[float, float]:
    """Around 1 and all ratios over strength."""
    found = [
        row["estimate"] for row in rows if row.get("strength") and has_estimate(row) and row["estimate"] > 0
    ]
    return min(0.9 * min(found, default=1), 0.8), max(1.1 * max(found, default=1), 2.2)
