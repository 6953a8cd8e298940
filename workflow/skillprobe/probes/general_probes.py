"""General probes: trained on all tasks together, or on all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from skillprobe.probes.cross_validation import Settings, Task, cross_validate, feature_scale_of
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.rows import ProbeRows
from skillprobe.probes.solver import Rows, feature_scale
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.folds import CALIBRATION, keyed_hash
from skillprobe.storage.tables import ACROSS, WITHIN

VARIANTS = ("all", "centred", "matched", "leave_one_out")
# Rows minus their prompt's mean are centred within task.
WITHIN_VARIANTS = VARIANTS[1:]


def general(
    x_by_task: Mapping[str, np.ndarray],
    y_by_task: Mapping[str, np.ndarray],
    groups_by_task: Mapping[str, Sequence[str]],
    settings: Settings,
    *,
    ids_by_task: Mapping[str, Sequence[str]] | None = None,
    study_groups: Sequence[str] | None = None,
    truncated_fraction: Mapping[str, float] | None = None,
    scale: np.ndarray | None = None,
    variants: Sequence[str] = VARIANTS,
    items_by_task: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, dict[str, ProbeResult]]:
    """Probes of all tasks together, scored per task: {variant: {task: result}}.

    "all": every task's rows; "centred": the same, centred within task by training means; "matched": as many
    training rows as the mean specialist has, picked by a hash of the row id; "leave_one_out": all rows but
    those of the task that is scored. Insufficient tasks take no part. One sufficient task alone has no
    general probe: its results say so. items_by_task: [n] names each for the scope within prompts (see
    `specialist`), where "all" and "centred" are the same.
    """
    if study_groups is None:
        study_groups = [group for groups in groups_by_task.values() for group in groups]
    tasks = [
        Task.make(
            name,
            x,
            y_by_task[name],
            groups_by_task[name],
            ids_by_task and ids_by_task[name],
            settings,
            study_groups,
            (truncated_fraction or {}).get(name, 0.0),
            items_by_task[name] if items_by_task else (),
        )
        for name, x in x_by_task.items()
    ]
    used = [task for task in tasks if not task.status]
    results = {
        task.name: task.insufficient(
            settings,
            task.status or "a general probe needs two sufficient tasks; only this one is sufficient",
        )
        for task in tasks
        if task.status or len(used) < 2
    }
    by_variant = {variant: dict(results) for variant in variants}
    if len(used) >= 2:
        x = np.concatenate([x_by_task[task.name] for task in used])
        # The scale is of all tasks, sufficient or not: it must not depend on labels.
        rows = Rows(x, feature_scale_of(list(x_by_task.values()), tasks, settings, scale))
        for variant, fitted in _general(rows, used, settings, variants).items():
            by_variant[variant] |= {task.name: result for task, result in zip(used, fitted, strict=True)}
    return {variant: {task.name: by_variant[variant][task.name] for task in tasks} for variant in variants}


def fit_general(
    rows: Mapping[str, ProbeRows], settings: Mapping, variants: Sequence[str] = VARIANTS
) -> dict[str, dict[str, ProbeResult]]:
    """`general` of all tasks' rows; settings: as for `fit_specialist`."""
    return general(
        {task: part.x for task, part in rows.items()},
        {task: part.y for task, part in rows.items()},
        {task: part.groups for task, part in rows.items()},
        Settings.from_config(settings["probes"], settings["seed"]),
        ids_by_task={task: part.ids for task, part in rows.items()},
        study_groups=group_ids(settings["groups"]),
        truncated_fraction={task: part.truncated for task, part in rows.items()},
        variants=variants,
    )


def fit_general_scopes(
    rows: Mapping[str, ProbeRows], settings: Mapping, variants: Sequence[str] = VARIANTS
) -> dict[str, dict[str, dict]]:
    """`general` in both scopes, {scope: {variant: {task: result}}}; arguments: as for `fit_general`."""
    own = Settings.from_config(settings["probes"], settings["seed"])
    study_groups = group_ids(settings["groups"])
    within = {task: part.within() for task, part in rows.items()}
    x = [part.x[own.row_folds(part.groups, study_groups)[0] == CALIBRATION] for part in rows.values()]
    return {
        ACROSS: fit_general(rows, settings, variants),
        WITHIN: general(
            {task: part.x for task, part in within.items()},
            {task: part.y for task, part in within.items()},
            {task: part.groups for task, part in within.items()},
            own,
            ids_by_task={task: part.ids for task, part in within.items()},
            study_groups=study_groups,
            truncated_fraction={task: part.truncated for task, part in rows.items()},
            # One scale for both.
            scale=feature_scale(np.concatenate(x)) if own.feature_scaling else None,
            variants=[variant for variant in variants if variant in WITHIN_VARIANTS],
            items_by_task={task: part.items for task, part in within.items()},
        ),
    }


def _general(
    rows: Rows, tasks: Sequence[Task], settings: Settings, variants: Sequence[str]
) -> dict[str, list[ProbeResult]]:
    """The variants of the general probe, as results of each of `tasks`, whose rows follow each other."""
    folds = np.concatenate([task.folds for task in tasks], axis=1)
    labels = np.concatenate([task.labels for task in tasks])
    items = np.concatenate([task.items for task in tasks])
    task_of = np.repeat(np.arange(len(tasks)), [len(task.labels) for task in tasks])
    task_rows = [np.flatnonzero(task_of == t) for t in range(len(tasks))]

    together = {"all": lambda mask: mask, "matched": _matched(tasks, settings), "centred": lambda mask: mask}
    names = [name for name in variants if name in together]
    training, scored = [together[name] for name in names], [task_rows] * len(names)
    if "leave_one_out" in variants:
        training += [lambda mask, t=t: mask & (task_of != t) for t in range(len(tasks))]
        scored += [[task_rows[u] for u in range(len(tasks)) if u != t] for t in range(len(tasks))]
    if not training:
        return {}
    # Side by side, since wide products are the fast ones.
    every = np.repeat(labels[:, None], len(training), axis=1)
    centred = [name == "centred" for name in names] + [False] * (len(training) - len(names))
    # Rows minus their item's mean are centred already.
    confounds = None if len(items) or not any(centred) else task_of[:, None] == np.arange(len(tasks))
    found = cross_validate(
        rows, folds, every, settings, scored, training, confounds, items, confounded=centred
    )
    made = {
        name: [found.result(task, t, task_rows[t], which) for t, task in enumerate(tasks)]
        for which, name in enumerate(names)
    }
    if "leave_one_out" in variants:
        made["leave_one_out"] = [
            found.result(task, None, task_rows[t], len(names) + t) for t, task in enumerate(tasks)
        ]
    return made


def _matched(tasks: Sequence[Task], settings: Settings) -> Callable[[np.ndarray], np.ndarray]:
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
