"""Draws of groups with the training in them: probes fitted anew on every draw.

See docs/definitions.md, "Intervals".

A draw gives each group a weight, how often it was drawn. Training and test rows have the weights of their
groups, and a group that is drawn twice keeps its one fold. Weighted rows are repeated rows, so that all draws
share one set of rows in their principal axes, and are columns of one fit. Penalty and layer are those that
were chosen for the outer fold. All is of the first fold seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from skillprobe.errors import UserError
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.rows import ProbeRows
from skillprobe.probes.selection import best_layers, best_of_task
from skillprobe.probes.solver import FAR, Fit, Rows, feature_scale
from skillprobe.statistics.bootstrap import Draws, draw_tested, weighted_pairs
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.storage import hdf5
from skillprobe.storage.tables import ACROSS, WITHIN

# The primary general probe.
PRIMARY = "centred"
# Rows × draws of one fit: as many draws at once as keep its matrices small.
AT_ONCE = 500_000
# The solver's. Errors of decision values are about its square, which moves no standard error by 1 %.
TOLERANCE = FAR
_ARRAYS = ("pairs", "specialist", "general", "transfer")


@dataclass(frozen=True)
class Refits:
    """Pairs of responses in each draw and test fold, of one scope, and how many of them probes order rightly.

    pairs: [T, n_draws, K]; specialist, general: likewise, in the right order (ties count one half) by each
    task's specialist and by the primary general probe, each at the task's own layer; transfer: [T, T,
    n_draws, K], by the specialist of the first task on the second, all at one common layer. NaN where a task
    is insufficient.
    """

    tasks: tuple[str, ...]
    pairs: np.ndarray
    specialist: np.ndarray
    general: np.ndarray
    transfer: np.ndarray

    @classmethod
    def blank(cls, tasks: Iterable[str], n_draws: int, n_folds: int) -> Refits:
        tasks = tuple(tasks)
        shape = (len(tasks), n_draws, n_folds)
        nothing = [np.full(each, np.nan) for each in (shape, shape, shape, (len(tasks), *shape))]
        return cls(tasks, *nothing)

    def by_fold(self, kind: str, *tasks: str) -> np.ndarray:
        """AUROC of each test fold, [n_draws, 1, K]; NaN where there are no pairs. tasks: the task, or for
        "transfer" its source and its target."""
        right, pairs = self._counts(kind, tasks)
        return np.divide(right, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)[:, None]

    def pooled(self, kind: str, *tasks: str) -> np.ndarray:
        """AUROC of all test folds' pairs, [n_draws]; arguments: as for `by_fold`."""
        right, pairs = (each.sum(axis=1) for each in self._counts(kind, tasks))
        return np.divide(right, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)

    def _counts(self, kind: str, tasks: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        places = tuple(self.tasks.index(task) for task in tasks)
        return getattr(self, kind)[places], self.pairs[places[-1]]


def refit_probes(
    read: Callable[[int], Mapping[str, ProbeRows]],
    specialists: Mapping[str, Mapping[str, Mapping[int, ProbeResult]]],
    generals: Mapping[int, Mapping[str, Mapping[str, Mapping[str, ProbeResult]]]],
    *,
    n_draws: int,
    seed: int,
    study_groups: Iterable[str],
    feature_scaling: bool = True,
) -> dict[str, Refits]:
    """{scope: Refits} of one model.

    read: gives the rows of all tasks at a layer, across prompts; one layer is held at a time. specialists:
    {scope: {task: {layer: result}}}; generals: {layer: {scope: {variant: {task: result}}}}; n_draws: of the
    study's groups without those for calibration, the same for all tasks and models. Raises UserError where
    rows and results don't belong together.
    """
    every = [by_layer[min(by_layer)] for by_task in specialists.values() for by_layer in by_task.values()]
    draws = draw_tested(every, study_groups, n_draws=n_draws, seed=seed)
    scopes = {
        scope: _Scope(
            by_task,
            {
                task: {layer: generals[layer][scope][PRIMARY][task] for layer in sorted(generals)}
                for task in by_task
            },
            draws,
        )
        for scope, by_task in specialists.items()
    }
    for layer in sorted(set().union(*(part.layers() for part in scopes.values()))):
        rows = read(layer)
        calibration = {
            task: part.x[specialists[ACROSS][task][layer].folds[0] == CALIBRATION]
            for task, part in rows.items()
        }
        scale: Mapping[str | None, np.ndarray | None] = dict.fromkeys((None, *rows))
        if feature_scaling:
            scale = {task: feature_scale(x) for task, x in calibration.items()}
            scale[None] = feature_scale(np.concatenate(list(calibration.values())))
        for scope, part in scopes.items():
            of_scope = {task: each.within() for task, each in rows.items()} if scope == WITHIN else rows
            part.fit_at(layer, of_scope, scale)
    return {scope: part.found for scope, part in scopes.items()}


class _Scope:
    """What is to be fitted anew in one scope, {task: [K] layers}, and what has been found."""

    def __init__(self, specialists, generals, draws: Draws):
        """specialists, generals: {task: {layer: result}}, of the primary general probe."""
        self.specialists, self.generals, self.draws = specialists, generals, draws
        self.tasks = [task for task, each in specialists.items() if not _any(each).status]
        self.pooled = [task for task, each in generals.items() if not _any(each).status]
        n_folds = _any(next(iter(specialists.values()))).chosen_c.shape[1]
        self.found = Refits.blank(specialists, len(draws.weights), n_folds)
        self.own = {task: _numbers(specialists[task], best_of_task) for task in self.tasks}
        self.general = {
            task: _numbers(generals[task], lambda each: best_of_task(each, own=True)) for task in self.pooled
        }
        self.common = np.full(n_folds, -1)  # No layer.
        if self.tasks:
            layers = sorted(specialists[self.tasks[0]])
            self.common = np.array(layers)[best_layers(specialists, layers)[0]]
        self.weights = {}
        for t, task in enumerate(specialists):
            result = _any(specialists[task])
            self.weights[task] = draws.of_rows(result.groups, result.folds[0])
            if task in self.tasks:
                for f in range(n_folds):
                    _, self.found.pairs[t, :, f] = self._score(task, f, np.zeros((1, len(result.labels))))

    def layers(self) -> set[int]:
        """At which something is to be fitted."""
        chosen = [*self.own.values(), *self.general.values(), self.common[self.common >= 0]]
        return set(np.concatenate(chosen).tolist())

    def fit_at(self, layer: int, rows: Mapping[str, ProbeRows], scale: Mapping) -> None:
        """All of this layer; rows: of this scope; scale: {task: [d] or None}, under None of all tasks."""
        for task in (*self.tasks, *self.pooled):
            if not np.array_equal(np.asarray(rows[task].ids, str), _any(self.specialists[task]).ids):
                raise UserError(
                    f"task '{task}', layer {layer}: its probes were trained on other rows; train them again"
                )
        for task in self.tasks:
            self._specialist(task, layer, rows, scale[task])
        if self.pooled:
            self._general(layer, rows, scale[None])

    def _specialist(self, task: str, layer: int, rows: Mapping[str, ProbeRows], scale) -> None:
        shared = self.common == layer
        folds = np.flatnonzero(shared | (self.own[task] == layer))
        if not len(folds):
            return
        t, result = self.found.tasks.index(task), self.specialists[task][layer]
        of_rows, weights = Rows(rows[task].x, scale), self.weights[task]
        for f, some, fit in _fits(of_rows, result.labels, result, weights, folds):
            if self.own[task][f] == layer:
                scores = fit.decision[0].T
                self.found.specialist[t, some, f], _ = self._score(task, f, scores, some)
            if not shared[f]:
                continue
            directions, intercepts = fit.raw()
            for u, target in enumerate(self.found.tasks):
                if target in self.tasks:
                    test = self.specialists[target][layer].folds[0] == f
                    scores = np.zeros((len(intercepts), len(test)))
                    scores[:, test] = (rows[target].x[test] @ directions + intercepts).T
                    self.found.transfer[t, u, some, f], _ = self._score(target, f, scores, some)

    def _general(self, layer: int, rows: Mapping[str, ProbeRows], scale) -> None:
        chosen = {f for each in self.general.values() for f in np.flatnonzero(each == layer)}
        if not chosen:
            return
        results = [self.generals[task][layer] for task in self.pooled]
        ends = np.cumsum([len(result.labels) for result in results])
        task_of = np.repeat(np.arange(len(results)), [len(result.labels) for result in results])
        # Rows minus their prompt's mean are centred already.
        confounds = None if len(results[0].items) else task_of[:, None] == np.arange(len(results))
        of_rows = Rows(np.concatenate([rows[task].x for task in self.pooled]), scale)
        labels = np.concatenate([result.labels for result in results])
        weights = np.concatenate([self.weights[task] for task in self.pooled], axis=1)
        folds = np.concatenate([result.folds[0] for result in results])
        for f, some, fit in _fits(of_rows, labels, results[0], weights, sorted(chosen), folds, confounds):
            for task, result, end in zip(self.pooled, results, ends, strict=True):
                if self.general[task][f] == layer:
                    scores = fit.decision[0, end - len(result.labels) : end].T
                    t = self.found.tasks.index(task)
                    self.found.general[t, some, f], _ = self._score(task, f, scores, some)

    def _score(self, task: str, f: int, scores: np.ndarray, some: slice = slice(None)):
        """Pairs in the right order and pairs of test fold f, [draws] each; scores: [draws or 1, n]."""
        result, weights = _any(self.specialists[task]), self.weights[task][some]
        test = result.folds[0] == f
        # As float32, so that rows with the same activations tie whatever the rounding.
        scores = np.broadcast_to(scores[:, test].astype(np.float32), (len(weights), int(test.sum())))
        items = result.items[test] if len(result.items) else None
        return weighted_pairs(scores, result.labels[test], weights[:, test], items)


def _fits(
    rows: Rows,
    labels: np.ndarray,
    result: ProbeResult,
    weights: np.ndarray,
    folds: Iterable[int],
    fold_of: np.ndarray | None = None,
    confounds: np.ndarray | None = None,
) -> Iterator[tuple[int, slice, Fit]]:
    """(outer fold, some draws, their fits); result: whose penalties are those chosen; weights: [n_draws, n];
    fold_of: [n], of the rows (None: the result's)."""
    fold_of = result.folds[0] if fold_of is None else fold_of
    width = max(1, AT_ONCE // len(labels))
    for f in folds:
        penalty = [result.chosen_c[0, f]]
        # Every draw begins at the fit of the rows as they are.
        once = (fold_of != f) & weights.any(axis=0)
        begin = rows.fit(once[:, None], labels, penalty, confounds, tolerance=TOLERANCE)
        for first in range(0, len(weights), width):
            some = slice(first, min(first + width, len(weights)))
            train = (weights[some] * (fold_of != f)).T
            start = (
                np.repeat(begin.coefficients[0], train.shape[1], axis=1),
                np.repeat(begin.intercepts[0], train.shape[1]),
            )
            fit = rows.fit(train, labels, penalty, confounds, start=start, tolerance=TOLERANCE)
            yield int(f), some, fit


def _any(by_layer: Mapping[int, ProbeResult]) -> ProbeResult:
    """Of the lowest layer: ids, labels, groups, folds, items and status are those of all."""
    return by_layer[min(by_layer)]


def _numbers(by_layer: Mapping[int, ProbeResult], best: Callable) -> np.ndarray:
    """The layers, [K], that `best` chooses for the first fold seed."""
    by_layer = dict(sorted(by_layer.items()))
    return np.array(list(by_layer))[best(by_layer)[0]]


def save(path: str | Path, refits: Mapping[str, Refits]) -> None:
    """Store {scope: Refits} as HDF5: equal refits, equal bytes."""
    with hdf5.create(path) as file:
        hdf5.write_nested(file, refits, _write)


def load(path: str | Path) -> dict[str, Refits]:
    """What `save` stored. Raises UserError if it isn't such a file."""
    with hdf5.whole(path, "refits") as file:
        return hdf5.read_nested(file, _read)


def _write(group: h5py.Group, refits: Refits) -> None:
    hdf5.write_names(group, "tasks", refits.tasks)
    for name in _ARRAYS:
        group.create_dataset(name, data=getattr(refits, name))


def _read(group: h5py.Group) -> Refits:
    return Refits(tuple(hdf5.read_names(group, "tasks")), *(group[name][()] for name in _ARRAYS))
