"""The rows that a probe sees: untruncated responses, constrained or unconstrained, from activation shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from skillprobe.activations import shards
from skillprobe.prompts.bases import item_of
from skillprobe.statistics.folds import mixed_items
from skillprobe.storage.files import by_task

# Of a shard's samples, in the order of ProbeRows.
_COLUMNS = ("label", "group", "id", "phrasing", "instruction_type", "polarity", "response_length")


@dataclass(frozen=True)
class ProbeRows:
    """x: [n, d] activations; y: [n] labels in {0, 1} (satisfied); groups, ids, phrasings, instruction_types,
    polarities: [n] names; lengths: [n] tokens of each response; truncated: the share of the task's
    constrained responses that were cut short and left out."""

    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    ids: np.ndarray
    phrasings: np.ndarray
    instruction_types: np.ndarray
    polarities: np.ndarray
    lengths: np.ndarray
    truncated: float

    def confounds(self, names: Sequence[str]) -> np.ndarray | None:
        """[n, q] of those that `names` lists, "response_length" (its logarithm) and "phrasing" (one-hot),
        with a column of ones; None for none. Nothing here depends on the constraint's parameters."""
        if not names:
            return None
        columns = [np.ones((len(self.y), 1))]
        if "response_length" in names:
            columns.append(np.log1p(self.lengths)[:, None])
        if "phrasing" in names:
            columns.append(self.phrasings[:, None] == np.unique(self.phrasings))
        return np.concatenate(columns, axis=1, dtype=float)

    def confounds_within(self, names: Sequence[str]) -> np.ndarray | None:
        """`confounds` of rows that are `within`: minus the mean of the item, without what is the same in all
        of its rows."""
        columns = self.confounds(names)
        if columns is None:
            return None
        centred = minus_item_means(columns[:, 1:], self.items)
        return np.concatenate([columns[:, :1], centred[:, centred.any(axis=0)]], axis=1)

    @property
    def items(self) -> np.ndarray:
        """[n] names: which prompt each response is to."""
        return np.array([item_of(name) for name in self.ids.tolist()], str)

    def within(self) -> ProbeRows:
        """The rows of items with both outcomes, x minus the mean of its item: all that the prompt says is
        gone."""
        used = mixed_items(self.y, self.items)
        parts = {each.name: getattr(self, each.name) for each in fields(self)}
        own = {name: part[used] for name, part in parts.items() if isinstance(part, np.ndarray)}
        rows = replace(self, **own)
        return replace(rows, x=minus_item_means(rows.x, rows.items))


def minus_item_means(x: np.ndarray, items: np.ndarray) -> np.ndarray:
    """x [n, d] minus the mean over the rows of the same item; float32. items: [n] names."""
    item = np.unique(items, return_inverse=True)[1]
    order = np.argsort(item, kind="stable")
    starts = np.searchsorted(item[order], np.arange(item.max(initial=-1) + 1))
    means = np.add.reduceat(x[order].astype(float), starts, axis=0) if len(x) else np.zeros((0, x.shape[1]))
    return (x - (means / np.bincount(item)[:, None])[item]).astype(np.float32)


def truncated_share(cut: np.ndarray) -> float:
    """Of responses [n], True for those that were cut short; 0 without any. To the last bit the same however
    they were read: at the limit, all probes of a task are sufficient or none is."""
    return float(cut.mean()) if len(cut) else 0.0


def read_rows(paths: Sequence[str], layer: int, position: str, variant: str = "constrained") -> ProbeRows:
    """Rows of one model and task at one layer and position, over all shards in order. variant: "constrained",
    or "unconstrained" for those without the constraint, which are there at eos only."""
    parts, truncated = [], []
    for shard in shards.each(paths):
        samples = shard.samples
        asked = samples["variant"] == variant
        cut = samples["truncated"].astype(bool)
        truncated.append(cut[asked])
        used = asked & ~cut & shard.valid[shard.positions.index(position)].astype(bool)
        columns = (samples[name][used] for name in _COLUMNS)
        parts.append((shard.read(layer, position)[used], *columns))
    x, y, *columns = (np.concatenate(values) for values in zip(*parts, strict=True))
    return ProbeRows(x, y.astype(np.int8), *columns, truncated_share(np.concatenate(truncated)))


def read_tasks(
    paths: Sequence[str],
    tasks: Sequence[str],
    layer: int,
    position: str,
    variant: str = "constrained",
) -> dict[str, ProbeRows]:
    """`read_rows` of each task; paths: as for `by_task`."""
    return {task: read_rows(own, layer, position, variant) for task, own in by_task(paths, tasks).items()}
