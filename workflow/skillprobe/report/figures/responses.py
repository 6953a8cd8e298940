"""How often the models obey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style

from skillprobe.report.figures.style import (
    STYLE,
    Figure,
    TaskPanels,
    blank_line,
    draw_point,
    in_order,
    legend_key,
)
from skillprobe.storage.tables import is_number


def compliance(rows: Sequence[Mapping], settings: Mapping) -> Figure:
    """How often each model obeys, by task, beside the rate at which it happens to without the constraint.

    rows: tables/compliance.csv; settings: "tasks" and "models" (names in the order shown), "figures" (the
    config's palette and dpi).
    """
    columns = ("model", "task", "category", "compliance", "lower95", "upper95", "n", "n_groups")
    columns += ("twin_compliance", "n_twin")
    found = {(str(row["model"]), row["task"]): row for row in rows}
    with matplotlib.style.context(STYLE, after_reset=True):
        page = TaskPanels(rows, settings)
        for model, axes in page.axes.items():
            for task, y, colour in page.lines():
                row = found.get((model, task))
                if row is None or not is_number(row["compliance"]):
                    blank_line(axes, y, "no responses")
                    continue
                if is_number(row["twin_compliance"]):
                    axes.plot(row["twin_compliance"], y, "o", mfc="white", mec=colour, mew=1.1, ms=6.5)
                draw_point(axes, row["compliance"], row["lower95"], row["upper95"], y, colour)
        page.finish(
            "How often does each model comply?",
            "responses that satisfy the constraint",
            limits=(-0.03, 1.03),
            handles=(
                legend_key("with the constraint, 95 % interval", marker="o", ls="-"),
                legend_key("same requests without it", marker="o", mfc="white", ms=6.5),
            ),
        )
        for axes in page.axes.values():
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25", "50", "75", "100 %"])
    return Figure(page.canvas, in_order(rows, settings, columns), columns, settings["figures"]["dpi"])
