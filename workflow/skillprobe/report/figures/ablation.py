"""One task's signal erased, every task read again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import MaxNLocator

from skillprobe.findings.rules import MEAN, SELECTED, has_estimate
from skillprobe.report.figures.style import (
    AUROC_COLOURS,
    CHANCE,
    FAINT,
    FEW_TASKS,
    LINES,
    OUTLINES,
    STYLE,
    TEXT,
    TITLE,
    Figure,
    auroc_limits,
    auroc_ticks,
    blank_cell,
    by_category,
    category_colours,
    colour_bar,
    fill_cell,
    legend_key,
    name_cells,
    question_mark,
    rows_of,
    task_curves,
    task_words,
    wrapped,
    write_cell,
)
from skillprobe.storage.tables import is_number

# The cells that decide, and the fall of AUROC that has the full colour.
PRIMARY_ABLATION = {"layer": SELECTED, "method": "inlp", "probe": "retrained"}
FULL_FALL = 0.25


def ablation(
    rows: Sequence[Mapping], curves: Sequence[Mapping], categories: Mapping[str, str], settings: Mapping
) -> Figure:
    """What erasing each task's signal does to every task, a line of panels a model: the matrix of net falls,
    its dependent cells as a graph, and AUROC over the number of directions erased, at the selected layer.

    rows: tables/ablation.csv; curves: tables/ablation_curve.csv; categories: {task: category}; settings: as
    for `compliance`. The figure's rows are of both tables, told apart by "panel"; of the curves, those of
    the erased tasks themselves and, with "mean" as target, the mean over the other tasks.
    """
    bounds = ("net_lower95", "net_upper95", "lower_simultaneous99", "upper_simultaneous99")
    about = ("model", "source", "target", "status")
    shows = {
        "matrix": (*about, "before", "after", "null", "net", *bounds, "cell", "n", "n_groups"),
        "curves": (*about, "rank", "estimate", "lower95", "upper95"),
    }
    models, tasks = settings["models"], settings["tasks"]
    cells = {
        (str(row["model"]), row["source"], row["target"]): row
        for row in rows
        if all(row[key] == value for key, value in PRIMARY_ABLATION.items())
    }
    lines = _rank_lines(curves, settings)
    named = rows_of(categories)
    groups, colours = by_category(named, settings), category_colours(named, settings)
    few = len(tasks) <= FEW_TASKS
    label = 0.068 * max(len(task_words(task)) for task in tasks)
    # The names around the circle are level, or if there are many, like the hands of a clock.
    side = max(2.5, 0.3 * len(tasks)) if few else max(2 * label + 2, 0.15 * len(tasks))
    radius = side / 2 - (0.2 if few else label)
    size = (2 * (radius + label), side)
    widths = (side, size[0], 2.4)
    with matplotlib.style.context(STYLE, after_reset=True):
        canvas = Canvas(
            figsize=(sum(widths) + label + 2.8, len(models) * (side + label + 0.7) + 1.4),
            layout="constrained",
        )
        grid = canvas.subplots(len(models), 3, squeeze=False, gridspec_kw={"width_ratios": widths})
        for model, (matrix, graph, ranks) in zip(models, grid, strict=True):
            of_model = {
                (source, target): cells.get((model, source, target))
                for source, target in itertools.product(tasks, repeat=2)
            }
            for (y, source), (x, target) in itertools.product(enumerate(tasks), repeat=2):
                _fall(matrix, x, y, of_model[source, target], with_number=few)
            name_cells(matrix, tasks, [colours[categories[task]] for task in tasks])
            matrix.set(xlabel="probe of", ylabel="erased: signal of")
            matrix.set_title(wrapped(model, 40))
            _dependence(graph, of_model, groups, colours)
            limits = [(-inches / 2 / radius, inches / 2 / radius) for inches in size]
            graph.set(xlim=limits[0], ylim=limits[1], aspect="equal")
            graph.set_title("dependent cells: erased → hurt")
            curves_of = {task: [lines[model, task, target] for target in (task, MEAN)] for task in tasks}
            _rank_curves(ranks, curves_of, groups, colours)
        limits = auroc_limits([row for key, line in lines.items() if key[2] != MEAN for row in line])
        for axes in grid[:, 2]:
            axes.set_ylim(limits)
            axes.set_yticks(auroc_ticks(limits))
        bar = colour_bar(
            canvas,
            list(grid.flat),
            AUROC_COLOURS,
            (-FULL_FALL, FULL_FALL),
            "net fall: AUROC before − after, minus the same under erasers of shuffled labels",
            extend="both",
            shrink=0.5,
        )
        bar.set_ticks([-FULL_FALL, 0, FULL_FALL], labels=[f"−{FULL_FALL} gain", "0", f"{FULL_FALL} loss"])
        canvas.suptitle(f"Does erasing one task's signal hurt the others{question_mark(rows)}", **TITLE)
        square = {"marker": "s", "mfc": "white", "ms": 7}
        canvas.legend(
            handles=[
                legend_key("dependent: hurt, all cells tested together", mew=OUTLINES["dependent"], **square),
                legend_key("undecided", mew=OUTLINES["undecided"], **square),
                legend_key("independent; diagonal: the erased task itself", **square | {"color": LINES}),
                legend_key("not tested: a task that doesn't count", marker="x", color=FAINT, ms=4),
                *(
                    legend_key(f"arrow: net fall of {words}", ls="-", lw=_arrow_width(fall))
                    for fall, words in ((0.05, "0.05"), (FULL_FALL, f"{FULL_FALL} or more"))
                ),
                legend_key("probe of the erased task" + (", 95 % band" if few else ""), ls="-", lw=1.2),
                legend_key("mean over the other tasks' probes", ls="-", lw=0.7, color=FAINT),
                legend_key("chance", ls="--", color=FAINT),
            ],
            loc="outside lower center",
            ncols=3,
        )
    shown = []
    for model, source in itertools.product(models, tasks):
        parts = {
            "matrix": [cells[key] for target in tasks if (key := (model, source, target)) in cells],
            "curves": [row for target in (source, MEAN) for row in lines[model, source, target]],
        }
        for panel, part in parts.items():
            shown += [{"panel": panel} | {column: row[column] for column in shows[panel]} for row in part]
    columns = ("panel", *dict.fromkeys((*shows["matrix"], *shows["curves"])))
    return Figure(canvas, shown, columns, settings["figures"]["dpi"])


def _rank_lines(curves: Sequence[Mapping], settings: Mapping) -> dict[tuple[str, str, str], list[Mapping]]:
    """{(model, source, target): rows by rank}: of the source itself, and of the others, with target MEAN."""
    found: dict[tuple[str, str, str], list[Mapping]] = {}
    for row in sorted(curves, key=lambda row: row["rank"]):
        if row["layer"] == SELECTED:
            found.setdefault((str(row["model"]), row["source"], row["target"]), []).append(row)
    lines = {}
    for model, source in itertools.product(settings["models"], settings["tasks"]):
        lines[model, source, source] = found.get((model, source, source), [])
        others = [found.get((model, source, target), []) for target in settings["tasks"] if target != source]
        others = [line for line in others if line and all(map(has_estimate, line))]
        lines[model, source, MEAN] = [
            {"model": model, "source": source, "target": MEAN, "rank": at_rank[0]["rank"]}
            | {"estimate": sum(row["estimate"] for row in at_rank) / len(others)}
            | {"lower95": math.nan, "upper95": math.nan, "status": ""}
            for at_rank in zip(*others, strict=True)
        ]
    return lines


def _fall(axes: Axes, x: int, y: int, row: Mapping | None, with_number: bool) -> None:
    """A cell of the ablation's matrix: colour for its net fall, outline for its word."""
    if row is None or not is_number(value := row["net"]):
        blank_cell(axes, x, y)
        return
    fill = AUROC_COLOURS((value / FULL_FALL + 1) / 2)
    fill_cell(axes, x, y, fill)
    if row["cell"] in OUTLINES:
        width = OUTLINES[row["cell"]]
        axes.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fc="none", ec=TEXT, lw=width, zorder=2))
    strong = abs(value) > 0.56 * FULL_FALL
    if not row["cell"] and row["source"] != row["target"]:
        axes.plot(x, y, "x", color="white" if strong else FAINT, ms=3, mew=0.7)
    elif with_number:
        text = f"{round(value, 2) + 0:.2f}".replace("0.", ".").replace("-", "−")
        write_cell(axes, x, y, text, row["cell"] == "dependent", "white" if strong else TEXT)


def _arrow_width(fall: float) -> float:
    return 0.4 + 12 * min(fall, FULL_FALL)


def _dependence(
    axes: Axes, cells: Mapping[tuple[str, str], Mapping | None], groups: Mapping, colours: Mapping
) -> None:
    """Tasks in a circle by category, and an arrow for each dependent cell, the wider the larger its fall."""
    gap = 0.7 if len(groups) > 1 else 0
    n_tasks = sum(map(len, groups.values()))
    step = 2 * math.pi / (n_tasks + gap * len(groups))
    place, colour, at = {}, {}, 0.0
    for category, tasks in groups.items():
        for task in tasks:
            # Clockwise from the top.
            place[task], colour[task] = math.pi / 2 - at * step, colours[category]
            at += 1
        at += gap
    ends = {task: (math.cos(angle), math.sin(angle)) for task, angle in place.items()}
    size = 5 if n_tasks <= FEW_TASKS else 3.5
    for task, angle in place.items():
        has_probe = cells[task, task] is not None and is_number(cells[task, task]["net"])
        axes.plot(*ends[task], "o", mec=colour[task], mfc=colour[task] if has_probe else "white", ms=size)
        across, up = ends[task]
        style = {"ha": "right" if across < -1e-9 else "left", "va": "center"}
        if n_tasks > FEW_TASKS:
            style |= {"rotation": math.degrees(angle) - 180 * (across < -1e-9), "rotation_mode": "anchor"}
        elif abs(up) > 0.7:
            style = {
                "ha": "center" if abs(across) < 0.2 else style["ha"],
                "va": "bottom" if up > 0 else "top",
            }
        name = {"s": task_words(task), "fontsize": 7, "fontweight": "bold", "color": colour[task]}
        axes.text(1.07 * across, 1.07 * up, **name, **style, in_layout=False)
    dependent = {pair: row for pair, row in cells.items() if row is not None and row["cell"] == "dependent"}
    for (source, target), row in sorted(dependent.items(), key=lambda item: item[1]["net"]):
        axes.add_patch(
            FancyArrowPatch(
                ends[source],
                ends[target],
                connectionstyle="arc3,rad=0.12",
                arrowstyle="-|>,head_length=0.5,head_width=0.25",
                mutation_scale=7,
                shrinkA=size / 2 + 1,
                shrinkB=size / 2 + 1,
                lw=_arrow_width(row["net"]),
                color=colour[source],
                alpha=0.8 if len(dependent) <= 3 * n_tasks else 0.4,
            )
        )
    if not dependent:
        tested = any(row is not None and row["cell"] for row in cells.values())
        axes.text(
            0,
            0,
            "no dependent cell" if tested else "no cell tested",
            ha="center",
            va="center",
            style="italic",
            color=FAINT,
        )
    axes.set_axis_off()


def _rank_curves(
    axes: Axes, lines: Mapping[str, Sequence[Sequence[Mapping]]], groups: Mapping, colours: Mapping
) -> None:
    """AUROC over directions erased; lines: {erased task: [its own rows, the rows of the others' mean]}."""
    axes.set_title("signal left in the erased task")
    axes.axhline(CHANCE, color=FAINT, ls="--", lw=0.9, zorder=1)
    own = {task: [{**row, "depth": row["rank"]} for row in line] for task, (line, _) in lines.items()}
    others = {
        task: tuple([row[key] for row in line] for key in ("rank", "estimate"))
        for task, (_, line) in lines.items()
        if line
    }
    task_curves(axes, own, groups, colours, behind=others)
    axes.set(xlabel="directions erased", ylabel="AUROC of the retrained probe")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
