"""Probes of one task, and their control of shuffled labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from skillprobe.probes.cross_validation import Settings, Task, cross_validate, feature_scale_of
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.rows import ProbeRows
from skillprobe.probes.solver import Rows, feature_scale
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.storage.tables import ACROSS, WITHIN


def unscored(
    y: np.ndarray,
    groups: Sequence[str],
    settings: Settings,
    *,
    ids: Sequence[str],
    study_groups: Sequence[str],
    truncated_fraction: float = 0.0,
) -> ProbeResult:
    """A result of n rows that no probe has scored yet: labels, folds and whether they suffice. Arguments: as
    for `specialist`."""
    nothing = np.zeros((len(y), 1), np.float32)
    task = Task.make("", nothing, y, groups, ids, settings, study_groups, truncated_fraction)
    return task.insufficient(settings)


def specialist(
    x: np.ndarray,
    y: np.ndarray,
    groups: Sequence[str],
    settings: Settings,
    *,
    ids: Sequence[str] | None = None,
    study_groups: Sequence[str] | None = None,
    truncated_fraction: float = 0.0,
    scale: np.ndarray | None = None,
    confounds: np.ndarray | None = None,
    items: Sequence[str] = (),
) -> ProbeResult:
    """Probe of one task; x: [n, d] activations, y: [n] labels in {0, 1}, groups: [n].

    study_groups: all groups of the study (None: those of the rows), so that all tasks have the same folds.
    scale: [d] per-feature divisor (None: estimated on these calibration rows if settings.feature_scaling).
    confounds: [n, q] for the residualised scores: what they predict of the activations, by least squares on
    the training rows of each fold, is subtracted from all rows. items: [n] names for the scope within
    prompts, whose rows are those of `ProbeRows.within`; none across prompts.
    """
    study_groups = groups if study_groups is None else study_groups
    task = Task.make("", x, y, groups, ids, settings, study_groups, truncated_fraction, items)
    if task.status:
        return task.insufficient(settings)
    rows = Rows(x, feature_scale_of([x], [task], settings, scale))
    every = [[np.arange(len(x))]]
    found = cross_validate(rows, task.folds, task.labels, settings, every, items=task.items)
    fold_weights, fold_intercepts = found.raw()
    controls = {}
    if confounds is not None:
        rest = cross_validate(
            rows, task.folds, task.labels, settings, every, confounds=confounds, items=task.items
        )
        controls["residualised_scores"] = rest.scores[0]
    if settings.shuffles:
        shuffled = shuffle_labels(
            task.labels, task.groups, task.ids, task.folds[0], draws=settings.shuffles, seed=settings.seed
        )
        control = cross_validate(rows, task.folds[:1], shuffled, settings, every, items=task.items)
        controls |= {"shuffled_scores": control.scores[:, 0], "shuffled_labels": shuffled.T}
    return replace(
        found.result(task, 0), fold_weights=fold_weights, fold_intercepts=fold_intercepts, **controls
    )


def fit_specialist(rows: ProbeRows, settings: Mapping) -> ProbeResult:
    """`specialist` of these rows; settings: the config's "seed", "groups" and "probes", where "shuffles" and
    "confounds" may be missing (none)."""
    return specialist(
        rows.x,
        rows.y,
        rows.groups,
        Settings.from_config(settings["probes"], settings["seed"]),
        ids=rows.ids,
        study_groups=group_ids(settings["groups"]),
        truncated_fraction=rows.truncated,
        confounds=rows.confounds(settings["probes"].get("confounds", ())),
    )


def fit_scopes(rows: ProbeRows, settings: Mapping) -> dict[str, ProbeResult]:
    """The specialist in both scopes, {scope: result}; arguments: as for `fit_specialist`."""
    own = Settings.from_config(settings["probes"], settings["seed"])
    study_groups = group_ids(settings["groups"])
    within = rows.within()
    calibration = own.row_folds(rows.groups, study_groups)[0] == CALIBRATION
    return {
        ACROSS: fit_specialist(rows, settings),
        WITHIN: specialist(
            within.x,
            within.y,
            within.groups,
            own,
            ids=within.ids,
            study_groups=study_groups,
            truncated_fraction=rows.truncated,
            # One scale for both.
            scale=feature_scale(rows.x[calibration]) if own.feature_scaling else None,
            confounds=within.confounds_within(settings["probes"].get("confounds", ())),
            items=within.items,
        ),
    }


def shuffle_labels(
    labels: np.ndarray,
    groups: np.ndarray,
    ids: np.ndarray,
    folds: np.ndarray,
    *,
    draws: int,
    seed: int,
) -> np.ndarray:
    """Labels [n, draws] with those of a group replaced by another's: a control task (Hewitt & Liang 2019)
    that keeps how alike the answers to one request are. Calibration groups (in folds [n]) keep theirs."""
    used = np.unique(groups[folds != CALIBRATION])
    # Sorted by name, so that the order of the rows changes nothing.
    by_id = np.argsort(ids)
    of_base = {group: by_id[groups[by_id] == group] for group in used}
    shuffled = np.repeat(labels[:, None], draws, axis=1)
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        for group, donor in zip(used, rng.permutation(used), strict=True):
            rows = of_base[group]
            # Repeated or cut where a truncated answer makes one group shorter than the other.
            shuffled[rows, draw] = np.resize(labels[of_base[donor]], len(rows))
    return shuffled
