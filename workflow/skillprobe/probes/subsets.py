"""Probes of one task that are trained on some of its rows and score all: other wordings, say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from skillprobe.probes.cross_validation import Settings, Task, cross_validate, feature_scale_of
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.solver import Rows
from skillprobe.statistics.folds import keyed_hash


def on_subsets(
    x: np.ndarray,
    y: np.ndarray,
    groups: Sequence[str],
    settings: Settings,
    contrasts: Sequence[Sequence[np.ndarray]],
    *,
    ids: Sequence[str] | None = None,
    study_groups: Sequence[str] | None = None,
    truncated_fraction: float = 0.0,
    scale: np.ndarray | None = None,
    items: Sequence[str] = (),
) -> list[list[ProbeResult]]:
    """Probes of one task that are trained on some of its rows each, and score all rows: a result for each
    subset, [n] bool, of each contrast.

    The probes of a contrast are trained on equally many rows (`equal_parts`), and C is chosen on the subset's
    own rows. What a probe scores are rows of groups that it has not seen, of whatever subset. status: why the
    task, or what is trained on, is insufficient; whether rows that are to be tested have pairs is not asked.
    The other arguments: as for `specialist`.
    """
    study_groups = groups if study_groups is None else study_groups
    task = Task.make("", x, y, groups, ids, settings, study_groups, truncated_fraction, items)
    rows = None
    results: list[list[ProbeResult]] = []
    for subsets in contrasts:
        results.append([])
        for subset, training in zip(
            subsets, equal_parts(subsets, task.groups, task.ids, settings.seed), strict=True
        ):
            status = task.status or settings.sufficiency(
                task.labels, task.groups, task.folds, training=training
            )
            if status:
                results[-1].append(task.insufficient(settings, status))
                continue
            rows = rows or Rows(x, feature_scale_of([x], [task], settings, scale))
            own = [np.flatnonzero(subset)]
            found = cross_validate(
                rows, task.folds, task.labels, settings, [own], [training], items=task.items
            )
            results[-1].append(found.result(task, 0))
    return results


def equal_parts(
    subsets: Sequence[np.ndarray], groups: Sequence[str], ids: Sequence[str], seed: int
) -> list[Callable[[np.ndarray], np.ndarray]]:
    """For each subset of rows, [n] bool, a function that picks, of the rows of a mask [n], those that a probe
    of the subset is trained on: as many as the smallest subset has there.

    By a hash of the group and then of the row, so that as many rows come from about as many groups: a subset
    must not seem more diverse than another because its rows are of more requests.
    """
    key = f"subsets/{seed}"
    order = np.lexsort(
        [np.array([keyed_hash(key, name) for name in names], np.uint64) for names in (ids, groups)]
    )

    def picker(subset: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        def pick(mask: np.ndarray) -> np.ndarray:
            n = min(int((mask & other).sum()) for other in subsets)
            picked = np.zeros_like(mask)
            picked[order[(mask & subset)[order]][:n]] = True
            return picked

        return pick

    return [picker(subset) for subset in subsets]
