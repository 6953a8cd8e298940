"""At which depth each task emerges, and whether the depths follow the order of the categories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from skillprobe.analyses.counting import Counting, count_tasks
from skillprobe.analyses.generality import select_layer
from skillprobe.errors import UserError
from skillprobe.probes.results import ProbeResult
from skillprobe.statistics.bootstrap import Draws, auroc_lines, draw_tested
from skillprobe.statistics.intervals import BOUNDS, UNIT, Estimate, both_intervals
from skillprobe.storage.tables import ACROSS, DRAWS

ALL = "all"
# Depths of a task, and the rank correlations of each with the order of the categories.
EMERGENCE, LATE, CENTROID = "emergence", "emergence_95", "centroid"
TAUS = {EMERGENCE: "tau", LATE: "tau_95", CENTROID: "tau_centroid"}
CATEGORY_RANKS = {"structural": 1, "lexical": 2, "semantic": 3, "stylistic": 3}
COLUMNS = ("model", "scope", "task", "category", "quantity", "estimate", *BOUNDS)
COLUMNS += ("truncated", "n_tasks", "tasks", "status")


def layers_table(
    model: str,
    specialists: Mapping[str, Mapping[int, ProbeResult]],
    categories: Mapping[str, str],
    num_layers: int,
    *,
    signal: float,
    share: float,
    scope: str = ACROSS,
    n_draws: int = 2000,
    seed: int = 0,
    study_groups: Iterable[str] | None = None,
) -> list[dict]:
    """Rows with COLUMNS: the depths of every task, and their order, of task "all" (docs/definitions.md,
    "Depths").

    specialists: {task: {layer: result}}; categories: {task: a key of CATEGORY_RANKS}; num_layers: the
    model's blocks, so that layers 0 (embeddings) to num_layers have relative depths 0 to 1, the unit of
    these quantities: "emergence", the first depth where AUROC − ½ reaches `share` of the task's own maximum;
    "emergence_95", 95 % of it, which is late by chance where curves are flat; "centroid", the mean depth
    weighted by (AUROC − ½)₊. "tau", "tau_95", "tau_centroid": Kendall's tau-b of category rank and that depth
    over the n_tasks tasks that count (`count_tasks`, of the specialist at its selected layer, above
    `signal`). The bootstrap is joint: one set of draws of groups (of the study, None: of the rows) for all
    tasks and layers, with the probes fixed. tasks: names of those that count. truncated: share of responses
    that are left out, cut short (of "all": the mean over tasks). status: "", or with NaN for the
    numbers "no signal: …" of a task that does not count, or "insufficient: …": of tau where the tasks that
    count have categories of one rank, or one depth. Raises UserError where there are no probes, a layer is
    not the model's or a category has no rank.
    """
    _check(model, specialists, categories, num_layers)
    results = [result for by_layer in specialists.values() for result in by_layer.values()]
    draws = draw_tested(results, study_groups, n_draws=n_draws, seed=seed)
    ordered = {task: dict(sorted(by_layer.items())) for task, by_layer in specialists.items()}
    counting = count_tasks({task: [select_layer(by)] for task, by in ordered.items()}, draws, signal)
    found = {
        task: _depths_of(by_layer, num_layers, draws, share)
        if task in counting.names
        else dict.fromkeys(TAUS, _BySeed.missing(_why(task, by_layer, counting)))
        for task, by_layer in ordered.items()
    }
    cut = {task: next(iter(by_layer.values())).truncated for task, by_layer in ordered.items()}
    rows = [
        _row(
            task, categories[task], quantity, depth, UNIT, [task] if task in counting.names else [], cut[task]
        )
        for task, by_quantity in found.items()
        for quantity, depth in by_quantity.items()
    ]
    ranks = np.array([CATEGORY_RANKS[categories[task]] for task in counting.names])
    for quantity, tau in TAUS.items():
        order = _tau_of(ranks, [found[task][quantity] for task in counting.names])
        rows.append(_row(ALL, ALL, tau, order, (-1.0, 1.0), counting.names, fmean(cut.values())))
    return [{"model": model, "scope": scope} | row for row in rows]


def emergence(aurocs: np.ndarray, depths: np.ndarray, share: float = 0.5) -> np.ndarray:
    """First depth at which AUROC − ½ reaches `share` of its maximum over layers; NaN if that is not above 0.

    aurocs: [n_layers, ...]; depths: [n_layers], ascending; returns [...].
    """
    above = np.asarray(aurocs, float) - 0.5
    highest = above.max(axis=0)
    first = np.argmax(above >= share * highest, axis=0)
    return np.where(highest > 0, np.asarray(depths, float)[first], np.nan)


def centroid(aurocs: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """Mean depth with weights (AUROC − ½)₊; NaN where all are 0. Shapes: as for `emergence`."""
    weights = np.maximum(np.asarray(aurocs, float) - 0.5, 0)
    total = weights.sum(axis=0)
    sums = np.tensordot(np.asarray(depths, float), weights, axes=1)
    return np.divide(sums, total, out=np.full(np.shape(total), np.nan), where=total > 0)


def kendall_tau_b(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Kendall's tau-b (1945, Biometrika 33, 239), in [−1, 1]; NaN where all of x or of y are tied.

    x: [n]; y: [..., n], a NaN among which makes NaN; returns [...].
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    i, j = np.triu_indices(len(x), k=1)
    order_x, order_y = np.sign(x[i] - x[j]), np.sign(y[..., i] - y[..., j])
    untied = np.sqrt((order_x**2).sum() * (order_y**2).sum(axis=-1))
    agreement = order_y @ order_x
    return np.divide(agreement, untied, out=np.full(agreement.shape, np.nan), where=untied > 0)


@dataclass(frozen=True)
class _BySeed:
    """by_seed: [S] estimates; draws: [S, n_draws], of each fold seed, since tau is made of these and not of
    their means; both empty if there is a status."""

    by_seed: np.ndarray
    draws: np.ndarray
    status: str = ""

    @classmethod
    def missing(cls, status: str) -> _BySeed:
        return cls(np.zeros(0), np.zeros((0, 0)), status)


def _check(model, specialists, categories, num_layers) -> None:
    if not specialists or not all(specialists.values()):
        raise UserError(
            f"there are no probes of model {model!r}, or none of one of its tasks; run the "
            "target probes first"
        )
    for task, by_layer in specialists.items():
        if not 0 <= min(by_layer) <= max(by_layer) <= num_layers:
            raise UserError(
                f"task {task!r} has probes of layers {min(by_layer)} to {max(by_layer)}, but model {model!r} "
                f"has layers 0 to {num_layers}; correct its num_layers or train the probes again"
            )
        if categories[task] not in CATEGORY_RANKS:
            raise UserError(
                f"task {task!r} has the category {categories[task]!r}, which has no place in the order "
                f"of depths; it must be one of {', '.join(CATEGORY_RANKS)}"
            )


def _depths_of(
    by_layer: Mapping[int, ProbeResult], num_layers: int, draws: Draws, share: float
) -> dict[str, _BySeed]:
    """Each of the depths, of fold seeds and draws. Not of the curve averaged over fold seeds: it is smoother
    than each seed's, so its draws would be of another, less scattered quantity than the estimate."""
    values, drawn = zip(
        *(
            auroc_lines(each.scores, each.labels, each.groups, each.folds, draws, each.items)
            for each in by_layer.values()
        ),
        strict=True,
    )
    curves, depths = (np.array(values), np.array(drawn)), np.array(list(by_layer)) / num_layers
    return {
        EMERGENCE: _BySeed(*(emergence(each, depths, share) for each in curves)),
        LATE: _BySeed(*(emergence(each, depths, 0.95) for each in curves)),
        CENTROID: _BySeed(*(centroid(each, depths) for each in curves)),
    }


def _why(task: str, by_layer: Mapping[int, ProbeResult], counting: Counting) -> str:
    if status := next(iter(by_layer.values())).status:
        return f"insufficient: {status}"
    often = counting.counts[..., counting.tasks.index(task)]
    return (
        f"no signal: judged by the other folds, the AUROC at the selected layer is high enough in "
        f"{int(often.sum())} of {often.size} test folds; it must be in three fifths"
    )


def _tau_of(ranks: np.ndarray, estimates: list[_BySeed]) -> _BySeed:
    """ranks: [n] of the tasks that count, whose depths `estimates` are."""
    if not estimates:
        return _BySeed.missing("insufficient: no task has a signal")
    if len(set(ranks.tolist())) < 2:
        return _BySeed.missing("insufficient: all tasks with a signal have categories of the same rank")
    by_seed = np.stack([estimate.by_seed for estimate in estimates], axis=-1)
    if np.all(by_seed == by_seed[:, :1]):
        return _BySeed.missing("insufficient: all tasks with a signal emerge at the same depth")
    drawn = np.stack([estimate.draws for estimate in estimates], axis=-1)
    return _BySeed(_order(ranks, by_seed), _order(ranks, drawn))


def _order(ranks: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """tau-b, 0 where all depths are tied: [...] of depths [..., n].

    Draws without any order are evidence of none. Were they dropped, one task that is late by chance would
    leave only the draws in which it is, and so a lower bound above 0.
    """
    tied = np.all(depths == depths[..., :1], axis=-1)
    return np.where(tied, 0.0, kendall_tau_b(ranks, depths))


def _row(task, category, quantity, found: _BySeed, bounds, tasks: list[str], truncated: float) -> dict:
    row = {"task": task, "category": category, "quantity": quantity}
    if found.status:
        row |= both_intervals(None)
    else:
        row[DRAWS] = Estimate(found.by_seed, found.draws.mean(axis=0))
        row |= row[DRAWS].cells(bounds)
    about = {"truncated": truncated, "n_tasks": len(tasks), "tasks": " ".join(tasks)}
    return row | about | {"status": found.status}
