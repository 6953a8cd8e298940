"""Does a probe of one task work on another? The signed matrix of AUROCs, and whether tasks cluster in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skillprobe.analyses.blocks import block_statistic, forms_blocks, paper_groups, permutation_p
from skillprobe.analyses.counting import Counting, Pairs, count_folds, count_tasks
from skillprobe.analyses.generality import pick_layers
from skillprobe.errors import UserError
from skillprobe.probes.refits import Refits
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.selection import best_layers
from skillprobe.probes.transfer import Crossed
from skillprobe.statistics.bootstrap import Draws, draw_tested
from skillprobe.statistics.intervals import (
    BOUNDS,
    FIXED_PROBES,
    Estimate,
    cells_of,
    simultaneous,
    tested_rows,
)
from skillprobe.storage.tables import ACROSS, DRAWS, SELECTED, task_words

CELL_COLUMNS = (
    *("model", "scope", "layer", "source", "target", "estimate", *BOUNDS, "lower_simultaneous95"),
    *("upper_simultaneous95", "ratio", *(f"ratio_{bound}" for bound in BOUNDS)),
    *("n", "n_groups", "truncated", "source_place", "target_place", "status"),
)
SUMMARY_COLUMNS = (
    *("model", "scope", "layer", "quantity", "grouping", "estimate", *BOUNDS),
    *("p", "p_other", "n_permutations", "n_tasks", "tasks", "status"),
)
# Tasks that the block statistic takes: of three, row and column means leave nothing.
FEWEST = 4


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
    refits: Refits | None = None,
    joined: Mapping[str, str] | None = None,
) -> tuple[list[dict], list[dict]]:
    """Rows with CELL_COLUMNS, one a layer, source and target, and rows with SUMMARY_COLUMNS.

    specialists: {task: {layer: result}}; crossed: {layer: {target: scores}}; categories: {task: category}.
    layer is a number or "selected": for each outer fold the one whose specialists have the best inner AUROC
    on average, the same for all tasks. The bootstrap over groups is joint over everything.

    A task counts in a fold where its own probe's AUROC T_jj is above `signal` in the other folds
    (`count_tasks`), at the layer of the row. Summaries: "ratio", Σ(T_ij − ½) / Σ(T_jj − ½) over the folds'
    cells whose source and target count; "block", of the tasks that count in three fifths of the folds
    (n_tasks, tasks), how much more alike those of a group are than others (groupings "paper" and
    "categories"), with the permutation test's p, the p of its other side, and how many distinct partitions
    there are (n_permutations). Cells have the ratio (T_ij − ½) / (T_jj − ½) where the target counts. status:
    "" or why there is no number. n, n_groups, truncated: the target's rows, their groups, and the share of
    its responses that are left out, cut short. place: a task's place in the order of the hierarchical
    clustering.

    scope: of the results and scores. refits: of the scope; with them, intervals at the selected layer are of
    probes that are fitted anew on every draw. All others keep the probes fixed. joined: as of
    `blocks.paper_groups`.
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
        matrix = _Matrix.make(results, scores, draws, signal, refits if layer == SELECTED else None)
        place = {task: number for number, task in enumerate(leaf_order(tasks, matrix.aurocs.value))}
        about = {"model": model, "scope": scope, "layer": layer}
        cells += [
            about | row | {"status": pair_status(results, row["source"], row["target"])}
            for row in matrix.rows(place)
        ]
        summary += [about | row for row in _summary(matrix, signal, categories, joined)]
    return cells, summary


def _scores(crossed: Mapping[str, Crossed]) -> dict[str, np.ndarray]:
    """{target: [T, S, n]} of one layer."""
    return {target: each.scores for target, each in crossed.items()}


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


@dataclass(frozen=True)
class _Matrix:
    """aurocs: [T, T], of T sources on T targets, NaN where insufficient; by_fold: {(source, target): AUROC of
    each test fold} of the sufficient ones; counting: which tasks count; n, n_groups, truncated: [T] of the
    targets; reasons: [T], "" or why a task is insufficient."""

    tasks: list[str]
    aurocs: Estimate
    by_fold: dict[tuple[str, str], Estimate]
    counting: Counting
    n: np.ndarray
    n_groups: np.ndarray
    truncated: list[float]
    reasons: list[str]

    @classmethod
    def make(
        cls,
        results: Mapping[str, ProbeResult],
        scores: Mapping[str, np.ndarray],
        draws: Draws,
        signal: float,
        refits: Refits | None,
    ):
        tasks = list(results)
        n_seeds, n_folds = len(next(iter(results.values())).folds), count_folds(results.values())
        n_draws = refits.pairs.shape[1] if refits else len(draws.weights)
        aurocs = Estimate.blank(n_seeds, n_draws, len(tasks), len(tasks))
        aurocs = replace(aurocs, factor=1.0 if refits else FIXED_PROBES)
        by_fold, own = {}, {}
        for j, target in enumerate(tasks):
            own[target] = [results[target]]
            for i, source in enumerate(tasks):
                if results[target].status or results[source].status:
                    continue
                scored = replace(results[target], scores=scores[target][i])
                pairs = Pairs.of(scored, draws, n_folds)
                whole, parts = pairs.pooled(), pairs.by_fold()
                if refits:
                    whole = Estimate(whole.by_seed, refits.pooled("transfer", source, target), 1.0)
                    parts = Estimate(parts.by_seed, refits.by_fold("transfer", source, target), 1.0)
                aurocs.by_seed[:, i, j], aurocs.drawn[:, i, j] = whole.by_seed, whole.drawn
                by_fold[source, target] = parts
                if source == target:
                    own[target] = [scored]
        counting = count_tasks(own, draws, signal)
        n, n_groups = np.array([tested_rows(result) for result in results.values()]).T
        reasons = [result.status for result in results.values()]
        truncated = [result.truncated for result in results.values()]
        return cls(tasks, aurocs, by_fold, counting, n, n_groups, truncated, reasons)

    @property
    def counts(self) -> np.ndarray:
        """[T] bool, which tasks count in three fifths of the folds."""
        return np.isin(self.tasks, self.counting.names)

    def ratio(self) -> Estimate | None:
        """Σ(T_ij − ½) / Σ(T_jj − ½) over the folds' cells whose source and target count; None without any."""
        counts = dict(zip(self.tasks, np.moveaxis(self.counting.counts, -1, 0), strict=True))
        pairs = {
            f"{source} {target}": (source, target)
            for source, target in self.by_fold
            if source != target and (counts[source] & counts[target]).any()
        }
        if not pairs:
            return None
        both = np.stack([counts[source] & counts[target] for source, target in pairs.values()], axis=-1)
        counting = Counting(tuple(pairs), both)
        above = counting.mean({name: self.by_fold[pair] for name, pair in pairs.items()})
        below = counting.mean({name: self.by_fold[target, target] for name, (_, target) in pairs.items()})
        return None if above is None else above.minus(0.5).over(below.minus(0.5))

    def ratios(self) -> Estimate:
        """(T_ij − ½) / (T_jj − ½), [T, T]; NaN where the target doesn't count."""
        above, own = self.aurocs.minus(0.5), np.where(self.counts, 1.0, np.nan)
        below = (np.diagonal(each, axis1=1, axis2=2)[:, None] * own for each in (above.by_seed, above.drawn))
        return above.over(replace(above, **dict(zip(("by_seed", "drawn"), below, strict=True))))

    def rows(self, place: Mapping[str, int]) -> Iterator[dict]:
        half, ratios = simultaneous(self.aurocs, 0.95), self.ratios()
        for (i, source), (j, target) in itertools.product(enumerate(self.tasks), repeat=2):
            estimate = self.aurocs[i, j].cells((0, 1))
            value = estimate["estimate"]
            ratio = cells_of(ratios[i, j])
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
                "truncated": self.truncated[j],
                "source_place": place[source],
                "target_place": place[target],
            }


def _summary(
    matrix: _Matrix, signal: float, categories: Mapping[str, str], joined: Mapping[str, str] | None
) -> Iterator[dict]:
    tasks = [task for task, kept in zip(matrix.tasks, matrix.counts, strict=True) if kept]
    about = {"n_tasks": len(tasks), "tasks": " ".join(tasks)}
    few = f"{len(tasks)} of {len(matrix.tasks)} tasks with an AUROC clearly above {signal:g}"
    nothing = {"p": float("nan"), "p_other": float("nan"), "n_permutations": 0}
    ratio = matrix.ratio() if len(tasks) > 1 else None
    row = {"quantity": "ratio", "grouping": "", **cells_of(ratio), **nothing}
    yield row | about | {DRAWS: ratio, "status": f"insufficient: {few}" if ratio is None else ""}
    for grouping, group_of in (
        ("paper", paper_groups(tasks, joined)),
        ("categories", [categories[task] for task in tasks]),
    ):
        blocks = np.unique(group_of, return_inverse=True)[1]
        row = {"quantity": "block", "grouping": grouping, **nothing}
        status = "" if len(tasks) >= FEWEST else f"insufficient: {few}; blocks take {FEWEST}"
        if not status and not forms_blocks(group_of):
            status = "insufficient: the tasks that count form no blocks to compare"
        if not status:
            kept, ratios = np.ix_(matrix.counts, matrix.counts), matrix.ratios()
            both = (each[(..., *kept)] for each in (ratios.by_seed, ratios.drawn))
            alike = [(each + np.swapaxes(each, -1, -2)) / 2 for each in both]
            row[DRAWS] = Estimate(*(block_statistic(each, blocks) for each in alike), ratios.factor)
            found = permutation_p(alike[0].mean(axis=0), blocks)
            row |= {"p": found.p, "p_other": found.p_other, "n_permutations": found.n}
        yield row | cells_of(row.get(DRAWS)) | about | {"status": status}


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
