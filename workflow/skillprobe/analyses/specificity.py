"""Does a probe read the constraint, or what any such text shows (docs/definitions.md, "Specificity")?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from skillprobe.analyses.counting import count_tasks
from skillprobe.analyses.crossings import BEYOND, Cell, match_cells
from skillprobe.analyses.generality import MEAN, SELECTED, Scored, select_layer
from skillprobe.errors import UserError
from skillprobe.probes.crossings import Crossings
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.unconstrained import BothPrompts
from skillprobe.statistics.bootstrap import Draws, draw_tested, ratio
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import (
    BOUNDS,
    Estimate,
    auroc_estimate,
    cells_of,
    mean_of_known,
    tested_rows,
)
from skillprobe.storage.tables import ACROSS, DRAWS

COLUMNS = ("model", "scope", "layer", "task", "category", "quantity")
COLUMNS += ("estimate", *BOUNDS, "n", "n_groups", "truncated", "n_tasks", "tasks", "status")
# Names of the quantities of responses with and without the constraint, and where those are.
VARIANTS = {"constrained": "constrained", "twins": "unconstrained"}
_SHARES = ("constrained", "twins", "match", "match_n", "match_one_relation", "likelihood_match")
_SHARES += ("same_answers_with", "same_answers_without")
_DIFFERENCES = ("specificity", BEYOND, "same_answers_difference")
_LIMITS = dict.fromkeys(_SHARES, (0.0, 1.0)) | dict.fromkeys(_DIFFERENCES, (-1.0, 1.0))
# Shares of crossings, whose error is at least a coin's: on the logit scale, as for AUROCs, an interval would
# be all of [0, 1] where nearly all crossings match.
_MATCHES = ("match", "match_n", "match_one_relation", "likelihood_match")


def specificity_table(
    model: str,
    layers: Mapping[int, Mapping[str, BothPrompts]],
    categories: Mapping[str, str],
    *,
    crossings: Mapping[str, Mapping[int, Mapping[str, Crossings]]] | None = None,
    specialists: Mapping[str, Mapping[str, Mapping[int, ProbeResult]]] | None = None,
    signal: float = 0.55,
    least: tuple[int, int] = (40, 20),
    n_draws: int = 2000,
    seed: int = 0,
    study_groups: Iterable[str] | None = None,
) -> list[dict]:
    """Rows with COLUMNS, of every task and of task "mean".

    layers: {layer: `cross_prompts`}; categories: {task: category}. layer is a number, or "selected": for each
    outer fold the one with the best inner AUROC of the specialist. The bootstrap over groups is joint over
    everything.

    Quantities: "constrained" and "twins", the AUROC of the task's probe on its own rows and of the same probe
    on those of the unconstrained prompts, "specificity", the first minus the second. "satisfied", "violated",
    and "twin_satisfied", "twin_violated" of the unconstrained prompts: mean projection on the probe's
    direction, in standard deviations of the constrained rows of the fold, from their mean (first fold seed).
    Of numbered layers only: "row_space_constrained" and "row_space_twins", the share of the variance within a
    task that lies in the row-space of all tasks' probes; "row_space_random" would lie in a random space. All
    of these are of scope "across", their means over the tasks with enough of both variants; no claim rests on
    them, since prompts differ too.

    crossings: as `read_crossings` gives them, by the scope of the probes, which are specialists: {scope:
    {task: {layer: result}}}; signal: what the AUROC of these must be above for a task to count
    (`count_tasks`, at the selected layer); least: how many crossings, of how many groups, a task needs. Their
    quantities: see `match_cells`. truncated: the share of the tasks' constrained responses that are left out
    for that. tasks: names of the n_tasks that a row is of. status: "" or "insufficient: …" with NaN for the
    numbers. Raises UserError where there are no probes.
    """
    if not layers:
        raise UserError(
            f"there are no probes of model {model!r} to test on unconstrained responses; "
            "run the target probes first"
        )
    first = next(iter(layers.values()))
    every = [result for each in first.values() for result in (each.constrained, each.unconstrained)]
    draws = draw_tested(every, study_groups, n_draws=n_draws, seed=seed)
    cells: dict[tuple, Cell] = {}
    for layer in (*sorted(layers), SELECTED):
        found: dict[str, dict[str, tuple[Estimate | None, int, int, str]]] = {}
        for task in categories:
            if layer == SELECTED:
                pair = tuple(
                    select_layer({each: getattr(layers[each][task], name) for each in sorted(layers)})
                    for name in VARIANTS.values()
                )
            else:
                pair = layers[layer][task].constrained, layers[layer][task].unconstrained
            found[task] = dict(_aurocs(pair, draws)) | dict(_projections(pair, draws))
            if layer != SELECTED:
                found[task] |= dict(_shares(layers[layer][task], draws))
        for task, by_quantity in {**found, MEAN: _means(found)}.items():
            for quantity, cell in by_quantity.items():
                cells[ACROSS, layer, task, quantity] = Cell(*cell)
    for scope, of_scope in (crossings or {}).items():
        selected = {task: [select_layer(specialists[scope][task])] for task in categories}
        counting = count_tasks(selected, draws, signal)
        found = match_cells(of_scope, draws, counting, least)
        cells |= {(scope, *place): cell for place, cell in found.items()}
    truncated = {task: both.constrained.truncated for task, both in first.items()}
    table = []
    for (scope, layer, task, quantity), cell in cells.items():
        row = {"model": model, "scope": scope, "layer": layer, "task": task}
        row |= {"category": categories.get(task, MEAN), "quantity": quantity}
        row |= _interval_cells(quantity, cell.estimate)
        names = cell.tasks if task == MEAN else (task,) if cell.estimate is not None else ()
        cut = np.mean([truncated[each] for each in names or truncated]) if task == MEAN else truncated[task]
        row |= {"n": cell.n, "n_groups": cell.n_groups, "truncated": float(cut)}
        row |= {"n_tasks": len(names), "tasks": " ".join(names), "status": cell.status}
        table.append(row | {DRAWS: cell.estimate if task == MEAN else None})
    return table


def _interval_cells(quantity: str, estimate: Estimate | None) -> dict[str, float]:
    if quantity not in _MATCHES:
        return cells_of(estimate, _LIMITS.get(quantity, (-np.inf, np.inf)))
    return {name: float(np.clip(value, 0.0, 1.0)) for name, value in cells_of(estimate).items()}


def _about(result: ProbeResult | Scored) -> tuple[int, int, str]:
    return *tested_rows(result), result.status and f"insufficient: {result.status}"


def _aurocs(pair, draws: Draws) -> Iterator:
    found = []
    for name, result in zip(VARIANTS, pair, strict=True):
        estimate = None
        if not result.status:
            estimate = auroc_estimate(result, draws)
        found.append(estimate)
        yield name, (estimate, *_about(result))
    n, n_groups, status = _about(pair[1])
    both = None if None in found else found[0] - found[1]
    status = _about(pair[0])[-1] or (
        status and status.replace("insufficient: ", "insufficient: unconstrained: ")
    )
    yield "specificity", (both, n, n_groups, status)


def _projections(pair, draws: Draws) -> Iterator:
    constrained, unconstrained = pair
    if constrained.status:
        return
    centre, spread = {}, {}
    for fold in set(constrained.folds[0].tolist()) - {CALIBRATION}:
        scores = constrained.scores[0, constrained.folds[0] == fold]
        centre[fold], spread[fold] = scores.mean(), scores.std() or 1.0
    for prefix, result in (("", constrained), ("twin_", unconstrained)):
        if not result.status:
            for label, word in ((1, "satisfied"), (0, "violated")):
                rows = np.flatnonzero((result.folds[0] != CALIBRATION) & (result.labels == label))
                folds = result.folds[0, rows].tolist()
                values = np.array(
                    [
                        (result.scores[0, row] - centre[f]) / spread[f]
                        for row, f in zip(rows, folds, strict=True)
                    ]
                )
                estimate, drawn = ratio(values, np.ones(len(rows)), result.groups[rows], draws)
                groups = len(set(result.groups[rows].tolist()))
                yield f"{prefix}{word}", (Estimate(np.array([estimate]), drawn), len(rows), groups, "")


def _shares(both: BothPrompts, draws: Draws) -> Iterator:
    for name, variant in VARIANTS.items():
        result = getattr(both, variant)
        rows = np.isfinite(both.energy[variant][:, 0])
        if rows.any():
            inside, total = both.energy[variant][rows].T
            estimate, drawn = ratio(inside, total, result.groups[rows], draws)
            groups = len(set(result.groups[rows].tolist()))
            yield f"row_space_{name}", (Estimate(np.array([estimate]), drawn), int(rows.sum()), groups, "")
    share = both.rank / both.hidden_size
    yield "row_space_random", (Estimate(np.array([share]), np.full(len(draws.weights), share)), 0, 0, "")


def _means(found: Mapping[str, Mapping[str, tuple]]) -> dict[str, tuple]:
    """Over the tasks that have a specificity, so that all means are of the same tasks."""
    names = tuple(task for task, each in found.items() if each["specificity"][0] is not None)
    used = [found[task] for task in names]
    if not used:
        status = "insufficient: no task has enough responses both with and without the constraint"
        return {"specificity": (None, 0, 0, status)}
    means = {}
    for quantity in used[0]:
        cells = [each[quantity] for each in used if quantity in each]
        n, n_groups = sum(cell[1] for cell in cells), max(cell[2] for cell in cells)
        means[quantity] = (mean_of_known(cell[0] for cell in cells)[0], n, n_groups, "", None, names)
    return means
