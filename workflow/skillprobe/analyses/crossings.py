"""Do probes read whether text and constraint match? (docs/definitions.md, "Specificity")"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from skillprobe.analyses.counting import Counting, fold_aurocs
from skillprobe.analyses.generality import MEAN, SELECTED, pick_layers
from skillprobe.probes.crossings import Crossings
from skillprobe.statistics.bootstrap import Draws, ratio
from skillprobe.statistics.folds import CALIBRATION, unpaired
from skillprobe.statistics.intervals import Estimate, auroc_estimate
from skillprobe.storage.tables import N_UNTESTED

MATCH, LIKELIHOOD, BEYOND = "match", "likelihood_match", "match_beyond_likelihood"
# A contrast this small, in standard deviations of the score, is none.
_NOTHING = 1e-6


class Cell(NamedTuple):
    """estimate: None where it is insufficient; n, n_groups: of how many rows and groups; by_fold: the same of
    each test fold, by_seed [S, K] and drawn [n_draws, S, K]; tasks: names of those that it is of."""

    estimate: Estimate | None
    n: int
    n_groups: int
    status: str = ""
    by_fold: Estimate | None = None
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Scored:
    """As `auroc_estimate` takes it."""

    scores: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    items: np.ndarray


def match_cells(
    layers: Mapping[int, Mapping[str, Crossings]],
    draws: Draws,
    counting: Counting,
    least: tuple[int, int] = (40, 20),
) -> dict[tuple[int | str, str, str], Cell]:
    """Cells by (layer, task, quantity), with task "mean" and layer "selected" (for each outer fold the one of
    best inner AUROC).

    layers: {layer: {task: Crossings}}; counting: of the specialists of the crossings' scope; least: how many
    crossings, of how many groups, a task needs.

    Quantities: "match", the share of crossings whose contrast s₀₀ + s₁₁ − s₀₁ − s₁₀ is positive (½ where it
    is nothing), s_cr the probe's score of answer r under constraint c: neither what an answer shows nor what
    a prompt shows moves it. "likelihood_match", the same of the answers' log-probabilities (summed over
    tokens: prompts differ only between the terms of one answer, so its length cancels), and
    "match_beyond_likelihood", match − max(L, 1 − L) with L the second. A likelihood that prefers the pairs
    that do *not* match tells them apart just as well (an exclusion names its term, which makes the term
    likelier), and a probe that reads it, the other way round, must not pass for a reader of the match. This
    is stricter than the plain difference. Of counts also "match_n", of crossings of one relation or whose
    numbers differ by less than the median, and "match_one_relation". "same_answers_with",
    "same_answers_without": AUROC of the probe on own answers, read with the constraint and with the
    unconstrained prompt, and "same_answers_difference".

    Means are over the folds and tasks that count and have enough crossings. A task's share has at least the
    standard error of a coin that is thrown once a group; a mean of tasks that of as many such coins.
    """
    cells = {}
    for layer in (*sorted(layers), SELECTED):
        tasks = list(next(iter(layers.values())))
        found = {
            task: dict(
                _quantities(
                    _select({each: layers[each][task] for each in sorted(layers)})
                    if layer == SELECTED
                    else layers[layer][task],
                    draws,
                    least,
                )
            )
            for task in tasks
        }
        for task, by_quantity in {**found, MEAN: _means(found, layers, draws, counting)}.items():
            cells |= {(layer, task, quantity): cell for quantity, cell in by_quantity.items()}
    return cells


def _select(layers: Mapping[int, Crossings]) -> Crossings:
    """With scores of each outer fold by the layer of best inner AUROC there, the lowest among equals."""
    results = list(layers.values())
    first = results[0]
    if first.status:
        return first
    best = np.argmax([result.inner_auroc for result in results], axis=0)
    moved = [np.moveaxis(result.scores, (0, 1), (2, 3)) for result in results]
    answers = {
        name: pick_layers(best, first.answer_folds, [getattr(result, name) for result in results])
        for name in ("with_constraint", "without_constraint")
    }
    scores = np.moveaxis(pick_layers(best, first.folds, moved), (2, 3), (0, 1))
    return replace(first, scores=scores, **answers)


def matched(scores: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Of each crossing 1, 0, or ½ where the contrast is nothing beside the spread of the scores in its fold.

    scores: [n, 2, 2], of constraint c and answer r at [:, c, r]; folds: [n].
    """
    scores = np.asarray(scores, float)
    contrast = scores[:, 0, 0] + scores[:, 1, 1] - scores[:, 0, 1] - scores[:, 1, 0]
    spread = np.zeros(len(scores))
    for fold in np.unique(folds):
        spread[folds == fold] = scores[folds == fold].std()
    return np.where(np.abs(contrast) <= _NOTHING * spread, 0.5, contrast > 0)


def _quantities(crossings: Crossings, draws: Draws, least: tuple[int, int]) -> Iterator[tuple[str, Cell]]:
    used = crossings.folds[0] != CALIBRATION
    counts = np.isfinite(crossings.n_difference)
    subsets = {"match": used}
    if (counts & used).any():
        median = np.median(crossings.n_difference[counts & used])
        near = counts & (crossings.one_relation | (crossings.n_difference < median))
        subsets |= {"match_n": used & near, "match_one_relation": used & crossings.one_relation}
    for name, subset in subsets.items():
        groups = set(crossings.groups[subset].tolist())
        about = int(subset.sum()), len(groups)
        status = crossings.status or _few(*about, least)
        if status and name != "match" and not crossings.status:
            status = f"{N_UNTESTED}: {status}"
        elif status:
            status = f"insufficient: {status}"
        own = other = beyond = (None, None)
        if not status:
            own = _share(crossings.scores, crossings, subset, draws)
            told = np.broadcast_to(crossings.log_probability, crossings.scores.shape)
            other = _share(told, crossings, subset, draws)
            # Which way the likelihood is used is one of a task: of a fold, the better way would be noise.
            way = other if other[0].value >= 0.5 else tuple(map(_complement, other))
            beyond = tuple(a - b for a, b in zip(own, way, strict=True))
        parts = {name: own} | ({LIKELIHOOD: other, BEYOND: beyond} if name == MATCH else {})
        for part, (estimate, by_fold) in parts.items():
            # The difference's error isn't that of two shares with the least error each.
            floored = estimate and _at_least(estimate, len(groups), draws)
            yield part, Cell(floored, *about, status, by_fold)
    yield from _same_answers(crossings, draws)


def _few(n: int, n_groups: int, least: tuple[int, int]) -> str:
    if n >= least[0] and n_groups >= least[1]:
        return ""
    few = f"{n} crossings of {n_groups} groups; the match needs {least[0]} of {least[1]}"
    return few if n else f"{few} (responses that satisfy one constraint of the task and violate another)"


def _share(
    scores: np.ndarray, crossings: Crossings, subset: np.ndarray, draws: Draws
) -> tuple[Estimate, Estimate]:
    """Of all crossings of the subset and of those of each test fold; scores: [S, n, 2, 2]."""
    n_folds = crossings.inner_auroc.shape[1]
    whole, by_fold = [], []
    for of_seed, folds in zip(scores, crossings.folds, strict=True):
        own, fold, groups = of_seed[subset], folds[subset], crossings.groups[subset]
        match = matched(own, fold)
        of = [np.ones(len(fold), bool), *(fold == f for f in range(n_folds))]
        shares = [ratio(match[rows], np.ones(rows.sum()), groups[rows], draws) for rows in of]
        whole.append(shares[0])
        by_fold.append(shares[1:])
    value, drawn = (np.array([each[k] for each in whole]) for k in (0, 1))
    of_folds = np.array([[value for value, _ in each] for each in by_fold])
    drawn_folds = np.array([[drawn for _, drawn in each] for each in by_fold])
    return Estimate(value, drawn.mean(axis=0)), Estimate(of_folds, np.moveaxis(drawn_folds, -1, 0))


def _complement(share: Estimate) -> Estimate:
    return replace(share, by_seed=1 - share.by_seed, drawn=1 - share.drawn)


def _at_least(estimate: Estimate, n_groups: int, draws: Draws) -> Estimate:
    """With the draws of a coin's share, thrown once a group, where its own differ less: few groups that all
    agree don't make a share certain."""
    error, n_coins = np.sqrt(0.25 / n_groups), min(max(n_groups, 2), draws.weights.shape[1])
    if estimate.factor * np.nanstd(estimate.drawn, ddof=1) >= error:
        return estimate
    weights = draws.weights[:, :n_coins]
    coin = np.arange(n_coins) % 2
    drawn = (weights @ coin) / np.maximum(weights.sum(axis=1), 1)
    spread = drawn.std(ddof=1)
    deviation = (drawn - drawn.mean()) / spread * error if spread > 0 else drawn * 0
    return Estimate(estimate.by_seed, estimate.value + deviation, factor=1.0)


def _same_answers(crossings: Crossings, draws: Draws) -> Iterator[tuple[str, Cell]]:
    used = crossings.answer_folds[0] != CALIBRATION
    about = int(used.sum()), len(set(crossings.answer_groups[used].tolist()))
    status = crossings.status or ("" if used.any() else "no responses of which both outcomes are known")
    status = status or unpaired(crossings.labels, crossings.answer_folds)
    found = {name: (None, None) for name in ("with", "without", "difference")}
    if not status:
        rest = crossings.labels, crossings.answer_groups, crossings.answer_folds, crossings.answer_items
        n_folds = crossings.inner_auroc.shape[1]
        for name in ("with", "without"):
            scored = _Scored(getattr(crossings, f"{name}_constraint"), *rest)
            found[name] = auroc_estimate(scored, draws), fold_aurocs(scored, draws, n_folds)
        found["difference"] = tuple(a - b for a, b in zip(found["with"], found["without"], strict=True))
    status = status and f"insufficient: {status}"
    for name, (estimate, by_fold) in found.items():
        yield f"same_answers_{name}", Cell(estimate, *about, status, by_fold)


def _means(
    found: Mapping[str, Mapping[str, Cell]],
    layers: Mapping[int, Mapping[str, Crossings]],
    draws: Draws,
    counting: Counting,
) -> dict[str, Cell]:
    """Over the folds and tasks that count and have a match, so that all means but those of counts are of the
    same tasks."""
    known = {task: each for task, each in found.items() if each[MATCH].estimate is not None}
    means: dict[str, Cell] = {}
    for quantity in dict.fromkeys(name for each in known.values() for name in each):
        cells = {task: each[quantity] for task, each in known.items() if quantity in each}
        cells = {task: cell for task, cell in cells.items() if cell.by_fold is not None}
        if not cells:
            continue
        some = next(iter(cells.values())).by_fold
        blank = Estimate(np.full_like(some.by_seed, np.nan), np.full_like(some.drawn, np.nan))
        of_task = {task: cells[task].by_fold if task in cells else blank for task in counting.tasks}
        estimate = counting.mean(of_task)
        if estimate is None:
            continue
        tasks = tuple(task for task in counting.names if task in cells)
        used = [cells[task] for task in tasks] or list(cells.values())
        if "match" in quantity:
            estimate = _at_least(estimate, _groups_of(counting, cells, layers), draws)
        about = sum(cell.n for cell in used), max(cell.n_groups for cell in used)
        means[quantity] = Cell(estimate, *about, tasks=tasks)
    missing = Cell(None, 0, 0, _no_mean(known, counting))
    return dict.fromkeys((MATCH, LIKELIHOOD, BEYOND), missing) | means


def _groups_of(counting: Counting, cells: Mapping[str, Cell], layers) -> int:
    """Of how many groups' shares a mean over folds and tasks is made: Σ over tasks of those in folds where
    the task counts, in the fold seed with the fewest. That tasks share groups is in the draws; a floor that
    took them for one task would leave no study able to contradict the claim (740 content requests of nine
    tasks)."""
    first = next(iter(layers.values()))
    by_seed = []
    for s in range(len(counting.counts)):
        groups = 0
        for task in cells:
            folds = np.flatnonzero(counting.counts[s, :, counting.tasks.index(task)])
            groups += len(set(first[task].groups[np.isin(first[task].folds[s], folds)].tolist()))
        by_seed.append(groups)
    return max(min(by_seed), 1)


def _no_mean(known: Mapping[str, Mapping[str, Cell]], counting: Counting) -> str:
    if not known:
        return "insufficient: no task has enough crossings that its probe can be tried on"
    if not counting.counts.any():
        return "insufficient: no task has a signal"
    return "insufficient: no task with a signal has enough crossings that its probe can be tried on"
