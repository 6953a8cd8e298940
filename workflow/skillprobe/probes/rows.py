"""The rows that a probe sees: untruncated responses, constrained or unconstrained, from activation shards."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skillprobe.activations import shards
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


def truncated_share(cut: np.ndarray) -> float:
    """Of responses [n], True for those that were cut short; 0 without any. To the last bit the same however
    they were read: at the limit, all probes of a task are sufficient or none is."""
    return float(cut.mean()) if len(cut) else 0.0


def read_rows(paths: Sequence[str], layer: int, position: str, variant: str = "constrained") -> ProbeRows:
    """Rows of one model and task at one layer and position, over all shards in order. variant: "constrained",
    or "unconstrained" for the twins, which are there at eos only."""
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
