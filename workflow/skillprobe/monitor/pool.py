"""Pools of responses to prompts about new subjects, which a study's policies are run on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from skillprobe.analyses.pools import Pool, Steered
from skillprobe.labels.labelling import label_rows
from skillprobe.models.chat import chat_ids
from skillprobe.models.generation import completed, finish, generate, requests
from skillprobe.models.loaded import LoadedModel
from skillprobe.monitor.constraints import Constraint
from skillprobe.monitor.guard import Steer, Verifier, lost_after, written
from skillprobe.monitor.reading import Monitor
from skillprobe.tasks import Task

# Of texts that are read again, in one pass.
ROWS = 32


def sample_pool(
    loaded: LoadedModel,
    monitor: Monitor,
    task: Task,
    items: Sequence[Mapping],
    settings: Mapping,
    seed: int,
    judge=None,
    steers: Sequence[Steer] = (),
    steered: int = 1,
) -> tuple[Pool, list[dict]]:
    """The pool of a task's items, and its label rows, each with its "condition": "plain" or
    "steer:<strength>".

    monitor: of the task alone; settings: as of `generate_task`, "samples" K among them; steers: what to write
    under, too, `steered` responses a prompt, with the random streams of the pool's first. judge: see
    `Task.verify`.
    """
    settings = {**settings, "twin_samples": 0}
    rows, seeds = requests(items, settings, seed)
    made = generate(loaded, [row["prompt"] for row in rows], seeds, settings)
    labels = label_rows(task, items, completed(rows, made), judge)
    encoded = {row["prompt"]: chat_ids(loaded.tokenizer, row["prompt"]) for row in rows}
    asked = [encoded[row["prompt"]] for row in rows]
    tables = monitor.read(
        loaded.model,
        [[*ids, *each.token_ids] for ids, each in zip(asked, made, strict=True)],
        list(map(len, asked)),
        rows=min(ROWS, settings["batch_size"]),
    )
    longest = max(map(len, tables))
    probabilities = np.full((len(tables), longest), np.nan, np.float32)
    for line, table in zip(probabilities, tables, strict=True):
        line[: len(table)] = table[:, 0]
    shape = len(items), settings["samples"]
    lost = list(_lost(loaded, task, labels, judge))
    pool = Pool(
        items=np.array([item["item"] for item in items]),
        groups=np.array([item["group"] for item in items]),
        tokens=np.array([len(each.token_ids) for each in made]).reshape(shape),
        satisfied=np.array([row["satisfied"] for row in labels], bool).reshape(shape),
        truncated=np.array([each.truncated for each in made], bool).reshape(shape),
        lost=np.array(lost, int).reshape(shape),
        probabilities=probabilities.reshape(*shape, longest),
    )
    found = [{"condition": "plain", **row} for row in labels]
    first = [number for number, row in enumerate(rows) if row["sample"] < steered]
    of_steers = []
    for steer in steers:
        starts = written(
            loaded, monitor, [asked[n] for n in first], [seeds[n] for n in first], settings, steer=steer
        )
        texts = [finish(loaded.tokenizer, loaded.eos_ids, start.token_ids) for start in starts]
        labels = label_rows(task, items, completed([rows[n] for n in first], texts), judge)
        found += [{"condition": f"steer:{steer.strength:g}", **row} for row in labels]
        of_steers.append(
            Steered(
                threshold=steer.threshold,
                strength=steer.strength,
                tokens=np.array([len(each.token_ids) for each in texts]).reshape(len(items), -1),
                satisfied=np.array([row["satisfied"] for row in labels], bool).reshape(len(items), -1),
                truncated=np.array([each.truncated for each in texts], bool).reshape(len(items), -1),
            )
        )
    return Pool(**{**vars(pool), "steered": tuple(of_steers)}), found


def _lost(loaded: LoadedModel, task: Task, labels: Sequence[Mapping], judge) -> Iterator[int]:
    """As `Pool.lost`; what satisfies at the end was never lost."""
    for row in labels:
        verifier = Verifier([Constraint(task.name, row["params"])], {task.name: judge})
        yield 0 if row["satisfied"] else lost_after(loaded, verifier, row["token_ids"])
