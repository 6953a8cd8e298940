"""How often a model obeys by how the instruction is worded: its type, its polarity, its phrasing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from skillprobe.statistics.bootstrap import Draws, draw_groups, ratio
from skillprobe.statistics.intervals import BOUNDS, Estimate, cells_of, mean_of_known
from skillprobe.storage.tables import MEAN, NO_TASK
from skillprobe.tasks.base import INSTRUCTION_TYPES, POLARITIES

TYPE, POLARITY, PHRASING = "instruction_type", "polarity", "phrasing"
COLUMNS = (
    *("model", "task", "category", "by", "wording", "estimate", *BOUNDS),
    *("n", "n_groups", "n_tasks", "status"),
)
DIFFERENCES = {
    TYPE: (("human", "plm"), ("human", "entailment")),
    POLARITY: (("positive", "negated"),),
}
KNOWN = {TYPE: INSTRUCTION_TYPES, POLARITY: POLARITIES}
MISSING = {
    TYPE: "insufficient: there is only one instruction type",
    POLARITY: "insufficient: human phrasings have only one polarity",
}


def wording_table(
    model: str,
    labels: Mapping[str, Sequence[Mapping]],
    categories: Mapping[str, str],
    study_groups: Iterable[str],
    *,
    min_groups: int = 10,
    n_draws: int = 2000,
    seed: int = 0,
) -> list[dict]:
    """Rows with COLUMNS, of every task and (but for phrasings) of task "mean".

    labels: {task: label rows}, of which whole constrained responses count; categories: {task: category};
    study_groups: those that the bootstrap draws, jointly for everything. by: "instruction_type", "polarity"
    (of human phrasings, since no others are negated) or "phrasing"; wording: one of them, with the share of
    responses that satisfy, or a difference of two shares, such as "human_minus_plm".

    A wording with responses to fewer than `min_groups` groups has its share but no interval, and takes no
    part in a difference or a mean; its status says so. status: "", or "insufficient: …".
    """
    draws = draw_groups(study_groups, n_draws=n_draws, seed=seed)
    shares = {task: _shares(rows, draws, min_groups) for task, rows in labels.items()}
    found = []
    for task in (*categories, MEAN):
        category = MEAN if task == MEAN else categories[task]
        about = {"model": model, "task": task, "category": category}
        rows = _mean_rows(shares) if task == MEAN else _task_rows(shares[task])
        found += [about | row for row in rows]
    return found


class _Share:
    """Of the responses to one wording: how many satisfy, its interval's draws, and what is said of it."""

    def __init__(self, rows: Sequence[Mapping], draws: Draws, min_groups: int):
        satisfied, groups = ([row[key] for row in rows] for key in ("satisfied", "group"))
        self.value, drawn = ratio(np.array(satisfied, float), np.ones(len(rows)), groups, draws)
        self.groups, self.n = set(groups), len(rows)
        few = f"insufficient: responses to {len(self.groups)} groups; an interval needs {min_groups}"
        self.status = few if len(self.groups) < min_groups else ""
        self.estimate = None if self.status else Estimate(np.array([self.value]), drawn, factor=1.0)


def _shares(rows: Sequence[Mapping], draws: Draws, min_groups: int) -> dict[str, dict[str, _Share]]:
    """{by: {wording: share}} of one task, in the order of KNOWN, phrasings by name."""
    whole = [row for row in rows if row["variant"] == "constrained" and not row["truncated"]]
    found: dict[str, dict[str, _Share]] = {}
    for by in (TYPE, POLARITY, PHRASING):
        own = [row for row in whole if by != POLARITY or row[TYPE] == INSTRUCTION_TYPES[0]]
        there = {row[by] for row in own}
        names = sorted(there) if by == PHRASING else [name for name in KNOWN[by] if name in there]
        found[by] = {
            name: _Share([row for row in own if row[by] == name], draws, min_groups) for name in names
        }
    return found


def _difference(by_name: Mapping[str, _Share], one: str, other: str) -> Estimate | None:
    pair = [by_name[name].estimate if name in by_name else None for name in (one, other)]
    return None if None in pair else pair[0] - pair[1]


def _task_rows(shares: Mapping[str, Mapping[str, _Share]]) -> Iterator[dict]:
    for by, by_name in shares.items():
        for name, share in by_name.items():
            numbers = cells_of(share.estimate, (0.0, 1.0))
            numbers["estimate"] = share.value
            yield _row(by, name, numbers, share.n, len(share.groups), 1, share.status)
        for one, other in DIFFERENCES.get(by, ()):
            estimate = _difference(by_name, one, other)
            used = [by_name[name] for name in (one, other) if name in by_name]
            status = "" if estimate else next(filter(None, (share.status for share in used)), "")
            if not estimate and not status:
                missing = f"insufficient: no responses to {one} or to {other} phrasings"
                status = MISSING[by] if len(by_name) == 1 else missing
            yield _difference_row(by, one, other, estimate, used, int(estimate is not None), status)


def _mean_rows(shares: Mapping[str, Mapping[str, Mapping[str, _Share]]]) -> Iterator[dict]:
    for by, known in KNOWN.items():
        here = [name for name in known if any(name in by_task[by] for by_task in shares.values())]
        for name in here:
            used = [
                by_task[by][name]
                for by_task in shares.values()
                if name in by_task[by] and by_task[by][name].estimate
            ]
            estimate, n_tasks = mean_of_known(share.estimate for share in used)
            numbers = cells_of(estimate, (0.0, 1.0))
            n_groups = len(set().union(*(share.groups for share in used)))
            status = "" if estimate else NO_TASK
            yield _row(by, name, numbers, sum(share.n for share in used), n_groups, n_tasks, status)
        for one, other in DIFFERENCES[by]:
            by_task = {task: _difference(found[by], one, other) for task, found in shares.items()}
            estimate, n_tasks = mean_of_known(by_task.values())
            used = [shares[task][by][name] for task, each in by_task.items() if each for name in (one, other)]
            status = MISSING[by] if len(here) == 1 else NO_TASK
            status = "" if estimate else status
            yield _difference_row(by, one, other, estimate, used, n_tasks, status)


def _difference_row(by, one, other, estimate: Estimate | None, used: Sequence[_Share], n_tasks, status):
    numbers = cells_of(estimate, (-1.0, 1.0))
    n_groups = len(set().union(*(share.groups for share in used)))
    return _row(
        by, f"{one}_minus_{other}", numbers, sum(share.n for share in used), n_groups, n_tasks, status
    )


def _row(by: str, wording: str, numbers: Mapping, n: int, n_groups: int, n_tasks: int, status: str) -> dict:
    row = {"by": by, "wording": wording, **numbers}
    return row | {"n": n, "n_groups": n_groups, "n_tasks": n_tasks, "status": status}
