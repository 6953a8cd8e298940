"""Does a probe of one task work on another? The signed matrix of AUROCs, and whether tasks cluster in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from skillprobe.analyses.generality import pick_layers
from skillprobe.errors import UserError
from skillprobe.probes.protocol import ProbeResult
from skillprobe.probes.transfer import Crossed
from skillprobe.stats import (
    CALIBRATION,
    Draws,
    auroc_lines,
    both_intervals,
    draw_tested,
    enough_signal,
    lower_above,
    simultaneous,
)
from skillprobe.tables import SELECTED

# The paper's own grouping (study.md); a task that it doesn't know is a group by itself.
PAPER_GROUPS = (
    ("word_count", "character_count", "json_format"),
    ("topic", "sentiment"),
    ("term_exclusion", "toxicity"),
    ("term_inclusion",),
    ("register",),
)
PERMUTATIONS = 10_000
BOUNDS = ("lower95", "upper95", "lower99", "upper99")
CELL_COLUMNS = (
    *("model", "layer", "source", "target", "estimate", *BOUNDS, "lower_simultaneous95"),
    *("upper_simultaneous95", "ratio", *(f"ratio_{bound}" for bound in BOUNDS)),
    *("n", "n_bases", "source_place", "target_place", "status"),
)
SUMMARY_COLUMNS = (
    *("model", "layer", "quantity", "grouping", "estimate", *BOUNDS),
    *("p", "n_permutations", "n_tasks", "status"),
)


def transfer_tables(
    model: str,
    specialists: Mapping[str, Mapping[int, ProbeResult]],
    crossed: Mapping[int, Mapping[str, Crossed]],
    categories: Mapping[str, str],
    *,
    signal: float,
    n_draws: int = 2000,
    seed: int = 0,
    study_bases: Iterable[str] | None = None,
) -> tuple[list[dict], list[dict]]:
    """Rows with CELL_COLUMNS, one a layer, source and target, and rows with SUMMARY_COLUMNS.

    specialists: {task: {layer: result}}; crossed: {layer: {target: scores}}; categories: {task: category}.
    layer is a number or "selected": for each outer fold the one whose specialists have the best inner AUROC
    on average, the same for all tasks. The bootstrap over bases is joint over everything.

    Ratios (T_ij − ½) / (T_jj − ½) are of targets with a signal (T_jj's lower 99 % bound above `signal`).
    Summaries, of the same targets: "mean_ratio", over all sources but the target itself; "mean_ratio_signal",
    over sources that have a signal too; "block", how much more alike tasks of a group are than others, with
    the permutation test's p (groupings "paper" and "categories"). status: "" or why there is no number.
    place: a task's place in the order of the hierarchical clustering.
    """
    tasks = list(specialists)
    if not crossed:
        raise UserError(f"there are no transfer scores of model {model!r}; run the target probes first")
    layers = sorted(crossed)
    some = [specialists[task][layers[0]] for task in tasks]
    draws = draw_tested(some, study_bases, n_draws=n_draws, seed=seed)

    cells, summary = [], []
    selected = _selected(specialists, crossed)
    for layer, scores in [*((layer, _scores(crossed[layer])) for layer in layers), (SELECTED, selected)]:
        matrix = _Matrix.make({task: specialists[task][layers[0]] for task in tasks}, scores, draws)
        has_signal = matrix.signal(signal)
        place = {task: number for number, task in enumerate(leaf_order(tasks, matrix.value))}
        cells += [
            {"model": model, "layer": layer, **row, "status": matrix.status(row["source"], row["target"])}
            for row in matrix.rows(has_signal, place)
        ]
        summary += [
            {"model": model, "layer": layer, **row} for row in _summary(matrix, has_signal, categories)
        ]
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


@dataclass(frozen=True)
class _Matrix:
    """AUROCs of T sources on T targets, NaN where insufficient: value [T, T], by_seed [S, T, T], drawn
    [n_draws, T, T]; n, n_bases: [T] of the targets; reasons: [T], "" or why a task is insufficient."""

    tasks: list[str]
    by_seed: np.ndarray
    drawn: np.ndarray
    n: np.ndarray
    n_bases: np.ndarray
    reasons: list[str]

    @classmethod
    def make(cls, results: Mapping[str, ProbeResult], scores: Mapping[str, np.ndarray], draws: Draws):
        tasks = list(results)
        n_seeds = len(next(iter(results.values())).folds)
        by_seed = np.full((n_seeds, len(tasks), len(tasks)), np.nan)
        drawn = np.full((len(draws.weights), len(tasks), len(tasks)), np.nan)
        n, n_bases = np.zeros(len(tasks), int), np.zeros(len(tasks), int)
        for j, target in enumerate(tasks):
            result = results[target]
            used = result.folds[0] != CALIBRATION
            labels, bases, folds = result.labels[used], result.bases[used], result.folds[:, used]
            n[j], n_bases[j] = used.sum(), len(np.unique(bases))
            if result.status:
                continue
            for i, source in enumerate(tasks):
                if results[source].status:
                    continue
                values, lines = auroc_lines(scores[target][i][:, used], labels, bases, folds, draws)
                by_seed[:, i, j], drawn[:, i, j] = values, lines.mean(axis=0)
        return cls(tasks, by_seed, drawn, n, n_bases, [results[task].status for task in tasks])

    @property
    def value(self) -> np.ndarray:
        return self.by_seed.mean(axis=0)

    def signal(self, threshold: float) -> np.ndarray:
        """[T] bool: the lower 99 % bound of a task's own probe is above the threshold."""
        own = (np.diagonal(each, axis1=1, axis2=2) for each in (self.by_seed, self.drawn))
        return lower_above(*own, threshold)

    def status(self, source: str, target: str) -> str:
        for task in (target, source):
            if reason := self.reasons[self.tasks.index(task)]:
                return f"insufficient: {task.replace('_', ' ')}: {reason}"
        return ""

    def ratios(self, matrix: np.ndarray) -> np.ndarray:
        """(T_ij − ½) / (T_jj − ½); matrix: [..., T, T]."""
        own = np.diagonal(matrix, axis1=-2, axis2=-1)[..., None, :] - 0.5
        return np.divide(matrix - 0.5, own, out=np.full(matrix.shape, np.nan), where=np.abs(own) > 1e-9)

    def rows(self, has_signal: np.ndarray, place: Mapping[str, int]) -> Iterator[dict]:
        half = simultaneous(self.by_seed, self.drawn, 0.95)
        ratio_seed, ratio_drawn = self.ratios(self.by_seed), self.ratios(self.drawn)
        for (i, source), (j, target) in (
            (a, b) for a in enumerate(self.tasks) for b in enumerate(self.tasks)
        ):
            estimate = both_intervals(self.by_seed[:, i, j], self.drawn[:, i, j], (0, 1))
            value = estimate["estimate"]
            ratio = both_intervals(ratio_seed[:, i, j] if has_signal[j] else None, ratio_drawn[:, i, j])
            yield {
                "source": source,
                "target": target,
                **estimate,
                "lower_simultaneous95": max(value - half[i, j], 0.0),
                "upper_simultaneous95": min(value + half[i, j], 1.0),
                "ratio": ratio.pop("estimate"),
                **{f"ratio_{bound}": ratio[bound] for bound in BOUNDS},
                "n": int(self.n[j]),
                "n_bases": int(self.n_bases[j]),
                "source_place": place[source],
                "target_place": place[target],
            }


def _summary(matrix: _Matrix, has_signal: np.ndarray, categories: Mapping[str, str]) -> Iterator[dict]:
    n_tasks, n_signal = len(matrix.tasks), int(has_signal.sum())
    enough = enough_signal(n_signal, n_tasks)
    status = "" if enough else f"insufficient: {n_signal} of {n_tasks} tasks have a signal; two thirds must"
    by_seed, drawn = matrix.ratios(matrix.by_seed), matrix.ratios(matrix.drawn)
    off = ~np.eye(n_tasks, dtype=bool)
    sufficient = np.array([not reason for reason in matrix.reasons])
    for quantity, sources in (("mean_ratio", sufficient), ("mean_ratio_signal", has_signal)):
        cells = off & sources[:, None] & has_signal[None, :]
        yield {
            "quantity": quantity,
            "grouping": "",
            **(
                both_intervals(by_seed[:, cells].mean(axis=1), drawn[:, cells].mean(axis=1))
                if cells.any()
                else both_intervals(None)
            ),
            "p": float("nan"),
            "n_permutations": 0,
            "n_tasks": n_signal,
            "status": status if cells.any() else "insufficient: no task has a signal",
        }
    tasks = [task for task, kept in zip(matrix.tasks, has_signal, strict=True) if kept]
    paper = {task: number for number, group in enumerate(PAPER_GROUPS) for task in group}
    for grouping, group_of in (
        ("paper", [str(paper.get(task, task)) for task in tasks]),
        ("categories", [categories[task] for task in tasks]),
    ):
        groups = np.unique(group_of, return_inverse=True)[1]
        pairs = len(tasks) * (len(tasks) - 1) // 2
        within = sum(comb(int(size), 2) for size in np.bincount(groups)) if len(tasks) else 0
        testable = len(tasks) >= 4 and 0 < within < pairs
        row = {"quantity": "block", "grouping": grouping, "p": float("nan"), "n_permutations": 0}
        if testable:
            kept = np.ix_(has_signal, has_signal)
            alike = [(m + np.swapaxes(m, -1, -2))[(..., *kept)] / 2 for m in (by_seed, drawn)]
            row |= both_intervals(*(block_statistic(each, groups) for each in alike))
            row["p"], row["n_permutations"] = permutation_p(alike[0].mean(axis=0), groups)
        else:
            row |= both_intervals(None)
        missing = "insufficient: the tasks with a signal form no groups to compare"
        yield row | {"n_tasks": n_signal, "status": status or ("" if testable else missing)}


def block_statistic(alike: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean within groups minus mean between them, after removing what is common to a row and its column.

    alike: [..., m, m] symmetric, of which the diagonal is never read; groups: [m]. The row and column
    effects are the least-squares ones of the off-diagonal cells.
    """
    first, second = np.triu_indices(alike.shape[-1], 1)
    same = groups[first] == groups[second]
    residual = _residual(alike)[..., first, second]
    return residual[..., same].mean(axis=-1) - residual[..., ~same].mean(axis=-1)


def _residual(alike: np.ndarray) -> np.ndarray:
    """S_ij − μ − a_i − a_j, fitted to the off-diagonal cells; for m = 3 nothing is left."""
    m = alike.shape[-1]
    if m < 4:
        return np.zeros_like(alike)
    sums = np.where(np.eye(m, dtype=bool), 0.0, alike).sum(axis=-1)
    mean = sums.sum(axis=-1, keepdims=True) / (m * (m - 1))
    effect = (sums - (m - 1) * mean) / (m - 2)
    return alike - mean[..., None] - effect[..., :, None] - effect[..., None, :]


def permutation_p(alike: np.ndarray, groups: np.ndarray) -> tuple[float, int]:
    """One-sided p of `block_statistic` when names are permuted, and the number of permutations.

    All distinct partitions into groups of these sizes, the observed one among them, or, where there are more
    than PERMUTATIONS, so many random ones and the observed one.
    """
    m = len(groups)
    first, second = np.triu_indices(m, 1)
    residual = _residual(alike)[first, second]
    sizes = sorted(np.bincount(groups)[np.bincount(groups) > 0].tolist(), reverse=True)
    if n_partitions(sizes) <= PERMUTATIONS:
        labels = np.array(list(partitions(sizes)))
    else:
        rng = np.random.default_rng(0)
        labels = np.stack([groups, *(rng.permutation(groups) for _ in range(PERMUTATIONS))])
    same = labels[:, first] == labels[:, second]
    statistic = np.where(same, residual, 0).sum(1) / same.sum(1)
    statistic -= np.where(same, 0, residual).sum(1) / (~same).sum(1)
    observed = block_statistic(alike, groups)
    return float(np.mean(statistic >= observed - 1e-12)), len(labels)


def n_partitions(sizes: Sequence[int]) -> int:
    """In how many ways sum(sizes) things fall into unnamed groups of these sizes."""
    left, count = sum(sizes), 1
    for size in sizes:
        count *= comb(left, size)
        left -= size
    for size in set(sizes):
        for repeated in range(2, list(sizes).count(size) + 1):
            count //= repeated
    return count


def partitions(sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every partition of sum(sizes) things into unnamed groups of these sizes, as a group number a thing."""
    labels = [-1] * sum(sizes)

    def fill(sizes: tuple[int, ...], group: int) -> Iterator[tuple[int, ...]]:
        if not sizes:
            yield tuple(labels)
            return
        free = [thing for thing, label in enumerate(labels) if label < 0]
        # The first free thing belongs to some group: trying each size once names no group twice.
        for size in sorted(set(sizes)):
            rest = list(sizes)
            rest.remove(size)
            for others in combinations(free[1:], size - 1):
                members = (free[0], *others)
                for thing in members:
                    labels[thing] = group
                yield from fill(tuple(rest), group + 1)
                for thing in members:
                    labels[thing] = -1

    yield from fill(tuple(sizes), 0)


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
