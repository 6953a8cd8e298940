"""The rows that a probe sees: constrained, untruncated responses, read from activation shards."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skillprobe.shards import Shard


@dataclass(frozen=True)
class ProbeRows:
    """x: [n, d] activations; y: [n] labels in {0, 1} (satisfied); bases, ids: [n] names; truncated: the share
    of the task's constrained responses that were cut short and left out."""

    x: np.ndarray
    y: np.ndarray
    bases: np.ndarray
    ids: np.ndarray
    truncated: float


def read_rows(paths: Sequence[str], layer: int, position: str) -> ProbeRows:
    """Rows of one model and task at one layer and position, over all shards in order."""
    parts, truncated = [], []
    for path in paths:
        with Shard(path) as shard:
            samples = shard.samples
            constrained = samples["variant"] == "constrained"
            cut = samples["truncated"].astype(bool)
            truncated.append(cut[constrained])
            used = constrained & ~cut & shard.valid[shard.positions.index(position)].astype(bool)
            x = shard.read(layer, position)[used]
            parts.append((x, samples["label"][used], samples["base"][used], samples["id"][used]))
    x, y, bases, ids = (np.concatenate(values) for values in zip(*parts, strict=True))
    truncated = np.concatenate(truncated)
    return ProbeRows(x, y.astype(np.int8), bases, ids, float(truncated.mean()) if len(truncated) else 0.0)
