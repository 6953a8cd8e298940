"""A task's probe on answers to the same requests without the constraint, verified all the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skillprobe.probes.course import without_weights
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.rows import ProbeRows, read_tasks
from skillprobe.probes.specialists import unscored
from skillprobe.prompts.bases import group_ids


@dataclass(frozen=True)
class BothPrompts:
    """Of one task at one layer. constrained: the specialist, with its scores; unconstrained: its probes on
    the responses to the unconstrained prompts. energy: by variant ("constrained", "unconstrained"), [n, 2],
    how much of each row's squared distance from the mean lies in the row-space of all tasks' probes, and all
    of it; NaN on calibration rows. rank: that row-space's dimensions."""

    constrained: ProbeResult
    unconstrained: ProbeResult
    energy: Mapping[str, np.ndarray]
    rank: int
    hidden_size: int


def cross_prompts(
    rows: Mapping[str, ProbeRows],
    unconstrained: Mapping[str, ProbeRows],
    specialists: Mapping[str, ProbeResult],
    settings: Settings,
    study_groups: Sequence[str],
) -> dict[str, BothPrompts]:
    """{task: its probe on both variants}, at one layer; rows, unconstrained: of each task.

    Every row is scored, and projected, by probes that never saw its group (the row-space is that of the first
    fold seed's). Unconstrained rows are insufficient by the rule of the rows that probes are trained on.
    """
    rank = sum(not probe.status for probe in specialists.values())
    found = {}
    for task, probe in specialists.items():
        own, other = rows[task], unconstrained[task]
        target = unscored(
            other.y,
            other.groups,
            settings,
            ids=other.ids,
            study_groups=study_groups,
            truncated_fraction=other.truncated,
        )
        energy = {
            "constrained": _energy(own.x, probe.folds[0], specialists),
            "unconstrained": _energy(other.x, target.folds[0], specialists),
        }
        found[task] = BothPrompts(
            without_weights(probe), probe.on_rows(other.x, target), energy, rank, own.x.shape[1]
        )
    return found


def read_both_prompts(
    paths: Sequence[str], specialists: Mapping[str, Mapping[int, ProbeResult]], settings: Mapping
) -> dict[int, dict[str, BothPrompts]]:
    """{layer: `cross_prompts`}. paths: shards, those of the first task, then of the second, …; specialists:
    {task: {layer: result}}; settings: the config's "seed", "groups", and "probes" with their position."""
    tasks, position = list(specialists), settings["probes"]["position"]
    protocol = Settings.from_config(settings["probes"], settings["seed"])
    return {
        layer: cross_prompts(
            read_tasks(paths, tasks, layer, position),
            read_tasks(paths, tasks, layer, position, "unconstrained"),
            {task: specialists[task][layer] for task in tasks},
            protocol,
            group_ids(settings["groups"]),
        )
        for layer in specialists[tasks[0]]
    }


def _energy(x: np.ndarray, folds: np.ndarray, specialists: Mapping[str, ProbeResult]) -> np.ndarray:
    energy = np.full((len(x), 2), np.nan)
    weights = [probe.fold_weights[0] for probe in specialists.values() if not probe.status]
    if not weights or not len(x):
        return energy
    centred = x - x.mean(axis=0)
    for fold in range(len(weights[0])):
        test = folds == fold
        basis = np.linalg.qr(np.array([each[fold] for each in weights], float).T)[0]
        energy[test] = np.stack(
            [((centred[test] @ basis) ** 2).sum(axis=1), (centred[test] ** 2).sum(axis=1)], axis=1
        )
    return energy
