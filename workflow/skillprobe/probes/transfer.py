"""Each task's probes on every task's rows: what one skill's signal says about another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from skillprobe.errors import UserError
from skillprobe.probes.results import ProbeResult
from skillprobe.storage import hdf5


@dataclass(frozen=True)
class Crossed:
    """Scores of every task's probes on the rows of one target task.

    sources: names of the T probed tasks; ids: [n] of the rows; scores: [T, S, n] float32, in each fold seed
    by the source's probe that never saw the row's group, NaN on calibration rows and for sources without
    probes.
    """

    sources: tuple[str, ...]
    ids: np.ndarray
    scores: np.ndarray


def cross_scores(
    x_by_task: Mapping[str, np.ndarray],
    ids_by_task: Mapping[str, Sequence[str]],
    specialists: Mapping[str, ProbeResult],
) -> dict[str, Crossed]:
    """{target: scores of every specialist on its rows}, at one layer and position.

    x_by_task: [n, d] activations each; ids_by_task: [n]. Folds are of groups and the same for all tasks, so
    the probe of a row's own fold was trained without its group, whatever the task. Raises UserError where
    rows and probes don't belong together.
    """
    sources = tuple(specialists)
    crossed = {}
    for target, x in x_by_task.items():
        result = specialists[target]
        if not np.array_equal(np.asarray(ids_by_task[target], str), result.ids):
            raise UserError(f"task '{target}': its probes were trained on other rows; train them again")
        scores = np.full((len(sources), *result.folds.shape), np.nan, np.float32)
        for t, source in enumerate(sources):
            scores[t] = specialists[source].score(x, result.folds)
        crossed[target] = Crossed(sources, result.ids, scores)
    return crossed


def save(path: str | Path, crossed: Mapping[str, Mapping[str, Crossed]]) -> None:
    """Store {scope: `cross_scores`} as HDF5: equal scores, equal bytes."""
    with hdf5.create(path) as file:
        hdf5.write_nested(file, crossed, _write)


def load(path: str | Path) -> dict[str, dict[str, Crossed]]:
    """What `save` stored. Raises UserError if it isn't such a file."""
    with hdf5.whole(path, "transfer") as file:
        return hdf5.read_nested(file, _read)


def _write(group: h5py.Group, each: Crossed) -> None:
    hdf5.write_names(group, "sources", each.sources)
    hdf5.write_texts(group, "ids", each.ids)
    group.create_dataset("scores", data=each.scores)


def _read(group: h5py.Group) -> Crossed:
    sources = tuple(hdf5.read_names(group, "sources"))
    return Crossed(sources, hdf5.read_texts(group, "ids"), group["scores"][()])
