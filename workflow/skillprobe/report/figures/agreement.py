"""Dependencies between tasks: in the activations against in the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from skillprobe.findings.rules import has_estimate
from skillprobe.report.figures.style import (
    FAINT,
    STYLE,
    TEXT,
    TITLE,
    Figure,
    category_colours,
    draw_missing,
    draw_note,
    legend_key,
    rows_of,
    wrapped,
)

EDITS = {"erase": "erased", "flip": "reflected"}


def agreement(
    cells: Sequence[Mapping], summary: Sequence[Mapping], categories: Mapping[str, str], settings: Mapping
) -> Figure:
    """Every pair of tasks as a point, a column of panels a model: how far the target's AUROC falls when the
    source is erased, and how far compliance with it falls when the source is edited while the model writes.

    cells: tables/agreement.csv; summary: tables/agreement_summary.csv; categories: {task: category};
    settings: as for `compliance`.
    """
    columns = ("model", "edit", "source", "target", "fall_auroc", "fall_compliance")
    columns += ("lower99", "upper99", "dependent", "lost")
    models = settings["models"]
    colours = category_colours(rows_of(categories), settings)
    rows = [row for model in models for row in cells if str(row["model"]) == model]
    with matplotlib.style.context(STYLE, after_reset=True):
        canvas = Canvas(figsize=(1.2 + 2.1 * max(len(models), 2), 5.6), layout="constrained")
        grid = canvas.subplots(2, len(models), sharex=True, sharey="row", squeeze=False)
        for number, (line, (edit, word)) in enumerate(zip(grid, EDITS.items(), strict=True)):
            for model, axes in zip(models, line, strict=True):
                shown = [row for row in rows if (str(row["model"]), row["edit"]) == (model, edit)]
                if not number:
                    axes.set_title(wrapped(model, 26))
                _points(axes, shown, categories, colours)
                found = {
                    row["quantity"]: row
                    for row in summary
                    if (str(row["model"]), row["edit"]) == (model, edit)
                }
                _correlations(axes, found)
            line[0].set_ylabel(f"{word} during generation:\nfall of compliance, points")
        for axes in grid[-1]:
            axes.set_xlabel("erased from activations:\nnet fall of AUROC")
        canvas.suptitle("Do responses depend on a signal where activations do?", **TITLE)
        here = list(dict.fromkeys(categories[task] for task in settings["tasks"]))
        canvas.legend(
            handles=[
                *(legend_key(f"target: {name}", marker="o", color=colours[name]) for name in here),
                legend_key("the task itself", marker="x", color=FAINT),
                legend_key("dependent in the activations", marker="o", mfc="white"),
            ],
            loc="outside lower center",
            ncols=3,
        )
    return Figure(
        canvas, [{key: row[key] for key in columns} for row in rows], columns, settings["figures"]["dpi"]
    )


def _points(axes: Axes, rows: Sequence[Mapping], categories: Mapping[str, str], colours: Mapping) -> None:
    for line in (axes.axhline, axes.axvline):
        line(0, color=FAINT, ls="--", lw=0.7, zorder=1)
    for row in rows:
        colour = colours[categories[row["target"]]]
        style = {"marker": "o", "color": colour, "ms": 3.5, "alpha": 0.8, "mew": 0}
        if row["source"] == row["target"]:
            style = {"marker": "x", "color": colour, "ms": 4.5, "mew": 1.1}
        elif row["dependent"]:
            style |= {"mec": TEXT, "mew": 1.0, "ms": 5}
        axes.plot(row["fall_auroc"], 100 * row["fall_compliance"], ls="none", **style)


def _correlations(axes: Axes, found: Mapping[str, Mapping]) -> None:
    words = {"rank_correlation": "ρ", "within": "ρ within"}
    parts = [
        f"{word} {found[quantity]['estimate']:+.2f}, p {found[quantity]['p']:.2g}".replace("-", "−", 1)
        for quantity, word in words.items()
        if has_estimate(found.get(quantity))
    ]
    if parts:
        draw_note(axes, "\n".join(parts))
    else:
        draw_missing(axes, "insufficient")
