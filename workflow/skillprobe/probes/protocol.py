"""Nested cross-validation of specialist and general probes, and the files they are stored in.

The rows given here are a task's constrained, untruncated responses that are valid at the position.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np

from skillprobe.errors import UserError
from skillprobe.probes.solver import Rows, feature_scale
from skillprobe.stats import CALIBRATION, assign_folds, auroc, keyed_hash, row_folds, sufficiency
from skillprobe.store import atomic_path

VARIANTS = ("all", "centred", "matched")


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

    def __post_init__(self) -> None:
        penalties = tuple(self.penalties)
        if not penalties or penalties[0] <= 0 or list(penalties) != sorted(set(penalties)):
            raise UserError(f"probes.penalties is {penalties}; give positive numbers in ascending order")
        if self.n_folds < 3 or not self.fold_seeds:
            raise UserError("nested cross-validation needs probes.n_folds of at least 3 and one fold seed")

    @classmethod
    def from_config(cls, config: Mapping, seed: int) -> Settings:
        """The settings of the study's config under `probes`, which counts fold seeds."""
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
    chosen C, what C and the layer are selected by (a general probe's is the mean over its tasks);
    task_inner_auroc: [S, K], this task's own. weights [d] and intercept: one probe of all rows but
    calibration's at the modal chosen C, x @ weights + intercept on raw activations. status: "" or why the
    task is insufficient (then scores and weights are NaN).
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
) -> ProbeResult:
    """Probe of one task; x: [n, d] activations, y: [n] labels in {0, 1}, bases: [n].

    study_bases: all bases of the study (None: those of the rows), so that all tasks have the same folds.
    scale: [d] per-feature divisor (None: estimated on these calibration rows if settings.feature_scaling).
    """
    study_bases = bases if study_bases is None else study_bases
    task = _Task.make("", x, y, bases, ids, settings, study_bases, truncated_fraction)
    if task.status:
        return task.insufficient(settings)
    rows = Rows(x, _scale([x], [task], settings, scale))
    return _cross_validate(rows, [task], settings)[0]


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
    training rows as the mean specialist has, picked by a hash of the row id. Insufficient tasks take no
    part. One sufficient task alone has no general probe: its results say so.
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
            for task, result in zip(used, _cross_validate(rows, used, settings, variant), strict=True):
                by_variant[variant][task.name] = result
    return {variant: {task.name: by_variant[variant][task.name] for task in tasks} for variant in variants}


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


def _cross_validate(
    rows: Rows, tasks: Sequence[_Task], settings: Settings, variant: str = "all"
) -> list[ProbeResult]:
    """Scores of each task by probes trained on all `tasks` together; one task alone is its specialist.

    Training without folds f and g gives the inner scores of g for outer fold f and those of f for outer
    fold g at once: K(K − 1)/2 inner fits, not K(K − 1).
    """
    folds = np.concatenate([task.folds for task in tasks], axis=1)
    labels = np.concatenate([task.labels for task in tasks])
    task_of = np.repeat(np.arange(len(tasks)), [len(task.labels) for task in tasks])
    task_rows = [np.flatnonzero(task_of == t) for t in range(len(tasks))]
    groups = task_of if variant == "centred" else None
    training = _matched(tasks, settings) if variant == "matched" else np.flatnonzero
    n_seeds, n_folds, penalties = len(folds), settings.n_folds, np.array(settings.penalties)

    scores = np.full(folds.shape, np.nan, np.float32)
    chosen = np.zeros((n_seeds, n_folds), int)
    inner_auroc = np.full((n_seeds, n_folds, len(tasks)), np.nan)
    for s, fold in enumerate(folds):
        # Scores are compared as float32, so that rows with the same activations tie whatever the rounding.
        inner = np.zeros((n_folds, len(penalties), len(labels)), np.float32)
        for f, g in combinations(range(n_folds), 2):
            train = training((fold != f) & (fold != g) & (fold != CALIBRATION))
            decision = rows.fit(train, labels, penalties, groups).decision
            inner[f][:, fold == g] = decision[:, fold == g]
            inner[g][:, fold == f] = decision[:, fold == f]
        for f in range(n_folds):
            inner_fold = np.where(fold == f, CALIBRATION, fold)
            by_penalty = np.array(
                [[auroc(row[r], labels[r], inner_fold[r]).value for r in task_rows] for row in inner[f]]
            )
            best = int(np.argmax(by_penalty.mean(axis=1)))  # the first, so the smallest C, among equals
            chosen[s, f], inner_auroc[s, f] = best, by_penalty[best]
            train, test = training((fold != f) & (fold != CALIBRATION)), fold == f
            scores[s, test] = rows.fit(train, labels, penalties[[best]], groups).decision[0, test]

    modal = penalties[np.argmax(np.bincount(chosen.ravel()))]
    final = rows.fit(training(folds[0] != CALIBRATION), labels, [modal], groups)
    weights, intercepts = final.raw()
    return [
        ProbeResult(
            ids=task.ids,
            bases=task.bases,
            labels=task.labels,
            folds=task.folds,
            scores=scores[:, task_rows[t]],
            chosen_c=penalties[chosen],
            inner_auroc=inner_auroc.mean(axis=2),
            task_inner_auroc=inner_auroc[:, :, t],
            weights=weights,
            intercept=float(intercepts[t if groups is not None else 0]),
            penalties=penalties,
            fold_seeds=np.array(settings.fold_seeds),
        )
        for t, task in enumerate(tasks)
    ]


def _matched(tasks: Sequence[_Task], settings: Settings) -> Callable[[np.ndarray], np.ndarray]:
    """Row numbers of a mask's rows, cut to 1/(number of tasks): the mean specialist's training rows."""
    key = f"matched/{settings.seed}"
    hashes = [keyed_hash(key, f"{task.name}/{row_id}") for task in tasks for row_id in task.ids]
    order = np.argsort(np.array(hashes, np.uint64), kind="stable")

    def pick(mask: np.ndarray) -> np.ndarray:
        candidates = order[mask[order]]
        return np.sort(candidates[: round(len(candidates) / len(tasks))])

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
)


def save(path: str | Path, result: ProbeResult | Mapping) -> None:
    """Store a result, or any nesting of mappings of results, as HDF5: equal results, equal bytes."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        _write(file, result)


def load(path: str | Path) -> ProbeResult | dict:
    """What `save` stored: a result, or nested dicts of them. Raises UserError if it isn't such a file."""
    try:
        with h5py.File(path, "r") as file:
            return _read(file)
    except (OSError, KeyError) as error:
        raise UserError(f"{path} is not a readable probe file ({error}); delete it and run again") from error


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
