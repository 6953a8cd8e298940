"""Specialist against general probes: one table of all layers, so that it holds the layer curves as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import fmean

import numpy as np

from skillprobe.analyses.counting import Counting, Pairs, count_folds, count_tasks
from skillprobe.errors import UserError
from skillprobe.probes.refits import PRIMARY, Refits
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.selection import best_of_task
from skillprobe.statistics.bootstrap import METRICS, Draws, draw_tested, fold_pairs, threshold_metrics
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import BOUNDS, Estimate, cells_of
from skillprobe.statistics.metrics import auroc, auroc_within
from skillprobe.storage.tables import ACROSS, DRAWS, MEAN, NO_TASK, SELECTED

TABLE_METRICS = ("auroc", *(metric for metric in METRICS if metric != "base_rate"))
COLUMNS = (
    *("model", "scope", "task", "category", "layer", "probe", "metric", "estimate", *BOUNDS),
    *("n", "n_groups", "n_items", "truncated", "base_rate", "detectable", "n_tasks", "tasks", "status"),
)
_BOUNDS = {"log_loss": (0.0, np.inf), "difference": (-1.0, 1.0)}
SPECIALIST, GENERAL = "specialist", f"general_{PRIMARY}"


def generality_table(
    model: str,
    specialists: Mapping[str, Mapping[int, ProbeResult]],
    generals: Mapping[int, Mapping[str, Mapping[str, ProbeResult]]],
    categories: Mapping[str, str],
    *,
    signal: float,
    random: Mapping[str, Mapping[int, ProbeResult]] | None = None,
    surface: Mapping[str, Mapping[str, ProbeResult]] | None = None,
    scope: str = ACROSS,
    n_draws: int = 2000,
    seed: int = 0,
    study_groups: Iterable[str] | None = None,
    refits: Refits | None = None,
) -> list[dict]:
    """Rows with COLUMNS, of every task and of task "mean" (AUROC only).

    specialists: {task: {layer: result}}; generals: {layer: {variant: {task: result}}}; categories: {task:
    category}. layer is a number, or "selected": chosen for each outer fold by inner AUROC, each probe by its
    own, a general probe by that of the task that it is tested on (docs/definitions.md, "Probes and
    layers"). Controls of the specialist, AUROC only and at its own layer: probe "residualised", without what
    the confounds predict, and "shuffled", the mean over shuffled labels. random: {task: {layer: result}} of
    the random-weight model, in rows "random_weights", its selected layer its own. surface: {task: {baseline:
    result}}, in rows "surface_<baseline>" of layer "selected", as they have no layer. Rows of probe
    "specialist_minus_<other>" are paired differences. The bootstrap is joint: one set of draws of groups (of
    the study, None: of the rows) for everything. status: "", "constant scores" (a value of ½ that means no
    signal at all), or "insufficient: …" with NaN for the numbers.

    Means, at every layer, are over the tasks that count in each fold at the selected layers: whose mean of
    the specialist's and the primary general probe's AUROC is above `signal` in the other folds
    (`count_tasks`). n_tasks, tasks: of a mean, those that count in three fifths of the folds; without one
    there is no mean. n, n_groups, n_items, truncated and base_rate are theirs. refits: of the scope; with
    them, the intervals of the specialist, of the primary general probe and of their difference, at the
    selected layers, are of probes that are fitted anew on every draw. All others keep the probes fixed.

    scope: of the results. Within prompts there are AUROCs only. n_items: the prompts within which responses
    are compared (empty across prompts). truncated: share of responses that are left out, cut short.
    detectable: the AUROC that would be found to be above 0.55 in 80 % of studies with this standard error, of
    rows that are AUROCs.
    """
    probes = _by_probe(specialists, generals) | ({"random_weights": random} if random else {})
    everything = [
        result for by_task in probes.values() for by_layer in by_task.values() for result in by_layer.values()
    ]
    if not everything:
        raise UserError(f"there are no probes of model {model!r} to compare; run the target probes first")
    draws = draw_tested(everything, study_groups, n_draws=n_draws, seed=seed)
    n_folds = count_folds(everything)
    selected = {
        probe: {
            task: select_layer(dict(sorted(by_layer.items())), own=probe.startswith("general_"))
            for task, by_layer in by_task.items()
        }
        for probe, by_task in probes.items()
    }
    counting = _counting(selected, draws, signal)

    found: list[tuple[str, object, str, dict[str, _Cell]]] = []
    for probe, by_task in probes.items():
        for task, by_layer in by_task.items():
            for layer, scored in {**dict(sorted(by_layer.items())), SELECTED: selected[probe][task]}.items():
                found.append((probe, layer, task, _evaluate(scored, draws, n_folds)))
                if probe == SPECIALIST:
                    controls = _controls(scored, draws, n_folds)
                    found += [(name, layer, task, by_metric) for name, by_metric in controls.items()]
    for task, by_name in (surface or {}).items():
        for name, result in by_name.items():
            cells = {"auroc": _evaluate(result, draws, n_folds)["auroc"]}
            found.append((f"surface_{name}", SELECTED, task, cells))
    aurocs: dict[tuple[str, object], dict[str, _Cell]] = {}
    for probe, layer, task, by_metric in found:
        aurocs.setdefault((probe, layer), {})[task] = by_metric["auroc"]
    anew = _refitted(aurocs, refits)

    rows = []
    for probe, layer, task, by_metric in found:
        by_metric |= {"auroc": anew.get((probe, layer), aurocs[probe, layer])[task]}
        rows += [_row(task, categories, layer, probe, metric, cell) for metric, cell in by_metric.items()]
    for (probe, layer), by_task in aurocs.items():
        shown = anew.get((probe, layer), by_task)
        rows.append(_mean_row(shown, counting, signal, categories, layer, probe))
        if probe == SPECIALIST or (SPECIALIST, layer) not in aurocs:
            continue
        # Of the same draws on both sides.
        special = (anew if (probe, layer) in anew else aurocs)[SPECIALIST, layer]
        lost = {task: _minus(special[task], cell) for task, cell in shown.items() if task in special}
        name = f"{SPECIALIST}_minus_{probe}"
        rows += [_row(task, categories, layer, name, "auroc", cell) for task, cell in lost.items()]
        rows.append(_mean_row(lost, counting, signal, categories, layer, name))
    return [{"model": model, "scope": scope} | row for row in rows]


def _counting(selected: Mapping[str, Mapping[str, Scored]], draws: Draws, signal: float) -> Counting:
    """Of the tasks' mean of specialist and primary general probe; of what there is of both."""
    probes = [selected[probe] for probe in (SPECIALIST, GENERAL) if probe in selected]
    tasks = dict.fromkeys(task for by_task in probes for task in by_task)
    return count_tasks(
        {task: [each[task] for each in probes if task in each] for task in tasks}, draws, signal
    )


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
    truncated: float


def select_layer(by_layer: Mapping[int, ProbeResult], own: bool = False) -> Scored:
    """Scores of each outer fold by the layer of best inner AUROC there, the lowest among equals; own: by that
    of the task itself, of general probes that were trained on it."""
    results = list(by_layer.values())
    first = results[0]
    if any(not np.array_equal(first.ids, result.ids) for result in results[1:]):
        raise UserError("probes of different layers were trained on different rows; train them again")
    if first.status:
        return Scored(**{each.name: getattr(first, each.name) for each in fields(Scored)})
    best = best_of_task(by_layer, own)

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
        first.truncated,
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
    says; by_fold: of an AUROC, that of each test fold."""

    estimate: Estimate | None
    groups: frozenset
    n: int
    base_rate: float
    truncated: float
    status: str = ""
    n_items: int | str = ""
    by_fold: Estimate | None = None


def _evaluate(scored: ProbeResult | Scored, draws: Draws, n_folds: int) -> dict[str, _Cell]:
    used = scored.folds[0] != CALIBRATION
    labels, groups = scored.labels[used], scored.groups[used]
    about = {
        "groups": frozenset(groups.tolist()),
        "n": len(labels),
        "base_rate": float(labels.mean()) if len(labels) else float("nan"),
        "truncated": scored.truncated,
        "n_items": len(set(scored.items[used].tolist())) if len(scored.items) else "",
    }
    if scored.status:
        missing = _Cell(None, status=f"insufficient: {scored.status}", **about)
        return dict.fromkeys(("auroc",) if len(scored.items) else TABLE_METRICS, missing)
    lines = list(zip(scored.scores[:, used], scored.folds[:, used], strict=True))
    if len(scored.items):
        constant = all(auroc_within(line, labels, scored.items[used], fold).constant for line, fold in lines)
    else:
        constant = all(auroc(line, labels, fold).constant for line, fold in lines)
    about["status"] = "constant scores" if constant else ""
    pairs = Pairs.of(scored, draws, n_folds)
    found = {"auroc": _Cell(pairs.pooled(), by_fold=pairs.by_fold(), **about)}
    if len(scored.items):
        return found
    metrics = [threshold_metrics(line, labels, groups, fold, draws) for line, fold in lines]
    for metric in TABLE_METRICS[1:]:
        values, drawn = zip(*(each[metric] for each in metrics), strict=True)
        found[metric] = _Cell(Estimate(np.array(values), np.mean(drawn, axis=0)), **about)
    return found


def _controls(scored: ProbeResult | Scored, draws: Draws, n_folds: int) -> dict[str, dict[str, _Cell]]:
    """AUROC of the residualised probe and of those with shuffled labels, where there are any."""
    used = scored.folds[0] != CALIBRATION
    about = (frozenset(scored.groups[used].tolist()), int(used.sum()), float(scored.labels[used].mean()))
    about += (scored.truncated,)
    found = {}
    if len(scored.residualised_scores):
        pairs = Pairs.of(replace(scored, scores=scored.residualised_scores), draws, n_folds)
        found["residualised"] = {"auroc": _Cell(pairs.pooled(), *about, by_fold=pairs.by_fold())}
    if len(scored.shuffled_scores):
        pairs = Pairs(
            *fold_pairs(
                scored.shuffled_scores,
                scored.shuffled_labels,
                scored.groups,
                scored.folds[0],
                draws,
                n_folds,
                scored.items,
            )
        )
        # One value: how shuffles differ is no variance of their mean over fold seeds.
        each, by_fold = pairs.pooled(), pairs.by_fold()
        mean = Estimate(each.by_seed.mean(keepdims=True), each.drawn)
        of_folds = (values.mean(axis=-2, keepdims=True) for values in (by_fold.by_seed, by_fold.drawn))
        found["shuffled"] = {"auroc": _Cell(mean, *about, by_fold=Estimate(*of_folds))}
    return found


def _refitted(
    aurocs: Mapping[tuple[str, object], Mapping[str, _Cell]], refits: Refits | None
) -> dict[tuple[str, object], dict[str, _Cell]]:
    """What there are refits of, of `aurocs`, with draws on each of which the probes were fitted anew."""
    found = {}
    for probe, kind in ((SPECIALIST, "specialist"), (GENERAL, "general")):
        if refits is None or (probe, SELECTED) not in aurocs:
            continue
        found[probe, SELECTED] = {
            task: cell
            if cell.estimate is None
            else replace(
                cell,
                estimate=Estimate(cell.estimate.by_seed, refits.pooled(kind, task), 1.0),
                by_fold=Estimate(cell.by_fold.by_seed, refits.by_fold(kind, task), 1.0),
            )
            for task, cell in aurocs[probe, SELECTED].items()
        }
    return found


def _minus(specialist: _Cell, general: _Cell) -> _Cell:
    for cell in (specialist, general):
        if cell.estimate is None:
            return cell
    return replace(
        specialist,
        estimate=specialist.estimate - general.estimate,
        by_fold=specialist.by_fold - general.by_fold,
        status="",
    )


def _mean_row(
    cells: Mapping[str, _Cell], counting: Counting, signal: float, categories, layer, probe: str
) -> dict:
    """The row of the mean over the tasks that count."""
    known = {task: cell.by_fold for task, cell in cells.items() if cell.estimate is not None}
    mean, names = None, [task for task in counting.names if task in known]
    if names:
        some = next(iter(known.values()))
        nothing = replace(some, by_seed=some.by_seed * np.nan, drawn=some.drawn * np.nan)
        mean = counting.mean({task: known.get(task, nothing) for task in counting.tasks})
    if mean is None:
        status = NO_TASK if not known else f"insufficient: no task's AUROC is clearly above {signal:g}"
        cell, names = _Cell(None, frozenset(), 0, float("nan"), float("nan"), status), []
    else:
        used = [cells[task] for task in names]
        n = sum(each.n for each in used)
        cell = _Cell(
            mean,
            frozenset().union(*(each.groups for each in used)),
            n,
            sum(each.base_rate * each.n for each in used) / n,
            fmean(each.truncated for each in used),
            n_items=sum(each.n_items for each in used) if all(each.n_items != "" for each in used) else "",
        )
    row = _row(MEAN, categories, layer, probe, "auroc", cell)
    return row | {"n_tasks": len(names), "tasks": " ".join(names)}


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
    row |= {"n": cell.n, "n_groups": len(cell.groups), "n_items": cell.n_items}
    row |= {"truncated": cell.truncated, "base_rate": cell.base_rate}
    is_auroc = metric == "auroc" and "minus" not in probe and cell.estimate is not None
    row |= {"detectable": detectable(cell.estimate) if is_auroc else ""}
    row |= {"n_tasks": "", "tasks": "", "status": cell.status}
    if task == MEAN and cell.estimate is not None:
        row[DRAWS] = cell.estimate
    return row
