"""The figures. Each answers the one question in its title and goes with a table of what it shows.

Common to all: a panel a model, tasks under their category, a category's colour the same everywhere, 95 %
intervals, and a labelled blank where a task is insufficient. Equal tables and settings give equal bytes.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import matplotlib.style
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator

from skillprobe.store import atomic_path
from skillprobe.tables import write_csv
from skillprobe.tasks import CATEGORIES

# The primary variant of ESTIMANDS: all data, centred within task.
GENERAL = "general_centred"
DIFFERENCE = f"specialist_minus_{GENERAL}"
SELECTED = "selected"
MEAN = "mean"
CHANCE = 0.5

TEXT, FAINT, LINES = "#222222", "#6b6b6b", "#e6e6e6"
STYLE = {
    # Text as outlines and a fixed salt for ids: the same SVG on every machine.
    "svg.fonttype": "path",
    "svg.hashsalt": "skillprobe",
    # Text as wide in the PNG as in the SVG.
    "text.hinting": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.06,
}
# Chance is white, and colour-blind readers can tell the ends apart.
TRANSFER_COLOURS = matplotlib.colormaps["RdBu_r"]
# Of the ablation: the cells that decide, the fall of AUROC that has the full colour, and how wide the outline
# of a cell is.
PRIMARY_ABLATION = {"layer": SELECTED, "method": "inlp", "probe": "retrained"}
FULL_FALL = 0.25
# Of behaviour: loss is red here as well; the change in percentage points that has the full colour.
BEHAVIOUR_COLOURS = matplotlib.colormaps["RdBu"]
FULL_CHANGE = 50
BEHAVIOUR_KINDS = {"erase": "erased", "flip": "reflected"}
OUTLINES = {"dependent": 1.6, "undecided": 0.5}
# With more tasks than this, cells have no numbers and curves of one category look the same.
FEW_TASKS = 12
# What the names of a control's probes begin with, its words in the legend, its mark.
CONTROLS = (
    ("residualised", "specialist without length and phrasing", "d"),
    ("shuffled", "specialist on shuffled labels", "|"),
    ("random_weights", "specialist of a random-weight twin", "1"),
    ("surface_", "best of length, phrasing, words", "+"),
)
# So that tasks of one category, which share its colour, can be told apart.
DASHES = ("-", (0, (4, 1.2)), (0, (1, 1)), (0, (6, 1.2, 1, 1.2)))
MARKERS = ("o", "s", "^", "D", "v")


@dataclass(frozen=True)
class Figure:
    """A drawn figure, the rows that it shows and their columns, and the PNG's dots per inch."""

    canvas: Canvas
    rows: list[dict]
    columns: tuple[str, ...]
    dpi: int

    def save(self, *, svg: str | Path, png: str | Path, data: str | Path) -> None:
        """Write the figure as SVG and PNG and its rows as CSV, each whole or not at all."""
        with matplotlib.style.context(STYLE, after_reset=True):
            # The layout is found here and holds for both files; the second pass knows the room of the first.
            if layout := self.canvas.get_layout_engine():
                layout.execute(self.canvas)
                layout.execute(self.canvas)
                self.canvas.set_layout_engine("none")
            for path, kind, metadata in (
                (svg, "svg", {"Date": None, "Creator": None}),
                (png, "png", {"Software": None}),
            ):
                with atomic_path(path) as temporary:
                    self.canvas.savefig(temporary, format=kind, dpi=self.dpi, metadata=metadata)
        write_csv(data, self.rows, self.columns)


def compliance(rows: Sequence[Mapping], settings: Mapping) -> Figure:
    """How often each model obeys, by task, beside the rate at which uninstructed twins happen to.

    rows: tables/compliance.csv; settings: "tasks" and "models" (names in the order shown), "figures" (the
    config's palette and dpi).
    """
    columns = ("model", "task", "category", "compliance", "lower95", "upper95", "n", "n_bases")
    columns += ("twin_compliance", "n_twin")
    found = {(str(row["model"]), row["task"]): row for row in rows}
    with matplotlib.style.context(STYLE, after_reset=True):
        page = _TaskPanels(rows, settings)
        for model, axes in page.axes.items():
            for task, y, colour in page.lines():
                row = found.get((model, task))
                if row is None or not _is_number(row["compliance"]):
                    _blank(axes, y, "no answers")
                    continue
                if _is_number(row["twin_compliance"]):
                    axes.plot(row["twin_compliance"], y, "o", mfc="white", mec=colour, mew=1.1, ms=6.5)
                _point(axes, row["compliance"], row["lower95"], row["upper95"], y, colour)
        page.finish(
            "How often does each model obey?",
            "answers that satisfy",
            limits=(-0.03, 1.03),
            handles=(
                _key("instructed, 95 % interval", marker="o", ls="-"),
                _key("same request, uninstructed", marker="o", mfc="white", ms=6.5),
            ),
        )
        for axes in page.axes.values():
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25", "50", "75", "100 %"])
    return Figure(page.canvas, _shown(rows, settings, columns), columns, settings["figures"]["dpi"])


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
        "n_bases",
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
        page = _TaskPanels(rows, settings, with_mean=True)
        for model, axes in page.axes.items():
            axes.axvline(CHANCE, color=FAINT, ls="--", lw=0.9, zorder=1)
            for task, y, colour in page.lines():
                special, general = (found.get((model, task, probe)) for probe in probes[:2])
                if not _has_estimate(special) or not _has_estimate(general):
                    _blank(axes, y, _why(general if _has_estimate(special) else special))
                    continue
                ends = special["estimate"], general["estimate"]
                axes.plot(ends, (y - 0.17, y + 0.17), color=colour, lw=0.8, alpha=0.6)
                for row, offset, hollow in ((general, 0.17, True), (special, -0.17, False)):
                    bounds, cross = (row["lower95"], row["upper95"]), _is_constant(row)
                    _point(axes, row["estimate"], *bounds, y + offset, colour, hollow, cross)
                _controls(axes, [row for row in rows if (str(row["model"]), row["task"]) == (model, task)], y)
            difference = found.get((model, MEAN, DIFFERENCE))
            if not _has_estimate(difference):
                _note(axes, "Δ insufficient", style="italic", color=FAINT)
            else:
                text = "Δ {estimate:+.3f} [{lower95:+.3f}, {upper95:+.3f}]".format(**difference)
                _note(axes, text.replace("-", "−"))
        page.finish(
            "Is one general probe as good as a specialist?",
            "AUROC",
            limits=_auroc_limits(rows),
            handles=(
                _key("specialist: trained on this task", marker="o", ls="-"),
                _key("general: trained on all tasks", marker="s", mfc="white", ms=4.2, ls="-"),
                _key("specialist − general, mean of tasks", marker="$Δ$", ms=6, mew=0.4),
                *(_key(f"control: {label}", marker=mark, color=FAINT, ms=4) for _, label, mark in CONTROLS),
                _key("chance", ls="--", color=FAINT),
                *([_key("constant scores", marker="x")] if any(map(_is_constant, rows)) else []),
            ),
        )
        for axes in page.axes.values():
            axes.set_xticks(_auroc_ticks(axes.get_xlim()))
    return Figure(page.canvas, _shown(rows, settings, columns), columns, settings["figures"]["dpi"])


def _controls(axes: Axes, rows: Sequence[Mapping], y: float) -> None:
    """The specialist's controls on one line, small and grey; of the surface baselines, the best."""
    for prefix, _, mark in CONTROLS:
        values = [r["estimate"] for r in rows if r["probe"].startswith(prefix) and _has_estimate(r)]
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
    emerged = {(str(row["model"]), row["task"]): row for row in emergence}
    groups, colours = _grouped(rows, settings), _colours(rows, settings)
    blocks = _blocks(settings["models"])
    with matplotlib.style.context(STYLE, after_reset=True):
        heights = [max(1.15, 0.4 + 0.15 * len(tasks)) for tasks in groups.values()]
        label = max(len(_words(task)) for tasks in groups.values() for task in tasks)
        canvas = Canvas(
            figsize=(
                1.1 + 0.065 * label + 0.85 * _panel_width(len(blocks[0])),
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
                styles = {
                    task: {
                        "ls": DASHES[k % len(DASHES)],
                        "marker": MARKERS[k % len(MARKERS)],
                        "ms": 3,
                        "lw": 1.2,
                    }
                    for k, task in enumerate(tasks)
                }
                for model, axes in zip(models, line, strict=False):
                    axes.set_visible(True)
                    axes.axhline(CHANCE, color=FAINT, ls="--", lw=0.9, zorder=1)
                    blank = []
                    for k, task in enumerate(tasks):
                        control = curves.get((model, task, "shuffled"), [])
                        depth, value = ([row[key] for row in control] for key in ("depth", "estimate"))
                        axes.plot(depth, value, color=FAINT, lw=0.7, ls=":")
                        curve = curves.get((model, task, "specialist"), [])
                        if any(_has_estimate(row) for row in curve):
                            _curve(axes, curve, colours[category], styles[task], crowd=len(tasks))
                        else:
                            blank.append(_words(task))
                        if _has_estimate(found := emerged.get((model, task))):
                            # Along the lower edge, a line a task.
                            line_y = {"transform": axes.get_xaxis_transform(), "color": colours[category]}
                            axes.plot(
                                (found["lower95"], found["upper95"]), [0.05 + 0.07 * k] * 2, lw=1, **line_y
                            )
                            axes.plot(
                                found["estimate"], 0.05 + 0.07 * k, styles[task]["marker"], ms=4, **line_y
                            )
                    notes = textwrap.wrap("insufficient: " + ", ".join(blank), 32) if blank else []
                    if g == 0:
                        axes.set_title(_wrapped(model, 24), fontweight="bold", pad=5)
                        notes = [_order(emerged.get((model, "all"))), *notes]
                    if notes:
                        _note(axes, "\n".join(notes), style="italic", color=FAINT)
                    axes.tick_params(labelbottom=g == len(groups) - 1)
                    if g == len(groups) - 1:
                        axes.set_xlabel("relative depth\n0 embeddings · 1 last block", fontsize=7)
                line[0].set_ylabel("AUROC")
                line[len(models) - 1].legend(
                    handles=[_key(_words(task), color=colours[category], **styles[task]) for task in tasks],
                    title=category,
                    title_fontproperties={"weight": "bold", "size": 8},
                    alignment="left",
                    loc="center left",
                    bbox_to_anchor=(1.02, 0.5),
                    handlelength=2.6,
                )
        grid[0, 0].set(xlim=(-0.03, 1.03), ylim=_auroc_limits(rows))
        grid[0, 0].set_yticks(_auroc_ticks(grid[0, 0].get_ylim(), 0.25))
        grid[0, 0].set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
        canvas.suptitle("Where in the network can satisfaction be read?", **_TITLE)
        canvas.legend(
            handles=[
                _key("specialist probe, 95 % band", ls="-", lw=1.2),
                _key("along the edge: emergence, 95 %", marker="o", ls="-", lw=1, ms=4),
                _key("the same with shuffled labels", ls=":", lw=0.9, color=FAINT),
                _key("chance", ls="--", color=FAINT),
            ],
            loc="outside lower center",
            ncols=2,
        )
    return Figure(canvas, _shown(rows, settings, columns), columns, settings["figures"]["dpi"])


def transfer(rows: Sequence[Mapping], categories: Mapping[str, str], settings: Mapping) -> Figure:
    """The signed matrix of AUROCs of every task's probe on every task, at the selected layer.

    rows: tables/transfer.csv; categories: {task: category}; settings: as for `compliance`. Tasks stand in the
    order of the model's clustering; insufficient ones come last and stay blank.
    """
    columns = ("model", "source", "target", "estimate", "lower_simultaneous95", "upper_simultaneous95")
    columns += ("ratio", "n", "n_bases", "status")
    rows = [row for row in rows if row["layer"] == SELECTED]
    models = settings["models"]
    colours = _colours([{"task": t, "category": c} for t, c in categories.items()], settings)
    per_line = min(2, len(models))
    lines = math.ceil(len(models) / per_line)
    side = 0.9 + 0.26 * len(settings["tasks"])
    with matplotlib.style.context(STYLE, after_reset=True):
        canvas = Canvas(figsize=(per_line * (side + 0.55), lines * (side + 0.5) + 0.9), layout="constrained")
        grid = canvas.subplots(lines, per_line, squeeze=False)
        for axes in grid.flat[len(models) :]:
            axes.remove()
        for model, axes in zip(models, grid.flat, strict=False):
            cells = {(r["source"], r["target"]): r for r in rows if str(r["model"]) == model}
            place = {row["source"]: row["source_place"] for row in cells.values()}
            order = sorted(settings["tasks"], key=lambda task, place=place: place.get(task, math.inf))
            for (y, source), (x, target) in itertools.product(enumerate(order), repeat=2):
                _cell(axes, x, y, cells.get((source, target)))
            _name_cells(axes, order, [colours[categories[task]] for task in order])
            axes.set_title(_wrapped(model, 26), fontweight="bold", pad=5)
        for axes in grid[:, 0]:
            axes.set_ylabel("probe trained on")
        for axes in canvas.axes[-per_line:]:
            axes.set_xlabel("tested on")
        bar = canvas.colorbar(
            matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, 1), TRANSFER_COLOURS),
            ax=list(canvas.axes),
            location="bottom",
            fraction=0.03,
            aspect=45,
            label="AUROC; bold: chance is outside its interval, 95 % for all cells of a panel together",
        )
        bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0 reversed", "0.25", "0.5 chance", "0.75", "1"])
        bar.outline.set_visible(False)
        canvas.suptitle("Does one task's probe work on another?", **_TITLE)
    shown = [
        {column: row[column] for column in columns}
        for model in models
        for row in sorted(
            (row for row in rows if str(row["model"]) == model),
            key=lambda row: (settings["tasks"].index(row["source"]), settings["tasks"].index(row["target"])),
        )
    ]
    return Figure(canvas, shown, columns, settings["figures"]["dpi"])


def _name_cells(axes: Axes, tasks: Sequence[str], colours: Sequence) -> None:
    """Tasks along both edges of a matrix, in the colours of their categories."""
    axes.set(xlim=(-0.5, len(tasks) - 0.5), ylim=(len(tasks) - 0.5, -0.5), aspect="equal")
    names = [_words(task) for task in tasks]
    axes.set_xticks(range(len(tasks)), names, rotation=90)
    axes.set_yticks(range(len(tasks)), names)
    axes.tick_params(length=0)
    labels = (*axes.get_xticklabels(), *axes.get_yticklabels())
    for label, colour in zip(labels, (*colours, *colours), strict=True):
        label.set_color(colour)
        label.set_fontweight("bold")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _blank_cell(axes: Axes, x: int, y: int) -> None:
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fc="white", ec=LINES, hatch="////", lw=0.5))


def _cell(axes: Axes, x: int, y: int, row: Mapping | None) -> None:
    if not _has_estimate(row):
        _blank_cell(axes, x, y)
        return
    value = row["estimate"]
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fc=TRANSFER_COLOURS(value), ec="white", lw=0.8))
    clear = not row["lower_simultaneous95"] <= CHANCE <= row["upper_simultaneous95"]
    dark = abs(value - CHANCE) > 0.28
    axes.text(
        x,
        y,
        f"{value:.2f}".removeprefix("0"),
        ha="center",
        va="center",
        fontsize=6.5,
        fontweight="bold" if clear else "normal",
        color="white" if dark else TEXT if clear else FAINT,
    )


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
        "matrix": (*about, "before", "after", "null", "net", *bounds, "cell", "n", "n_bases"),
        "curves": (*about, "rank", "estimate", "lower95", "upper95"),
    }
    models, tasks = settings["models"], settings["tasks"]
    cells = {
        (str(row["model"]), row["source"], row["target"]): row
        for row in rows
        if all(row[key] == value for key, value in PRIMARY_ABLATION.items())
    }
    lines = _rank_lines(curves, settings)
    named = [{"task": task, "category": category} for task, category in categories.items()]
    groups, colours = _grouped(named, settings), _colours(named, settings)
    few = len(tasks) <= FEW_TASKS
    label = 0.068 * max(len(_words(task)) for task in tasks)
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
            _name_cells(matrix, tasks, [colours[categories[task]] for task in tasks])
            matrix.set(xlabel="probe of", ylabel="erased: signal of")
            matrix.set_title(_wrapped(model, 40), fontweight="bold", pad=5)
            _dependence(graph, of_model, groups, colours)
            limits = [(-inches / 2 / radius, inches / 2 / radius) for inches in size]
            graph.set(xlim=limits[0], ylim=limits[1], aspect="equal")
            graph.set_title("dependent cells: erased → hurt", fontweight="bold", pad=5)
            curves_of = {task: [lines[model, task, target] for target in (task, MEAN)] for task in tasks}
            _rank_curves(ranks, curves_of, groups, colours)
        limits = _auroc_limits([row for key, line in lines.items() if key[2] != MEAN for row in line])
        for axes in grid[:, 2]:
            axes.set_ylim(limits)
            axes.set_yticks(_auroc_ticks(limits))
        bar = canvas.colorbar(
            matplotlib.cm.ScalarMappable(
                matplotlib.colors.Normalize(-FULL_FALL, FULL_FALL), TRANSFER_COLOURS
            ),
            ax=list(grid.flat),
            location="bottom",
            extend="both",
            fraction=0.03,
            shrink=0.5,
            aspect=45,
            label="net fall: AUROC before − after, less the same under erasers of shuffled labels",
        )
        bar.set_ticks([-FULL_FALL, 0, FULL_FALL], labels=[f"−{FULL_FALL} gain", "0", f"{FULL_FALL} loss"])
        bar.outline.set_visible(False)
        canvas.suptitle("Does erasing one task's signal hurt the others?", **_TITLE)
        square = {"marker": "s", "mfc": "white", "ms": 7}
        canvas.legend(
            handles=[
                _key("dependent: hurt, all cells tested together", mew=OUTLINES["dependent"], **square),
                _key("undecided", mew=OUTLINES["undecided"], **square),
                _key("independent; diagonal: the erased task itself", **square | {"color": LINES}),
                _key("not tested: a task without signal", marker="x", color=FAINT, ms=4),
                *(
                    _key(f"arrow: net fall of {words}", ls="-", lw=_arrow_width(fall))
                    for fall, words in ((0.05, "0.05"), (FULL_FALL, f"{FULL_FALL} or more"))
                ),
                _key("probe of the erased task" + (", 95 % band" if few else ""), ls="-", lw=1.2),
                _key("mean over the probes of the others", ls="-", lw=0.7, color=FAINT),
                _key("chance", ls="--", color=FAINT),
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
        others = [line for line in others if line and all(map(_has_estimate, line))]
        lines[model, source, MEAN] = [
            {"model": model, "source": source, "target": MEAN, "rank": at_rank[0]["rank"]}
            | {"estimate": sum(row["estimate"] for row in at_rank) / len(others)}
            | {"lower95": math.nan, "upper95": math.nan, "status": ""}
            for at_rank in zip(*others, strict=True)
        ]
    return lines


def _fall(axes: Axes, x: int, y: int, row: Mapping | None, with_number: bool) -> None:
    """A cell of the ablation's matrix: colour for its net fall, outline for its word."""
    if row is None or not _is_number(value := row["net"]):
        _blank_cell(axes, x, y)
        return
    fill = TRANSFER_COLOURS((value / FULL_FALL + 1) / 2)
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fc=fill, ec="white", lw=0.8))
    if row["cell"] in OUTLINES:
        width = OUTLINES[row["cell"]]
        axes.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fc="none", ec=TEXT, lw=width, zorder=2))
    strong = abs(value) > 0.56 * FULL_FALL
    if not row["cell"] and row["source"] != row["target"]:
        axes.plot(x, y, "x", color="white" if strong else FAINT, ms=3, mew=0.7)
    elif with_number:
        text = f"{round(value, 2) + 0:.2f}".replace("0.", ".").replace("-", "−")
        weight = "bold" if row["cell"] == "dependent" else "normal"
        colour = "white" if strong else TEXT
        axes.text(x, y, text, ha="center", va="center", fontsize=6.5, fontweight=weight, color=colour)


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
        has_probe = cells[task, task] is not None and _is_number(cells[task, task]["net"])
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
        name = {"s": _words(task), "fontsize": 7, "fontweight": "bold", "color": colour[task]}
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
    crowd = len(lines)
    styles, keys = _task_lines(groups, colours)
    axes.set_title("what is left of the erased task", fontweight="bold", pad=5)
    axes.axhline(CHANCE, color=FAINT, ls="--", lw=0.9, zorder=1)
    blank = []
    for category, tasks in groups.items():
        for task in tasks:
            own, others = ([{**row, "depth": row["rank"]} for row in line] for line in lines[task])
            if others:
                rank, value = ([row[key] for row in others] for key in ("rank", "estimate"))
                axes.plot(rank, value, color=FAINT, lw=0.7, alpha=0.7)
            if any(map(_has_estimate, own)):
                if crowd > FEW_TASKS:
                    # Bands would hide each other.
                    own = [row | {"lower95": math.nan, "upper95": math.nan} for row in own]
                _curve(axes, own, colours[category], styles[task], crowd)
            else:
                blank.append(_words(task))
    if blank:
        _note(
            axes,
            "\n".join(textwrap.wrap("insufficient: " + ", ".join(blank), 48)),
            style="italic",
            color=FAINT,
        )
    axes.set(xlabel="directions erased", ylabel="AUROC of the retrained probe")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    _legend_beside(axes, keys, groups)


def _task_lines(groups: Mapping, colours: Mapping) -> tuple[dict[str, dict], list[Line2D]]:
    """{task: style of its curve}, and the keys of a legend: a category's tasks below its name, or if there
    are many tasks, the categories."""
    crowd = sum(map(len, groups.values()))
    styles, keys = {}, []
    for category, tasks in groups.items():
        keys.append(_key(category, color="none"))
        for k, task in enumerate(tasks):
            styles[task] = {"ls": "-", "lw": 1.0}
            if crowd <= FEW_TASKS:
                marker = MARKERS[k % len(MARKERS)]
                styles[task] = {"ls": DASHES[k % len(DASHES)], "lw": 1.2, "marker": marker, "ms": 3}
                keys.append(_key(_words(task), color=colours[category], **styles[task]))
        if crowd > FEW_TASKS:
            keys[-1] = _key(category, color=colours[category], ls="-", lw=1.2)
    return styles, keys


def _legend_beside(axes: Axes, keys: Sequence[Line2D], groups: Mapping) -> None:
    legend = axes.legend(handles=keys, loc="center left", bbox_to_anchor=(1.02, 0.5), handlelength=2.6)
    for text in legend.get_texts():
        if text.get_text() in groups:
            text.set_fontweight("bold")


def behaviour(rows: Sequence[Mapping], categories: Mapping[str, str], settings: Mapping) -> Figure:
    """What editing a signal does to the answers, a line of panels a model: the matrices of changes of
    compliance where a signal is erased and where it is reflected, and compliance over strength where each
    task is steered along its own, with how well neutral text is predicted beside all of them.

    rows: tables/behaviour.csv; categories: {task: category}; settings: as for `compliance`. The figure's rows
    are told apart by "panel"; those with "mean" as task are means over tasks.
    """
    columns = ("panel", "model", "condition", "strength", "task", "quantity", "estimate")
    columns += (*("lower95", "upper95", "lower99", "upper99", "n", "n_bases", "truncated", "status"),)
    models, tasks = settings["models"], settings["tasks"]
    named = [{"task": task, "category": category} for task, category in categories.items()]
    groups, colours = _grouped(named, settings), _colours(named, settings)
    parts = {model: _behaviour_parts(rows, model, tasks) for model in models}
    few = len(tasks) <= FEW_TASKS
    label = 0.068 * max(len(_words(task)) for task in tasks)
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
                _name_cells(axes, tasks, [colours[categories[task]] for task in tasks])
                if few:
                    means = {row["condition"]: row for row in part["text"] if row["task"] == MEAN}
                    _name_perplexities(axes, [means.get(f"{kind}:{source}") for source in tasks])
                axes.set_xlabel("answers to")
                axes.set_title(f"{words}: signal of the row", fontweight="bold", pad=5)
                if column:
                    axes.tick_params(labelleft=False)
                else:
                    axes.set_ylabel("edited: signal of")
                    axes.set_title(f"{_wrapped(model, 40)}\n{axes.get_title()}", fontweight="bold", pad=5)
            doses = canvas.add_subplot(grid[2 * line, 2])
            text = canvas.add_subplot(grid[2 * line + 1, 2], sharex=doses)
            _dose_curves(doses, part["steer"], groups, colours)
            _perplexity_curves(text, part["text"], perplexity_limits)
        bar = canvas.colorbar(
            matplotlib.cm.ScalarMappable(
                matplotlib.colors.Normalize(-FULL_CHANGE, FULL_CHANGE), BEHAVIOUR_COLOURS
            ),
            ax=list(canvas.axes),
            location="bottom",
            extend="both",
            fraction=0.03,
            shrink=0.5,
            aspect=45,
            label="change of compliance in percentage points, less the same under a random subspace",
        )
        bar.set_ticks(
            [-FULL_CHANGE, 0, FULL_CHANGE], labels=[f"−{FULL_CHANGE} loss", "0", f"+{FULL_CHANGE} gain"]
        )
        bar.outline.set_visible(False)
        canvas.suptitle("Do the answers change when a signal is edited?", **_TITLE)
        square = {"marker": "s", "mfc": "white", "ms": 7}
        canvas.legend(
            handles=[
                _key("the 99 % interval excludes 0", mew=OUTLINES["dependent"], **square),
                _key("it includes 0", **square | {"color": LINES}),
                Patch(fc="white", ec=LINES, hatch="////", label="insufficient"),
                _key("steered along its own signal" + (", 95 % band" if few else ""), ls="-", lw=1.2),
                _key("perplexity of neutral text: mean over tasks", ls="-", lw=1.4, marker="o", ms=3),
                _key("each task; dashes: as unedited", ls="-", lw=0.6, color=FAINT),
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
        if curve and (plain := next(filter(_has_estimate, unedited), None)):
            curve.append({**plain, "strength": 0.0})
        parts["steer"] += sorted(curve, key=lambda row: row["strength"])
    for name in (*itertools.chain(*edits.values()), *strengths):
        of_tasks = [found[key] for task in tasks if (key := ("perplexity_ratio", name, task)) in found]
        if not of_tasks:
            continue
        ratios = [row["estimate"] for row in of_tasks if _has_estimate(row) and row["estimate"] > 0]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan
        about = {"task": MEAN, "estimate": mean, "n": sum(row["n"] for row in of_tasks), "n_bases": ""}
        about |= dict.fromkeys(("lower95", "upper95", "lower99", "upper99"), math.nan)
        about |= {"truncated": "", "status": "" if ratios else "insufficient"}
        steered = {"strength": strength[name]} if name in strength else {}
        # Of erased and reflected signals, the figure has the means alone.
        parts["text"] += [{**row, **steered} for row in (of_tasks if steered else [])]
        parts["text"].append({**of_tasks[0], **about, **steered})
    return parts


def _change(axes: Axes, x: int, y: int, row: Mapping | None, with_number: bool) -> None:
    """A cell of behaviour's matrices: colour for the change, outline where its interval excludes 0."""
    if not _has_estimate(row):
        _blank_cell(axes, x, y)
        return
    points = 100 * row["estimate"]
    fill = BEHAVIOUR_COLOURS((points / FULL_CHANGE + 1) / 2)
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fc=fill, ec="white", lw=0.8))
    clear = not row["lower99"] <= 0 <= row["upper99"]
    if clear:
        width = OUTLINES["dependent"]
        axes.add_patch(Rectangle((x - 0.45, y - 0.45), 0.9, 0.9, fc="none", ec=TEXT, lw=width, zorder=2))
    if with_number:
        strong = abs(points) > 0.56 * FULL_CHANGE
        style = {"fontweight": "bold" if clear else "normal", "color": "white" if strong else TEXT}
        text = f"{round(points)}".replace("-", "−")
        axes.text(x, y, text, ha="center", va="center", fontsize=6.5, **style)


def _name_perplexities(axes: Axes, means: Sequence[Mapping | None]) -> None:
    """A column of numbers beside a matrix."""
    x = len(means) + 0.2
    axes.set_xlim(-0.5, x + 0.6)
    for y, row in enumerate(means):
        text = _times(row["estimate"]) if _has_estimate(row) else "–"
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
    styles, keys = _task_lines(groups, colours)
    axes.set_title("steered along its own signal", fontweight="bold", pad=5)
    blank = []
    for category, task in ((category, task) for category, of in groups.items() for task in of):
        curve = [
            {**row, "depth": row["strength"]}
            | {key: 100 * row[key] for key in ("estimate", "lower95", "upper95") if _has_estimate(row)}
            for row in rows
            if row["task"] == task
        ]
        if not any(map(_has_estimate, curve)):
            blank.append(_words(task))
            continue
        if len(styles) > FEW_TASKS:
            # Bands would hide each other.
            curve = [row | {"lower95": math.nan, "upper95": math.nan} for row in curve]
        _curve(axes, curve, colours[category], styles[task], len(styles))
    if blank:
        text = "\n".join(textwrap.wrap("insufficient: " + ", ".join(blank), 48))
        _note(axes, text, style="italic", color=FAINT)
    axes.set(ylabel="compliance, %", ylim=(-3, 103), yticks=(0, 50, 100))
    axes.tick_params(labelbottom=False)
    _legend_beside(axes, keys, groups)


def _perplexity_curves(axes: Axes, rows: Sequence[Mapping], limits: tuple[float, float]) -> None:
    """Perplexity of neutral text over the strength of steering, as a multiple of the unedited."""
    axes.axhline(1, color=FAINT, ls="--", lw=0.9, zorder=1)
    lines: dict[str, dict[float, float]] = {}
    for row in rows:
        if row.get("strength") and _has_estimate(row):
            lines.setdefault(row["task"], {0.0: 1.0})[row["strength"]] = row["estimate"]
    for task, line in lines.items():
        style = {"color": FAINT, "lw": 0.6, "alpha": 0.7}
        if task == MEAN:
            style = {"color": TEXT, "lw": 1.4, "marker": "o", "ms": 3}
        axes.plot(*zip(*sorted(line.items()), strict=True), **style)
    if not lines:
        _blank(axes, 1, "no text")
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
        row["estimate"] for row in rows if row.get("strength") and _has_estimate(row) and row["estimate"] > 0
    ]
    return min(0.9 * min(found, default=1), 0.8), max(1.1 * max(found, default=1), 2.2)


def _order(row: Mapping | None) -> str:
    """Kendall's τ between the categories' order and emergence, in a few words."""
    if not _has_estimate(row):
        return "τ insufficient"
    return "τ {estimate:+.2f} [{lower95:+.2f}, {upper95:+.2f}]".format(**row).replace("-", "−")


# --- panels of tasks

_TITLE = {"x": 0.01, "ha": "left", "fontsize": 10, "fontweight": "bold"}


class _TaskPanels:
    """A panel a model, at most three beside each other, with a line a task below its category's name."""

    def __init__(self, rows: Sequence[Mapping], settings: Mapping, with_mean: bool = False):
        self._groups, self._colours = _grouped(rows, settings), _colours(rows, settings)
        self._headings, self._positions, y = {}, {}, 0
        for category, tasks in self._groups.items():
            self._headings[category] = y
            self._positions |= {task: y + k for k, task in enumerate(tasks, start=1)}
            y += len(tasks) + 1
        if with_mean:
            self._positions[MEAN] = y + 0.4
            y += 1.4
        blocks = _blocks(settings["models"])
        self._columns = len(blocks[0])
        self._height = len(blocks) * (0.19 * y + 0.75)
        label = max(len(_words(name)) for name in (*self._positions, *self._headings))
        self._width = 0.3 + 0.068 * label + _panel_width(self._columns)
        self.canvas = Canvas(layout="constrained")
        grid = self.canvas.subplots(len(blocks), len(blocks[0]), sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(settings["models"]) :]:
            axes.remove()
        self.axes = dict(zip(settings["models"], grid.flat, strict=False))
        self._y_range = (y - 0.4, -0.6)
        for model, axes in self.axes.items():
            axes.set_title(_wrapped(model, 26), fontweight="bold", pad=5)
            heights = list(self._positions.values())
            axes.hlines(heights, 0, 1, LINES, lw=0.6, zorder=0, transform=axes.get_yaxis_transform())

    def lines(self) -> Iterator[tuple[str, float, object]]:
        """Task (or mean), height and colour of each line."""
        category = {task: name for name, tasks in self._groups.items() for task in tasks}
        for task, y in self._positions.items():
            yield task, y, TEXT if task == MEAN else self._colours[category[task]]

    def finish(self, title: str, label: str, limits: tuple[float, float], handles: Sequence[Line2D]) -> None:
        models = list(self.axes)
        first = self.axes[models[0]]
        first.set(xlim=limits, ylim=self._y_range)
        ticks = self._headings | {_words(task): y for task, y in self._positions.items()}
        first.set_yticks(list(ticks.values()), list(ticks))
        for model in models:
            axes = self.axes[model]
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="x", color=LINES, lw=0.6, zorder=0)
            axes.set_axisbelow(True)
            for text in axes.get_yticklabels()[: len(self._headings)]:
                text.set_fontweight("bold")
        # A panel with nothing below it has the ticks of its column.
        for model in models[-self._columns :]:
            self.axes[model].tick_params(labelbottom=True)
            self.axes[model].set_xlabel(label)
        self.canvas.suptitle(title, **_TITLE)
        columns = 1 if self._columns == 1 else 2
        self.canvas.legend(handles=list(handles), loc="outside lower center", ncols=columns)
        self.canvas.set_size_inches(
            self._width, 0.45 + 0.19 * math.ceil(len(handles) / columns) + self._height
        )


def _point(
    axes: Axes,
    value: float,
    lower: float,
    upper: float,
    y: float,
    colour,
    hollow: bool = False,
    cross: bool = False,
) -> None:
    if _is_number(lower) and _is_number(upper):
        axes.plot((lower, upper), (y, y), color=colour, lw=1.0 if hollow else 1.5, solid_capstyle="butt")
    if cross:
        axes.plot(value, y, "x", color=colour, mew=1.1, ms=4.5)
    elif hollow:
        axes.plot(value, y, "s", mfc="white", mec=colour, mew=1.1, ms=4.2)
    else:
        axes.plot(value, y, "o", color=colour, ms=4.5)


def _blank(axes: Axes, y: float, reason: str) -> None:
    """A line without values, and why it has none."""
    axes.text(
        0.5,
        y,
        reason,
        transform=axes.get_yaxis_transform(),
        ha="center",
        va="center",
        fontsize=6.5,
        style="italic",
        color=FAINT,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )


def _curve(axes: Axes, curve: Sequence[Mapping], colour, style: Mapping, crowd: int) -> None:
    nan = float("nan")
    depth = [row["depth"] for row in curve]
    value, lower, upper = (
        [row[key] if _has_estimate(row) else nan for row in curve]
        for key in ("estimate", "lower95", "upper95")
    )
    if len(curve) == 1:
        axes.plot(depth * 2, lower + upper, color=colour, lw=1.2)
    axes.fill_between(depth, lower, upper, color=colour, alpha=0.16 if crowd <= 4 else 0.07, lw=0)
    axes.plot(depth, value, color=colour, markevery=max(1, len(curve) // 8), **style)


def _note(axes: Axes, text: str, **style) -> None:
    """Small print above the panel, below its title if it has one."""
    if axes.get_title():
        axes.set_title(axes.get_title(), fontweight="bold", pad=5 + 9 * (1 + text.count("\n")))
    axes.annotate(
        text,
        (0.5, 1),
        (0, 3),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        fontsize=6.5,
        **style,
    )


def _key(label: str, **style) -> Line2D:
    """A line of a legend."""
    style = {"color": TEXT, "ls": "none", "ms": 4.5, "mew": 1.1, **style}
    return Line2D([], [], label=label, **style)


# --- rows, tasks and colours


def _shown(rows: Sequence[Mapping], settings: Mapping, columns: Sequence[str]) -> list[dict]:
    """The columns of the study's models and tasks, in the study's order."""
    models = {model: number for number, model in enumerate(settings["models"])}
    tasks = {task: number for number, task in enumerate((*settings["tasks"], MEAN))}
    kept = [row for row in rows if str(row["model"]) in models and row["task"] in tasks]
    kept.sort(key=lambda row: (models[str(row["model"])], tasks[row["task"]]))
    return [{column: row[column] for column in columns} for row in kept]


def _grouped(rows: Sequence[Mapping], settings: Mapping) -> dict[str, list[str]]:
    """{category: its tasks}, both in the order of the study."""
    category = {row["task"]: row["category"] for row in rows}
    groups: dict[str, list[str]] = {}
    for task in settings["tasks"]:
        groups.setdefault(category.get(task, "other"), []).append(task)
    return groups


def _colours(rows: Sequence[Mapping], settings: Mapping) -> dict[str, tuple]:
    """A colour for each category: the same whatever tasks the study has."""
    names = [*CATEGORIES, *(name for name in _grouped(rows, settings) if name not in CATEGORIES)]
    return dict(zip(names, seaborn.color_palette(settings["figures"]["palette"], len(names)), strict=True))


def _blocks(models: Sequence[str]) -> list[Sequence[str]]:
    """The models in lines of at most three panels; four are two by two."""
    columns = 2 if len(models) == 4 else min(3, len(models))
    return [models[start : start + columns] for start in range(0, len(models), columns)]


def _panel_width(columns: int) -> float:
    """Inches of the panels that stand beside each other."""
    return {1: 3.2, 2: 4.6, 3: 5.8}[columns]


def _auroc_limits(rows: Sequence[Mapping]) -> tuple[float, float]:
    """From a little below chance, or below the lowest interval, to 1."""
    lowest = min(
        [r["lower95"] for r in rows if r.get("probe") != DIFFERENCE and _has_estimate(r)], default=CHANCE
    )
    return min(0.42, math.floor(20 * lowest) / 20), 1.02


def _auroc_ticks(limits: tuple[float, float], step: float = 0.1) -> list[float]:
    """Ticks from 1 downwards, chance among them."""
    step = step if limits[0] > 0.35 else 0.25
    return [1 - k * step for k in range(int((1 - limits[0]) / step) + 1)][::-1]


def _words(task: str) -> str:
    return "mean of tasks" if task == MEAN else task.replace("_", " ")


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width)) or text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _has_estimate(row: Mapping | None) -> bool:
    return row is not None and _is_number(row["estimate"])


def _is_constant(row: Mapping) -> bool:
    return row["status"] == "constant scores"


def _why(row: Mapping | None) -> str:
    """The status of an insufficient row in a few words; the table has it in full."""
    status = "" if row is None else str(row["status"])
    for word, reason in (
        ("truncated", "truncated"),
        ("violated", "few violated"),
        ("satisfied", "few satisfied"),
    ):
        if word in status:
            return f"insufficient: {reason}"
    return "insufficient"
