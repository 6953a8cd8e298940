"""Does a probe of one task work on another? The signed matrix of AUROCs, and whether tasks cluster in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from skillprobe.analyses.blocks import block_statistic, paper_groups, permutation_p
from skillprobe.analyses.generality import pick_layers
from skillprobe.errors import UserError
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.transfer import Crossed
from skillprobe.statistics.bootstrap import Draws, auroc_lines, draw_tested
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import (
    BOUNDS,
    Estimate,
    cells_of,
    enough_signal,
    lower_above,
    simultaneous,
    tested_rows,
)
from skillprobe.storage.tables import ACROSS, DRAWS, SELECTED, task_words

CELL_COLUMNS = (
    *("model", "scope", "layer", "source", "target", "estimate", *BOUNDS, "lower_simultaneous95"),
    *("upper_simultaneous95", "ratio", *(f"ratio_{bound}" for bound in BOUNDS)),
    *("n", "n_groups", "source_place", "target_place", "status"),
)
SUMMARY_COLUMNS = (
    *("model", "scope", "layer", "quantity", "grouping", "estimate", *BOUNDS),
    *("p", "n_permutations", "n_tasks", "status"),
)


def transfer_tables(
    model: str,
    specialists: Mapping[str, Mapping[int, ProbeResult]],
    crossed: Mapping[int, Mapping[str, Crossed]],
    categories: Mapping[str, str],
    *,
    signal: float,
    scope: str = ACROSS,
    n_draws: int = 2000,
    seed: int = 0,
    study_groups: Iterable[str] | None = None,
) -> tuple[list[dict], list[dict]]:
    """Rows with CELL_COLUMNS, one a layer, source and target, and rows with SUMMARY_COLUMNS.

    specialists: {task: {layer: result}}; crossed: {layer: {target: scores}}; categories: {task: category}.
    layer is a number or "selected": for each outer fold the one whose specialists have the best inner AUROC
    on average, the same for all tasks. The bootstrap over groups is joint over everything.

    Ratios (T_ij − ½) / (T_jj − ½) are of targets with a signal (T_jj's lower 99 % bound above `signal`).
    Summaries, of the same targets: "mean_ratio", over all sources but the target itself; "mean_ratio_signal",
    over sources that have a signal too; "block", how much more alike tasks of a group are than others, with
    the permutation test's p (groupings "paper" and "categories"). status: "" or why there is no number.
    place: a task's place in the order of the hierarchical clustering. scope: of the results and scores.
    """
    tasks = list(specialists)
    if not crossed:
        raise UserError(f"there are no transfer scores of model {model!r}; run the target probes first")
    layers = sorted(crossed)
    results = {task: specialists[task][layers[0]] for task in tasks}
    draws = draw_tested(results.values(), study_groups, n_draws=n_draws, seed=seed)

    cells, summary = [], []
    selected = _selected(specialists, crossed)
    for layer, scores in [*((layer, _scores(crossed[layer])) for layer in layers), (SELECTED, selected)]:
        matrix = _Matrix.make(results, scores, draws)
        has_signal = matrix.signal(signal)
        place = {task: number for number, task in enumerate(leaf_order(tasks, matrix.aurocs.value))}
        about = {"model": model, "scope": scope, "layer": layer}
        cells += [
            about | row | {"status": pair_status(results, row["source"], row["target"])}
            for row in matrix.rows(has_signal, place)
        ]
        summary += [about | row for row in _summary(matrix, has_signal, categories)]
    return cells, summary


def _scores(crossed: Mapping[str, Crossed]) -> dict[str, np.ndarray]:
    """{target: [T, S, n]} of one layer."""
    return {target: each.scores for target, each in crossed.items()}


def best_layers(
    specialists: Mapping[str, Mapping[int, ProbeResult]], layers: Sequence[int]
) -> np.ndarray | None:
    """Which of `layers` has the best mean inner AUROC of all tasks' specialists, for each outer fold: [S, K];
    None if no task is sufficient."""
    usable = [by_layer for by_layer in specialists.values() if not by_layer[layers[0]].status]
    if not usable:
        return None
    # [layer, S, K]
    inner = np.mean([[by_layer[layer].inner_auroc for layer in layers] for by_layer in usable], axis=0)
    return inner.argmax(axis=0)


def _selected(
    specialists: Mapping[str, Mapping[int, ProbeResult]], crossed: Mapping[int, Mapping[str, Crossed]]
) -> dict[str, np.ndarray]:
    """As `_scores`, each outer fold at the layer that is best for it."""
    layers = sorted(crossed)
    best = best_layers(specialists, layers)
    if best is None:
        return _scores(crossed[layers[0]])
    return {
        target: pick_layers(
            best,
            specialists[target][layers[0]].folds,
            [crossed[layer][target].scores for layer in layers],
        )
        for target in crossed[layers[0]]
    }


def pair_status(results: Mapping[str, ProbeResult], source: str, target: str) -> str:
    """ "" or why a cell of two tasks is insufficient."""
    for task in (target, source):
        if reason := results[task].status:
            return f"insufficient: {task_words(task)}: {reason}"
    return ""


def structure_status(n_signal: int, n_tasks: int) -> str:
    """ "" or why a summary over tasks is insufficient."""
    if enough_signal(n_signal, n_tasks):
        return ""
    return f"insufficient: {n_signal} of {n_tasks} tasks have a signal; two thirds are needed"


@dataclass(frozen=True)
class _Matrix:
    """aurocs: [T, T], of T sources on T targets, NaN where insufficient; n, n_groups: [T] of the targets;
    reasons: [T], "" or why a task is insufficient."""

    tasks: list[str]
    aurocs: Estimate
    n: np.ndarray
    n_groups: np.ndarray
    reasons: list[str]

    @classmethod
    def make(cls, results: Mapping[str, ProbeResult], scores: Mapping[str, np.ndarray], draws: Draws):
        tasks = list(results)
        n_seeds = len(next(iter(results.values())).folds)
        aurocs = Estimate.blank(n_seeds, len(draws.weights), len(tasks), len(tasks))
        n, n_groups = np.zeros(len(tasks), int), np.zeros(len(tasks), int)
        for j, target in enumerate(tasks):
            result = results[target]
            used = result.folds[0] != CALIBRATION
            labels, groups, folds = result.labels[used], result.groups[used], result.folds[:, used]
            items = result.items[used] if len(result.items) else None
            n[j], n_groups[j] = tested_rows(result)
            if result.status:
                continue
            for i, source in enumerate(tasks):
                if results[source].status:
                    continue
                score = scores[target][i][:, used]
                values, lines = auroc_lines(score, labels, groups, folds, draws, items)
                aurocs.by_seed[:, i, j], aurocs.drawn[:, i, j] = values, lines.mean(axis=0)
        return cls(tasks, aurocs, n, n_groups, [results[task].status for task in tasks])

    def signal(self, threshold: float) -> np.ndarray:
        """[T] bool: the lower 99 % bound of a task's own probe is above the threshold."""
        own = (np.diagonal(each, axis1=1, axis2=2) for each in (self.aurocs.by_seed, self.aurocs.drawn))
        return lower_above(*own, threshold)

    def ratios(self) -> Estimate:
        """(T_ij − ½) / (T_jj − ½), [T, T]."""

        def of(matrix: np.ndarray) -> np.ndarray:
            own = np.diagonal(matrix, axis1=-2, axis2=-1)[..., None, :] - 0.5
            return np.divide(matrix - 0.5, own, out=np.full(matrix.shape, np.nan), where=np.abs(own) > 1e-9)

        return Estimate(of(self.aurocs.by_seed), of(self.aurocs.drawn))

    def rows(self, has_signal: np.ndarray, place: Mapping[str, int]) -> Iterator[dict]:
        half, ratios = simultaneous(self.aurocs, 0.95), self.ratios()
        for (i, source), (j, target) in (
            (a, b) for a in enumerate(self.tasks) for b in enumerate(self.tasks)
        ):
            estimate = self.aurocs[i, j].cells((0, 1))
            value = estimate["estimate"]
            ratio = cells_of(ratios[i, j] if has_signal[j] else None)
            yield {
                "source": source,
                "target": target,
                **estimate,
                "lower_simultaneous95": max(value - half[i, j], 0.0),
                "upper_simultaneous95": min(value + half[i, j], 1.0),
                "ratio": ratio.pop("estimate"),
                **{f"ratio_{bound}": ratio[bound] for bound in BOUNDS},
                "n": int(self.n[j]),
                "n_groups": int(self.n_groups[j]),
                "source_place": place[source],
                "target_place": place[target],
            }


def _summary(matrix: _Matrix, has_signal: np.ndarray, categories: Mapping[str, str]) -> Iterator[dict]:
    n_tasks, n_signal = len(matrix.tasks), int(has_signal.sum())
    status = structure_status(n_signal, n_tasks)
    ratios = matrix.ratios()
    off = ~np.eye(n_tasks, dtype=bool)
    sufficient = np.array([not reason for reason in matrix.reasons])
    for quantity, sources in (("mean_ratio", sufficient), ("mean_ratio_signal", has_signal)):
        cells = off & sources[:, None] & has_signal[None, :]
        mean = ratios.mean(cells) if cells.any() else None
        yield {
            "quantity": quantity,
            "grouping": "",
            **cells_of(mean),
            DRAWS: mean,
            "p": float("nan"),
            "n_permutations": 0,
            "n_tasks": n_signal,
            "status": status if cells.any() else "insufficient: no task has a signal",
        }
    tasks = [task for task, kept in zip(matrix.tasks, has_signal, strict=True) if kept]
    for grouping, group_of in (
        ("paper", paper_groups(tasks)),
        ("categories", [categories[task] for task in tasks]),
    ):
        blocks = np.unique(group_of, return_inverse=True)[1]
        pairs = len(tasks) * (len(tasks) - 1) // 2
        within = sum(comb(int(size), 2) for size in np.bincount(blocks)) if len(tasks) else 0
        testable = len(tasks) >= 4 and 0 < within < pairs
        row = {"quantity": "block", "grouping": grouping, "p": float("nan"), "n_permutations": 0}
        if testable:
            kept = np.ix_(has_signal, has_signal)
            both = (ratios.by_seed, ratios.drawn)
            alike = [(m + np.swapaxes(m, -1, -2))[(..., *kept)] / 2 for m in both]
            row[DRAWS] = Estimate(*(block_statistic(each, blocks) for each in alike))
            row["p"], row["n_permutations"] = permutation_p(alike[0].mean(axis=0), blocks)
        row |= cells_of(row.get(DRAWS))
        missing = "insufficient: the tasks with a signal form no blocks to compare"
        yield row | {"n_tasks": n_signal, "status": status or ("" if testable else missing)}


def leaf_order(tasks: Sequence[str], value: np.ndarray) -> list[str]:
    """The tasks so that those with alike transfer are neighbours; insufficient ones come last.

    value: [T, T] AUROCs. Average linkage of 1 − mean transfer, leaves in the optimal order (Bar-Joseph et
    al. 2001).
    """
    known = [i for i in range(len(tasks)) if np.isfinite(value[i, i])]
    order = known
    if len(known) > 2:
        from scipy.cluster.hierarchy import leaves_list, linkage

        distance = 1 - (value + value.T)[np.ix_(known, known)] / 2
        first, second = np.triu_indices(len(known), 1)
        leaves = leaves_list(linkage(distance[first, second], "average", optimal_ordering=True))
        order = [known[leaf] for leaf in leaves]
    return [tasks[i] for i in order] + [task for i, task in enumerate(tasks) if i not in known]
