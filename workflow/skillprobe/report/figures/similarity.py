"""How alike layers, tasks, what is erased for each task, and models are: heatmaps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Canvas

from skillprobe.findings.rules import has_estimate
from skillprobe.report.figures.style import (
    AUROC_COLOURS,
    FAINT,
    FEW_TASKS,
    LINES,
    STYLE,
    TEXT,
    TITLE,
    Figure,
    blank_cell,
    category_colours,
    colour_bar,
    draw_missing,
    fill_cell,
    legend_key,
    name_cells,
    rows_of,
    without_zero,
    wrapped,
    write_cell,
)

# From nothing in common to the same: the one half of the colours that have a middle.
COLOURS = LinearSegmentedColormap.from_list("similarity", AUROC_COLOURS([0.5, 0.66, 0.82, 1.0]))
DEPTHS = ("middle", "last")
# Of a cell (row, column) where the row comes first in the table, and where it comes second.
PWCCA, OVERLAP = ("pwcca_first", "pwcca_second"), ("overlap", "overlap")


@dataclass(frozen=True)
class _Panel:
    """A heatmap. names: of rows and columns; cells: {(first, second, measure): row of a table}."""

    title: str
    names: list
    cells: dict
    measures: tuple[str, str]


def similarity(
    rows: Sequence[Mapping],
    model_rows: Sequence[Mapping],
    categories: Mapping[str, str],
    settings: Mapping,
) -> Figure:
    """A line of heatmaps a model: PWCCA of its layers, PWCCA of tasks, and the overlap of tasks' erasure
    subspaces, the last two at the last layer where there are any; below, PWCCA of models.

    rows: tables/similarity.csv; model_rows: tables/model_similarity.csv, or none for a single model;
    categories: {task: category}; settings: as for `compliance`. A cell of PWCCA has the weights of its row.
    """
    columns = ("panel", "model", "layer", "first", "second", "measure", "estimate", "null", "null_upper95")
    columns += ("p", "n", "n_groups", "rank", "variance", "status")
    models, tasks = settings["models"], settings["tasks"]
    lines = [_panels_of([row for row in rows if str(row["model"]) == model], tasks) for model in models]
    shown = [
        {"panel": kind, **{column: row[column] for column in columns[1:]}}
        for (model, line), kind in itertools.product(zip(models, lines, strict=True), lines[0])
        for row in line[kind].cells.values()
        if str(row["model"]) == model
    ]
    between = {}
    for depth in DEPTHS:
        found = [row for row in model_rows if row["depth"] == depth]
        found = [row for row in found if {str(row["first"]), str(row["second"])} <= {*models}]
        if found:
            between[depth] = _Panel(f"models, {depth} layer", models, _cells(found, PWCCA), PWCCA)
            shown += [
                {"panel": f"models_{depth}", "model": "", "layer": ""}
                | {column: row[column] for column in columns[3:]}
                for row in between[depth].cells.values()
            ]
    colours = category_colours(rows_of(categories), settings)
    # Inches of a matrix: its cells and its names.
    n_layers = max(len(line["layers"].names) for line in lines)
    few = len(tasks) <= FEW_TASKS
    label = 0.075 * max(len(task) for task in tasks)
    side = (0.28 if few else 0.15) * len(tasks)
    widths = [max(1.3, (0.28 if n_layers <= FEW_TASKS else 0.15) * n_layers) + 0.4]
    widths += [max(1.3, side) + label] * 2
    height = max(max(1.3, side) + label, widths[0]) + 0.75
    model_label = 0.075 * max(map(len, models))
    model_height = max(1.0, 0.28 * len(models)) + model_label + 0.75 if between else 0
    with matplotlib.style.context(STYLE, after_reset=True):
        canvas = Canvas(
            figsize=(sum(widths) + 1.2, len(models) * height + model_height + 1.5), layout="constrained"
        )
        grid = canvas.subplots(
            len(models) + bool(between),
            3,
            squeeze=False,
            gridspec_kw={
                "width_ratios": widths,
                "height_ratios": [height] * len(models) + [model_height] * bool(between),
            },
        )
        for model, line, row in zip(models, lines, grid, strict=False):
            for panel, axes in zip(line.values(), row, strict=True):
                _heatmap(axes, panel, colours, categories)
            row[0].annotate(
                wrapped(model, 26),
                (0, 1),
                (0, 20),
                xycoords="axes fraction",
                textcoords="offset points",
                fontsize=9,
                fontweight="bold",
                ha="left",
            )
        if between:
            # In the columns that are equally wide.
            for axes in (grid[-1, 0], *grid[-1, 1 + len(between) :]):
                axes.remove()
            for panel, axes in zip(between.values(), grid[-1, 1:], strict=False):
                _heatmap(axes, panel, {}, {})
        colour_bar(
            canvas,
            list(canvas.axes),
            COLOURS,
            (0, 1),
            "PWCCA, weights of the row; of subspaces the mean squared cosine of the principal angles",
            panchor=False,  # or the matrices would hang on the line's lower end
            shrink=0.6,
        )
        square = {"marker": "s", "ms": 7}
        canvas.legend(
            handles=[
                legend_key("above the 95 % quantile of its null", color=COLOURS(0.5), **square),
                legend_key("not above it", mfc="white", mec=FAINT, mew=0.5, **square),
            ],
            loc="outside lower center",
            ncols=2,
        )
        canvas.suptitle("How alike are layers, tasks and models?", **TITLE)
    return Figure(canvas, shown, columns, settings["figures"]["dpi"])


def _panels_of(rows: Sequence[Mapping], tasks: Sequence[str]) -> dict[str, _Panel]:
    of_kind = {
        kind: [row for row in rows if row["kind"] == kind] for kind in ("layers", "tasks", "subspaces")
    }
    names = {row[end] for row in of_kind["layers"] for end in ("first", "second")}
    panels = {"layers": _Panel("layers", sorted(names), _cells(of_kind["layers"], PWCCA), PWCCA)}
    for kind, words, measures in (("tasks", "tasks", PWCCA), ("subspaces", "erased subspaces", OVERLAP)):
        last = max((row["layer"] for row in of_kind[kind]), default="")
        cells = _cells([row for row in of_kind[kind] if row["layer"] == last], measures)
        title = f"{words}, layer {last}" if cells else words
        panels[kind] = _Panel(title, list(tasks), cells, measures)
    return panels


def _cells(rows: Sequence[Mapping], measures: tuple[str, str]) -> dict:
    return {
        (_name(row["first"]), _name(row["second"]), row["measure"]): row
        for row in rows
        if row["measure"] in measures
    }


def _name(value: object) -> object:
    """A layer's number, or a name that may look like one."""
    return value if isinstance(value, int) else str(value)


def _heatmap(axes: Axes, panel: _Panel, colours: Mapping, categories: Mapping[str, str]) -> None:
    axes.set_title(panel.title)
    if not panel.cells:
        draw_missing(axes, "nothing to compare")
    if not panel.names:
        axes.set_axis_off()
        return
    numbers = len(panel.names) <= FEW_TASKS
    for (y, row), (x, column) in itertools.product(enumerate(panel.names), repeat=2):
        if x == y:
            fill_cell(axes, x, y, LINES)
            continue
        found = panel.cells.get((row, column, panel.measures[0]))
        _cell(axes, x, y, found or panel.cells.get((column, row, panel.measures[1])), numbers)
    name_cells(
        axes,
        [str(name) for name in panel.names],
        [colours[categories[name]] if name in categories else TEXT for name in panel.names],
    )
    # Titles of a line at one height.
    axes.set_anchor("N")


def _cell(axes: Axes, x: int, y: int, row: Mapping | None, with_number: bool) -> None:
    if not has_estimate(row):
        blank_cell(axes, x, y)
        return
    value, clear = row["estimate"], row["estimate"] > row["null_upper95"]
    face, edge = (COLOURS(value), "white") if clear else ("white", LINES)
    fill_cell(axes, x, y, face, edge, 0.8 if with_number else 0.3)
    if with_number:
        colour = FAINT if not clear else "white" if value > 0.6 else TEXT
        write_cell(axes, x, y, without_zero(value), clear, colour)
