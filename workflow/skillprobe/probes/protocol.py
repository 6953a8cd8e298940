"""Nested cross-validation of specialist and general probes, and the files they are stored in.

The rows given here are a task's constrained, untruncated responses that are valid at the position.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from pathlib import Path

import h5py
import numpy as np

from skillprobe import hdf5
from skillprobe.errors import UserError
from skillprobe.probes.solver import Fit, Rows, feature_scale
from skillprobe.stats import CALIBRATION, assign_folds, auroc, keyed_hash, row_folds, sufficiency

VARIANTS = ("all", "centred", "matched", "leave_one_out")


@dataclass(frozen=True)
class Settings:
    """Penalties C (ascending), folds, and what counts as enough data, in the sense of ESTIMANDS."""

    penalties: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    n_folds: int = 5
    fold_seeds: tuple[int, ...] = (0, 1, 2)
    seed: int = 0
    calibration_fraction: float = 0.1
    feature_scaling: bool = True
    min_rows: int = 20
    min_bases: int = 10
    max_truncated: float = 0.05
    shuffles: int = 20

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
                    "min_bases",
                    "max_truncated",
                )
            },
            shuffles=config.get("shuffles", 0),
        )

    def folds(self, study_bases: Sequence[str]) -> list[dict[str, int]]:
        """Fold of each base of the study, one mapping a fold seed."""
        return [
            assign_folds(
                study_bases,
                n_folds=self.n_folds,
                seed=self.seed,
                fold_seed=fold_seed,
                calibration_fraction=self.calibration_fraction,
            )
            for fold_seed in self.fold_seeds
        ]


@dataclass(frozen=True)
class ProbeResult:
    """One task's scores by one kind of probe; n rows, S fold seeds, K outer folds.

    ids, bases: [n]; labels: [n] in {0, 1}; folds: [S, n] (−1: calibration); scores: [S, n] float32 decision
    values on the outer test fold, NaN on calibration rows. chosen_c: [S, K]; inner_auroc: [S, K] at the
    chosen C, what C and the layer are selected by (a general probe's is the mean over its training tasks);
    task_inner_auroc: [S, K], this task's own (NaN for a task that is left out). weights [d] and intercept:
    one probe of all rows but calibration's at the modal chosen C, x @ weights + intercept on raw
    activations. status: "" or why the task is insufficient (then scores are NaN and there are no weights).

    Of specialists only: fold_weights [S, K, d] and fold_intercepts [S, K], the probes that gave the scores;
    residualised_scores: [S, n], the same protocol on what confounds leave of the activations;
    shuffled_scores, shuffled_labels: [L, n], the same protocol (first fold seed) on labels that were
    shuffled between bases. Each may be empty.
    """

    ids: np.ndarray
    bases: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    scores: np.ndarray
    chosen_c: np.ndarray
    inner_auroc: np.ndarray
    task_inner_auroc: np.ndarray
    weights: np.ndarray
    intercept: float
    penalties: np.ndarray
    fold_seeds: np.ndarray
    status: str = ""
    fold_weights: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    fold_intercepts: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    residualised_scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    shuffled_scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    shuffled_labels: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int8))

    def score(self, x: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """Decision values [S, n] float32 of other rows x [n, d], each by the probe that never saw its base;
        NaN on calibration rows and where there are no probes. folds: [S, n] of these rows, dealt alike."""
        scores = np.full(folds.shape, np.nan, np.float32)
        if not self.status:
            n_seeds, n_folds, d = self.fold_weights.shape
            values = x @ self.fold_weights.reshape(-1, d).T + self.fold_intercepts.ravel()
            values = values.reshape(len(x), n_seeds, n_folds)
            for s, fold in enumerate(folds):
                tested = np.flatnonzero(fold != CALIBRATION)
                scores[s, tested] = values[tested, s, fold[tested]]
        return scores

    def on_rows(self, x: np.ndarray, target: ProbeResult) -> ProbeResult:
        """These probes on the rows x [n, d] of another result, whose labels, folds and status they get."""
        return replace(
            target,
            status=self.status or target.status,
            scores=np.full_like(target.scores, np.nan) if target.status else self.score(x, target.folds),
            chosen_c=self.chosen_c,
            inner_auroc=self.inner_auroc,
            task_inner_auroc=self.task_inner_auroc,
        )


def unscored(
    y: np.ndarray,
    bases: Sequence[str],
    settings: Settings,
    *,
    ids: Sequence[str],
    study_bases: Sequence[str],
    truncated_fraction: float = 0.0,
) -> ProbeResult:
    """A result of n rows that no probe has scored yet: labels, folds and whether they suffice. Arguments: as
    for `specialist`."""
    nothing = np.zeros((len(y), 1), np.float32)
    task = _Task.make("", nothing, y, bases, ids, settings, study_bases, truncated_fraction)
    return task.insufficient(settings)


def specialist(
    x: np.ndarray,
    y: np.ndarray,
    bases: Sequence[str],
    settings: Settings,
    *,
    ids: Sequence[str] | None = None,
    study_bases: Sequence[str] | None = None,
    truncated_fraction: float = 0.0,
    scale: np.ndarray | None = None,
    confounds: np.ndarray | None = None,
) -> ProbeResult:
    """Probe of one task; x: [n, d] activations, y: [n] labels in {0, 1}, bases: [n].

    study_bases: all bases of the study (None: those of the rows), so that all tasks have the same folds.
    scale: [d] per-feature divisor (None: estimated on these calibration rows if settings.feature_scaling).
    confounds: [n, q] for the residualised scores: what they predict of the activations, by least squares on
    the training rows of each fold, is subtracted from all rows.
    """
    study_bases = bases if study_bases is None else study_bases
    task = _Task.make("", x, y, bases, ids, settings, study_bases, truncated_fraction)
    if task.status:
        return task.insufficient(settings)
    rows = Rows(x, _scale([x], [task], settings, scale))
    every = [[np.arange(len(x))]]
    found = _cross_validate(rows, task.folds, task.labels, settings, every)
    fold_weights, fold_intercepts = found.raw()
    controls = {}
    if confounds is not None:
        rest = _cross_validate(rows, task.folds, task.labels, settings, every, confounds=confounds)
        controls["residualised_scores"] = rest.scores[0]
    if settings.shuffles:
        shuffled = shuffle_labels(
            task.labels, task.bases, task.ids, task.folds[0], draws=settings.shuffles, seed=settings.seed
        )
        control = _cross_validate(rows, task.folds[:1], shuffled, settings, every)
        controls |= {"shuffled_scores": control.scores[:, 0], "shuffled_labels": shuffled.T}
    return replace(
        found.result(task, 0), fold_weights=fold_weights, fold_intercepts=fold_intercepts, **controls
    )


def general(
    x_by_task: Mapping[str, np.ndarray],
    y_by_task: Mapping[str, np.ndarray],
    bases_by_task: Mapping[str, Sequence[str]],
    settings: Settings,
    *,
    ids_by_task: Mapping[str, Sequence[str]] | None = None,
    study_bases: Sequence[str] | None = None,
    truncated_fraction: Mapping[str, float] | None = None,
    scale: np.ndarray | None = None,
    variants: Sequence[str] = VARIANTS,
) -> dict[str, dict[str, ProbeResult]]:
    """Probes of all tasks together, scored per task: {variant: {task: result}}.

    "all": every task's rows; "centred": the same, centred within task by training means; "matched": as many
    training rows as the mean specialist has, picked by a hash of the row id; "leave_one_out": all rows but
    those of the task that is scored. Insufficient tasks take no part. One sufficient task alone has no
    general probe: its results say so.
    """
    if study_bases is None:
        study_bases = [base for bases in bases_by_task.values() for base in bases]
    tasks = [
        _Task.make(
            name,
            x,
            y_by_task[name],
            bases_by_task[name],
            ids_by_task and ids_by_task[name],
            settings,
            study_bases,
            (truncated_fraction or {}).get(name, 0.0),
        )
        for name, x in x_by_task.items()
    ]
    used = [task for task in tasks if not task.status]
    results = {
        task.name: task.insufficient(
            settings, task.status or "a general probe needs two sufficient tasks; only this one is"
        )
        for task in tasks
        if task.status or len(used) < 2
    }
    by_variant = {variant: dict(results) for variant in variants}
    if len(used) >= 2:
        x = np.concatenate([x_by_task[task.name] for task in used])
        # The scale is of all tasks, sufficient or not: it must not depend on labels.
        rows = Rows(x, _scale(list(x_by_task.values()), tasks, settings, scale))
        for variant in variants:
            for task, result in zip(used, _general(rows, used, settings, variant), strict=True):
                by_variant[variant][task.name] = result
    return {variant: {task.name: by_variant[variant][task.name] for task in tasks} for variant in variants}


def on_subsets(
    x: np.ndarray,
    y: np.ndarray,
    bases: Sequence[str],
    settings: Settings,
    contrasts: Sequence[Sequence[np.ndarray]],
    *,
    ids: Sequence[str] | None = None,
    study_bases: Sequence[str] | None = None,
    truncated_fraction: float = 0.0,
) -> list[list[ProbeResult]]:
    """Probes of one task that are trained on some of its rows each, and score all rows: a result for each
    subset, [n] bool, of each contrast.

    The probes of a contrast are trained on equally many rows (`equal_parts`), and C is chosen on the subset's
    own rows. What a probe scores are rows of bases that it has not seen, of whatever subset. status: why the
    task, or what is trained on, is insufficient; whether rows that are to be tested have pairs is not asked.
    The other arguments: as for `specialist`.
    """
    study_bases = bases if study_bases is None else study_bases
    task = _Task.make("", x, y, bases, ids, settings, study_bases, truncated_fraction)
    rows = None
    results: list[list[ProbeResult]] = []
    for subsets in contrasts:
        results.append([])
        for subset, training in zip(
            subsets, equal_parts(subsets, task.bases, task.ids, settings.seed), strict=True
        ):
            status = task.status or sufficiency(
                task.labels,
                task.bases,
                task.folds,
                min_rows=settings.min_rows,
                min_bases=settings.min_bases,
                training=training,
            )
            if status:
                results[-1].append(task.insufficient(settings, status))
                continue
            rows = rows or Rows(x, _scale([x], [task], settings, None))
            own = [np.flatnonzero(subset)]
            found = _cross_validate(rows, task.folds, task.labels, settings, [own], [training])
            results[-1].append(found.result(task, 0))
    return results


def equal_parts(
    subsets: Sequence[np.ndarray], bases: Sequence[str], ids: Sequence[str], seed: int
) -> list[Callable[[np.ndarray], np.ndarray]]:
    """For each subset of rows, [n] bool, a function that picks, of the rows of a mask [n], those that a probe
    of the subset is trained on: as many as the smallest subset has there.

    By a hash of the base and then of the row, so that as many rows come from about as many bases: a subset
    must not seem more diverse than another because its rows are of more requests.
    """
    key = f"subsets/{seed}"
    order = np.lexsort(
        [np.array([keyed_hash(key, name) for name in names], np.uint64) for names in (ids, bases)]
    )

    def picker(subset: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        def pick(mask: np.ndarray) -> np.ndarray:
            n = min(int((mask & other).sum()) for other in subsets)
            picked = np.zeros_like(mask)
            picked[order[(mask & subset)[order]][:n]] = True
            return picked

        return pick

    return [picker(subset) for subset in subsets]


def _scale(
    x: Sequence[np.ndarray], tasks: Sequence[_Task], settings: Settings, scale: np.ndarray | None
) -> np.ndarray | None:
    if scale is not None or not settings.feature_scaling:
        return scale
    calibration = [rows[task.folds[0] == CALIBRATION] for rows, task in zip(x, tasks, strict=True)]
    return feature_scale(np.concatenate(calibration))


@dataclass(frozen=True)
class _Task:
    name: str
    ids: np.ndarray
    bases: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    status: str

    @classmethod
    def make(cls, name, x, y, bases, ids, settings, study_bases, truncated_fraction) -> _Task:
        where = f"task {name!r}: " if name else ""
        if not (len(x) == len(y) == len(bases)):
            raise UserError(
                f"{where}{len(x)} activations, {len(y)} labels and {len(bases)} bases; give one each"
            )
        if not np.isfinite(x).all():
            raise UserError(f"{where}activations are not finite; extract them again")
        if not np.isin(y, (0, 1)).all():
            raise UserError(f"{where}labels must be 0 (violated) or 1 (satisfied)")
        if ids is None:
            seen: Counter[str] = Counter()
            ids = []
            for base in bases:
                ids.append(f"{base}/{seen[base]}")
                seen[base] += 1
        labels = np.asarray(y, np.int8)
        folds = np.stack([row_folds(bases, table) for table in settings.folds(study_bases)])
        status = sufficiency(
            labels,
            bases,
            folds,
            min_rows=settings.min_rows,
            min_bases=settings.min_bases,
            truncated_fraction=truncated_fraction,
            max_truncated=settings.max_truncated,
        )
        return cls(name, np.asarray(ids, str), np.asarray(bases, str), labels, folds, status)

    def insufficient(self, settings: Settings, status: str = "") -> ProbeResult:
        per_fold = np.full((len(settings.fold_seeds), settings.n_folds), np.nan)
        return ProbeResult(
            ids=self.ids,
            bases=self.bases,
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
        )


def _general(rows: Rows, tasks: Sequence[_Task], settings: Settings, variant: str) -> list[ProbeResult]:
    """One variant of the general probe, as results of each of `tasks`, whose rows follow each other."""
    folds = np.concatenate([task.folds for task in tasks], axis=1)
    labels = np.concatenate([task.labels for task in tasks])
    task_of = np.repeat(np.arange(len(tasks)), [len(task.labels) for task in tasks])
    task_rows = [np.flatnonzero(task_of == t) for t in range(len(tasks))]
    if variant == "leave_one_out":
        # Side by side, since wide products are the fast ones.
        found = _cross_validate(
            rows,
            folds,
            np.repeat(labels[:, None], len(tasks), axis=1),
            settings,
            [[task_rows[u] for u in range(len(tasks)) if u != t] for t in range(len(tasks))],
            [lambda mask, t=t: mask & (task_of != t) for t in range(len(tasks))],
        )
        return [found.result(task, None, task_rows[t], which=t) for t, task in enumerate(tasks)]
    found = _cross_validate(
        rows,
        folds,
        labels,
        settings,
        [task_rows],
        [_matched(tasks, settings)] if variant == "matched" else None,
        confounds=task_of[:, None] == np.arange(len(tasks)) if variant == "centred" else None,
    )
    return [found.result(task, t, task_rows[t]) for t, task in enumerate(tasks)]


@dataclass(frozen=True)
class _Found:
    """Of L labellings: scores [L, S, n]; chosen [L, S, K], the number of the penalty; inner_auroc
    [L, S, K, T] of each task at it. fit holds S · K outer fits, and one of all rows, for each labelling."""

    scores: np.ndarray
    chosen: np.ndarray
    inner_auroc: np.ndarray
    fit: Fit
    settings: Settings

    def raw(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights [S, K, d] and intercepts [S, K] of the outer probes of the first labelling."""
        _, n_seeds, n_folds = self.chosen.shape
        weights, intercepts = self.fit.raw(self.chosen[0].ravel(), slice(n_seeds * n_folds))
        shape = (n_seeds, n_folds)
        return weights.T.reshape(*shape, -1).astype(np.float32), intercepts.reshape(shape)

    def result(
        self, task: _Task, t: int | None, rows: np.ndarray | None = None, which: int = 0
    ) -> ProbeResult:
        """Of labelling `which` and the rows of one task (None: all), number t of those trained on (None: left
        out)."""
        chosen, inner = self.chosen[which], self.inner_auroc[which]
        modal = np.argmax(np.bincount(chosen.ravel()))
        of_all = (which + 1) * (chosen.size + 1) - 1
        weights, intercepts = self.fit.raw(modal, slice(of_all, of_all + 1))
        # One-hot tasks as confounds give each task its own.
        intercept = intercepts[0] if intercepts.ndim == 1 else intercepts[t, 0]
        return ProbeResult(
            ids=task.ids,
            bases=task.bases,
            labels=task.labels,
            folds=task.folds,
            scores=self.scores[which] if rows is None else self.scores[which][:, rows],
            chosen_c=np.array(self.settings.penalties)[chosen],
            inner_auroc=inner.mean(axis=2),
            task_inner_auroc=np.full(chosen.shape, np.nan) if t is None else inner[:, :, t],
            weights=weights[:, 0],
            intercept=float(intercept),
            penalties=np.array(self.settings.penalties),
            fold_seeds=np.array(self.settings.fold_seeds),
        )


def _cross_validate(
    rows: Rows,
    folds: np.ndarray,
    labels: np.ndarray,
    settings: Settings,
    task_rows: Sequence[Sequence[np.ndarray]],
    training: Sequence[Callable[[np.ndarray], np.ndarray]] | None = None,
    confounds: np.ndarray | None = None,
) -> _Found:
    """Nested cross-validation of a probe of each labelling, on all rows that its `training` lets pass.

    folds: [S, n]; labels: [n] or [n, L]; task_rows: of each labelling, or one for all, the rows of each task
    by whose mean inner AUROC the penalty is chosen; training: likewise (None: all rows pass). Training
    without folds f and g gives the inner scores of g for outer fold f and those of f for outer fold g at
    once: K(K − 1)/2 inner fits, not K(K − 1).
    """
    labels = labels.reshape(folds.shape[1], -1)
    n_labels, n_seeds, n_folds = labels.shape[1], len(folds), settings.n_folds
    task_rows = list(task_rows) * (n_labels // len(task_rows))
    picks = training or [lambda mask: mask]
    pairs = list(combinations(range(n_folds), 2))
    inner_sets = [(fold != f) & (fold != g) & (fold != CALIBRATION) for fold in folds for f, g in pairs]
    outer_sets = [(fold != f) & (fold != CALIBRATION) for fold in folds for f in range(n_folds)]

    def fit(masks: list[np.ndarray]) -> Fit:
        sets = np.stack([pick(mask) for pick in picks for mask in masks], axis=1)
        every = np.repeat(labels, len(masks), axis=1)
        return rows.fit(np.tile(sets, n_labels // len(picks)), every, settings.penalties, confounds)

    # Scores are compared as float32, so that rows with the same activations tie whatever the rounding.
    inner = fit(inner_sets).decision.astype(np.float32)
    outer = fit([*outer_sets, folds[0] != CALIBRATION])
    scores = np.full((n_labels, *folds.shape), np.nan, np.float32)
    chosen = np.zeros((n_labels, n_seeds, n_folds), int)
    inner_auroc = np.full((n_labels, n_seeds, n_folds, len(task_rows[0])), np.nan)
    for place in np.ndindex(chosen.shape):
        which, s, f = place
        fold, y = folds[s], labels[:, which]
        rest = np.where(fold == f, CALIBRATION, fold)
        held_out = np.zeros(inner.shape[:2], np.float32)
        for number, pair in enumerate(pairs, start=(which * n_seeds + s) * len(pairs)):
            if f in pair:
                scored = fold == sum(pair) - f
                held_out[:, scored] = inner[:, scored, number]
        by_penalty = np.array(
            [[auroc(row[r], y[r], rest[r]).value for r in task_rows[which]] for row in held_out]
        )
        best = int(np.argmax(by_penalty.mean(axis=1)))  # the first, so the smallest C, among equals
        chosen[place], inner_auroc[place] = best, by_penalty[best]
        column = which * (len(outer_sets) + 1) + s * n_folds + f
        scores[which, s, fold == f] = outer.decision[best, fold == f, column]
    return _Found(scores, chosen, inner_auroc, outer, settings)


def shuffle_labels(
    labels: np.ndarray,
    bases: np.ndarray,
    ids: np.ndarray,
    folds: np.ndarray,
    *,
    draws: int,
    seed: int,
) -> np.ndarray:
    """Labels [n, draws] with those of a base replaced by another base's: a control task (Hewitt & Liang 2019)
    that keeps how alike the answers to one request are. Calibration bases (in folds [n]) keep theirs."""
    used = np.unique(bases[folds != CALIBRATION])
    # Sorted by name, so that the order of the rows changes nothing.
    by_id = np.argsort(ids)
    of_base = {base: by_id[bases[by_id] == base] for base in used}
    shuffled = np.repeat(labels[:, None], draws, axis=1)
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        for base, donor in zip(used, rng.permutation(used), strict=True):
            rows = of_base[base]
            # Repeated or cut where a truncated answer makes one base shorter than the other.
            shuffled[rows, draw] = np.resize(labels[of_base[donor]], len(rows))
    return shuffled


def _matched(tasks: Sequence[_Task], settings: Settings) -> Callable[[np.ndarray], np.ndarray]:
    """A mask's rows cut to 1/(number of tasks): the mean specialist's training rows."""
    key = f"matched/{settings.seed}"
    hashes = [keyed_hash(key, f"{task.name}/{row_id}") for task in tasks for row_id in task.ids]
    order = np.argsort(np.array(hashes, np.uint64), kind="stable")

    def pick(mask: np.ndarray) -> np.ndarray:
        candidates = order[mask[order]]
        picked = np.zeros_like(mask)
        picked[candidates[: round(len(candidates) / len(tasks))]] = True
        return picked

    return pick


# ----------------------------------------------------------------------------------------------- files

_TEXT = ("ids", "bases")
_ARRAYS = (
    "labels",
    "folds",
    "scores",
    "chosen_c",
    "inner_auroc",
    "task_inner_auroc",
    "weights",
    "penalties",
    "fold_seeds",
    "fold_weights",
    "fold_intercepts",
    "residualised_scores",
    "shuffled_scores",
    "shuffled_labels",
)


def save(path: str | Path, result: ProbeResult | Mapping) -> None:
    """Store a result, or any nesting of mappings of results, as HDF5: equal results, equal bytes."""
    with hdf5.create(path) as file:
        _write(file, result)


def load(path: str | Path) -> ProbeResult | dict:
    """What `save` stored: a result, or nested dicts of them. Raises UserError if it isn't such a file."""
    with hdf5.whole(path, "probe") as file:
        return _read(file)


def load_specialists(
    paths: Sequence[str], tasks: Sequence[str], layers: Sequence[int]
) -> dict[str, dict[int, ProbeResult]]:
    """{task: {layer: result}}; paths: every layer of the first task, then of the second, …."""
    by_task: dict[str, dict[int, ProbeResult]] = {task: {} for task in tasks}
    for (task, layer), path in zip(product(tasks, layers), paths, strict=True):
        by_task[task][layer] = load(path)
    return by_task


def _write(group: h5py.Group, result: ProbeResult | Mapping) -> None:
    if isinstance(result, Mapping):
        group.attrs["names"] = np.array([name.encode() for name in result])
        for name, value in result.items():
            _write(group.create_group(name), value)
        return
    # Fixed-length strings: variable-length ones go through a heap whose bytes may differ.
    for name in _TEXT:
        text = np.char.encode(getattr(result, name), "utf-8") if len(result.ids) else np.zeros(0, "S1")
        group.create_dataset(name, data=text, track_times=False)
    for name in _ARRAYS:
        group.create_dataset(name, data=getattr(result, name), track_times=False)
    group.attrs["intercept"] = result.intercept
    if result.status:
        group.attrs["status"] = np.bytes_(result.status.encode())


def _read(group: h5py.Group) -> ProbeResult | dict:
    if "names" in group.attrs:
        return {name.decode(): _read(group[name.decode()]) for name in group.attrs["names"]}
    status = group.attrs.get("status", b"")
    return ProbeResult(
        **{name: np.char.decode(group[name][()], "utf-8") for name in _TEXT},
        **{name: group[name][()] for name in _ARRAYS},
        intercept=float(group.attrs["intercept"]),
        status=status.decode(),
    )
