"""The files of a planted world: shards and rows as those that a model's answers and crossings have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from skillprobe.activations import shards
from skillprobe.activations.positions import resolve
from skillprobe.findings.planted import Planted
from skillprobe.labels.crossings import CROSSED
from skillprobe.storage.files import write_jsonl
from skillprobe.tasks.base import Verdict


def write_shards(
    paths: Mapping[str, str | Path], planted: Mapping[str, Planted], *, position: str, study: str, world: str
) -> None:
    """Write each task's rows as one shard (float16) that has this position, and those of a course."""
    for task, path in paths.items():
        rows = planted[task]
        at = {**rows.course, **({"eos": rows.x} if rows.course else {}), position: rows.x}
        without = rows.unconstrained
        # Constrained answers first, then those without the constraint, who are there at EOS only.
        variants = [("constrained", rows)] + ([("unconstrained", without)] if without else [])
        places = [resolve(list(at), 1, n, True) for _, each in variants for n in each.lengths.tolist()]
        n, total = len(rows.labels), len(places)
        valid = np.array([valid for _, valid in places]).T
        valid[:, n:] &= np.array([name == "eos" for name in at])[:, None]
        texts = [row["response"].split(" ") for _, each in variants for row in label_rows(task, each)]
        characters = [
            [len(" ".join(words[: max(place, 0)])) for place in row.tolist()]
            for (row, _), words in zip(places, texts, strict=True)
        ]
        samples = _samples(
            [name for variant, each in variants for name in _ids(task, each, variant)],
            np.concatenate([each.groups for _, each in variants]),
            [variant for variant, each in variants for _ in each.labels],
            np.concatenate([each.labels for _, each in variants]),
            np.concatenate([each.lengths for _, each in variants]),
        )

        def values(layer: int, at=at, without=without) -> np.ndarray:
            here = np.array([x[layer] for x in at.values()])
            if without:
                nothing = np.zeros((len(at), *without.x[layer].shape), np.float32)
                nothing[[name == "eos" for name in at]] = without.x[layer]
                here = np.concatenate([here, nothing], axis=1)
            return here

        with shards.create(
            path,
            samples=samples,
            positions=list(at),
            valid=valid,
            characters=np.array(characters, np.int32).T,
            num_layers=len(rows.x) - 1,
            hidden_size=rows.x.shape[-1],
            dtype="float16",
            attributes={"study": study, "model": f"planted {world}", "task": task},
        ) as writer:
            _write(writer, len(rows.x), total, values)


def write_crossings(
    rows: Mapping[str, str | Path],
    paths: Mapping[str, str | Path],
    planted: Mapping[str, Planted],
    *,
    position: str,
    study: str,
    world: str,
) -> None:
    """Write each task's crossings: their rows as JSON lines, and their states as one shard."""
    for task, path in paths.items():
        crossed = planted[task].crossed
        made = list(crossing_rows(task, planted[task]))
        write_jsonl(rows[task], made)
        n, n_layers = len(made), len(crossed.x)
        samples = _samples(
            [row["id"] for row in made],
            [row["group"] for row in made],
            [CROSSED] * n,
            [row["satisfied"] for row in made],
            np.full(n, 10),
        )
        x = crossed.x.reshape(n_layers, 1, n, -1)
        with shards.create(
            path,
            samples=samples,
            positions=[position],
            valid=np.ones((1, n), bool),
            num_layers=n_layers - 1,
            hidden_size=x.shape[-1],
            dtype="float16",
            attributes={"study": study, "model": f"planted {world}", "task": task},
            log_probabilities=True,
        ) as writer:
            _write(writer, n_layers, n, x.__getitem__)
            writer.write_log_probabilities(crossed.log_probability.ravel())


def crossing_rows(task: str, rows: Planted) -> Iterator[dict]:
    """As `labels.crossings.make_crossings` makes them, in the order of `Planted.crossed`."""
    for number, group in enumerate(rows.crossed.groups.tolist()):
        for asked in range(2):
            for answered in range(2):
                item = f"{task}/{group}/x{number}"
                yield {
                    "id": f"{item}/{CROSSED}/{asked}{answered}",
                    "item": item,
                    "group": group,
                    "base": group,
                    "variant": CROSSED,
                    "satisfied": asked == answered,
                    "asked": asked,
                    "answered": answered,
                    "one_relation": None,
                    "n_difference": None,
                }


def label_rows(task: str, rows: Planted) -> list[dict]:
    """What a label row says of each answer of one task; a word a token, of which one decides."""
    found = []
    for name, group, item, params, label, length, decided in zip(
        _ids(task, rows),
        rows.groups.tolist(),
        rows.items,
        rows.params,
        rows.labels,
        rows.lengths,
        rows.decided,
        strict=True,
    ):
        words = ["so"] * (length - 1)
        words[decided - 1] = "yes" if label else "no"
        asked = " ".join(["request", group, *map(str, params.values())])
        row = {"id": name, "item": f"{task}/{group}/{item}", "prompt": asked, "phrasing": "planted"}
        found.append(row | {"params": dict(params), "response": " ".join(words)})
    return found


def verify(text: str, params: Mapping) -> Verdict:
    """Of the text of `label_rows`, or of its beginning."""
    words = text.split()
    return Verdict("yes" in words, {"decided": int("yes" in words) - int("no" in words)})


def _ids(task: str, rows: Planted, variant: str = "constrained") -> list[str]:
    return [
        f"{task}/{group}/{item}/{variant}/{number}"
        for number, (group, item) in enumerate(zip(rows.groups.tolist(), rows.items.tolist(), strict=True))
    ]


def _samples(ids, groups, variants, labels, lengths) -> dict:
    n = len(ids)
    return {
        "id": ids,
        # Each request is about a subject of its own.
        **dict.fromkeys(("base", "group"), groups),
        "variant": variants,
        "instruction_type": ["human"] * n,
        "polarity": ["positive"] * n,
        "phrasing": ["planted"] * n,
        "label": labels,
        "response_length": lengths,
        "truncated": np.zeros(n, bool),
    }


def _write(writer: shards.ShardWriter, n_layers: int, n: int, values) -> None:
    """values: of a layer, [position, n, d]."""
    for layer in range(n_layers):
        x = values(layer)
        for start in range(0, n, writer.rows_per_block):
            block = x[:, start : start + writer.rows_per_block]
            writer.write(layer, start, [(slice(None), block.astype(np.float16))])
