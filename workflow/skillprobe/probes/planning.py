"""How much of what the prompt decides is known at its end, beyond what its surface says.

See docs/definitions.md, "Monitoring and planning".

Everything here is of items: samples of one prompt share its state. Two held-out scores of an item's
satisfaction rate are compared: that of the prompt's surface, and the surface stacked with a linear probe of
the state at the prompt's last token. Scores are combined by squared error on the items' rates, since a share
of variance is asked for.

The surface is boosted trees and, stacked with them, a ridge regression of the same features. Trees alone need
more items than a task has: what they miss of the params, a state that merely holds the params would be
credited with (planted: a share of 0.2 where nothing is planned, 0.04 with the ridge; 90 groups).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path

import numpy as np

from skillprobe.errors import UserError
from skillprobe.probes.course import PROMPT_END
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.prefix import params_features
from skillprobe.probes.rows import ProbeRows, read_rows
from skillprobe.probes.solver import Rows, feature_scale
from skillprobe.probes.surface import bag_of_words, one_hot
from skillprobe.prompts.bases import group_ids, seed_from
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.variance import between_variance
from skillprobe.storage import hdf5
from skillprobe.tasks.text import count_words

# The trees of the surface, fixed beforehand: few and small, since a task has some hundred items.
TREES = {"max_iter": 50, "learning_rate": 0.1, "max_leaf_nodes": 4, "min_samples_leaf": 20}
# A feature must set so many items apart, or it can't help to score those of other groups.
LEAST_ITEMS = 5
# C of the surface's ridge, of few features: up to nearly none.
SURFACE_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
# Random directions of the power control.
DIRECTIONS = 20


@dataclass(frozen=True)
class Items:
    """n items of one task. ids, groups: [n]; satisfied: [n], how many of an item's untruncated samples are;
    samples: [n], how many there are; features: [n, q] of the prompt's surface, the first n_params of them of
    the params."""

    ids: np.ndarray
    groups: np.ndarray
    satisfied: np.ndarray
    samples: np.ndarray
    features: np.ndarray
    n_params: int


@dataclass(frozen=True)
class PromptScores:
    """Held-out scores of n items by S fold seeds, K outer folds and D random directions.

    ids, groups, satisfied, samples: as in `Items`; folds: [S, n] (−1: calibration). surface, both: [S, n],
    the surface's score and that stacked with the prompt probe, probabilities, NaN on calibration items;
    layers, penalties: [S, K], the prompt probe's. Power control, on the first fold seed: drawn_satisfied,
    drawn_surface and drawn_both, [D, n], the same of labels that are redrawn from the state along a direction
    at layer drawn_layers, [D]. status: "" or why there are no scores (then they are NaN, and D is 0; as
    they are of a task whose prompts decide too little).
    """

    ids: np.ndarray
    groups: np.ndarray
    satisfied: np.ndarray
    samples: np.ndarray
    folds: np.ndarray
    surface: np.ndarray
    both: np.ndarray
    layers: np.ndarray
    penalties: np.ndarray
    drawn_satisfied: np.ndarray
    drawn_surface: np.ndarray
    drawn_both: np.ndarray
    drawn_layers: np.ndarray
    status: str = ""


_TEXT = ("ids", "groups")


def save(path: str | Path, scores: PromptScores) -> None:
    """Store as HDF5: equal scores, equal bytes."""
    with hdf5.create(path) as file:
        for each in fields(PromptScores):
            value = getattr(scores, each.name)
            if each.name in _TEXT:
                hdf5.write_texts(file, each.name, value)
            elif each.name != "status":
                file.create_dataset(each.name, data=value)
        file.attrs["status"] = np.bytes_(scores.status.encode())


def load(path: str | Path) -> PromptScores:
    """What `save` stored. Raises UserError if it isn't such a file."""
    with hdf5.whole(path, "planning") as file:
        return PromptScores(
            **{
                each.name: hdf5.read_texts(file, each.name) if each.name in _TEXT else file[each.name][()]
                for each in fields(PromptScores)
                if each.name != "status"
            },
            status=file.attrs["status"].decode(),
        )


def fit_planning(
    paths: Sequence[str],
    layers: Sequence[int],
    labels: Sequence[Mapping],
    settings: Mapping,
    task: str,
    directions: int | None = None,
    *,
    least: float,
) -> PromptScores:
    """Of one model and task, from its shards and label rows; settings: as for `course.fit_course`;
    directions: of the power control (None: DIRECTIONS); least: as for `score_items`."""
    rows = read_rows(paths, layers[0], PROMPT_END)
    items, first = items_of(rows, labels)
    protocol = Settings.from_config(settings["probes"], settings["seed"])
    study_groups = group_ids(settings["groups"])
    folds = protocol.row_folds(items.groups, study_groups)
    of_rows = protocol.row_folds(rows.groups, study_groups)
    status = protocol.sufficiency(rows.y, rows.groups, of_rows, rows.truncated)
    return score_items(
        items,
        (read_rows(paths, layer, PROMPT_END).x[first] for layer in layers),
        layers,
        folds,
        protocol,
        task=task,
        status=status,
        directions=DIRECTIONS if directions is None else directions,
        least=least,
    )


def items_of(rows: ProbeRows, labels: Sequence[Mapping]) -> tuple[Items, np.ndarray]:
    """The items of rows at the prompt's end, in order, and the number of each one's first row. labels: label
    rows, those of rows.ids among them. Raises UserError for a row without one."""
    by_id = {row["id"]: row for row in labels}
    if missing := [name for name in rows.ids.tolist() if name not in by_id]:
        raise UserError(f"response '{missing[0]}' is in the activations but not in the labels; extract again")
    names = np.array([by_id[name]["item"] for name in rows.ids.tolist()], str)
    ids, first, item = np.unique(names, return_index=True, return_inverse=True)
    samples = np.bincount(item, minlength=len(ids))
    return (
        Items(
            ids,
            rows.groups[first],
            np.bincount(item, rows.y, len(ids)).astype(int),
            samples,
            *item_features([by_id[rows.ids[row]] for row in first]),
        ),
        first,
    )


def item_features(rows: Sequence[Mapping]) -> tuple[np.ndarray, int]:
    """[n, q] of the prompts of label rows, one an item: params with numbers times relations, length in words
    and characters, phrasing, and words; and how many columns are of the params, which come first."""
    prompts = [row["prompt"] for row in rows]
    params = _useful(params_features([row["params"] for row in rows], crossed=True))
    lengths = np.array([[count_words(prompt), len(prompt)] for prompt in prompts], float).reshape(-1, 2)
    parts = (params, lengths, one_hot([row["phrasing"] for row in rows]), bag_of_words(prompts))
    return _useful(np.concatenate(parts, axis=1, dtype=float)), params.shape[1]


def _useful(x: np.ndarray) -> np.ndarray:
    """Without the columns that set fewer than LEAST_ITEMS items apart, and those equal to one before."""
    if not x.size:
        return x
    common = np.array([np.unique(column, return_counts=True)[1].max() for column in x.T])
    x = x[:, len(x) - common >= LEAST_ITEMS]
    return x[:, np.sort(np.unique(x, axis=1, return_index=True)[1])]


def score_items(
    items: Items,
    states: Sequence[np.ndarray],
    layers: Sequence[int],
    folds: np.ndarray,
    settings: Settings,
    *,
    task: str = "",
    status: str = "",
    directions: int,
    least: float,
) -> PromptScores:
    """Surface and stacked scores of the items, and those of the power control.

    states: activations [n, d] at the prompt's end, one a layer of `layers`; folds: [S, n]; task: its name,
    which redrawn labels depend on; status: why there is nothing to score, or ""; directions: of the power
    control; least: a task counts only if a lower bound of its variance between items is above it
    (`analyses.planning`), so one whose estimate isn't has no scores.
    """
    tested = folds[0] != CALIBRATION
    status = status or ("" if (items.samples[tested] > 1).any() else "no item has two responses to compare")
    n_seeds, n = folds.shape
    shape = (n_seeds, settings.n_folds)
    if status or not _variance(items, tested) > least:
        nothing = np.full(folds.shape, np.nan)
        return PromptScores(
            *(items.ids, items.groups, items.satisfied, items.samples, folds, nothing, nothing),
            *(np.full(shape, -1), np.full(shape, np.nan)),
            *(np.zeros((0, n), int), np.zeros((0, n)), np.zeros((0, n)), np.zeros(0, int)),
            status,
        )
    axes = [_axes(x, folds[0], settings) for x in states]
    drawn, drawn_layers = _redrawn(
        items, axes, tested, directions, seed_from("planning", settings.seed, task)
    )
    surface, both = np.full((2, n_seeds, n), np.nan)
    chosen = np.zeros((2, *shape), int)
    real = items.satisfied[None]
    controls = np.full((2, len(drawn), n), np.nan)
    for s, fold in enumerate(folds):
        # Redrawn labels go with the first fold seed, and so share its fits of states.
        satisfied = np.concatenate([real, drawn]) if s == 0 else real
        found = _stacked(satisfied, items, axes, fold, settings)
        surface[s], both[s], chosen[:, s] = found[0][0], found[1][0], found[2][0]
        if s == 0:
            controls[:] = found[0][1:], found[1][1:]
    return PromptScores(
        *(items.ids, items.groups, items.satisfied, items.samples, folds, surface, both),
        *(np.array(layers)[chosen[0]], np.array(settings.penalties)[chosen[1]]),
        *(drawn, *controls, np.array(layers)[drawn_layers]),
    )


def _axes(x: np.ndarray, fold: np.ndarray, settings: Settings) -> tuple[np.ndarray, int]:
    """The items' coordinates [n, r] on the principal axes of their scaled states, and how many features."""
    scale = feature_scale(x[fold == CALIBRATION]) if settings.feature_scaling else None
    return Rows(x, scale).coordinates, x.shape[1]


def _variance(items: Items, tested: np.ndarray) -> float:
    return between_variance(items.satisfied[tested], items.samples[tested], items.groups[tested])[0]


def _redrawn(items: Items, axes, tested: np.ndarray, directions: int, seed: int):
    """Satisfied samples of each item, [D, n], had the state decided along a random direction, and the number
    of each direction's layer.

    p = ȳ + √V·z, in [0, 1], with z the standardised projection: as much is decided by the prompt as is in
    truth, all of it is in the state, and all in one direction.
    """
    rate = items.satisfied / items.samples
    variance = _variance(items, tested)
    drawn = np.zeros((directions, len(rate)), int)
    # Layers take turns: which is selected depends on the labels.
    numbers = np.arange(directions) % len(axes)
    for direction, number in enumerate(numbers):
        rng = np.random.default_rng([seed, direction])
        coordinates = axes[number][0]
        # Axes at right angles: a random direction among the features is one among these.
        z = coordinates @ rng.normal(size=coordinates.shape[1])
        spread = z[tested].std()
        z = (z - z[tested].mean()) / spread if spread > 0 else z
        p = np.clip(rate[tested].mean() + np.sqrt(max(variance, 0.0)) * z, 0, 1)
        drawn[direction] = rng.binomial(items.samples, p)
    return drawn, numbers


def _stacked(satisfied: np.ndarray, items: Items, axes, fold: np.ndarray, settings: Settings):
    """Of L labellings [L, n] in one dealing of folds [n]: surface and stacked scores [L, n], and the numbers
    of the prompt probes' layer and penalty, [L, 2, K]."""
    rates = satisfied / items.samples
    n_folds, (n_labels, n) = settings.n_folds, rates.shape
    inner = [_inner(fold, f) for f in range(n_folds)]
    trees = np.array([_tree_scores(y, items, fold, n_folds, settings.seed) for y in satisfied])
    targets = np.broadcast_to(rates[:, None], trees.shape)
    linear = (
        _ridge_scores(*_surface_axes(features), targets, fold, SURFACE_PENALTIES)
        for features in (items.features[:, : items.n_params], items.features)
    )
    surface = _combined(rates, trees, linear, inner)[0]
    # What the surface leaves of each outer fold's training items.
    residuals = np.where(fold == CALIBRATION, 0.0, rates[:, None] - surface)
    probes = (_ridge_scores(coordinates, d, residuals, fold, settings.penalties) for coordinates, d in axes)
    both, chosen = _combined(rates, surface, probes, inner)
    held_out = [np.full((n_labels, n), np.nan) for _ in range(2)]
    for f in range(n_folds):
        for scores, found in zip(held_out, (surface, both), strict=True):
            scores[:, fold == f] = found[:, f, fold == f]
    return *held_out, chosen


def _combined(rates: np.ndarray, first: np.ndarray, seconds, inner) -> tuple[np.ndarray, np.ndarray]:
    """The least-squares combination, [L, K, n], of scores [L, K, n] with the best of others, fitted on the
    inner folds of each outer fold; and which that is, [L, 2, K].

    seconds: arrays [penalty, L, K, n]; of them and their penalties the one that explains the most there.
    """
    n_labels, n_folds, _ = first.shape
    best, found = np.full((n_labels, n_folds), -1.0), np.full(first.shape, np.nan)
    chosen = np.zeros((n_labels, 2, n_folds), int)
    for number, by_penalty in enumerate(seconds):
        for penalty, second in enumerate(by_penalty):
            for label, f in np.ndindex(n_labels, n_folds):
                train, centre = inner[f]
                y, s, r = (
                    centre(values[train]) for values in (rates[label], first[label, f], second[label, f])
                )
                (of_first, of_second), explained = least_squares(y, s, r)
                # The first, so the lowest layer and the smallest C, among equals.
                if explained > best[label, f] + 1e-9 * (y @ y):
                    best[label, f], chosen[label, :, f] = explained, (number, penalty)
                    score = of_first * first[label, f] + of_second * second[label, f]
                    found[label, f] = score + (rates[label] - score)[train].mean()
    return found, chosen


def _inner(fold: np.ndarray, f: int) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """The training items of outer fold f, and what takes their inner folds' means out of values of theirs."""
    train = np.flatnonzero((fold != f) & (fold != CALIBRATION))
    _, inner = np.unique(fold[train], return_inverse=True)
    size = np.bincount(inner)
    return train, lambda values: values - (np.bincount(inner, values) / size)[inner]


def least_squares(y: np.ndarray, s: np.ndarray, r: np.ndarray) -> tuple[tuple[float, float], float]:
    """Weights ≥ 0 of s and r in the best combination, and the sum of squares that it explains of y; all [n],
    centred. A score that is held out can't be better the wrong way round but by chance (Breiman 1996)."""
    ss, rr, sr, sy, ry = s @ s, r @ r, s @ r, s @ y, r @ y
    tiny = 1e-12 * (y @ y)
    options = [((0.0, 0.0), 0.0)]
    if ss > tiny and sy > 0:
        options.append(((sy / ss, 0.0), sy**2 / ss))
    if rr > tiny and ry > 0:
        options.append(((0.0, ry / rr), ry**2 / rr))
    determinant = ss * rr - sr**2
    if determinant > 1e-9 * ss * rr and min(ss, rr) > tiny:
        b, c = (rr * sy - sr * ry) / determinant, (ss * ry - sr * sy) / determinant
        if b > 0 and c > 0:
            options.append(((b, c), b * sy + c * ry))
    return max(options, key=lambda option: option[1])


def _surface_axes(features: np.ndarray) -> tuple[np.ndarray, int]:
    """As of `_axes`, of the surface's features in units of their deviation over all items."""
    deviation = features.std(axis=0)
    x = features[:, deviation > 0] / deviation[deviation > 0]
    return (Rows(x).coordinates if x.size else np.zeros((len(x), 1))), max(x.shape[1], 1)


def _tree_scores(satisfied: np.ndarray, items: Items, fold: np.ndarray, n_folds: int, seed: int):
    """[K, n]: for outer fold f, items of f as scored by trees of all other folds, items of fold g by trees of
    all but f and g; NaN on calibration items."""
    scores = np.full((n_folds, len(fold)), np.nan)
    for f in range(n_folds):
        scores[f, fold == f] = _trees(satisfied, items, (fold != f) & (fold != CALIBRATION), fold == f, seed)
    for f, g in combinations(range(n_folds), 2):
        tested = (fold == f) | (fold == g)
        found = np.full(len(fold), np.nan)
        found[tested] = _trees(satisfied, items, ~tested & (fold != CALIBRATION), tested, seed)
        scores[f, fold == g], scores[g, fold == f] = found[fold == g], found[fold == f]
    return scores


def _trees(satisfied: np.ndarray, items: Items, train: np.ndarray, tested: np.ndarray, seed: int):
    """Probabilities of the tested items by boosted trees of the training items' samples, a row each."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = np.repeat(np.flatnonzero(train), items.samples[train])
    place = np.concatenate([np.arange(size) for size in items.samples[train]] or [np.zeros(0, int)])
    y = (place < satisfied[rows]).astype(int)
    if y.min(initial=1) == y.max(initial=0):
        return np.full(tested.sum(), float(y[0]) if len(y) else 0.5)
    if not items.features.shape[1]:
        return np.full(tested.sum(), y.mean())
    trees = HistGradientBoostingClassifier(**TREES, early_stopping=False, random_state=seed % 2**32)
    return trees.fit(items.features[rows], y).predict_proba(items.features[tested])[:, 1]


def _ridge_scores(
    coordinates: np.ndarray,
    n_features: int,
    targets: np.ndarray,
    fold: np.ndarray,
    penalties: Sequence[float],
) -> np.ndarray:
    """Ridge regressions of targets [L, K, n], one for each outer fold: [penalty, L, K, n], held out as those
    of `_tree_scores` are; zero on calibration items.

    min ½‖w‖² + C/2 Σ (target − wᵀx − a)², with the C and the scale of the logistic probes, and up to the
    intercept a. Training items without f and g serve outer fold f and outer fold g.
    """
    n_labels, n_folds, n = targets.shape
    scores = np.zeros((len(penalties), n_labels, n_folds, n))
    folds = range(n_folds)
    for held in [*combinations(folds, 1), *combinations(folds, 2)]:
        tested = np.isin(fold, held)
        train = ~tested & (fold != CALIBRATION)
        # Of each outer fold among them: its own targets.
        y = targets[:, held][:, :, train].reshape(-1, train.sum()).T
        found = _ridge(coordinates, n_features, train, y, penalties)
        found = found.reshape(len(found), n, n_labels, len(held))
        for k, f in enumerate(held):
            scored = fold == (f if len(held) == 1 else sum(held) - f)
            scores[:, :, f, scored] = found[..., k][:, scored].transpose(0, 2, 1)
    return scores


def _ridge(x: np.ndarray, n_features: int, train: np.ndarray, y: np.ndarray, penalties: Sequence[float]):
    """Predictions [penalty, n, m] for all rows x [n, r], of m targets y [train, m]."""
    centred = x - x[train].mean(axis=0)
    own = centred[train]
    target = y - y.mean(axis=0)
    if own.shape[0] <= own.shape[1]:
        squares, vectors = np.linalg.eigh(own @ own.T)
        design, right = centred @ (own.T @ vectors), vectors.T @ target
    else:
        squares, vectors = np.linalg.eigh(own.T @ own)
        design, right = centred @ vectors, vectors.T @ (own.T @ target)
    # ½‖w‖² on rows divided by s is ½ s²‖β‖² on undivided ones, as in `solver.Rows.fit`.
    total = (own**2).sum()
    if total == 0:
        return np.zeros((len(penalties), len(x), y.shape[1]))
    ridge = total / (len(own) * n_features)
    return np.array(
        [design @ (right / (np.maximum(squares, 0) + ridge / penalty)[:, None]) for penalty in penalties]
    )
