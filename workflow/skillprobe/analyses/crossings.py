"""Does a probe read whether text and constraint match? Shares of crossings (ESTIMANDS, "Specificity")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skillprobe.analyses.generality import MEAN, SELECTED, pick_layers
from skillprobe.probes.crossings import Crossings
from skillprobe.statistics.bootstrap import Draws, ratio
from skillprobe.statistics.folds import CALIBRATION, unpaired
from skillprobe.statistics.intervals import Estimate, auroc_estimate, mean_of_known

# An estimate (None: insufficient), of how many rows and groups, and the status.
Cell = tuple[Estimate | None, int, int, str]
# A contrast this small, in standard deviations of the score, is none.
_NOTHING = 1e-6
N_UNTESTED = "reads the relation, n untested"


@dataclass(frozen=True)
class _Scored:
    """As `auroc_estimate` takes it."""

    scores: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    items: np.ndarray


def match_cells(
    layers: Mapping[int, Mapping[str, Crossings]], draws: Draws, least: tuple[int, int] = (40, 20)
) -> dict[tuple[int | str, str, str], Cell]:
    """Cells by (layer, task, quantity), with task "mean" and layer "selected" (for each outer fold the one of
    best inner AUROC).

    layers: {layer: {task: Crossings}}; least: how many crossings, of how many groups, a task needs.

    Quantities: "match", the share of crossings whose contrast s₀₀ + s₁₁ − s₀₁ − s₁₀ is positive (½ where it
    is nothing), s_cr the probe's score of answer r under constraint c: neither what an answer shows nor what
    a prompt shows moves it. "likelihood_match", the same of the answers' log-probabilities (summed over
    tokens: prompts differ only between the terms of one answer, so its length cancels), and
    "match_beyond_likelihood", the first minus the second. Of counts also "match_n", of crossings of one
    relation or whose numbers differ by less than the median, and "match_one_relation".
    "same_answers_with", "same_answers_without": AUROC of the probe on own answers, read with the constraint
    and with the prompt of the unconstrained twin, and "same_answers_difference".

    The mean is over tasks with a match. Standard errors of shares are at least that of a share of ½ of as
    many independent groups.
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
        for task, by_quantity in {**found, MEAN: _means(found, draws)}.items():
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
        shares: dict[str, Estimate | None] = {}
        if not status:
            shares["score"] = _share(crossings.scores, crossings, subset, draws)
            shares["likelihood"] = _share(crossings.log_probability[None], crossings, subset, draws)
        own, other = shares.get("score"), shares.get("likelihood")
        yield name, (own and _at_least(own, groups, draws), *about, status)
        if name == "match":
            # The difference's error isn't that of two shares with the least error each.
            beyond = own and _at_least(_minus(own, other), groups, draws)
            yield "likelihood_match", (other and _at_least(other, groups, draws), *about, status)
            yield "match_beyond_likelihood", (beyond, *about, status)
    yield from _same_answers(crossings, draws)


def _few(n: int, n_groups: int, least: tuple[int, int]) -> str:
    if n >= least[0] and n_groups >= least[1]:
        return ""
    few = f"{n} crossings of {n_groups} groups; the match needs {least[0]} of {least[1]}"
    return few if n else f"{few} (answers that satisfy one constraint of the task and violate another)"


def _share(scores: np.ndarray, crossings: Crossings, subset: np.ndarray, draws: Draws) -> Estimate:
    """scores: [S, n, 2, 2]."""
    found = [
        ratio(
            matched(of_seed[subset], folds[subset]),
            np.ones(subset.sum()),
            crossings.groups[subset],
            draws,
        )
        for of_seed, folds in zip(scores, crossings.folds, strict=False)
    ]
    return Estimate(np.array([value for value, _ in found]), np.mean([drawn for _, drawn in found], axis=0))


def _minus(own: Estimate, other: Estimate) -> Estimate:
    """other: may be of one fold seed, for all of them."""
    return own - Estimate(np.resize(other.by_seed, len(own.by_seed)), other.drawn)


def _at_least(estimate: Estimate, groups: Sequence[str] | set[str], draws: Draws) -> Estimate:
    """With the draws of a coin's share, thrown once a group, where its own differ less: few groups that all
    agree don't make a share certain."""
    columns = draws.columns(np.array(sorted(groups)))
    error = np.sqrt(0.25 / len(columns))
    if estimate.factor * np.nanstd(estimate.drawn, ddof=1) >= error:
        return estimate
    weights = draws.weights[:, columns]
    coin = np.arange(len(columns)) % 2
    drawn = (weights @ coin) / np.maximum(weights.sum(axis=1), 1)
    spread = drawn.std(ddof=1)
    deviation = (drawn - drawn.mean()) / spread * error if spread > 0 else drawn * 0
    return Estimate(estimate.by_seed, estimate.value + deviation, factor=1.0)


def _same_answers(crossings: Crossings, draws: Draws) -> Iterator[tuple[str, Cell]]:
    used = crossings.answer_folds[0] != CALIBRATION
    about = int(used.sum()), len(set(crossings.answer_groups[used].tolist()))
    status = crossings.status or ("" if used.any() else "no answers of which both outcomes are known")
    status = status or unpaired(crossings.labels, crossings.answer_folds)
    found: list[Estimate | None] = [None, None]
    if not status:
        rest = crossings.labels, crossings.answer_groups, crossings.answer_folds
        rest = *rest, crossings.answer_items
        both = crossings.with_constraint, crossings.without_constraint
        found = [auroc_estimate(_Scored(scores, *rest), draws) for scores in both]
    status = status and f"insufficient: {status}"
    for name, estimate in zip(("with", "without"), found, strict=True):
        yield f"same_answers_{name}", (estimate, *about, status)
    difference = None if None in found else found[0] - found[1]
    yield "same_answers_difference", (difference, *about, status)


def _means(found: Mapping[str, Mapping[str, Cell]], draws: Draws) -> dict[str, Cell]:
    """Over the tasks that have a match, so that all means but those of counts are of the same tasks."""
    known = [each for each in found.values() if each["match"][0] is not None]
    if not known:
        return {
            "match": (None, 0, 0, "insufficient: no task has enough crossings that its probe can be tried on")
        }
    means = {}
    for quantity in dict.fromkeys(name for each in known for name in each):
        cells = [each[quantity] for each in known if quantity in each and each[quantity][0] is not None]
        if cells:
            estimate, groups = mean_of_known(cell[0] for cell in cells)[0], max(cell[2] for cell in cells)
            if "match" in quantity:
                estimate = _at_least(estimate, draws.groups[:groups], draws)
            means[quantity] = estimate, sum(cell[1] for cell in cells), groups, ""
    return means
