"""How far one task's signal falls when another's is erased: the matrix, its null, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from skillprobe.analyses.generality import pick_layers
from skillprobe.analyses.transfer import best_layers, pair_status, structure_status
from skillprobe.erasure.cross import Ablated
from skillprobe.errors import UserError
from skillprobe.probes.results import ProbeResult
from skillprobe.statistics.bootstrap import Draws, auroc_lines, draw_tested
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import (
    BOUNDS,
    FIXED_PROBES,
    UNIT,
    Estimate,
    both_intervals,
    cells_of,
    claims_level,
    lower_above,
    simultaneous,
    tested_rows,
)
from skillprobe.storage.tables import DRAWS, SELECTED

PRIMARY = ("inlp", "retrained")
CELL_COLUMNS = (
    *("model", "layer", "source", "target", "method", "probe", "before", "after", "estimate", *BOUNDS),
    *("null", "random", "net", *(f"net_{bound}" for bound in BOUNDS)),
    *("lower_simultaneous99", "upper_simultaneous99", "cell", "n", "n_groups", "status"),
)
CURVE_COLUMNS = ("model", "layer", "source", "target", "rank", "estimate", *BOUNDS, "status")
SUMMARY_COLUMNS = (
    "model",
    "layer",
    "quantity",
    "method",
    "estimate",
    *BOUNDS,
    "n_tasks",
    "n_cells",
    "status",
)


def ablation_tables(
    model: str,
    specialists: Mapping[str, Mapping[int, ProbeResult]],
    ablated: Mapping[int, Mapping[str, Ablated]],
    *,
    signal: float,
    dependent: float,
    independent: float,
    n_draws: int = 2000,
    seed: int = 0,
    study_groups: Iterable[str] | None = None,
) -> tuple[list[dict], list[dict], list[dict]]:
    """Rows with CELL_COLUMNS, with CURVE_COLUMNS and with SUMMARY_COLUMNS.

    specialists: {task: {layer: result}}; ablated: {layer: {target: scores}}. layer is a number or "selected":
    for each outer fold, of those ablated, the one whose specialists have the best inner AUROC on average. The
    bootstrap over groups is joint over everything.

    A cell is of one source, target, method ("inlp", the primary, "inlp_stopped", "inlp_reflected", "leace")
    and probe ("retrained" on erased rows, or "frozen"): the target's AUROC before and after, and the fall.
    Of the primary cells also: the mean fall under erasers of shuffled labels (null), that under random
    subspaces, and net, the fall minus the null's. Those off the diagonal whose tasks have a signal (AUROC
    before above `signal`, lower 99 % bound) are "dependent" if the lower end of net's simultaneous 99 %
    interval is above `dependent`, else "independent" if its upper end is below `independent`, else
    "undecided".

    Summaries, of the tasks with a signal: "diagonal", the mean net fall of a task's own probe; "dependent"
    and "independent", shares of the cells off the diagonal; "asymmetry", Σ over pairs of the products of
    net's differences, fitted and judged in two halves of the groups apart; by method, of frozen probes:
    "completeness", how much of what was to go has gone (for a reflection: of what was to turn round),
    "selectivity", how much of the others' is kept, and "reliability", their harmonic mean (Canby et al.,
    arXiv 2408.15510).
    Curves: AUROC of a retrained target after the first so many directions, of the first fold seed.
    """
    tasks = list(specialists)
    if not ablated:
        raise UserError(f"there are no ablation scores of model {model!r}; run the target ablation first")
    layers = sorted(ablated)
    results = {task: specialists[task][layers[0]] for task in tasks}
    draws = draw_tested(results.values(), study_groups, n_draws=n_draws, seed=seed)
    cells, curves, summary = [], [], []
    matrix = None
    for layer in (*layers, SELECTED):
        # Of one layer there is nothing to select.
        if layer != SELECTED or len(layers) > 1:
            scores = _selected(specialists, ablated) if layer == SELECTED else ablated[layer]
            matrix = _Matrices.make(results, scores, draws)
        about = {"model": model, "layer": layer}
        has_signal = matrix.signal(signal)
        cells += [about | row for row in _cells(matrix, has_signal, dependent, independent)]
        curves += [about | row for row in _curves(matrix)]
        summary += [about | row for row in _summary(matrix, has_signal, dependent, independent)]
    return cells, curves, summary


def _selected(
    specialists: Mapping[str, Mapping[int, ProbeResult]], ablated: Mapping[int, Mapping[str, Ablated]]
) -> Mapping[str, Ablated]:
    """Each outer fold at the layer that is best for it."""
    layers = sorted(ablated)
    best = best_layers(specialists, layers)
    if best is None:
        return ablated[layers[0]]
    picked = {}
    for target, first in ablated[layers[0]].items():
        folds = specialists[target][layers[0]].folds

        def pick(read, lines: bool, target=target, folds=folds) -> np.ndarray:
            """lines: of the first fold seed only."""
            values = [read(ablated[layer][target]) for layer in layers]
            if not lines:
                return pick_layers(best, folds, values)
            return pick_layers(best[:1], folds[:1], [each[..., None, :] for each in values])[..., 0, :]

        picked[target] = Ablated(
            first.sources,
            first.ids,
            pick(lambda each: each.before, False),
            {m: pick(lambda each, m=m: each.retrained[m], False) for m in first.retrained},
            {m: pick(lambda each, m=m: each.frozen[m], False) for m in first.frozen},
            pick(lambda each: each.null, True),
            pick(lambda each: each.curve, True),
            pick(lambda each: each.random, True),
            pick(lambda each: each.half_before, True),
            pick(lambda each: each.half_after, True),
            pick(lambda each: each.half_null, True),
        )
    return picked


class _Judge:
    """AUROC on the tested rows of one target, or of some of its groups."""

    def __init__(self, result: ProbeResult, draws: Draws, kept: np.ndarray | None = None):
        self.rows = (result.folds[0] != CALIBRATION) & (True if kept is None else kept)
        self.result, self.draws = result, draws

    def __call__(self, scores: np.ndarray, folds: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        """Of scores [lines, n]: values [lines] and draws [lines, n_draws]. folds: of the lines (None: a line
        for each fold seed)."""
        result = self.result
        folds = result.folds if folds is None else folds
        labels, groups = result.labels[self.rows], result.groups[self.rows]
        return auroc_lines(scores[:, self.rows], labels, groups, folds[..., self.rows], self.draws)

    def first(self, scores: np.ndarray) -> tuple[float, np.ndarray]:
        """Of scores [lines, n] of the first fold seed, the mean over lines: a value and draws [n_draws]."""
        values, drawn = self(scores, self.result.folds[0])
        return values.mean(), drawn.mean(axis=0)


@dataclass(frozen=True)
class _Matrices:
    """AUROCs of T targets, NaN where insufficient: before [T]; after {(method, probe): [T, T]}, source by
    target; falls under null and random erasers, [T, T] and [T]; net falls in each half of the groups, [T, T].
    """

    results: Mapping[str, ProbeResult]
    scores: Mapping[str, Ablated]
    draws: Draws
    before: Estimate
    after: dict[tuple[str, str], Estimate]
    null: Estimate
    random: Estimate
    halves: list[Estimate]

    @classmethod
    def make(
        cls, results: Mapping[str, ProbeResult], scores: Mapping[str, Ablated], draws: Draws
    ) -> _Matrices:
        n_tasks, n_draws = len(results), len(draws.weights)
        n_seeds = len(next(iter(results.values())).folds)
        size = (n_seeds, n_draws, n_tasks, n_tasks)
        some = next(iter(scores.values()))
        methods = [*((m, "retrained") for m in some.retrained), *((m, "frozen") for m in some.frozen)]
        after = {key: Estimate.blank(*size) for key in methods}
        halves = [Estimate.blank(1, *size[1:]) for _ in range(2)]
        before, random = Estimate.blank(*size[:3]), Estimate.blank(1, *size[1:3])
        null = Estimate.blank(1, *size[1:])
        for j, (target, result) in enumerate(results.items()):
            if result.status:
                continue
            judge, each = _Judge(result, draws), scores[target]
            values, lines = _fill(before, (j,), judge(each.before))
            plain, plain_drawn = values[0], lines[0]
            if len(each.random):
                value, drawn = judge.first(each.random)
                random.by_seed[:, j], random.drawn[:, j] = plain - value, plain_drawn - drawn
            for i, source in enumerate(results):
                if results[source].status:
                    continue
                for method, probe in methods:
                    _fill(after[method, probe], (i, j), judge(getattr(each, probe)[method][i]))
                value, drawn = judge.first(each.null[:, i])
                null.by_seed[:, i, j], null.drawn[:, i, j] = plain - value, plain_drawn - drawn
            for into, was, now, chance in zip(
                halves, each.half_before, each.half_after, each.half_null, strict=True
            ):
                half = _Judge(result, draws, np.isfinite(was))
                for i in range(n_tasks):
                    if half.rows.any() and np.isfinite(now[i]).any():
                        # What both lack, the fall and that by chance, is the AUROC before.
                        value, drawn = half.first(now[i][None])
                        by_chance, by_chance_drawn = half.first(chance[:, i])
                        into.by_seed[:, i, j], into.drawn[:, i, j] = (
                            by_chance - value,
                            by_chance_drawn - drawn,
                        )
        return cls(results, scores, draws, before, after, null, random, halves)

    @property
    def net(self) -> Estimate:
        return self.fall(*PRIMARY) - self.null

    def fall(self, method: str, probe: str) -> Estimate:
        return self.before[(None, slice(None))] - self.after[method, probe]

    def signal(self, threshold: float) -> np.ndarray:
        """[T] bool: the lower 99 % bound of a task's AUROC before is above the threshold."""
        return lower_above(self.before.by_seed, self.before.drawn, threshold)


def _fill(into: Estimate, place: tuple, judged: tuple[np.ndarray, np.ndarray]):
    values, drawn = judged
    into.by_seed[:, *place], into.drawn[:, *place] = values, drawn.mean(axis=0)
    return judged


def _cell_words(
    matrix: _Matrices, has_signal: np.ndarray, dependent: float, independent: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower and upper ends of net's simultaneous intervals (`claims_level`) over the cells off the diagonal
    whose tasks have a signal, and what they are: [T, T] each, NaN and "" elsewhere."""
    net = matrix.net
    off = has_signal[:, None] & has_signal & ~np.eye(len(has_signal), dtype=bool)
    half = np.full(off.shape, np.nan)
    if off.any():
        half = simultaneous(net, claims_level())
    lower, upper = net.value - half, net.value + half
    words = np.where(
        lower > dependent, "dependent", np.where(upper < independent, "independent", "undecided")
    )
    return lower, upper, np.where(off, words, "")


def _cells(matrix: _Matrices, has_signal, dependent, independent) -> Iterator[dict]:
    tasks, net = list(matrix.results), matrix.net
    lower, upper, words = _cell_words(matrix, has_signal, dependent, independent)
    for method, probe in matrix.after:
        fall, primary = matrix.fall(method, probe), (method, probe) == PRIMARY
        for i, source in enumerate(tasks):
            for j, target in enumerate(tasks):
                n, n_groups = tested_rows(matrix.results[target])
                found = cells_of(net[i, j] if primary else None)
                yield {
                    "source": source,
                    "target": target,
                    "method": method,
                    "probe": probe,
                    "before": float(matrix.before.value[j]),
                    "after": float(matrix.after[method, probe].value[i, j]),
                    **fall[i, j].cells(),
                    "null": float(matrix.null.value[i, j]) if primary else float("nan"),
                    "random": float(matrix.random.value[j]) if primary else float("nan"),
                    "net": found["estimate"],
                    **{f"net_{bound}": found[bound] for bound in BOUNDS},
                    "lower_simultaneous99": float(lower[i, j]) if primary else float("nan"),
                    "upper_simultaneous99": float(upper[i, j]) if primary else float("nan"),
                    "cell": str(words[i, j]) if primary else "",
                    "n": n,
                    "n_groups": n_groups,
                    "status": pair_status(matrix.results, source, target),
                }


def _curves(matrix: _Matrices) -> Iterator[dict]:
    for target, result in matrix.results.items():
        judge, each = _Judge(result, matrix.draws), matrix.scores[target]
        for i, source in enumerate(matrix.results):
            status = pair_status(matrix.results, source, target)
            lines = np.concatenate([each.before[:1], each.curve[:, i]])
            judged = judge(lines, result.folds[0]) if not status else ([], [])
            for rank in range(len(lines)):
                known = None if status else (judged[0][rank : rank + 1], judged[1][rank])
                yield {
                    "source": source,
                    "target": target,
                    "rank": rank,
                    **(both_intervals(*known, UNIT, FIXED_PROBES) if known else both_intervals(None)),
                    "status": status,
                }


def _summary(matrix: _Matrices, has_signal, dependent, independent) -> Iterator[dict]:
    n_tasks, n_signal = len(has_signal), int(has_signal.sum())
    words = _cell_words(matrix, has_signal, dependent, independent)[2]
    off = words != ""
    status = structure_status(n_signal, n_tasks)
    if not status and not off.any():
        status = "insufficient: fewer than two tasks have a signal"

    def row(quantity: str, found: Estimate | Mapping | None, n_cells: int, method: str = "inlp") -> dict:
        drawn = found if isinstance(found, Estimate) else None
        numbers = drawn.cells() if drawn else found or both_intervals(None)
        about = {"quantity": quantity, "method": method, **numbers}
        return about | {"n_tasks": n_signal, "n_cells": n_cells, "status": status, DRAWS: drawn}

    own = np.diag(has_signal)
    yield row("diagonal", matrix.net.mean(own) if own.any() else None, n_signal)
    for word in ("dependent", "independent"):
        share = float((words == word).sum() / off.sum()) if off.any() else float("nan")
        yield row(word, both_intervals(None) | {"estimate": share}, int(off.sum()))
    asymmetry = row("asymmetry", _asymmetry(matrix, off), int(off.sum()) // 2)
    if not status and np.isnan(asymmetry["estimate"]):
        asymmetry["status"] = "insufficient: half of the content requests are too few to fit and test on"
    yield asymmetry
    for method in next(iter(matrix.scores.values())).frozen:
        for quantity, estimate in _reliability(matrix, method, own, off).items():
            yield row(quantity, estimate, n_signal, method)


def _asymmetry(matrix: _Matrices, off: np.ndarray) -> Estimate | None:
    """Σ over pairs of the product of net's differences in two halves that share neither rows nor fits: noise
    alone gives 0 on average."""
    one, other = (half.by_seed - half.by_seed.swapaxes(1, 2) for half in matrix.halves)
    upper = np.triu(off, 1)
    if not upper.any() or not np.isfinite((one * other)[:, upper]).all():
        return None
    one_drawn, other_drawn = (half.drawn - half.drawn.swapaxes(1, 2) for half in matrix.halves)
    return Estimate((one * other)[:, upper].sum(axis=1), (one_drawn * other_drawn)[:, upper].sum(axis=1))


def _reliability(matrix: _Matrices, method: str, own: np.ndarray, off: np.ndarray) -> dict[str, dict]:
    """Completeness, selectivity and reliability of frozen probes."""
    if not off.any():
        return dict.fromkeys(("completeness", "selectivity", "reliability"), both_intervals(None))
    # A reflection should turn the order of satisfied and violated round, a projection undo it.
    goal = -1.0 if method == "inlp_reflected" else 0.0
    found = []
    for before, after in (
        (matrix.before.by_seed, matrix.after[method, "frozen"].by_seed),
        (matrix.before.drawn, matrix.after[method, "frozen"].drawn),
    ):
        had = (before - 0.5)[:, None, :]
        left = np.divide(after - 0.5, had, out=np.full(after.shape, np.nan), where=np.abs(had) > 1e-9)
        complete = np.clip(1 - np.abs(left - goal) / (1 - goal), 0, 1)[:, own].mean(axis=1)
        selective = np.clip(1 - np.abs(left - 1), 0, 1)[:, off].mean(axis=1)
        together = np.maximum(complete + selective, 1e-12)
        found.append((complete, selective, 2 * complete * selective / together))
    return {
        name: both_intervals(by_seed, drawn, UNIT, FIXED_PROBES)
        for name, by_seed, drawn in zip(("completeness", "selectivity", "reliability"), *found, strict=True)
    }
