"""How alike are two representations of the same rows: of layers, of tasks, of models, and of what is erased?

Every comparison comes after PCA to a rank far below the number of rows: unreduced, independent noise scores
0.9 where there are hardly more rows than dimensions. And beside every value stands what permutations give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

import numpy as np

from skillprobe.erasure.eraser import Eraser
from skillprobe.probes.rows import ProbeRows
from skillprobe.storage.tables import task_words

LAYERS, TASKS, SUBSPACES = "layers", "tasks", "subspaces"
DEPTHS = ("middle", "last")
MEASURES = ("pwcca", "pwcca_first", "pwcca_second", "cka")
ANGLES = ("overlap", "largest_cosine")
_VALUES = ("measure", "estimate", "null", "null_upper95", "p", "n", "n_groups", "rank", "variance", "status")
COLUMNS = ("model", "kind", "layer", "first", "second", *_VALUES)
MODEL_COLUMNS = ("depth", "first", "first_layer", "second", "second_layer", *_VALUES)
# So many groups for each dimension, or the two sides fit each other by chance.
GROUPS_PER_RANK = 3
# Matrices with a side this short are decomposed in full, others in a Krylov space of so many steps, each of
# so many dimensions more than are wanted.
EXACT, STEPS, MORE = 500, 10, 10


# -------------------------------------------------------------------------------------------- measures


def pca(x: np.ndarray, rank: int) -> tuple[np.ndarray, float]:
    """The rows' scores on the first principal axes, [n, r], centred, and the share of the variance they keep.

    x: [n, d]. r is the rank, or less where x varies along fewer axes; 0 for rows that are all the same.
    """
    x = x.astype(float)
    size = np.linalg.norm(x)
    x -= x.mean(axis=0)
    total = np.sum(x**2)
    if min(x.shape) > EXACT:
        x = x @ _krylov(x, rank)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    # What is left of rows that are all the same is rounding.
    kept = slice(min(rank, int(np.sum(s > 1e-8 * size))))
    return u[:, kept] * s[kept], float(np.sum(s[kept] ** 2) / total) if total else 0.0


def _krylov(x: np.ndarray, rank: int) -> np.ndarray:
    """Orthonormal [d, STEPS · (rank + MORE)]: with the first right singular vectors of x in their span, to a
    precision far beyond that of activations (block Krylov iteration: Musco & Musco, arXiv 1504.05477)."""
    start = np.random.default_rng(0).normal(size=(x.shape[1], rank + MORE))
    basis = block = np.linalg.qr(start)[0]
    for _ in range(STEPS - 1):
        block = x.T @ (x @ block)
        for _ in range(2):  # once is not enough where the new block nearly lies in the old ones
            block = np.linalg.qr(block - basis @ (basis.T @ block))[0]
        basis = np.concatenate([basis, block], axis=1)
    return basis


@dataclass(frozen=True)
class _Side:
    """Centred rows as q r: q [n, k] orthonormal, r [k, k]."""

    q: np.ndarray
    r: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> _Side:
        return cls(*np.linalg.qr(x - x.mean(axis=0)))


def cca(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Canonical correlations, falling, as many as the narrower side has columns; x: [n, k], y: [n, l], both
    of full column rank, as after `pca`. By QR and SVD (Björck & Golub 1973)."""
    return np.clip(np.linalg.svd(_Side.of(x).q.T @ _Side.of(y).q, compute_uv=False), 0, 1)


def pwcca(x: np.ndarray, y: np.ndarray) -> float:
    """Mean of the canonical correlations ρ_i, weighted by how much of x each canonical variate h_i of x
    accounts for: weights Σ_j |⟨h_i, x_j⟩| over the columns of x (Morcos, Raghu & Bengio, arXiv 1806.05759).

    x, y: as for `cca`. Not symmetric: the weights are of x. Nor is the sum of absolute values indifferent to
    the axes that x is given in. In its principal axes (`pca`) the value is the same for x rotated or scaled
    as a whole; any invertible map of y leaves it as it is.
    """
    return float(_measures(*_crossed(x, y))["pwcca_first"])


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """‖XᵀY‖² / (‖XᵀX‖ ‖YᵀY‖), Frobenius norms of centred x: [n, k], y: [n, l] (Kornblith et al., arXiv
    1905.00414). The plain one, biased upward by noise: after PCA there are many more rows than dimensions,
    and the permutations have what bias is left. Symmetric, the same for rotations and scales of either
    side."""
    return float(_measures(*_crossed(x, y))["cka"])


def _crossed(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first, second = _Side.of(x), _Side.of(y)
    return first.q.T @ second.q, first.r, second.r


def _measures(cross: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """Each of MEASURES, [...], of sides q r. cross: [..., k, l] = qᵀ q′ (of many orders of the second side's
    rows, say); first: r [k, k]; second: r′ [l, l].

    With cross = U ρ Vᵀ, the canonical variates of the first side are q U, and ⟨h_i, x_j⟩ = (Uᵀ r)_ij.
    """
    u, correlations, vt = np.linalg.svd(cross, full_matrices=False)
    correlations = np.clip(correlations, 0, 1)
    weighted = []
    for variates, side in ((np.swapaxes(u, -1, -2), first), (vt, second)):
        weights = np.abs(variates @ side).sum(axis=-1)
        weighted.append((weights * correlations).sum(axis=-1) / weights.sum(axis=-1))
    shared = np.sum((first.T @ cross @ second) ** 2, axis=(-2, -1))
    own = np.linalg.norm(first.T @ first) * np.linalg.norm(second.T @ second)
    values = (np.mean(weighted, axis=0), *weighted, shared / own)
    return dict(zip(MEASURES, values, strict=True))


def principal_cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines of the principal angles between the spans of the columns of a: [d, k] and b: [d, l], falling
    (Björck & Golub 1973)."""
    qa, qb = np.linalg.qr(a)[0], np.linalg.qr(b)[0]
    return np.clip(np.linalg.svd(qa.T @ qb, compute_uv=False), 0, 1)


def eraser_cosines(first: Eraser, second: Eraser) -> np.ndarray:
    """As `principal_cosines`, of the directions Q, Q′ that two of `inlp`'s erasers read, falling.

    Directions are orthonormal among features divided by their scale s: B = Qᵀ/s and A = s Q, so that B A′ is
    QᵀQ′ if both have the same scale. Among plain features those of small scale would make all of them alike.
    """
    return np.clip(np.linalg.svd(first.b.astype(float) @ second.a, compute_uv=False), 0, 1)


# ----------------------------------------------------------------------------------------------- nulls


def compare(x: np.ndarray, y: np.ndarray, *, permutations: int, seed: int = 0) -> dict[str, dict]:
    """For each of MEASURES its "estimate", "null" (mean over permutations), "null_upper95" and one-sided "p".

    x: [groups, m, k], y: [groups, m, l], centred over their first two axes, of full column rank. Groups are
    what is exchangeable: under the null whole groups of y are dealt to those of x, each with all its m rows
    in their order. The observed order counts among the draws of p, so it is never 0.
    """
    n_groups, m, width = y.shape
    first, second = (_Side.of(side.reshape(n_groups * m, -1)) for side in (x, y))
    left, right = np.ascontiguousarray(first.q.T), second.q.reshape(n_groups, m, width)
    rng = np.random.default_rng(seed)
    orders = [np.arange(n_groups), *(rng.permutation(n_groups) for _ in range(permutations))]
    cross = np.stack([left @ right[order].reshape(n_groups * m, width) for order in orders])
    return {name: _against_null(found) for name, found in _measures(cross, first.r, second.r).items()}


def compare_subspaces(
    first: Eraser, second: Eraser, *, permutations: int, seed: int = 0
) -> dict[str, dict[str, float]]:
    """As `compare`, of erasers with k directions in d dimensions: "overlap", the mean squared cosine of the
    principal angles, and "largest_cosine", that of the smallest angle. The null are random subspaces, so many
    as there are permutations, with a mean overlap of k/d."""
    d, k = first.a.shape
    drawn = _random_cosines(d, k, second.rank, permutations, seed)
    cosines = np.stack([eraser_cosines(first, second), *drawn])
    values = (np.mean(cosines**2, axis=-1), cosines[..., 0])
    found = {name: _against_null(value) for name, value in zip(ANGLES, values, strict=True)}
    found["overlap"]["null"] = max(k, second.rank) / d  # in closed form
    return found


@cache
def _random_cosines(d: int, k: int, other: int, draws: int, seed: int) -> np.ndarray:
    """[draws, min(k, other)], of subspaces of so many of d dimensions."""
    rng = np.random.default_rng(seed)
    # Wherever the one of two subspaces lies: along the first axes, say.
    directions = (np.linalg.qr(rng.normal(size=(d, other)))[0][:k] for _ in range(draws))
    return np.stack([np.linalg.svd(each, compute_uv=False) for each in directions])


def _against_null(values: np.ndarray) -> dict[str, float]:
    """values: the observed one first, then those of the draws, at least 19. The quantile is the draw that the
    observed one must exceed for a p of at most 0.05."""
    observed, draws = values[0], values[1:]
    return {
        "estimate": float(observed),
        "null": float(draws.mean()),
        "null_upper95": float(np.sort(draws)[-(len(values) // 20)]),
        "p": float(np.mean(values >= observed - 1e-12)),
    }


# ------------------------------------------------------------------------------------- what is compared


@dataclass(frozen=True)
class _View:
    """One side of comparisons. scores: [groups, m, r], on its principal axes; there: [groups], which of them
    have rows; n: rows in all; variance: the share that the axes keep; missing: "" or why there is none."""

    scores: np.ndarray
    there: np.ndarray
    n: int
    variance: float
    missing: str = ""

    @classmethod
    def make(cls, blocks: np.ndarray, there: np.ndarray, n: int, rank: int, name: str) -> _View:
        """blocks: [groups, m, d]."""
        if not blocks.size:
            return cls(np.zeros((len(there), 0, 0)), there, n, float("nan"), f"{name} has no rows")
        scores, variance = pca(blocks.reshape(-1, blocks.shape[2]), rank)
        missing = "" if scores.shape[1] else f"{name} does not vary"
        return cls(scores.reshape(*blocks.shape[:2], -1), there, n, variance, missing)


def _compared(
    x: _View, y: _View, *, n: int, rank: int, permutations: int, seed: int
) -> Iterator[dict[str, object]]:
    """A row for each measure, of the groups that both sides have; n: of the rows that are compared."""
    both = x.there & y.there
    about = {"n": n, "n_groups": int(both.sum()), "rank": min(x.scores.shape[2], y.scores.shape[2])}
    about["variance"] = min(x.variance, y.variance)
    status = x.missing or y.missing
    if not status and both.sum() < GROUPS_PER_RANK * rank:
        status = f"{both.sum()} groups; {GROUPS_PER_RANK * rank} are needed for rank {rank}"
    if status:
        yield from _insufficient(MEASURES, about, status)
        return
    found = compare(*(side.scores[both] for side in (x, y)), permutations=permutations, seed=seed)
    for name, values in found.items():
        yield {"measure": name, **values, **about, "status": ""}


def _insufficient(measures: Iterable[str], about: Mapping, status: str) -> Iterator[dict[str, object]]:
    nothing = dict.fromkeys(("estimate", "null", "null_upper95", "p"), float("nan"))
    for name in measures:
        yield {"measure": name, **nothing, **about, "status": f"insufficient: {status}"}


def _blocks(x: np.ndarray, groups: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of each group, [names, m, d], and which groups have any, [names]; x: [n, d]; groups: [n].

    m is the most that a group has: one with fewer repeats its rows, so that every group counts the same and
    groups can change places. Centred; groups without rows are at the mean.
    """
    places = [np.flatnonzero(groups == name) for name in names]
    m = max(map(len, places), default=0)
    there = np.array([len(place) > 0 for place in places], bool)
    index = np.array([np.resize(place, m) for place in places], int).reshape(len(places), m)
    blocks = x.astype(float)[index]
    if m:
        blocks -= blocks[there].mean(axis=(0, 1))
        # Of rows that are all the same, rounding would be left.
        blocks[np.abs(blocks) <= 1e-12 * np.abs(x).max()] = 0
    blocks[~there] = 0
    return blocks, there


def _means(x: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Different names, sorted, [m], where each is first, and the means of their rows, [m, d]; x: [n, d]."""
    found, first, which = np.unique(names, return_index=True, return_inverse=True)
    member = np.eye(len(found))[which]
    return found, first, member.T @ x / member.sum(axis=0)[:, None]


def _too_truncated(rows: ProbeRows, max_truncated: float) -> str:
    """ "" or why a task doesn't count (docs/definitions.md, "Enough data")."""
    return f"{rows.truncated:.1%} of the responses are truncated" if rows.truncated > max_truncated else ""


def similarity_table(
    model: str,
    by_layer: Iterable[tuple[int, Mapping[str, ProbeRows]]],
    erasers: Mapping[int, Mapping[str, Eraser]],
    *,
    task_layers: Sequence[int],
    max_truncated: float,
    rank: int,
    permutations: int,
    seed: int = 0,
) -> list[dict]:
    """Rows with COLUMNS, one a pair and measure, of one model.

    by_layer: (layer, {task: rows}), read one at a time; erasers: {layer: {task: of all folds}}, tasks without
    one None. rank, permutations, max_truncated: of the config.

    kind "layers": pairs of layers, on the rows of all tasks, centred within each task, so that the tasks'
    means don't make it; of all layers. "tasks": pairs of tasks at each of `task_layers`, on the means over
    each group's rows, matched by group: what they have in common may be what is written about. "subspaces":
    pairs of tasks' erasure subspaces. Each measure is of the pair (first, second): "pwcca_first" has the
    weights of the first and "pwcca_second" of the second (PWCCA is not symmetric), "pwcca" is their mean;
    "cka"; of subspaces those of `compare_subspaces`.

    There are no intervals: a bootstrap repeats rows, which raises canonical correlations. The reference is
    the null: mean, 95 % quantile, one-sided p, each cell by itself. n: rows, of tasks group means; rank: of
    the narrower side; variance: the smaller share that the principal axes keep. status: "" or
    "insufficient: …", with NaN for the numbers.
    """
    options = {"rank": rank, "permutations": permutations, "seed": seed}
    pooled: dict[int, _View] = {}
    table: list[dict] = []
    for layer, rows in by_layer:
        about = {"model": model, "kind": TASKS, "layer": layer}
        whole = {task: part for task, part in rows.items() if not _too_truncated(part, max_truncated)}
        parts = {task: (part.x, part.groups) for task, part in whole.items()}
        pooled[layer] = _pooled(parts, rank, f"layer {layer}")
        if layer not in task_layers:
            continue
        views = _task_views(rows, max_truncated, rank)
        for first, second in combinations(views, 2):
            x, y = views[first], views[second]
            pair = {**about, "first": first, "second": second}
            n = int((x.there & y.there).sum())
            table += [{**pair, **row} for row in _compared(x, y, n=n, **options)]
    about = {"model": model, "kind": LAYERS, "layer": ""}
    of_layers = [
        {**about, "first": first, "second": second, **row}
        for first, second in combinations(pooled, 2)
        for row in _compared(pooled[first], pooled[second], n=pooled[first].n, **options)
    ]
    return of_layers + table + list(_subspaces(model, erasers, permutations, seed))


def _pooled(parts: Mapping[str, tuple[np.ndarray, np.ndarray]], rank: int, name: str) -> _View:
    """parts: {task: rows [n, d] and their groups [n]}."""
    if not parts:
        return _View.make(np.zeros((0, 0, 0)), np.zeros(0, bool), 0, rank, name)
    all_bases = np.concatenate([groups for _, groups in parts.values()])
    names = np.unique(all_bases)
    blocks = np.concatenate([_blocks(x, groups, names)[0] for x, groups in parts.values()], axis=1)
    return _View.make(blocks, np.ones(len(names), bool), len(all_bases), rank, name)


def _task_views(rows: Mapping[str, ProbeRows], max_truncated: float, rank: int) -> dict[str, _View]:
    groups = np.unique(np.concatenate([part.groups for part in rows.values()]))
    views = {}
    for task, part in rows.items():
        words = task_words(task)
        found, _, means = _means(part.x, part.groups)
        made = _View.make(*_blocks(means, found, groups), len(found), rank, words)
        if why := _too_truncated(part, max_truncated):
            made = replace(made, missing=f"{words}: {why}")
        views[task] = made
    return views


def _subspaces(
    model: str, erasers: Mapping[int, Mapping[str, Eraser | None]], permutations: int, seed: int
) -> Iterator[dict]:
    for layer, by_task in erasers.items():
        for first, second in combinations(by_task, 2):
            pair = {"model": model, "kind": SUBSPACES, "layer": layer, "first": first, "second": second}
            about = {"n": "", "n_groups": "", "rank": 0, "variance": ""}
            if without := [task for task in (first, second) if not (by_task[task] and by_task[task].rank)]:
                rows = _insufficient(ANGLES, about, f"{task_words(without[0])} has no eraser")
            else:
                one, other = by_task[first], by_task[second]
                found = compare_subspaces(one, other, permutations=permutations, seed=seed)
                about["rank"] = min(one.rank, other.rank)
                rows = ({"measure": name, **values, **about, "status": ""} for name, values in found.items())
            yield from ({**pair, **row} for row in rows)


@dataclass(frozen=True)
class Items:
    """A model's rows of one task, the mean over each item's samples: x [m, d]; items, groups: [m]; missing:
    "" or why the task doesn't count."""

    x: np.ndarray
    items: np.ndarray
    groups: np.ndarray
    missing: str

    @classmethod
    def of(cls, rows: ProbeRows, max_truncated: float) -> Items:
        # An id is <item>/constrained/<sample>.
        items, first, means = _means(rows.x, np.array([each.rsplit("/", 2)[0] for each in rows.ids], str))
        return cls(means, items, rows.groups[first], _too_truncated(rows, max_truncated))


def model_similarity_table(
    depths: Mapping[str, Mapping[str, tuple[int, Mapping[str, Items]]]],
    *,
    rank: int,
    permutations: int,
    seed: int = 0,
) -> list[dict]:
    """Rows with MODEL_COLUMNS, one a depth, pair of models and measure.

    depths: {one of DEPTHS: {model: (layer, {task: items})}}. Rows are matched by item: the models' own
    answers to one prompt differ, so each side is the mean over its samples; of all tasks that count in both
    models, centred within each. Measures and nulls: as for `similarity_table`; n: items that both have.
    """
    table: list[dict] = []
    for depth, models in depths.items():
        for first, second in combinations(models, 2):
            (first_layer, ours), (second_layer, theirs) = models[first], models[second]
            tasks = [task for task in ours if not ours[task].missing and not theirs[task].missing]
            shared = {task: np.intersect1d(ours[task].items, theirs[task].items) for task in tasks}
            views = []
            for name, side in ((first, ours), (second, theirs)):
                places = {task: np.searchsorted(side[task].items, shared[task]) for task in tasks}
                parts = {task: (side[task].x[at], side[task].groups[at]) for task, at in places.items()}
                views.append(_pooled(parts, rank, name))
            found = _compared(*views, n=views[0].n, rank=rank, permutations=permutations, seed=seed)
            about = {"depth": depth, "first": first, "first_layer": first_layer}
            about |= {"second": second, "second_layer": second_layer}
            table += [{**about, **row} for row in found]
    return table
