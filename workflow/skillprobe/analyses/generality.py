"""Specialist against general probes: one table of all layers, so that it holds the layer curves as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from skillprobe.errors import UserError
from skillprobe.probes.results import ProbeResult
from skillprobe.statistics.bootstrap import (
    METRICS,
    Draws,
    auroc_draws,
    auroc_lines,
    draw_tested,
    threshold_metrics,
)
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import BOUNDS, Estimate, auroc_estimate, cells_of
from skillprobe.statistics.metrics import auroc, auroc_within
from skillprobe.storage.tables import ACROSS, DRAWS, MEAN, NO_TASK, SELECTED, WITHIN

TABLE_METRICS = ("auroc", *(metric for metric in METRICS if metric != "base_rate"))
COLUMNS = (
    *("model", "scope", "task", "category", "layer", "probe", "metric", "estimate", *BOUNDS),
    *("n", "n_groups", "n_items", "base_rate", "detectable", "status"),
)
_BOUNDS = {"log_loss": (0.0, np.inf), "difference": (-1.0, 1.0)}


def generality_table(
    model: str,
    specialists: Mapping[str, Mapping[int, ProbeResult]],
    generals: Mapping[int, Mapping[str, Mapping[str, ProbeResult]]],
    categories: Mapping[str, str],
    *,
    random: Mapping[str, Mapping[int, ProbeResult]] | None = None,
    surface: Mapping[str, Mapping[str, ProbeResult]] | None = None,
    scope: str = ACROSS,
    n_draws: int = 2000,
    seed: int = 0,
    study_groups: Iterable[str] | None = None,
) -> list[dict]:
    """Rows with COLUMNS, of every task and of task "mean" (over sufficient tasks, AUROC only).

    specialists: {task: {layer: result}}; generals: {layer: {variant: {task: result}}}; categories: {task:
    category}. layer is a number, or "selected": chosen for each outer fold by inner AUROC, each probe by its
    own. Controls of the specialist, AUROC only and at its own layer: probe "residualised", without what the
    confounds predict, and "shuffled", the mean over shuffled labels. random: {task: {layer: result}} of the
    random-weight twin, in rows "random_weights", its selected layer its own. surface: {task: {baseline:
    result}}, in rows "surface_<baseline>" of layer "selected", as they have no layer. Rows of probe
    "specialist_minus_<other>" are paired differences. The bootstrap is joint: one set of draws of groups (of
    the study, None: of the rows) for everything. status: "", "constant scores" (a value of ½ that means no
    signal at all), or "insufficient: …" with NaN for the numbers.

    scope: of the results. Within prompts there are AUROCs only, and a general probe's layer is selected by
    the inner AUROC of the task itself, where it was trained on it (ESTIMANDS, "Layer"). n_items: the prompts
    within which responses are compared (empty across prompts). detectable: the AUROC that would be found to
    be above 0.55 in 80 % of studies with this standard error, of rows that are AUROCs.
    """
    probes = _by_probe(specialists, generals) | ({"random_weights": random} if random else {})
    everything = [
        result for by_task in probes.values() for by_layer in by_task.values() for result in by_layer.values()
    ]
    if not everything:
        raise UserError(f"there are no probes of model {model!r} to compare; run the target probes first")
    draws = draw_tested(everything, study_groups, n_draws=n_draws, seed=seed)

    rows = []
    aurocs: dict[tuple[str, object], dict[str, _Cell]] = {}
    for probe, by_task in probes.items():
        for task, by_layer in by_task.items():
            by_layer = dict(sorted(by_layer.items()))
            for layer, scored in {**by_layer, SELECTED: select_layer(by_layer, own=scope == WITHIN)}.items():
                cells = {probe: _evaluate(scored, draws)}
                if probe == "specialist":
                    cells |= _controls(scored, draws)
                for name, by_metric in cells.items():
                    aurocs.setdefault((name, layer), {})[task] = by_metric["auroc"]
                    rows += [
                        _row(task, categories, layer, name, metric, cell)
                        for metric, cell in by_metric.items()
                    ]
    for task, by_name in (surface or {}).items():
        for name, result in by_name.items():
            cell = _evaluate(result, draws)["auroc"]
            aurocs.setdefault((f"surface_{name}", SELECTED), {})[task] = cell
            rows.append(_row(task, categories, SELECTED, f"surface_{name}", "auroc", cell))
    for (probe, layer), by_task in aurocs.items():
        rows.append(_row(MEAN, categories, layer, probe, "auroc", _mean(list(by_task.values()))))
        if probe != "specialist" and ("specialist", layer) in aurocs:
            special = aurocs["specialist", layer]
            differences = {task: _minus(special[task], by_task[task]) for task in by_task if task in special}
            differences[MEAN] = _mean(list(differences.values()))
            for task, difference in differences.items():
                name = f"specialist_minus_{probe}"
                rows.append(_row(task, categories, layer, name, "auroc", difference))
    return [{"model": model, "scope": scope} | row for row in rows]


def _by_probe(specialists, generals) -> dict[str, dict[str, dict[int, ProbeResult]]]:
    """{probe: {task: {layer: result}}}"""
    probes: dict[str, dict[str, dict[int, ProbeResult]]] = {
        "specialist": {task: dict(by_layer) for task, by_layer in specialists.items()}
    }
    for layer, by_variant in generals.items():
        for variant, by_task in by_variant.items():
            for task, result in by_task.items():
                probes.setdefault(f"general_{variant}", {}).setdefault(task, {})[layer] = result
    return probes


@dataclass(frozen=True)
class Scored:
    """Scores of one probe, and of its controls, on one task; n rows, S fold seeds. See ProbeResult."""

    labels: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    scores: np.ndarray
    residualised_scores: np.ndarray
    shuffled_scores: np.ndarray
    shuffled_labels: np.ndarray
    status: str
    items: np.ndarray


def select_layer(by_layer: Mapping[int, ProbeResult], own: bool = False) -> Scored:
    """Scores of each outer fold by the layer of best inner AUROC there, the lowest among equals; own: by that
    of the task itself, of general probes that were trained on it."""
    results = list(by_layer.values())
    first = results[0]
    if any(not np.array_equal(first.ids, result.ids) for result in results[1:]):
        raise UserError("probes of different layers were trained on different rows; train them again")
    if first.status:
        return Scored(**{each.name: getattr(first, each.name) for each in fields(Scored)})
    inner = np.array([result.task_inner_auroc if own else result.inner_auroc for result in results])
    if np.isnan(inner).all():
        inner = np.array([result.inner_auroc for result in results])
    best = np.argmax(inner, axis=0)

    def pick(name: str) -> np.ndarray:
        return pick_layers(best, first.folds, [getattr(result, name) for result in results])

    # Shuffles are of the first fold seed.
    shuffled = [result.shuffled_scores[:, None] for result in results]
    return Scored(
        first.labels,
        first.groups,
        first.folds,
        pick("scores"),
        pick("residualised_scores"),
        pick_layers(best[:1], first.folds, shuffled)[:, 0],
        first.shuffled_labels,
        first.status,
        first.items,
    )


def pick_layers(best: np.ndarray, folds: np.ndarray, by_layer: Sequence[np.ndarray]) -> np.ndarray:
    """Scores whose test rows of each fold are of the layer that is best for it.

    best: [S, K], which of `by_layer`; folds: [S, n]; by_layer: [..., S, n] each, or without any scores.
    """
    picked = by_layer[0].copy()
    if picked.size:
        for s, f in np.ndindex(best.shape):
            test = folds[s] == f
            picked[..., s, test] = by_layer[best[s, f]][..., s, test]
    return picked


@dataclass(frozen=True)
class _Cell:
    """A metric of one task, or a mean over tasks; estimate: None where it is insufficient, as the status
    says."""

    estimate: Estimate | None
    groups: frozenset
    n: int
    base_rate: float
    status: str = ""
    n_items: int | str = ""


def _evaluate(scored: ProbeResult | Scored, draws: Draws) -> dict[str, _Cell]:
    used = scored.folds[0] != CALIBRATION
    labels, groups = scored.labels[used], scored.groups[used]
    about = {
        "groups": frozenset(groups.tolist()),
        "n": len(labels),
        "base_rate": float(labels.mean()) if len(labels) else float("nan"),
        "n_items": len(set(scored.items[used].tolist())) if len(scored.items) else "",
    }
    if scored.status:
        missing = _Cell(None, status=f"insufficient: {scored.status}", **about)
        return dict.fromkeys(("auroc",) if len(scored.items) else TABLE_METRICS, missing)
    if len(scored.items):
        same = all(
            auroc_within(scores, labels, scored.items[used], folds).constant
            for scores, folds in zip(scored.scores[:, used], scored.folds[:, used], strict=True)
        )
        status = "constant scores" if same else ""
        return {"auroc": _Cell(auroc_estimate(scored, draws), status=status, **about)}
    by_metric: dict[str, list] = {metric: [] for metric in TABLE_METRICS}
    constant = True
    for scores, folds in zip(scored.scores[:, used], scored.folds[:, used], strict=True):
        result = auroc(scores, labels, folds)
        constant &= result.constant
        by_metric["auroc"].append((result.value, auroc_draws(scores, labels, groups, folds, draws)))
        threshold = threshold_metrics(scores, labels, groups, folds, draws)
        for metric in TABLE_METRICS[1:]:
            by_metric[metric].append(threshold[metric])
    return {
        metric: _Cell(
            Estimate(
                np.array([value for value, _ in values]), np.mean([drawn for _, drawn in values], axis=0)
            ),
            status="constant scores" if constant else "",
            **about,
        )
        for metric, values in by_metric.items()
    }


def _controls(scored: ProbeResult | Scored, draws: Draws) -> dict[str, dict[str, _Cell]]:
    """AUROC of the residualised probe and of those with shuffled labels, where there are any."""
    used = scored.folds[0] != CALIBRATION
    groups, folds = scored.groups[used], scored.folds[:, used]
    about = (frozenset(groups.tolist()), int(used.sum()), float(scored.labels[used].mean()))
    items = scored.items[used] if len(scored.items) else None
    found = {}
    if len(scored.residualised_scores):
        scores = scored.residualised_scores[:, used]
        by_seed, drawn = auroc_lines(scores, scored.labels[used], groups, folds, draws, items)
        found["residualised"] = {"auroc": _Cell(Estimate(by_seed, drawn.mean(axis=0)), *about)}
    if len(scored.shuffled_scores):
        scores, labels = scored.shuffled_scores[:, used], scored.shuffled_labels[:, used]
        each, drawn = auroc_lines(scores, labels, groups, folds[0], draws, items)
        # One value: how shuffles differ is no variance of their mean over fold seeds.
        mean = Estimate(each.mean(keepdims=True), drawn.mean(axis=0))
        found["shuffled"] = {"auroc": _Cell(mean, *about)}
    return found


def _minus(specialist: _Cell, general: _Cell) -> _Cell:
    for cell in (specialist, general):
        if cell.estimate is None:
            return cell
    difference = specialist.estimate - general.estimate
    return _Cell(
        difference, specialist.groups, specialist.n, specialist.base_rate, n_items=specialist.n_items
    )


def _mean(cells: list[_Cell]) -> _Cell:
    used = [cell for cell in cells if cell.estimate is not None]
    if not used:
        return _Cell(None, frozenset(), 0, float("nan"), NO_TASK)
    n = sum(cell.n for cell in used)
    return _Cell(
        Estimate(
            np.mean([cell.estimate.by_seed for cell in used], axis=0),
            np.mean([cell.estimate.drawn for cell in used], axis=0),
        ),
        frozenset().union(*(cell.groups for cell in used)),
        n,
        sum(cell.base_rate * cell.n for cell in used) / n,
        n_items=sum(cell.n_items for cell in used) if all(cell.n_items != "" for cell in used) else "",
    )


def detectable(auroc: Estimate) -> float:
    """The AUROC that is found to be above 0.55 at 99 % in 80 % of studies with this one's standard error."""
    return 0.5 + 0.05 + 3.4 * auroc.standard_error()


def _row(task, categories, layer, probe, metric, cell: _Cell) -> dict:
    row = {
        "task": task,
        "category": MEAN if task == MEAN else categories[task],
        "layer": layer,
        "probe": probe,
        "metric": metric,
    }
    bounds = _BOUNDS.get("difference" if "minus" in probe else metric, (0.0, 1.0))
    row |= cells_of(cell.estimate, bounds)
    row |= {"n": cell.n, "n_groups": len(cell.groups), "n_items": cell.n_items, "base_rate": cell.base_rate}
    is_auroc = metric == "auroc" and "minus" not in probe and cell.estimate is not None
    row |= {"detectable": detectable(cell.estimate) if is_auroc else "", "status": cell.status}
    if task == MEAN and cell.estimate is not None:
        row[DRAWS] = cell.estimate
    return row
