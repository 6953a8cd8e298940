"""What a probe found on one task, and the file that it is stored in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import h5py
import numpy as np

from skillprobe.statistics.folds import CALIBRATION
from skillprobe.storage import hdf5
from skillprobe.storage.tables import ACROSS, SCOPES


@dataclass(frozen=True)
class ProbeResult:
    """One task's scores by one kind of probe; n rows, S fold seeds, K outer folds.

    ids, groups: [n]; items: [n] names in the scope within prompts, whose rows are those of items with both
    outcomes, minus the item's mean, and whose pairs are of one item; empty across prompts. labels: [n] in {0,
    1}; folds: [S, n] (−1: calibration); scores: [S, n] float32 decision values on the outer test fold, NaN on
    calibration rows. chosen_c: [S, K]; inner_auroc: [S, K] at the chosen C, what C and the layer are selected
    by (a general probe's is the mean over its training tasks); task_inner_auroc: [S, K], this task's own (NaN
    for a task that is left out). weights [d] and intercept: one probe of all rows but calibration's at the
    modal chosen C, x @ weights + intercept on raw activations. status: "" or why the task is insufficient
    (then scores are NaN and there are no weights). truncated: share of the task's responses that were cut
    short, and so are not among the rows.

    Of specialists only: fold_weights [S, K, d] and fold_intercepts [S, K], the probes that gave the scores;
    residualised_scores: [S, n], the same protocol on what confounds leave of the activations;
    shuffled_scores, shuffled_labels: [L, n], the same protocol (first fold seed) on labels that were
    shuffled between groups. Each may be empty.
    """

    ids: np.ndarray
    groups: np.ndarray
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
    truncated: float = 0.0
    items: np.ndarray = field(default_factory=lambda: np.zeros(0, "U1"))
    fold_weights: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    fold_intercepts: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    residualised_scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    shuffled_scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    shuffled_labels: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int8))

    def score(self, x: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """Decision values [S, n] float32 of other rows x [n, d], each by the probe that never saw its group;
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


_TEXT = ("ids", "groups", "items")
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
        hdf5.write_nested(file, result, _write)


def load(path: str | Path) -> ProbeResult | dict:
    """What `save` stored: a result, or nested dicts of them. Raises UserError if it isn't such a file."""
    with hdf5.whole(path, "probe") as file:
        return hdf5.read_nested(file, _read)


def load_scopes(
    paths: Sequence[str], tasks: Sequence[str], layers: Sequence[int]
) -> dict[str, dict[str, dict[int, ProbeResult]]]:
    """{scope: {task: {layer: specialist}}}; paths: every layer of the first task, then of the second, …."""
    found: dict[str, dict[str, dict[int, ProbeResult]]] = {
        scope: {task: {} for task in tasks} for scope in SCOPES
    }
    for (task, layer), path in zip(product(tasks, layers), paths, strict=True):
        for scope, result in load(path).items():
            found[scope][task][layer] = result
    return found


def load_specialists(
    paths: Sequence[str], tasks: Sequence[str], layers: Sequence[int]
) -> dict[str, dict[int, ProbeResult]]:
    """`load_scopes` across prompts."""
    return load_scopes(paths, tasks, layers)[ACROSS]


def _write(group: h5py.Group, result: ProbeResult) -> None:
    for name in _TEXT:
        hdf5.write_texts(group, name, getattr(result, name))
    for name in _ARRAYS:
        group.create_dataset(name, data=getattr(result, name))
    group.attrs["intercept"] = result.intercept
    group.attrs["truncated"] = result.truncated
    if result.status:
        group.attrs["status"] = np.bytes_(result.status.encode())


def _read(group: h5py.Group) -> ProbeResult:
    status = group.attrs.get("status", b"")
    return ProbeResult(
        **{name: hdf5.read_texts(group, name) for name in _TEXT},
        **{name: group[name][()] for name in _ARRAYS},
        intercept=float(group.attrs["intercept"]),
        truncated=float(group.attrs["truncated"]),
        status=status.decode(),
    )
