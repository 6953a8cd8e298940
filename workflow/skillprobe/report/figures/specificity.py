"""Do probes read the match of text and constraint? On crossings, and with and without the constraint."""

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
    LINES,
    MARKERS,
    STYLE,
    TEXT,
    TITLE,
    Figure,
    blank_line,
    blank_tasks,
    by_category,
    category_colours,
    draw_note,
    draw_point,
    in_order,
    legend_key,
    signed,
    task_words,
    why,
    wrapped,
)

# Of probes that are trained within items, where there are any: they read least of what prompts say.
SCOPES = ("within", "across")
MATCHES = ("match", "likelihood_match", "match_beyond_likelihood")

GROUPS = {
    "satisfied": {"marker": "o", "filled": True, "label": "with the constraint: satisfied"},
    "violated": {"marker": "o", "filled": False, "label": "… violated"},
    "twin_satisfied": {"marker": "D", "filled": True, "label": "without it: satisfied"},
    "twin_violated": {"marker": "D", "filled": False, "label": "… violated"},
}


def specificity(rows: Sequence[Mapping], settings: Mapping) -> Figure:
    """The match, the plane of AUROCs with and without the constraint, and the projections of both, a column
    of panels a model, at the selected layer.

    rows: tables/specificity.csv; settings: as for `compliance`.
    """
    columns = ("model", "scope", "task", "category", "quantity", "estimate", "lower95", "upper95")
    columns += ("n", "n_groups", "status")
    wanted = ("constrained", "twins", "specificity", *MATCHES, *GROUPS)
    scope = next((each for each in SCOPES if any(row["scope"] == each for row in rows)), SCOPES[-1])
    rows = [
        row
        for row in rows
        if row["layer"] == SELECTED
        and row["quantity"] in wanted
        and (row["scope"] == scope or row["quantity"] not in MATCHES)
    ]
    models = settings["models"]
    named = [row for row in rows if row["task"] != MEAN]
    groups, colours = by_category(named, settings), category_colours(named, settings)
    tasks = [task for names in groups.values() for task in names]
    marks = {task: MARKERS[k % len(MARKERS)] for names in groups.values() for k, task in enumerate(names)}
    colour = {task: colours[category] for category, names in groups.items() for task in names}
    found = {(str(row["model"]), row["task"], row["quantity"]): row for row in rows}
    bounds = [
        row[end]
        for row in rows
        if row["quantity"] in ("constrained", "twins") and has_estimate(row)
        for end in ("lower95", "upper95")
    ]
    limits = (min([0.35, *bounds]) - 0.02, max([0.8, *bounds]) + 0.02)
    with matplotlib.style.context(STYLE, after_reset=True):
        height, of_match = 0.19 * len(tasks) + 0.6, 0.19 * (len(tasks) + 1.4) + 0.6
        canvas = Canvas(
            figsize=(
                1.6 + 2.2 * max(len(models), 2),
                3.8 + height + of_match + 0.2 * len(tasks[:FEW_TASKS]) / 3,
            ),
            layout="constrained",
        )
        grid = canvas.subplots(
            3,
            len(models),
            sharey="row",
            squeeze=False,
            gridspec_kw={"height_ratios": (of_match, 2.1, height)},
        )
        for model, (match, plane, lines) in zip(models, grid.T, strict=True):
            of_model = {key[1:]: row for key, row in found.items() if key[0] == model}
            match.set_title(wrapped(model, 26))
            _match(match, of_model, tasks, colour)
            _plane(plane, of_model, tasks, marks, colour, limits)
            _projections(lines, of_model, tasks, colour)
        names = [task_words(task) for task in tasks]
        grid[0, 0].set_yticks([*range(len(tasks)), len(tasks) + 0.4], [*names, "mean"])
        grid[0, 0].set_ylim(len(tasks) + 0.9, -0.6)
        grid[1, 0].set_ylabel("AUROC with the constraint")
        grid[2, 0].set_yticks(range(len(tasks)), names)
        grid[2, 0].set_ylim(len(tasks) - 0.5, -0.5)
        canvas.suptitle("Do probes read whether text and constraint match, or only the text?", **TITLE)
        keys = [
            legend_key("match read by the probe", marker="o", color=TEXT),
            legend_key("… by the model's likelihood", marker="s", color=FAINT, mfc="white"),
        ]
        keys += [
            legend_key(task_words(task), marker=marks[task], color=colour[task])
            for task in tasks
            if len(tasks) <= FEW_TASKS
        ]
        keys += [
            legend_key(
                each["label"], marker=each["marker"], color=FAINT, mfc=FAINT if each["filled"] else "white"
            )
            for each in GROUPS.values()
        ]
        canvas.legend(handles=keys, loc="outside lower center", ncols=3)
    return Figure(canvas, in_order(rows, settings, columns), columns, settings["figures"]["dpi"])


def _match(axes: Axes, found: Mapping, tasks, colour) -> None:
    axes.hlines([*range(len(tasks)), len(tasks) + 0.4], 0, 1, LINES, lw=0.6, zorder=0)
    axes.axvline(CHANCE, color=FAINT, ls="--", lw=0.8, zorder=1)
    for task, y in (*zip(tasks, range(len(tasks)), strict=True), (MEAN, len(tasks) + 0.4)):
        own, other = found.get((task, "match")), found.get((task, "likelihood_match"))
        if not has_estimate(own):
            blank_line(axes, y, why(own))
            continue
        if has_estimate(other):
            draw_point(
                axes, other["estimate"], other["lower95"], other["upper95"], y + 0.2, FAINT, hollow=True
            )
        bounds = own["estimate"], own["lower95"], own["upper95"]
        draw_point(axes, *bounds, y - 0.12, TEXT if task == MEAN else colour[task])
    axes.set(
        xlim=(-0.03, 1.03), xlabel="share of crossings read as matching\n(½: reads text or prompt alone)"
    )
    axes.set_xticks((0, 0.25, CHANCE, 0.75, 1), ("0", "¼", "½", "¾", "1"))
    axes.tick_params(axis="y", length=0)


def _plane(axes: Axes, found: Mapping, tasks, marks, colour, limits) -> None:
    axes.plot(limits, limits, color=FAINT, ls="--", lw=0.8, zorder=1)
    for line in (axes.axhline, axes.axvline):
        line(CHANCE, color=FAINT, ls=":", lw=0.6, zorder=1)
    blank = []
    for task in tasks:
        own, other = (found.get((task, variant)) for variant in ("constrained", "twins"))
        if not has_estimate(own) or not has_estimate(other):
            blank.append(task)
            continue
        style = {"color": colour[task], "lw": 0.8, "alpha": 0.6}
        axes.plot((other["lower95"], other["upper95"]), (own["estimate"],) * 2, **style)
        axes.plot((other["estimate"],) * 2, (own["lower95"], own["upper95"]), **style)
        axes.plot(other["estimate"], own["estimate"], marks[task], color=colour[task], ms=4.5)
    axes.set(xlim=limits, ylim=limits, xlabel="AUROC without it", aspect="equal")
    mean, notes = found.get((MEAN, "specificity")), []
    if has_estimate(mean):
        notes.append(signed("S", mean))
    if blank:
        notes.append(blank_tasks(blank, 40))
    if notes:
        draw_note(axes, "\n".join(notes), color=FAINT)


def _projections(axes: Axes, found: Mapping, tasks, colour) -> None:
    axes.axvline(0, color=FAINT, ls="--", lw=0.7, zorder=1)
    for y, task in enumerate(tasks):
        for place, (name, style) in enumerate(GROUPS.items()):
            row = found.get((task, name))
            if has_estimate(row):
                height = y - 0.16 if place < 2 else y + 0.16
                axes.plot((row["lower95"], row["upper95"]), (height,) * 2, color=colour[task], lw=0.8)
                face = colour[task] if style["filled"] else "white"
                axes.plot(
                    row["estimate"], height, style["marker"], color=colour[task], mfc=face, ms=4, mew=0.9
                )
    axes.set_xlabel("on the probe's direction, s.d.")
    axes.tick_params(axis="y", length=0)
