"""At which depth each task emerges, and whether the depths follow the order of the categories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from skillprobe.analyses.generality import Scored, select_layer
from skillprobe.errors import UserError
from skillprobe.probes.results import ProbeResult
from skillprobe.statistics.bootstrap import Draws, auroc_lines, draw_tested
from skillprobe.statistics.intervals import (
    BOUNDS,
    Estimate,
    both_intervals,
    claims_level,
    enough_signal,
    interval,
)
from skillprobe.storage.tables import ACROSS, DRAWS

ALL = "all"
CATEGORY_RANKS = {"structural": 1, "lexical": 2, "semantic": 3, "stylistic": 3}
COLUMNS = ("model", "scope", "task", "category", "quantity", "estimate", *BOUNDS, "n_tasks", "status")
_BOUNDS = {"emergence": (0.0, 1.0), "tau": (-1.0, 1.0)}


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
    """Rows with COLUMNS: quantity "emergence" of every task and "tau" of task "all" (ESTIMANDS, Layers).

    specialists: {task: {layer: result}}; categories: {task: a key of CATEGORY_RANKS}; num_layers: the
    model's blocks, so that layers 0 (embeddings) to num_layers have relative depths 0 to 1, the unit of
    emergence. tau is Kendall's tau-b of category rank and emergence over the n_tasks tasks with signal: those
    whose AUROC at the nested selected layer has a lower 99 % bound above `signal`. The bootstrap is joint:
    one set of draws of groups (of the study, None: of the rows) for all tasks and layers. status: "", or with
    NaN for the numbers "no signal: …" or "insufficient: …": of tau where less than two thirds of the tasks
    have signal, or all of these are tied. Raises UserError where there are no probes, a layer is not the
    model's or a category has no rank.
    """
    _check(model, specialists, categories, num_layers)
    results = [result for by_layer in specialists.values() for result in by_layer.values()]
    draws = draw_tested(results, study_groups, n_draws=n_draws, seed=seed)
    found = {
        task: _emergence_of(dict(sorted(by_layer.items())), num_layers, draws, signal, share)
        for task, by_layer in specialists.items()
    }
    rows = [
        _row(task, categories[task], "emergence", estimate, n_tasks=1) for task, estimate in found.items()
    ]
    with_signal = {task: estimate for task, estimate in found.items() if not estimate.status}
    ranks = np.array([CATEGORY_RANKS[categories[task]] for task in with_signal])
    tau = _tau_of(ranks, list(with_signal.values()), len(found))
    rows.append(_row(ALL, ALL, "tau", tau, n_tasks=len(with_signal)))
    return [{"model": model, "scope": scope} | row for row in rows]


def emergence(aurocs: np.ndarray, depths: np.ndarray, share: float = 0.95) -> np.ndarray:
    """First depth at which AUROC − ½ reaches `share` of its maximum over layers; NaN if that is not above 0.

    aurocs: [n_layers, ...]; depths: [n_layers], ascending; returns [...].
    """
    above = np.asarray(aurocs, float) - 0.5
    highest = above.max(axis=0)
    first = np.argmax(above >= share * highest, axis=0)
    return np.where(highest > 0, np.asarray(depths, float)[first], np.nan)


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


def _auroc_of(scored: ProbeResult | Scored, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """AUROC of each fold seed, [S], and of its draws, [S, n_draws]."""
    return auroc_lines(scored.scores, scored.labels, scored.groups, scored.folds, draws, scored.items)


def _emergence_of(
    by_layer: Mapping[int, ProbeResult], num_layers: int, draws: Draws, signal: float, share: float
) -> _BySeed:
    selected = select_layer(by_layer)
    if selected.status:
        return _BySeed.missing(f"insufficient: {selected.status}")
    by_seed, drawn = _auroc_of(selected, draws)
    level = claims_level()
    lower = interval(by_seed, drawn.mean(axis=0), level, (0.0, 1.0)).lower
    if not lower > signal:
        return _BySeed.missing(
            f"no signal: the lower {100 * level:.4g} % bound of the AUROC at the selected layer is "
            f"{lower:.3f}; it must be above {signal:g}"
        )
    # Not of the curve averaged over fold seeds: it is smoother than each seed's, so its draws would be of
    # another, less scattered quantity than the estimate.
    values, drawn = zip(*(_auroc_of(result, draws) for result in by_layer.values()), strict=True)
    depths = np.array(list(by_layer)) / num_layers
    return _BySeed(emergence(np.array(values), depths, share), emergence(np.array(drawn), depths, share))


def _tau_of(ranks: np.ndarray, estimates: list[_BySeed], n_given: int) -> _BySeed:
    """ranks: [n] of the tasks with signal, whose emergences `estimates` are; n_given: of all tasks."""
    if not enough_signal(len(ranks), n_given):
        return _BySeed.missing(
            f"insufficient: {len(ranks)} of {n_given} tasks have a signal; two thirds are needed"
        )
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


def _row(task, category, quantity, estimate: _BySeed, n_tasks: int) -> dict:
    row = {
        "task": task,
        "category": category,
        "quantity": quantity,
    }
    if estimate.status:
        row |= both_intervals(None)
    else:
        row[DRAWS] = Estimate(estimate.by_seed, estimate.draws.mean(axis=0))
        row |= row[DRAWS].cells(_BOUNDS[quantity])
    return row | {"n_tasks": n_tasks, "status": estimate.status}
