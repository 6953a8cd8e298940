"""Planning as a share of variance: how much of what the prompt decides, beyond what its surface says, can be
read at its end (docs/definitions.md, "Monitoring and planning")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skillprobe.probes.planning import PromptScores
from skillprobe.statistics.bootstrap import Draws
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import (
    Estimate,
    cells_of,
    mean_of_known,
)
from skillprobe.statistics.variance import between_variance, explained_variance
from skillprobe.storage.tables import DRAWS, MEAN, NO_TASK, rounded

VARIANCE, SURFACE, BOTH = "between_variance", "surface_r2", "both_r2"
SHARE, RECOVERED = "planning_share", "recovered"
# Below this share of ȳ(1 − ȳ), the prompt decides little.
LITTLE = 0.1


def planning_rows(
    scores: Mapping[str, PromptScores], categories: Mapping[str, str], draws: Draws, *, least: float
) -> Iterator[dict]:
    """Rows of tables/time_summary.csv, but for model, scope and layer, of every task and of task "mean".

    scores: {task: `fit_planning`}; draws: of groups, with the probes fixed; least: what the lower 99 % bound
    of a task's V must exceed to count, and twice what that of the mean of V(1 − R²_surface) must.

    Quantities: "between_variance", V (of "mean": over all tasks with scores). Of tasks that count, "mean"
    being the ratio of their sums: "surface_r2" and "both_r2", R² of the surface's score and of the stacked
    one; "planning_share", P = Σ V(R²_both − R²_surface) / Σ V(1 − R²_surface); "recovered", r, the same of
    labels that the state decides along a random direction, mean over directions. Intervals: value ± z·SE, all
    but V's widened for the probes that are kept fixed; those of r have the variance over directions in place
    of that over fold seeds. tasks: names of the n_tasks that a row is of. status: "", or "insufficient: …"
    with NaN for the numbers.
    """
    parts = {task: _parts(each, draws) for task, each in scores.items() if not each.status}
    counting = [task for task, part in parts.items() if _lower(part.real.variance) > least]
    for task in (*scores, MEAN):
        if task == MEAN:
            members, known = counting, list(parts.values())
            missing = _none_counts(parts, least) if parts else NO_TASK
        else:
            members = [task] if task in counting else []
            known = [parts[task]] if task in parts else []
            missing = f"insufficient: {scores[task].status}" if not known else _too_little(parts[task], least)
        variance = _mean([part.real.variance for part in known])
        of_known = [each for each in parts if task in (each, MEAN)]
        found = {VARIANCE: (variance, of_known, "" if known else missing)}
        found |= dict.fromkeys((SURFACE, BOTH, SHARE, RECOVERED), (None, members, missing))
        if members:
            real = [parts[each].real for each in members]
            whole = _mean([each.variance for each in real])
            for name, of in (
                (SURFACE, [each.surface for each in real]),
                (BOTH, [each.both for each in real]),
            ):
                found[name] = _mean(of).over(whole), members, ""
            share, reason = _share(real, least / 2)
            found[SHARE] = share, members, reason
            by_direction = list(zip(*(parts[each].drawn for each in members), strict=True))
            found[RECOVERED] = _recovered(by_direction), members, ""
        for quantity, (estimate, names, status) in found.items():
            yield summary_row(task, categories, quantity, estimate, names, status)


def summary_row(
    task: str,
    categories: Mapping[str, str],
    quantity: str,
    estimate: Estimate | None,
    tasks: Sequence[str],
    status: str,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> dict:
    """Of tables/time_summary.csv, but for model, scope and layer; tasks: that the estimate is of."""
    return {
        "task": task,
        "category": MEAN if task == MEAN else categories[task],
        "quantity": quantity,
        **cells_of(estimate, bounds),
        "n_tasks": len(tasks),
        "tasks": " ".join(tasks),
        "status": status,
        DRAWS: estimate if task == MEAN else None,
    }


@dataclass(frozen=True)
class _Labelled:
    """Of one labelling: V, V·R²_surface and V·R²_both."""

    variance: Estimate
    surface: Estimate
    both: Estimate


@dataclass(frozen=True)
class _Parts:
    """Of one task: the labels as they are, and those redrawn; rate: ȳ."""

    real: _Labelled
    drawn: list[_Labelled]
    rate: float


def _parts(scores: PromptScores, draws: Draws) -> _Parts:
    tested = scores.folds[0] != CALIBRATION
    folds, groups, samples = scores.folds[:, tested], scores.groups[tested], scores.samples[tested]

    def labelled(satisfied, surface, both) -> _Labelled:
        """surface, both: [S, n], or of the first fold seed only."""
        variance = between_variance(satisfied, samples, groups, draws)
        explained = [
            np.array(
                [
                    explained_variance(score, satisfied / samples, groups, fold, variance[0], draws)
                    for score, fold in zip(of_seeds, folds, strict=False)
                ]
            )
            for of_seeds in (surface, both)
        ]
        return _Labelled(
            # Of labels alone: no probe has a part in it.
            Estimate(variance[:1], variance[1:], factor=1.0),
            *(Estimate(each[:, 0], each[:, 1:].mean(axis=0)) for each in explained),
        )

    satisfied = scores.satisfied[tested]
    drawn = zip(scores.drawn_satisfied, scores.drawn_surface, scores.drawn_both, strict=True)
    return _Parts(
        labelled(satisfied, scores.surface[:, tested], scores.both[:, tested]),
        [labelled(y[tested], surface[None, tested], both[None, tested]) for y, surface, both in drawn],
        float((satisfied / samples).mean()),
    )


def _share(tasks: Sequence[_Labelled], least: float) -> tuple[Estimate | None, str]:
    """Σ V(R²_both − R²_surface) / Σ V(1 − R²_surface) over tasks, or why there is none."""
    left = _left(tasks)
    lower = _lower(left)
    if not lower > least:
        return None, (
            "insufficient: the prompt's surface leaves a variance between items of "
            f"{rounded(left.value)}; its lower bound is {rounded(lower)} and must be above {least:g}"
        )
    return _gained(tasks).over(left), ""


def _recovered(directions: Sequence[Sequence[_Labelled]]) -> Estimate:
    """The mean of the same ratio over directions, of each of which the tasks' labels are given."""
    ratios = [_gained(tasks).over(_left(tasks)) for tasks in directions]
    by_direction = np.array([ratio.value for ratio in ratios])
    return Estimate(by_direction, np.mean([ratio.drawn for ratio in ratios], axis=0))


def _gained(tasks: Sequence[_Labelled]) -> Estimate:
    return _mean([each.both - each.surface for each in tasks])


def _left(tasks: Sequence[_Labelled]) -> Estimate:
    return _mean([each.variance - each.surface for each in tasks])


def _mean(estimates: Sequence[Estimate]) -> Estimate | None:
    return mean_of_known(estimates)[0]


def _lower(estimate: Estimate) -> float:
    return estimate.cells()["lower99"]


def _decides_little(part: _Parts) -> bool:
    upper = part.real.variance.cells()["upper99"]
    return upper < LITTLE * part.rate * (1 - part.rate)


def _too_little(part: _Parts, least: float) -> str:
    if _decides_little(part):
        return (
            "insufficient: little is decided by the prompt: the variance between items has an upper bound "
            f"below {LITTLE:.0%} of ȳ(1 − ȳ)"
        )
    return (
        f"insufficient: the variance between items is {rounded(part.real.variance.value)}; its lower bound "
        f"is {rounded(_lower(part.real.variance))} and must be above {least:g}"
    )


def _none_counts(parts: Mapping[str, _Parts], least: float) -> str:
    if all(map(_decides_little, parts.values())):
        return (
            "insufficient: little is decided by the prompt: in every task, the variance between items has an "
            f"upper bound below {LITTLE:.0%} of ȳ(1 − ȳ)"
        )
    return (
        f"insufficient: no task has a variance between items whose lower bound is above {least:g}; it takes "
        "more requests or samples, or prompts that decide more"
    )
