"""Nested cross-validation of probes: penalty by inner folds, scores on outer ones.

The rows given here are a task's constrained, untruncated responses that are valid at the position.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from skillprobe.errors import UserError
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.solver import Fit, Rows, feature_scale
from skillprobe.statistics.folds import (
    CALIBRATION,
    assign_folds,
    mixed_items,
    row_folds,
    sufficiency,
    within_sufficiency,
)
from skillprobe.statistics.metrics import aurocs, item_pairs, right_order

MIXED = ("min_mixed_items", "min_mixed_groups", "min_mixed_in_fold")


@dataclass(frozen=True)
class Settings:
    """Penalties C (ascending), folds, and what is enough data (docs/definitions.md, "Enough data")."""

    penalties: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    n_folds: int = 5
    fold_seeds: tuple[int, ...] = (0, 1, 2)
    seed: int = 0
    calibration_fraction: float = 0.1
    feature_scaling: bool = True
    min_rows: int = 20
    min_groups: int = 10
    max_truncated: float = 0.2
    shuffles: int = 20
    # Of the scope within prompts: items with both outcomes, of so many groups, in every test fold.
    min_mixed_items: int = 60
    min_mixed_groups: int = 30
    min_mixed_in_fold: int = 8

    def __post_init__(self) -> None:
        penalties = tuple(self.penalties)
        if not penalties or penalties[0] <= 0 or list(penalties) != sorted(set(penalties)):
            raise UserError(f"probes.penalties is {penalties}; give positive numbers in ascending order")
        if self.n_folds < 3 or not self.fold_seeds:
            raise UserError("nested cross-validation needs probes.n_folds of at least 3 and one fold seed")

    @classmethod
    def from_config(cls, config: Mapping, seed: int) -> Settings:
        """The settings under the config's `probes`, which counts fold seeds; shuffles may be missing (0)."""
        return cls(
            n_folds=config["folds"],
            fold_seeds=tuple(range(config["fold_seeds"])),
            seed=seed,
            **{
                key: config[key]
                for key in (
                    "penalties",
                    "calibration_fraction",
                    "feature_scaling",
                    "min_rows",
                    "min_groups",
                    "max_truncated",
                )
            },
            shuffles=config.get("shuffles", 0),
            **{key: config[key] for key in MIXED if key in config},
        )

    def folds(self, study_groups: Sequence[str]) -> list[dict[str, int]]:
        """Fold of each group of the study, one mapping a fold seed."""
        return [
            assign_folds(
                study_groups,
                n_folds=self.n_folds,
                seed=self.seed,
                fold_seed=fold_seed,
                calibration_fraction=self.calibration_fraction,
            )
            for fold_seed in self.fold_seeds
        ]

    def row_folds(self, groups: Sequence[str], study_groups: Sequence[str]) -> np.ndarray:
        """Fold of each row, [S, n] int8. Raises UserError where a row's group is not the study's."""
        return np.stack([row_folds(groups, table) for table in self.folds(study_groups)])

    def sufficiency(
        self,
        labels: np.ndarray,
        groups: Sequence[str],
        folds: np.ndarray,
        truncated_fraction: float = 0.0,
        training: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> str:
        """As `folds.sufficiency`, by these settings."""
        return sufficiency(
            labels,
            groups,
            folds,
            min_rows=self.min_rows,
            min_groups=self.min_groups,
            truncated_fraction=truncated_fraction,
            max_truncated=self.max_truncated,
            training=training,
        )

    def within_sufficiency(
        self, labels: np.ndarray, groups: Sequence[str], items: np.ndarray, folds: np.ndarray, cut: float
    ) -> str:
        """As `folds.within_sufficiency`, by these settings; cut: the share of truncated responses."""
        return within_sufficiency(
            labels,
            groups,
            items,
            folds,
            min_items=self.min_mixed_items,
            min_groups=self.min_mixed_groups,
            min_fold_items=self.min_mixed_in_fold,
            truncated_fraction=cut,
            max_truncated=self.max_truncated,
        )


def feature_scale_of(
    x: Sequence[np.ndarray], tasks: Sequence[Task], settings: Settings, scale: np.ndarray | None
) -> np.ndarray | None:
    if scale is not None or not settings.feature_scaling:
        return scale
    calibration = [rows[task.folds[0] == CALIBRATION] for rows, task in zip(x, tasks, strict=True)]
    return feature_scale(np.concatenate(calibration))


@dataclass(frozen=True)
class Task:
    """items: [n] names, for the scope within prompts; none for that across them. truncated: the share of
    responses that were cut short and are not among the n."""

    name: str
    ids: np.ndarray
    groups: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    status: str
    items: np.ndarray
    truncated: float

    @classmethod
    def make(cls, name, x, y, groups, ids, settings, study_groups, truncated_fraction, items=()) -> Task:
        where = f"task {name!r}: " if name else ""
        if not (len(x) == len(y) == len(groups)):
            raise UserError(
                f"{where}{len(x)} activations, {len(y)} labels and {len(groups)} groups; give one each"
            )
        if not np.isfinite(x).all():
            raise UserError(f"{where}some activations are NaN or infinite; extract them again")
        if not np.isin(y, (0, 1)).all():
            raise UserError(f"{where}labels must be 0 (violated) or 1 (satisfied)")
        if ids is None:
            seen: Counter[str] = Counter()
            ids = []
            for group in groups:
                ids.append(f"{group}/{seen[group]}")
                seen[group] += 1
        labels = np.asarray(y, np.int8)
        folds = settings.row_folds(groups, study_groups)
        items = np.asarray(items, str)
        if len(items):
            status = settings.within_sufficiency(labels, groups, items, folds, truncated_fraction)
        else:
            status = settings.sufficiency(labels, groups, folds, truncated_fraction)
        names = np.asarray(ids, str), np.asarray(groups, str)
        return cls(name, *names, labels, folds, status, items, truncated_fraction)

    def insufficient(self, settings: Settings, status: str = "") -> ProbeResult:
        per_fold = np.full((len(settings.fold_seeds), settings.n_folds), np.nan)
        return ProbeResult(
            ids=self.ids,
            groups=self.groups,
            labels=self.labels,
            folds=self.folds,
            scores=np.full(self.folds.shape, np.nan, np.float32),
            chosen_c=per_fold,
            inner_auroc=per_fold,
            task_inner_auroc=per_fold,
            weights=np.zeros(0),
            intercept=float("nan"),
            penalties=np.array(settings.penalties),
            fold_seeds=np.array(settings.fold_seeds),
            status=status or self.status,
            items=self.items,
            truncated=self.truncated,
        )


@dataclass(frozen=True)
class Found:
    """Of L labellings: scores [L, S, n]; chosen [L, S, K], the number of the penalty; inner_auroc
    [L, S, K, T] of each task at it (NaN behind the last of a labelling's). fit holds S · K outer fits, and
    one of all rows, for each labelling: at every penalty, or only at those that were chosen (`own_penalty`).
    inner: of each fold seed, the fits at every penalty without two folds, a column for each labelling and
    pair of folds."""

    scores: np.ndarray
    chosen: np.ndarray
    inner_auroc: np.ndarray
    fit: Fit
    inner: list[Fit]
    settings: Settings
    own_penalty: bool

    def _at(self, number: np.ndarray | int) -> np.ndarray | int:
        """Where `fit` has the penalty of this number."""
        return np.zeros_like(number) if self.own_penalty else number

    def raw(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights [S, K, d] and intercepts [S, K] of the outer probes of the first labelling."""
        _, n_seeds, n_folds = self.chosen.shape
        weights, intercepts = self.fit.raw(self._at(self.chosen[0].ravel()), slice(n_seeds * n_folds))
        shape = (n_seeds, n_folds)
        return weights.T.reshape(*shape, -1).astype(np.float32), intercepts.reshape(shape)

    def result(
        self, task: Task, t: int | None, rows: np.ndarray | None = None, which: int = 0
    ) -> ProbeResult:
        """Of labelling `which` and the rows of one task (None: all), number t of those trained on (None: left
        out)."""
        chosen, inner = self.chosen[which], self.inner_auroc[which]
        of_all = (which + 1) * (chosen.size + 1) - 1
        weights, intercepts = self.fit.raw(self._at(_modal(chosen)), slice(of_all, of_all + 1))
        # One-hot tasks as confounds give each task its own.
        intercept = intercepts[0] if intercepts.ndim == 1 else intercepts[t or 0, 0]
        return ProbeResult(
            ids=task.ids,
            groups=task.groups,
            labels=task.labels,
            folds=task.folds,
            scores=self.scores[which] if rows is None else self.scores[which][:, rows],
            chosen_c=np.array(self.settings.penalties)[chosen],
            inner_auroc=np.nanmean(inner, axis=2),
            task_inner_auroc=np.full(chosen.shape, np.nan) if t is None else inner[:, :, t],
            weights=weights[:, 0],
            intercept=float(intercept),
            penalties=np.array(self.settings.penalties),
            fold_seeds=np.array(self.settings.fold_seeds),
            items=task.items,
            truncated=task.truncated,
        )


def cross_validate(
    rows: Rows,
    folds: np.ndarray,
    labels: np.ndarray,
    settings: Settings,
    task_rows: Sequence[Sequence[np.ndarray]],
    training: Sequence[Callable[[np.ndarray], np.ndarray]] | None = None,
    confounds: np.ndarray | None = None,
    items: np.ndarray | None = None,
    every_penalty: bool = False,
    confounded: Sequence[bool] | None = None,
) -> Found:
    """Nested cross-validation of a probe of each labelling, on all rows that its `training` lets pass.

    folds: [S, n]; labels: [n] or [n, L]; task_rows: of each labelling, or one for all, the rows of each task
    by whose mean inner AUROC the penalty is chosen; training: likewise (None: all rows pass). Training
    without folds f and g gives the inner scores of g for outer fold f and those of f for outer fold g at
    once: K(K − 1)/2 inner fits, not K(K − 1). items: [n] names, where AUROCs are of pairs within an item and
    only items with both outcomes are trained on (None or none: of pairs within a fold). every_penalty: the
    outer fits are wanted at every penalty, not at the chosen one alone. confounded: of each labelling,
    whether confounds are taken out (None: of all).
    """
    labels = labels.reshape(folds.shape[1], -1)
    n_labels, n_seeds, n_folds = labels.shape[1], len(folds), settings.n_folds
    task_rows = list(task_rows) * (n_labels // len(task_rows))
    picks = training or [lambda mask: mask]
    within = items is not None and len(items) > 0
    if within:
        picks = list(picks) * (n_labels // len(picks))
        mixed = [mixed_items(labels[:, which], items) for which in range(n_labels)]
        picks = [
            lambda mask, pick=pick, own=own: pick(mask & own) for pick, own in zip(picks, mixed, strict=True)
        ]
    pairs = list(combinations(range(n_folds), 2))
    outer_sets = [(fold != f) & (fold != CALIBRATION) for fold in folds for f in range(n_folds)]
    outer_sets.append(folds[0] != CALIBRATION)

    def sets(masks: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Training sets and labels [n, columns], for each labelling those of all masks."""
        picked = np.stack([pick(mask) for pick in picks for mask in masks], axis=1)
        return np.tile(picked, n_labels // len(picks)), np.repeat(labels, len(masks), axis=1)

    def with_confounds(masks: int) -> np.ndarray | None:
        """Of so many training sets of each labelling, [columns]."""
        return None if confounded is None else np.repeat(np.array(confounded, bool), masks)

    inner = [
        rows.fit(
            *sets([(fold != f) & (fold != g) & (fold != CALIBRATION) for f, g in pairs]),
            settings.penalties,
            confounds,
            blocks=fold,
            confounded=with_confounds(len(pairs)),
        )
        for fold in folds
    ]
    chosen = np.zeros((n_labels, n_seeds, n_folds), int)
    inner_auroc = np.full((n_labels, n_seeds, n_folds, max(map(len, task_rows))), np.nan)
    # Of each labelling and task, all pairs of rows of one item.
    paired = [
        [_pairs(labels[:, which], items, rows) for rows in task_rows[which]]
        for which in range(n_labels if within else 0)
    ]
    for s, fold in enumerate(folds):
        # Scores are compared as float32, so that rows with the same activations tie whatever the rounding.
        decision = inner[s].decision.astype(np.float32)
        for which, f in np.ndindex(n_labels, n_folds):
            y, rest = labels[:, which], np.where(fold == f, CALIBRATION, fold)
            held_out = np.zeros(decision.shape[:2], np.float32)
            for g, number in inner_columns(n_folds, f, which):
                held_out[:, fold == g] = decision[:, fold == g, number]
            if within:
                by_penalty = np.transpose([_within(held_out, pairs, rest) for pairs in paired[which]])
            else:
                by_penalty = np.transpose([aurocs(held_out[:, r], y[r], rest[r]) for r in task_rows[which]])
            best = int(np.argmax(by_penalty.mean(axis=1)))  # the first, so the smallest C, among equals
            chosen[which, s, f] = best
            inner_auroc[which, s, f, : by_penalty.shape[1]] = by_penalty[best]

    # A column for each labelling, fold seed and fold, and of each labelling one of all rows.
    own = np.concatenate([np.append(each, _modal(each)) for each in chosen])
    penalties, start = list(settings.penalties), None
    if not every_penalty:
        penalties = [np.array(settings.penalties)[own]]
        start = _between(inner, own.reshape(n_labels, -1), n_folds)
    outer = rows.fit(
        *sets(outer_sets),
        penalties,
        confounds,
        start=start,
        confounded=with_confounds(len(outer_sets)),
    )
    found = Found(
        np.full((n_labels, *folds.shape), np.nan, np.float32),
        chosen,
        inner_auroc,
        outer,
        inner,
        settings,
        not every_penalty,
    )
    for which, s, f in np.ndindex(chosen.shape):
        column = which * len(outer_sets) + s * n_folds + f
        tested = folds[s] == f
        found.scores[which, s, tested] = outer.decision[found._at(chosen[which, s, f]), tested, column]
    return found


def _modal(chosen: np.ndarray) -> int:
    """The number that was chosen most often, the first among equals."""
    return int(np.argmax(np.bincount(chosen.ravel())))


def _between(inner: Sequence[Fit], own: np.ndarray, n_folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Where outer fits begin, coefficients [r, columns] and intercepts [columns]: between the inner fits at
    the same penalty that left out the same fold. own: [L, S · K + 1] numbers of penalties; the last, of all
    rows, begins between all of the first fold seed's."""
    coefficients, intercepts = [], []
    for which, numbers in enumerate(own):
        for column, number in enumerate(numbers):
            s, f = divmod(column, n_folds)
            if s < len(inner):
                of = [place for _, place in inner_columns(n_folds, f, which)]
            else:
                n_pairs = n_folds * (n_folds - 1) // 2
                s, of = 0, list(range(which * n_pairs, (which + 1) * n_pairs))
            coefficients.append(inner[s].coefficients[number][:, of].mean(axis=1))
            intercepts.append(inner[s].intercepts[number, of].mean())
    return np.stack(coefficients, axis=1), np.array(intercepts)


def inner_columns(n_folds: int, fold: int, which: int = 0) -> Iterator[tuple[int, int]]:
    """For outer test fold `fold` and labelling number `which`: each inner fold, and which column of a fold
    seed's inner fits saw neither of the two."""
    pairs = list(combinations(range(n_folds), 2))
    for number, pair in enumerate(pairs, start=which * len(pairs)):
        if fold in pair:
            yield sum(pair) - fold, number


def _pairs(labels: np.ndarray, items: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of some of all rows: the number of the satisfied and of the violated row of each pair of one item."""
    positive, negative = item_pairs(labels[rows], items[rows], np.zeros(len(rows), int))
    return rows[positive], rows[negative]


def _within(scores: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], folds: np.ndarray) -> np.ndarray:
    """AUROC within items of each line of scores [lines, n], without those of CALIBRATION in folds [n]."""
    positive, negative = (rows[folds[rows] != CALIBRATION] for rows in pairs)
    if not len(positive):
        return np.full(len(scores), np.nan)
    return right_order(scores[:, positive], scores[:, negative]).mean(axis=1)
