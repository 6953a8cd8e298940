"""Do a model's answers depend on a signal where its activations do? Two matrices compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations, product
from math import factorial, isfinite

import numpy as np

from skillprobe.analyses.ablation import PRIMARY, SELECTED
from skillprobe.storage.tables import in_scope

KINDS = ("erase", "flip")
PERMUTATIONS = 10_000
FEWEST_TASKS = 4
CELL_COLUMNS = (
    *("model", "edit", "source", "target", "fall_auroc", "fall_compliance"),
    *("lower99", "upper99", "dependent", "lost"),
)
SUMMARY_COLUMNS = (
    *("model", "edit", "quantity", "estimate", "p", "n_permutations", "n_tasks", "n_cells"),
    *("dependent", "lost", "both", "status"),
)


def agreement_tables(
    ablation: Sequence[Mapping], behaviour: Sequence[Mapping], models: Sequence[str], tasks: Sequence[str]
) -> tuple[list[dict], list[dict]]:
    """Rows with CELL_COLUMNS and rows with SUMMARY_COLUMNS, for each kind of edit ("erase", "flip": reflect).

    ablation, behaviour: rows of `ablation_tables` (cells, of which the primary ones across prompts at the
    selected layer are read) and of `behaviour_table`, of any models.

    Cells, of each source and target task for which there are both: how far the target's AUROC falls, net of
    chance, when the source is erased from activations; how far the target's compliance falls, beyond that
    under a random subspace, when the source is edited while the model writes, with its 99 % interval;
    dependent and lost: whether the first is so by its simultaneous interval, and the second by its own.

    Summaries, of the cells off the diagonal of tasks that leave no gap: "rank_correlation", Spearman's, of
    both falls; "within", the same after what is common to a row and to a column is taken from both, so that
    neither strong sources nor fragile targets make it. p: one-sided, by permuting the names of the tasks of
    one matrix, rows and columns together (Mantel 1967; Hubert & Schultz 1976), in all ways or so many random
    ones. Counts of cells: dependent, lost, both. The analyses share no bootstrap draws, so there is no
    interval. status: "" or "insufficient: …", for fewer than FEWEST_TASKS tasks.
    """
    cells, summary = [], []
    for model in models:
        falls = {
            (row["source"], row["target"]): row
            for row in in_scope(ablation)
            if (str(row["model"]), row["layer"]) == (model, SELECTED)
            and (row["method"], row["probe"]) == PRIMARY
        }
        for kind in KINDS:
            changes = {
                (row["condition"].removeprefix(f"{kind}:"), row["task"]): row
                for row in behaviour
                if (str(row["model"]), row["quantity"]) == (model, "change_minus_random")
                and row["condition"].startswith(f"{kind}:")
            }
            about = {"model": model, "edit": kind}
            found = [about | row for row in _cells(tasks, falls, changes)]
            cells += found
            summary += [about | row for row in _summary(tasks, found)]
    return cells, summary


def _cells(tasks: Sequence[str], falls: Mapping, changes: Mapping):
    for pair in ((source, target) for source in tasks for target in tasks):
        fall, change = falls.get(pair), changes.get(pair)
        if fall and change and isfinite(fall["net"]) and isfinite(change["estimate"]):
            yield {
                "source": pair[0],
                "target": pair[1],
                "fall_auroc": float(fall["net"]),
                "fall_compliance": -float(change["estimate"]),
                "lower99": -float(change["upper99"]),
                "upper99": -float(change["lower99"]),
                "dependent": int(fall["cell"] == "dependent"),
                "lost": int(change["upper99"] < 0),
            }


def _summary(tasks: Sequence[str], cells: Sequence[Mapping]):
    by_pair = {(row["source"], row["target"]): row for row in cells}
    known = _complete(tasks, by_pair)
    apart = [by_pair[source, target] for source in known for target in known if source != target]
    few = len(known) < FEWEST_TASKS
    about = {
        "n_tasks": len(known),
        "n_cells": len(apart),
        "dependent": sum(row["dependent"] for row in apart),
        "lost": sum(row["lost"] for row in apart),
        "both": sum(row["dependent"] and row["lost"] for row in apart),
        "status": f"insufficient: {len(known)} tasks have both measurements; {FEWEST_TASKS} are needed"
        if few
        else "",
    }
    matrices = []
    for key in ("fall_auroc", "fall_compliance"):
        matrices.append(np.zeros((len(known), len(known))))
        matrices[-1][~np.eye(len(known), dtype=bool)] = [row[key] for row in apart]
    for quantity, prepare in (("rank_correlation", np.asarray), ("within", centred)):
        estimate, p, n = (float("nan"), float("nan"), 0) if few else mantel(*map(prepare, matrices))
        yield {"quantity": quantity, "estimate": estimate, "p": p, "n_permutations": n, **about}


def _complete(tasks: Sequence[str], pairs: Iterable[tuple[str, str]]) -> list[str]:
    """The tasks without those, the one with the most gaps first, that leave a gap in the matrix of pairs."""
    known, there = list(tasks), set(pairs)
    while True:
        gaps = Counter(task for pair in product(known, repeat=2) if pair not in there for task in set(pair))
        if not gaps:
            return known
        # Of equals the last one goes.
        worst = max(reversed(known), key=lambda task: gaps[task])
        known.remove(worst)


def centred(cells: np.ndarray) -> np.ndarray:
    """[m, m] less the row and column effects that fit the cells off the diagonal best, by least squares."""
    m = len(cells)
    source, target = apart = np.nonzero(~np.eye(m, dtype=bool))
    design = np.concatenate([np.eye(m)[source], np.eye(m)[target]], axis=1)
    rest = np.zeros((m, m))
    rest[apart] = cells[apart] - design @ np.linalg.lstsq(design, cells[apart], rcond=None)[0]
    return rest


def mantel(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, int]:
    """Spearman's correlation of the cells off the diagonal, its one-sided permutation p, and of how many.

    ours, theirs: [m, m]. The names as they are count among the permutations, so p is never 0. NaN for the
    correlation with a constant.
    """
    from scipy.stats import rankdata  # here, as its import takes longer than small tables

    m = len(ours)
    apart = np.nonzero(~np.eye(m, dtype=bool))
    if factorial(m) <= PERMUTATIONS:
        orders = np.array(list(permutations(range(m))))
    else:
        rng = np.random.default_rng(0)
        orders = np.stack([np.arange(m), *(rng.permutation(m) for _ in range(PERMUTATIONS))])
    # Rounded, so that what differs only by the last bits of a sum ties.
    first, second = (rankdata(np.round(cells[apart], 12)) for cells in (ours, theirs))
    if first.std() == 0 or second.std() == 0:
        return float("nan"), float("nan"), len(orders)
    ranks = np.zeros((m, m))
    ranks[apart] = (second - second.mean()) / second.std()
    permuted = ranks[orders[:, apart[0]], orders[:, apart[1]]]
    found = permuted @ ((first - first.mean()) / first.std()) / len(first)
    return float(found[0]), float(np.mean(found >= found[0] - 1e-12)), len(orders)
