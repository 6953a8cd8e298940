"""What all figures share: the form in which they are saved, colours, panels, marks and words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import matplotlib.style
import seaborn
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from skillprobe.findings.rules import DIFFERENCE, MEAN, has_estimate
from skillprobe.storage.files import atomic_path
from skillprobe.storage.tables import WITHIN, is_number, task_words, write_csv
from skillprobe.tasks import CATEGORIES

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
    "axes.titleweight": "bold",
    "axes.titlepad": 5,
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
AUROC_COLOURS = matplotlib.colormaps["RdBu_r"]
# How wide the outline of a cell is.
OUTLINES = {"dependent": 1.6, "undecided": 0.5}
# With more tasks than this, cells have no numbers and curves of one category look the same.
FEW_TASKS = 12
# So that tasks of one category, which share its colour, can be told apart.
DASHES = ("-", (0, (4, 1.2)), (0, (1, 1)), (0, (6, 1.2, 1, 1.2)))
MARKERS = ("o", "s", "^", "D", "v")
# Of positions, before a number.
SHORT = {"prompt": "prompt ", "body": "", "token": "token "}


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
                # The last bits of what the layout's solver finds differ between runs, and with them SVG ids.
                for axes in self.canvas.axes:
                    bounds = axes.get_position(original=True).bounds
                    axes.set_position([round(float(each), 9) for each in bounds])
            for path, kind, metadata in (
                (svg, "svg", {"Date": None, "Creator": None}),
                (png, "png", {"Software": None}),
            ):
                with atomic_path(path) as temporary:
                    self.canvas.savefig(temporary, format=kind, dpi=self.dpi, metadata=metadata)
        write_csv(data, self.rows, self.columns)


def name_cells(axes: Axes, tasks: Sequence[str], colours: Sequence) -> None:
    """Tasks along both edges of a matrix, in the colours of their categories."""
    axes.set(xlim=(-0.5, len(tasks) - 0.5), ylim=(len(tasks) - 0.5, -0.5), aspect="equal")
    names = [task_words(task) for task in tasks]
    axes.set_xticks(range(len(tasks)), names, rotation=90)
    axes.set_yticks(range(len(tasks)), names)
    axes.tick_params(length=0)
    labels = (*axes.get_xticklabels(), *axes.get_yticklabels())
    for label, colour in zip(labels, (*colours, *colours), strict=True):
        label.set_color(colour)
        label.set_fontweight("bold")
    for spine in axes.spines.values():
        spine.set_visible(False)


def fill_cell(
    axes: Axes, x: float, y: float, colour, edge: str | tuple = "white", width: float = 0.8
) -> None:
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fc=colour, ec=edge, lw=width))


def write_cell(axes: Axes, x: float, y: float, text: str, clear: bool, colour, size: float = 6.5) -> None:
    """clear: whether the number stands out."""
    weight = "bold" if clear else "normal"
    axes.text(x, y, text, ha="center", va="center", fontsize=size, fontweight=weight, color=colour)


def without_zero(value: float) -> str:
    """A share with two decimals, such as .73."""
    return f"{value:.2f}".removeprefix("0")


def colour_bar(
    canvas: Canvas,
    axes: Sequence[Axes],
    colours: Colormap,
    limits: tuple[float, float],
    label: str,
    **style,
) -> Colorbar:
    """Below all of the matrices; limits: the values at the colours' ends."""
    bar = canvas.colorbar(
        matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(*limits), colours),
        ax=axes,
        location="bottom",
        fraction=0.03,
        aspect=45,
        label=label,
        **style,
    )
    bar.outline.set_visible(False)
    return bar


def blank_cell(axes: Axes, x: float, y: float) -> None:
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fc="white", ec=LINES, hatch="////", lw=0.5))


def task_line(number: int) -> dict:
    """The style of the curve of a category's task of that number."""
    dashes, marker = DASHES[number % len(DASHES)], MARKERS[number % len(MARKERS)]
    return {"ls": dashes, "lw": 1.2, "marker": marker, "ms": 3}


def task_lines(groups: Mapping, colours: Mapping) -> tuple[dict[str, dict], list[Line2D]]:
    """{task: style of its curve}, and the keys of a legend: a category's tasks below its name, or if there
    are many tasks, the categories."""
    crowd = sum(map(len, groups.values()))
    styles, keys = {}, []
    for category, tasks in groups.items():
        keys.append(legend_key(category, color="none"))
        for k, task in enumerate(tasks):
            styles[task] = {"ls": "-", "lw": 1.0}
            if crowd <= FEW_TASKS:
                styles[task] = task_line(k)
                keys.append(legend_key(task_words(task), color=colours[category], **styles[task]))
        if crowd > FEW_TASKS:
            keys[-1] = legend_key(category, color=colours[category], ls="-", lw=1.2)
    return styles, keys


def task_curves(
    axes: Axes,
    curves: Mapping[str, Sequence[Mapping]],
    groups: Mapping,
    colours: Mapping,
    behind: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
) -> None:
    """A curve for each task, with the tasks that have none above and a legend beside.

    curves: rows of a table with their "depth", by task; groups, colours: of `by_category` and
    `category_colours`; behind: x and y of a faint line behind a task's curve, where it has one.
    """
    styles, keys = task_lines(groups, colours)
    blank = []
    for category, tasks in groups.items():
        for task in tasks:
            if behind and task in behind:
                axes.plot(*behind[task], color=FAINT, lw=0.7, alpha=0.7)
            curve = curves[task]
            if not any(map(has_estimate, curve)):
                blank.append(task)
                continue
            if len(styles) > FEW_TASKS:
                # Bands would hide each other.
                curve = [{**row, "lower95": math.nan, "upper95": math.nan} for row in curve]
            draw_curve(axes, curve, colours[category], styles[task], len(styles))
    if blank:
        draw_missing(axes, blank_tasks(blank, 48))
    legend_beside(axes, keys, groups)


def legend_beside(axes: Axes, keys: Sequence[Line2D], groups: Mapping) -> None:
    legend = axes.legend(handles=keys, loc="center left", bbox_to_anchor=(1.02, 0.5), handlelength=2.6)
    for text in legend.get_texts():
        if text.get_text() in groups:
            text.set_fontweight("bold")


TITLE = {"x": 0.01, "ha": "left", "fontsize": 10, "fontweight": "bold"}


class TaskPanels:
    """A panel a model, at most three beside each other, with a line a task below its category's name."""

    def __init__(self, rows: Sequence[Mapping], settings: Mapping, with_mean: bool = False):
        self._groups, self._colours = by_category(rows, settings), category_colours(rows, settings)
        self._headings, self._positions, y = {}, {}, 0
        for category, tasks in self._groups.items():
            self._headings[category] = y
            self._positions |= {task: y + k for k, task in enumerate(tasks, start=1)}
            y += len(tasks) + 1
        if with_mean:
            self._positions[MEAN] = y + 0.4
            y += 1.4
        blocks = lines_of_panels(settings["models"])
        self._columns = len(blocks[0])
        self._height = len(blocks) * (0.19 * y + 0.75)
        label = max(len(task_words(name)) for name in (*self._positions, *self._headings))
        self._width = 0.3 + 0.068 * label + panel_width(self._columns)
        self.canvas = Canvas(layout="constrained")
        grid = self.canvas.subplots(len(blocks), len(blocks[0]), sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(settings["models"]) :]:
            axes.remove()
        self.axes = dict(zip(settings["models"], grid.flat, strict=False))
        self._y_range = (y - 0.4, -0.6)
        for model, axes in self.axes.items():
            axes.set_title(wrapped(model, 26))
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
        ticks = self._headings | {task_words(task): y for task, y in self._positions.items()}
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
        self.canvas.suptitle(title, **TITLE)
        columns = 1 if self._columns == 1 else 2
        self.canvas.legend(handles=list(handles), loc="outside lower center", ncols=columns)
        self.canvas.set_size_inches(
            self._width, 0.45 + 0.19 * math.ceil(len(handles) / columns) + self._height
        )


def draw_point(
    axes: Axes,
    value: float,
    lower: float,
    upper: float,
    y: float,
    colour,
    hollow: bool = False,
    cross: bool = False,
) -> None:
    if is_number(lower) and is_number(upper):
        axes.plot((lower, upper), (y, y), color=colour, lw=1.0 if hollow else 1.5, solid_capstyle="butt")
    if cross:
        axes.plot(value, y, "x", color=colour, mew=1.1, ms=4.5)
    elif hollow:
        axes.plot(value, y, "s", mfc="white", mec=colour, mew=1.1, ms=4.2)
    else:
        axes.plot(value, y, "o", color=colour, ms=4.5)


def blank_line(axes: Axes, y: float, reason: str) -> None:
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


def draw_curve(axes: Axes, curve: Sequence[Mapping], colour, style: Mapping, crowd: int) -> None:
    nan = float("nan")
    depth = [row["depth"] for row in curve]
    value, lower, upper = (
        [row[key] if has_estimate(row) else nan for row in curve]
        for key in ("estimate", "lower95", "upper95")
    )
    if len(curve) == 1:
        axes.plot(depth * 2, lower + upper, color=colour, lw=1.2)
    axes.fill_between(depth, lower, upper, color=colour, alpha=0.16 if crowd <= 4 else 0.07, lw=0)
    axes.plot(depth, value, color=colour, markevery=max(1, len(curve) // 8), **style)


def draw_note(axes: Axes, text: str, **style) -> None:
    """Small print above the panel, below its title if it has one."""
    if axes.get_title():
        axes.set_title(axes.get_title(), pad=STYLE["axes.titlepad"] + 9 * (1 + text.count("\n")))
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


def draw_missing(axes: Axes, text: str) -> None:
    """Small print on what isn't there."""
    draw_note(axes, text, style="italic", color=FAINT)


def blank_tasks(tasks: Sequence[str], width: int) -> str:
    """Which tasks are not drawn, wrapped."""
    return wrapped("insufficient: " + ", ".join(map(task_words, tasks)), width)


def signed(name: str, row: Mapping, digits: int = 3) -> str:
    """An estimate with its sign and its 95 % interval."""
    numbers = (f"{row[key]:+.{digits}f}" for key in ("estimate", "lower95", "upper95"))
    return "{} {} [{}, {}]".format(name, *numbers).replace("-", "−")


def legend_key(label: str, **style) -> Line2D:
    """A line of a legend."""
    style = {"color": TEXT, "ls": "none", "ms": 4.5, "mew": 1.1, **style}
    return Line2D([], [], label=label, **style)


def in_order(rows: Sequence[Mapping], settings: Mapping, columns: Sequence[str]) -> list[dict]:
    """The columns of the study's models and tasks, in the study's order."""
    models = {model: number for number, model in enumerate(settings["models"])}
    tasks = {task: number for number, task in enumerate((*settings["tasks"], MEAN))}
    kept = [row for row in rows if str(row["model"]) in models and row["task"] in tasks]
    kept.sort(key=lambda row: (models[str(row["model"])], tasks[row["task"]]))
    return [{column: row[column] for column in columns} for row in kept]


def rows_of(categories: Mapping[str, str]) -> list[dict]:
    """{task: category} as rows for `by_category` and `category_colours`."""
    return [{"task": task, "category": category} for task, category in categories.items()]


def by_category(rows: Sequence[Mapping], settings: Mapping) -> dict[str, list[str]]:
    """{category: its tasks}, both in the order of the study."""
    category = {row["task"]: row["category"] for row in rows}
    groups: dict[str, list[str]] = {}
    for task in settings["tasks"]:
        groups.setdefault(category.get(task, "other"), []).append(task)
    return groups


def category_colours(rows: Sequence[Mapping], settings: Mapping) -> dict[str, tuple]:
    """A colour for each category: the same whatever tasks the study has."""
    names = [*CATEGORIES, *(name for name in by_category(rows, settings) if name not in CATEGORIES)]
    return dict(zip(names, seaborn.color_palette(settings["figures"]["palette"], len(names)), strict=True))


def lines_of_panels(models: Sequence[str]) -> list[Sequence[str]]:
    """The models in lines of at most three panels; four are two by two."""
    columns = 2 if len(models) == 4 else min(3, len(models))
    return [models[start : start + columns] for start in range(0, len(models), columns)]


def panel_width(columns: int) -> float:
    """Inches of the panels that stand beside each other."""
    return {1: 3.2, 2: 4.6, 3: 5.8}[columns]


def auroc_limits(rows: Sequence[Mapping]) -> tuple[float, float]:
    """From a little below chance, or below the lowest interval, to 1."""
    lowest = min(
        [r["lower95"] for r in rows if r.get("probe") != DIFFERENCE and has_estimate(r)], default=CHANCE
    )
    return min(0.42, math.floor(20 * lowest) / 20), 1.02


def auroc_ticks(limits: tuple[float, float], step: float = 0.1) -> list[float]:
    """Ticks from 1 downwards, chance among them."""
    step = step if limits[0] > 0.35 else 0.25
    return [1 - k * step for k in range(int((1 - limits[0]) / step) + 1)][::-1]


def question_mark(rows: Sequence[Mapping]) -> str:
    """The end of a title that is a question, with the scope of its rows."""
    return "?\nwithin one prompt" if {row.get("scope") for row in rows} == {WITHIN} else "?"


def wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width)) or text


def is_constant(row: Mapping) -> bool:
    return row["status"] == "constant scores"


def why(row: Mapping | None) -> str:
    """The status of an insufficient row in a few words; the table has it in full."""
    status = "" if row is None else str(row["status"])
    for word, reason in (
        ("truncated", "truncated"),
        ("both satisfied and violated", "few mixed"),
        ("violated", "few violated"),
        ("satisfied", "few satisfied"),
        ("task with a signal", "no task counts"),
        ("crossings", "few crossings"),
    ):
        if word in status:
            return f"insufficient: {reason}"
    return "insufficient"


def name_positions(axes: Axes, positions: Sequence[str]) -> None:
    """Ticks for positions, or spans of tokens, that stand at 0, 1, 2, …"""
    names = []
    for name in positions:
        kind, _, rest = name.partition("_")
        if kind == "tokens":
            names.append(rest.replace("_", "–"))
        else:
            percent = f"{rest} %" if kind in ("prompt", "body") else rest
            names.append(SHORT.get(kind, name) + percent)
    axes.set_xticks(range(len(positions)), names, rotation=90)
    axes.set_xlim(-0.4, max(len(positions), 2) - 0.6)
