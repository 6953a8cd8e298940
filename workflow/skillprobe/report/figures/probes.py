"""What probes read: specialists beside general ones, and both over the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from skillprobe.findings.rules import DIFFERENCE, GENERAL, MEAN, SELECTED, has_estimate
from skillprobe.report.figures.style import (
    CHANCE,
    FAINT,
    STYLE,
    TITLE,
    Figure,
    TaskPanels,
    auroc_limits,
    auroc_ticks,
    blank_line,
    blank_tasks,
    by_category,
    category_colours,
    draw_curve,
    draw_missing,
    draw_note,
    draw_point,
    in_order,
    is_constant,
    legend_key,
    lines_of_panels,
    panel_width,
    question_mark,
    signed,
    task_line,
    task_words,
    why,
    wrapped,
)

# What the names of a control's probes begin with, its words in the legend, its mark.
CONTROLS = (
    ("residualised", "specialist without length and phrasing", "d"),
    ("shuffled", "specialist on shuffled labels", "|"),
    ("random_weights", "specialist of the random-weight model", "1"),
    ("surface_", "best of length, phrasing, words", "+"),
)


def specialist_against_general(rows: Sequence[Mapping], settings: Mapping) -> Figure:
    """Each task's specialist probe beside the general probe of all tasks, each at its selected layer.

    rows: tables/generality.csv; settings: as for `compliance`.
    """
    columns = (
        "model",
        "task",
        "category",
        "probe",
        "estimate",
        "lower95",
        "upper95",
        "n",
        "n_groups",
        "status",
    )
    probes = ("specialist", GENERAL, DIFFERENCE)
    rows = [
        row
        for row in rows
        if row["metric"] == "auroc"
        and row["layer"] == SELECTED
        and (row["probe"] in probes or row["probe"].startswith(tuple(prefix for prefix, *_ in CONTROLS)))
    ]
    found = {(str(row["model"]), row["task"], row["probe"]): row for row in rows}
    with matplotlib.style.context(STYLE, after_reset=True):
        page = TaskPanels(rows, settings, with_mean=True)
        for model, axes in page.axes.items():
            axes.axvline(CHANCE, color=FAINT, ls="--", lw=0.9, zorder=1)
            for task, y, colour in page.lines():
                special, general = (found.get((model, task, probe)) for probe in probes[:2])
                if not has_estimate(special) or not has_estimate(general):
                    blank_line(axes, y, why(general if has_estimate(special) else special))
                    continue
                ends = special["estimate"], general["estimate"]
                axes.plot(ends, (y - 0.17, y + 0.17), color=colour, lw=0.8, alpha=0.6)
                for row, offset, hollow in ((general, 0.17, True), (special, -0.17, False)):
                    bounds, cross = (row["lower95"], row["upper95"]), is_constant(row)
                    draw_point(axes, row["estimate"], *bounds, y + offset, colour, hollow, cross)
                _controls(axes, [row for row in rows if (str(row["model"]), row["task"]) == (model, task)], y)
            difference = found.get((model, MEAN, DIFFERENCE))
            if not has_estimate(difference):
                draw_missing(axes, "Δ insufficient")
            else:
                draw_note(axes, signed("Δ", difference))
        page.finish(
            "Is one general probe as good as a specialist" + question_mark(rows),
            "AUROC",
            limits=auroc_limits(rows),
            handles=(
                legend_key("specialist: trained on this task", marker="o", ls="-"),
                legend_key("general: trained on all tasks", marker="s", mfc="white", ms=4.2, ls="-"),
                legend_key("specialist − general, mean of tasks that count", marker="$Δ$", ms=6, mew=0.4),
                *(
                    legend_key(f"control: {label}", marker=mark, color=FAINT, ms=4)
                    for prefix, label, mark in CONTROLS
                    if any(row["probe"].startswith(prefix) for row in rows)
                ),
                legend_key("chance", ls="--", color=FAINT),
                *([legend_key("constant scores", marker="x")] if any(map(is_constant, rows)) else []),
            ),
        )
        for axes in page.axes.values():
            axes.set_xticks(auroc_ticks(axes.get_xlim()))
    return Figure(page.canvas, in_order(rows, settings, columns), columns, settings["figures"]["dpi"])


def _controls(axes: Axes, rows: Sequence[Mapping], y: float) -> None:
    """The specialist's controls on one line, small and grey; of the surface baselines, the best."""
    for prefix, _, mark in CONTROLS:
        values = [r["estimate"] for r in rows if r["probe"].startswith(prefix) and has_estimate(r)]
        if values:
            axes.plot(max(values), y, mark, color=FAINT, ms=4, mew=0.9, zorder=3)


def layer_curves(rows: Sequence[Mapping], emergence: Sequence[Mapping], settings: Mapping) -> Figure:
    """AUROC of the specialist probes over relative depth, and of their control: a row of panels a category,
    a column a model.

    rows: tables/generality.csv; emergence: tables/layers.csv; settings: as for `compliance`.
    """
    columns = ("model", "task", "category", "probe", "layer", "depth")
    columns += ("estimate", "lower95", "upper95", "n", "status")
    rows = [
        r
        for r in rows
        if r["probe"] in ("specialist", "shuffled") and r["metric"] == "auroc" and r["layer"] != SELECTED
    ]
    rows = sorted((row for row in rows if row["task"] != MEAN), key=lambda row: row["layer"])
    curves: dict[tuple[str, str, str], list[Mapping]] = {}
    for row in rows:
        curves.setdefault((str(row["model"]), row["task"], row["probe"]), []).append(row)
    emerged = {
        (str(row["model"]), row["task"]): row for row in emergence if row["quantity"] in ("emergence", "tau")
    }
    groups, colours = by_category(rows, settings), category_colours(rows, settings)
    blocks = lines_of_panels(settings["models"])
    with matplotlib.style.context(STYLE, after_reset=True):
        heights = [max(1.15, 0.4 + 0.15 * len(tasks)) for tasks in groups.values()]
        label = max(len(task_words(task)) for tasks in groups.values() for task in tasks)
        canvas = Canvas(
            figsize=(
                1.1 + 0.065 * label + 0.85 * panel_width(len(blocks[0])),
                0.9 + len(blocks) * (sum(heights) + 0.5),
            ),
            layout="constrained",
        )
        grid = canvas.subplots(
            len(blocks) * len(groups),
            len(blocks[0]),
            sharex=True,
            sharey=True,
            squeeze=False,
            gridspec_kw={"height_ratios": heights * len(blocks)},
        )
        for axes in grid.flat:
            axes.set_visible(False)
        for b, models in enumerate(blocks):
            for g, (category, tasks) in enumerate(groups.items()):
                line = grid[b * len(groups) + g]
                styles = {task: task_line(k) for k, task in enumerate(tasks)}
                for model, axes in zip(models, line, strict=False):
                    axes.set_visible(True)
                    axes.axhline(CHANCE, color=FAINT, ls="--", lw=0.9, zorder=1)
                    blank = []
                    for k, task in enumerate(tasks):
                        control = curves.get((model, task, "shuffled"), [])
                        depth, value = ([row[key] for row in control] for key in ("depth", "estimate"))
                        axes.plot(depth, value, color=FAINT, lw=0.7, ls=":")
                        curve = curves.get((model, task, "specialist"), [])
                        if any(has_estimate(row) for row in curve):
                            draw_curve(axes, curve, colours[category], styles[task], crowd=len(tasks))
                        else:
                            blank.append(task)
                        if has_estimate(found := emerged.get((model, task))):
                            # Along the lower edge, a line a task.
                            line_y = {"transform": axes.get_xaxis_transform(), "color": colours[category]}
                            axes.plot(
                                (found["lower95"], found["upper95"]), [0.05 + 0.07 * k] * 2, lw=1, **line_y
                            )
                            axes.plot(
                                found["estimate"], 0.05 + 0.07 * k, styles[task]["marker"], ms=4, **line_y
                            )
                    notes = [blank_tasks(blank, 32)] if blank else []
                    if g == 0:
                        axes.set_title(wrapped(model, 24))
                        notes = [_order(emerged.get((model, "all"))), *notes]
                    if notes:
                        draw_missing(axes, "\n".join(notes))
                    axes.tick_params(labelbottom=g == len(groups) - 1)
                    if g == len(groups) - 1:
                        axes.set_xlabel("relative depth\n0 embeddings · 1 last block", fontsize=7)
                line[0].set_ylabel("AUROC")
                line[len(models) - 1].legend(
                    handles=[
                        legend_key(task_words(task), color=colours[category], **styles[task])
                        for task in tasks
                    ],
                    title=category,
                    title_fontproperties={"weight": "bold", "size": 8},
                    alignment="left",
                    loc="center left",
                    bbox_to_anchor=(1.02, 0.5),
                    handlelength=2.6,
                )
        grid[0, 0].set(xlim=(-0.03, 1.03), ylim=auroc_limits(rows))
        grid[0, 0].set_yticks(auroc_ticks(grid[0, 0].get_ylim(), 0.25))
        grid[0, 0].set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
        canvas.suptitle("Where in the network can satisfaction be read" + question_mark(rows), **TITLE)
        canvas.legend(
            handles=[
                legend_key("specialist probe, 95 % band", ls="-", lw=1.2),
                legend_key("lower edge: emergence, 95 %", marker="o", ls="-", lw=1, ms=4),
                legend_key("the same with shuffled labels", ls=":", lw=0.9, color=FAINT),
                legend_key("chance", ls="--", color=FAINT),
            ],
            loc="outside lower center",
            ncols=2,
        )
    return Figure(canvas, in_order(rows, settings, columns), columns, settings["figures"]["dpi"])


def _order(row: Mapping | None) -> str:
    """Kendall's τ between the categories' order and emergence, in a few words."""
    return signed("τ", row, digits=2) if has_estimate(row) else "τ insufficient"
