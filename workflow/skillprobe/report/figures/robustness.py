"""Other words for the same: how often the models obey, and how far probes carry over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from skillprobe.findings.rules import MEAN, SELECTED, has_estimate
from skillprobe.report.figures.style import (
    AUROC_COLOURS,
    CHANCE,
    FAINT,
    FEW_TASKS,
    STYLE,
    TEXT,
    TITLE,
    Figure,
    blank_cell,
    by_category,
    category_colours,
    draw_missing,
    draw_note,
    fill_cell,
    in_order,
    legend_key,
    question_mark,
    task_lines,
    without_zero,
    wrapped,
    write_cell,
)
from skillprobe.storage.tables import is_number

COMPLIANCE = "compliance"
TYPES = {"human": "human", "plm": "PLM", "entailment": "entailment"}
OTHER_TYPES = {"other_types": "both others"}
POLARITIES = {"positive": "positive", "negated": "negated"}
PROBES = {"other_phrasings": "others", "any_phrasing": "any"}
# Of each panel, the difference that is written above it.
NOTES = {
    "type": ("within_minus_across", "own − other type"),
    "polarity": ("within_minus_across", "own − other polarity"),
    "held_out": ("any_minus_other", "any − others"),
}


def robustness(rows: Sequence[Mapping], wording: Sequence[Mapping], settings: Mapping) -> Figure:
    """A column of panels a model, means over tasks: compliance by instruction type and polarity; AUROC of
    probes of each type, and of each polarity, on each; and on phrasings that they were not trained on, by the
    number of those that they were, and beside a probe of any phrasing.

    rows: tables/robustness.csv; wording: tables/wording.csv; settings: as for `compliance`.
    """
    columns = ("panel", "model", "task", "category", "trained_on", "tested_on", "n_phrasings")
    columns += ("estimate", "lower95", "upper95", "n", "n_groups", "n_tasks", "status")
    rows = [row | {"panel": row["contrast"]} for row in rows if row["layer"] == SELECTED]
    asked = question_mark(rows)
    rows += [
        row | {"panel": COMPLIANCE, "trained_on": "", "tested_on": row["wording"], "n_phrasings": ""}
        for row in wording
        if row["wording"] in TYPES | POLARITIES
    ]
    models = settings["models"]
    groups, colours = by_category(rows, settings), category_colours(rows, settings)
    styles, keys = task_lines(groups, colours)
    styles = {
        task: styles[task] | {"color": colours[category]} for category in groups for task in groups[category]
    }
    sizes = sorted({row["n_phrasings"] for row in rows if is_number(row["n_phrasings"])})
    with matplotlib.style.context(STYLE, after_reset=True):
        canvas = Canvas(figsize=(2.4 + 2.2 * len(models), 8.6), layout="constrained")
        grid = canvas.subplots(
            4, len(models), sharey="row", squeeze=False, gridspec_kw={"height_ratios": (1.4, 1.7, 0.95, 1.6)}
        )
        for model, (top, types, polarities, curve) in zip(models, grid.T, strict=True):
            own = [row for row in rows if str(row["model"]) == model]
            top.set_title(wrapped(model, 26))
            _compliance(top, [row for row in own if row["panel"] == COMPLIANCE], styles)
            _matrix(types, [row for row in own if row["panel"] == "type"], TYPES, TYPES | OTHER_TYPES)
            _matrix(polarities, [row for row in own if row["panel"] == "polarity"], POLARITIES, POLARITIES)
            _phrasings(curve, own, sizes, styles)
            for axes, contrast in ((types, "type"), (polarities, "polarity"), (curve, "held_out")):
                _note(axes, own, contrast)
        words = (
            "responses that satisfy",
            "AUROC, probe trained on",
            "trained on\n(human phrasings)",
            "AUROC on unseen phrasings",
        )
        for name, line in zip(words, grid, strict=True):
            line[0].set_ylabel(name)
        canvas.suptitle("Does the wording of the instruction matter" + asked, **TITLE)
        canvas.legend(
            handles=[
                legend_key("mean of tasks, 95 %", marker="o", ls="-", lw=1.6),
                legend_key("chance", ls="--", color=FAINT),
                legend_key("small: number of tasks, if not all", marker="$3$", color=FAINT),
            ],
            loc="outside lower center",
            ncols=3 if len(models) > 1 else 2,
        )
        if groups and len(settings["tasks"]) <= FEW_TASKS:
            canvas.legend(handles=keys, loc="outside right center", handlelength=2.6)
    return Figure(canvas, in_order(rows, settings, columns), columns, settings["figures"]["dpi"])


def _compliance(axes: Axes, rows: Sequence[Mapping], styles: Mapping) -> None:
    """Types, then polarities of human phrasings."""
    places = {name: x + (name in POLARITIES) * 0.6 for x, name in enumerate(TYPES | POLARITIES)}
    for task, style in styles.items():
        found = {row["tested_on"]: row["estimate"] for row in rows if row["task"] == task}
        for names in (TYPES, POLARITIES):
            here = [name for name in names if is_number(found.get(name))]
            _faint(axes, [places[name] for name in here], [found[name] for name in here], style)
    for names in (TYPES, POLARITIES):
        mean = {row["tested_on"]: row for row in rows if row["task"] == MEAN and has_estimate(row)}
        here = [name for name in names if name in mean]
        _mean(axes, [places[name] for name in here], [mean[name] for name in here])
    axes.set(xlim=(-0.4, max(places.values()) + 0.4), ylim=(-0.03, 1.03))
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25", "50", "75", "100 %"])
    axes.set_xticks(list(places.values()), list((TYPES | POLARITIES).values()), rotation=90)
    if not any(map(has_estimate, rows)):
        draw_missing(axes, "no responses")


def _matrix(axes: Axes, rows: Sequence[Mapping], tested: Mapping, trained: Mapping) -> None:
    """Probes of each group on each; a number, and how many tasks it is the mean of if not of all."""
    of_mean = {(row["trained_on"], row["tested_on"]): row for row in rows if row["task"] == MEAN}
    n_tasks = len({row["task"] for row in rows} - {MEAN})
    for y, source in enumerate(trained):
        for x, target in enumerate(tested):
            row, y_here = of_mean.get((source, target)), y + (source in OTHER_TYPES) * 0.25
            if not has_estimate(row):
                blank_cell(axes, x, y_here)
                continue
            value, clear = row["estimate"], not row["lower95"] <= CHANCE <= row["upper95"]
            dark = abs(value - CHANCE) > 0.28
            colour = "white" if dark else TEXT
            fill_cell(axes, x, y_here, AUROC_COLOURS(value))
            write_cell(axes, x, y_here, without_zero(value), clear, colour, size=7.5)
            if row["n_tasks"] < n_tasks:
                write_cell(axes, x + 0.3, y_here + 0.28, str(row["n_tasks"]), False, colour, size=5.5)
    names = list(trained)
    heights = [y + (name in OTHER_TYPES) * 0.25 for y, name in enumerate(names)]
    axes.set(xlim=(-0.5, len(tested) - 0.5), ylim=(heights[-1] + 0.5, -0.5))
    axes.set_yticks(heights, [trained[name] for name in names])
    axes.set_xticks(range(len(tested)), list(tested.values()))
    axes.set_xlabel("tested on", labelpad=1)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _phrasings(axes: Axes, rows: Sequence[Mapping], sizes: Sequence[int], styles: Mapping) -> None:
    """On the left by the number of phrasings trained on, on the right the phrasings held out."""
    axes.axhline(CHANCE, color=FAINT, ls="--", lw=0.7, zorder=1)
    right = {name: max(len(sizes), 1) + 0.6 + x for x, name in enumerate(PROBES)}
    place = {str(size): x for x, size in enumerate(sizes)} | right
    points = [row for row in rows if row["panel"] in ("diversity", "held_out") and row["tested_on"]]
    for contrast in ("diversity", "held_out"):
        by_task: dict[str, list[tuple[float, Mapping]]] = {}
        for row in points:
            if row["panel"] == contrast and has_estimate(row):
                name = str(row["n_phrasings"]) if contrast == "diversity" else row["trained_on"]
                by_task.setdefault(row["task"], []).append((place[name], row))
        for task, found in by_task.items():
            found.sort(key=lambda point: point[0])
            places, shown = [x for x, _ in found], [row for _, row in found]
            if task == MEAN:
                _mean(axes, places, shown, band=contrast == "diversity")
            elif task in styles:
                _faint(axes, places, [row["estimate"] for row in shown], styles[task])
    known = {row["n_phrasings"] for row in points if row["task"] == MEAN and has_estimate(row)}
    for x in (x for x, size in enumerate(sizes) if size not in known):
        style = {"ha": "center", "va": "bottom", "rotation": 90, "style": "italic", "color": FAINT}
        axes.text(x, 0.54, "insufficient", fontsize=6.5, **style)
    axes.axvline(max(len(sizes), 1) - 0.2, color=FAINT, lw=0.5)
    lowest = min([row["lower95"] for row in points if row["task"] == MEAN and has_estimate(row)], default=0.4)
    axes.set(xlim=(-0.5, max(right.values()) + 0.5), ylim=(min(0.35, lowest), 1.02))
    axes.set_yticks([0.5, 0.75, 1])
    axes.set_xticks(list(place.values()), [*map(str, sizes), *PROBES.values()])
    axes.set_xlabel("phrasings trained on:\nhow many | which", labelpad=1)


def _mean(axes: Axes, places: Sequence[float], rows: Sequence[Mapping], band: bool = False) -> None:
    values = [row["estimate"] for row in rows]
    lower, upper = ([row[end] for row in rows] for end in ("lower95", "upper95"))
    if band and len(rows) > 1:
        axes.fill_between(places, lower, upper, color=TEXT, alpha=0.15, lw=0)
    else:
        axes.vlines(places, lower, upper, color=TEXT, lw=1.6, zorder=4)
    axes.plot(places, values, "o-" if band else "o", color=TEXT, ms=4, lw=1.6, zorder=5)


def _faint(axes: Axes, places: Sequence[float], values: Sequence[float], style: Mapping) -> None:
    axes.plot(places, values, **style | {"lw": 0.7, "ms": 2.5, "alpha": 0.75})


def _note(axes: Axes, rows: Sequence[Mapping], contrast: str) -> None:
    """The difference that the panel is about, in numbers."""
    name, words = NOTES[contrast]
    found = [row for row in rows if (row["panel"], row["trained_on"], row["task"]) == (contrast, name, MEAN)]
    if found and has_estimate(found[0]):
        # Rounded first and 0 added, as there is no −0.00.
        value, *bounds = (
            f"{round(found[0][key], 2) + 0.0:+.2f}".replace("-", "−")
            for key in ("estimate", "lower95", "upper95")
        )
        draw_note(axes, f"{words} {value} [{', '.join(bounds)}]", color=TEXT)
    else:
        draw_missing(axes, f"{words}: insufficient")
