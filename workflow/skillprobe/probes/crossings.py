"""A task's probes on crossings: two constraints, two answers, each answer under both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skillprobe.activations import shards
from skillprobe.errors import UserError
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.results import ProbeResult
from skillprobe.prompts.bases import group_ids
from skillprobe.storage.files import by_task, read_jsonl


@dataclass(frozen=True)
class Crossings:
    """Of one task: n crossings, and m answers with and without the constraint; S fold seeds, K outer folds.

    groups: [n]; folds: [S, n] (−1: calibration); scores: [S, n, 2, 2], of constraint c and answer r at
    [..., c, r], by probes that never saw the group (NaN on calibration rows and where there are no probes);
    log_probability: [n, 2, 2] of the answer, in nats. one_relation: [n] bool; n_difference: [n], NaN for
    tasks that count nothing. status: why there are no probes, or "". inner_auroc: [S, K] of the probes.

    Of the same answers with and without the constraint: answer_groups, labels: [m]; answer_folds: [S, m];
    with_constraint, without_constraint: [S, m] scores; answer_items: [m] names where the probe's scope is
    within prompts, none where it is across them.
    """

    groups: np.ndarray
    folds: np.ndarray
    scores: np.ndarray
    log_probability: np.ndarray
    one_relation: np.ndarray
    n_difference: np.ndarray
    status: str
    inner_auroc: np.ndarray
    answer_groups: np.ndarray
    labels: np.ndarray
    answer_folds: np.ndarray
    with_constraint: np.ndarray
    without_constraint: np.ndarray
    answer_items: np.ndarray


@dataclass(frozen=True)
class Crossed:
    """The rows of a task's crossings, [N], as `Crossings` are made of them: places [n, 2, 2] of each crossing
    in them, answers [m] of those without the constraint, and sources [m], the ids of the answers' own."""

    groups: np.ndarray
    labels: np.ndarray
    places: np.ndarray
    one_relation: np.ndarray
    n_difference: np.ndarray
    answers: np.ndarray
    sources: list[str]

    @classmethod
    def of(cls, rows: Sequence[Mapping]) -> Crossed:
        """rows: as `labels.crossings.make_crossings` makes them."""
        found: dict[str, list[list[int]]] = {}
        for number, row in enumerate(rows):
            if "asked" in row:
                four = found.setdefault(row["item"], [[-1, -1], [-1, -1]])
                four[row["asked"]][row["answered"]] = number
        firsts = [rows[four[0][0]] for four in found.values()]
        answers = [number for number, row in enumerate(rows) if "asked" not in row]
        return cls(
            np.array([row["group"] for row in rows], str),
            np.array([row["satisfied"] for row in rows], np.int8),
            np.array(list(found.values()), int).reshape(-1, 2, 2),
            np.array([bool(row["one_relation"]) for row in firsts], bool),
            np.array([row["n_difference"] for row in firsts], float),
            np.array(answers, int),
            [rows[number]["answer_from"] for number in answers],
        )

    def scored(
        self,
        x: np.ndarray,
        log_probability: np.ndarray,
        probe: ProbeResult,
        settings: Settings,
        study_groups: Sequence[str],
    ) -> Crossings:
        """x: [N, d] and log_probability: [N], of the rows; probe: the task's specialist at that layer."""
        folds = settings.row_folds(self.groups, study_groups)
        scores = probe.score(x, folds)
        own = {name: place for place, name in enumerate(probe.ids.tolist())}
        # Answers that the probe's rows lack (there are none, but for other positions) can't be compared.
        kept = np.array([name in own for name in self.sources], bool)
        answers = self.answers[kept]
        sources = [own[name] for name in self.sources if name in own]
        return Crossings(
            groups=self.groups[self.places[:, 0, 0]],
            folds=folds[:, self.places[:, 0, 0]],
            scores=scores[:, self.places],
            log_probability=log_probability[self.places],
            one_relation=self.one_relation,
            n_difference=self.n_difference,
            status=probe.status,
            inner_auroc=probe.inner_auroc,
            answer_groups=self.groups[answers],
            labels=self.labels[answers],
            answer_folds=folds[:, answers],
            with_constraint=probe.scores[:, sources],
            without_constraint=scores[:, answers],
            answer_items=probe.items[sources] if len(probe.items) else probe.items,
        )


def read_crossings(
    rows: Sequence[str],
    paths: Sequence[str],
    specialists: Mapping[str, Mapping[str, Mapping[int, ProbeResult]]],
    settings: Mapping,
) -> dict[str, dict[int, dict[str, Crossings]]]:
    """{scope: {layer: {task: Crossings}}}; {} without any files. rows, paths: files of crossings and their
    shards, those of the first task, then of the second, …; specialists: {scope: {task: {layer: result}}};
    settings: the config's "seed", "groups", and "probes" with their position."""
    if not paths:
        return {}
    protocol = Settings.from_config(settings["probes"], settings["seed"])
    study_groups = group_ids(settings["groups"])
    tasks = list(next(iter(specialists.values())))
    of_shards, of_rows = by_task(paths, tasks), by_task(rows, tasks)
    found: dict[str, dict[int, dict[str, Crossings]]] = {scope: {} for scope in specialists}
    for task in tasks:
        by_id = {row["id"]: row for path in of_rows[task] for row in read_jsonl(path)}
        for layer in next(iter(specialists.values()))[task]:
            ids, told, states = [], [], []
            for shard in shards.each(of_shards[task]):
                ids += shard.samples["id"].tolist()
                told.append(shard.log_probability)
                states.append(shard.read(layer, settings["probes"]["position"]))
            if by_id.keys() != set(ids):
                raise UserError(
                    f"the crossings of task '{task}' and their activations are not of the same rows; delete "
                    f"{of_shards[task][0]} and run again"
                )
            crossed = Crossed.of([by_id[name] for name in ids])
            x, log_probability = np.concatenate(states), np.concatenate(told)
            for scope, probes in specialists.items():
                scored = crossed.scored(x, log_probability, probes[task][layer], protocol, study_groups)
                found[scope].setdefault(layer, {})[task] = scored
    return found
