"""One task's probe on another task."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from skillprobe.findings.rules import SELECTED, has_estimate
from skillprobe.report.figures.style import (
    AUROC_COLOURS,
    CHANCE,
    FAINT,
    STYLE,
    TEXT,
    TITLE,
    Figure,
    blank_cell,
    category_colours,
    colour_bar,
    fill_cell,
    name_cells,
    question_mark,
    rows_of,
    without_zero,
    wrapped,
    write_cell,
)


def transfer(rows: Sequence[Mapping], categories: Mapping[str, str], settings: Mapping) -> Figure:
    """The signed matrix of AUROCs of every task's probe on every task, at the selected layer.

    rows: tables/transfer.csv; categories: {task: category}; settings: as for `compliance`. Tasks stand in the
    order of the model's clustering; insufficient ones come last and stay blank.
    """
    columns = ("model", "source", "target", "estimate", "lower_simultaneous95", "upper_simultaneous95")
    columns += ("ratio", "n", "n_groups", "status")
    rows = [row for row in rows if row["layer"] == SELECTED]
    models = settings["models"]
    colours = category_colours(rows_of(categories), settings)
    per_line = min(2, len(models))
    lines = math.ceil(len(models) / per_line)
    side = 0.9 + 0.26 * len(settings["tasks"])
    with matplotlib.style.context(STYLE, after_reset=True):
        # The title is wider than the matrix of one model with few tasks.
        width = max(per_line * (side + 0.55), 3.4)
        canvas = Canvas(figsize=(width, lines * (side + 0.5) + 0.9), layout="constrained")
        grid = canvas.subplots(lines, per_line, squeeze=False)
        for axes in grid.flat[len(models) :]:
            axes.remove()
        for model, axes in zip(models, grid.flat, strict=False):
            cells = {(r["source"], r["target"]): r for r in rows if str(r["model"]) == model}
            place = {row["source"]: row["source_place"] for row in cells.values()}
            order = sorted(settings["tasks"], key=lambda task, place=place: place.get(task, math.inf))
            for (y, source), (x, target) in itertools.product(enumerate(order), repeat=2):
                _cell(axes, x, y, cells.get((source, target)))
            name_cells(axes, order, [colours[categories[task]] for task in order])
            axes.set_title(wrapped(model, 26))
        for axes in grid[:, 0]:
            axes.set_ylabel("probe trained on")
        for axes in canvas.axes[-per_line:]:
            axes.set_xlabel("tested on")
        bar = colour_bar(
            canvas,
            list(canvas.axes),
            AUROC_COLOURS,
            (0, 1),
            "AUROC; bold: chance is outside its interval, 95 % for all cells of a panel together",
        )
        bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0 reversed", "0.25", "0.5 chance", "0.75", "1"])
        canvas.suptitle("Does one task's probe work on another" + question_mark(rows), **TITLE)
    shown = [
        {column: row[column] for column in columns}
        for model in models
        for row in sorted(
            (row for row in rows if str(row["model"]) == model),
            key=lambda row: (settings["tasks"].index(row["source"]), settings["tasks"].index(row["target"])),
        )
    ]
    return Figure(canvas, shown, columns, settings["figures"]["dpi"])


def _cell(axes: Axes, x: int, y: int, row: Mapping | None) -> None:
    if not has_estimate(row):
        blank_cell(axes, x, y)
        return
    value = row["estimate"]
    fill_cell(axes, x, y, AUROC_COLOURS(value))
    clear = not row["lower_simultaneous95"] <= CHANCE <= row["upper_simultaneous95"]
    dark = abs(value - CHANCE) > 0.28
    write_cell(axes, x, y, without_zero(value), clear, "white" if dark else TEXT if clear else FAINT)
