"""What it costs to hold a shard against its manifest when it is read: one layer at one position of it.

2,700 answers, 4,096 numbers of bfloat16 each, two layers at ten positions. CPU time, the best of seven.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from skillprobe import shards, store
from skillprobe.positions import DEFAULT

ROWS, HIDDEN = 2700, 4096


def make(path):
    names = [f"topic/b{row:04d}/0/constrained/0" for row in range(ROWS)]
    columns = {name: names if kind is str else [0] * ROWS for name, kind in shards.SAMPLE_FIELDS.items()}
    values = np.random.default_rng(0).integers(0, 2**14, (len(DEFAULT), ROWS, HIDDEN), dtype=np.uint16)
    with shards.create(
        path,
        samples=columns,
        positions=DEFAULT,
        valid=np.ones((len(DEFAULT), ROWS), bool),
        num_layers=1,
        hidden_size=HIDDEN,
        dtype="bfloat16",
        attributes={},
    ) as writer:
        for start in range(0, ROWS, writer.rows_per_block):
            for layer in range(2):
                writer.write(layer, start, values[:, start : start + writer.rows_per_block])


def milliseconds(path):
    """To open the shard, and to read from it."""
    found = []
    for _ in range(7):
        start = time.process_time()
        with shards.Shard(path) as shard:
            opened = time.process_time()
            shard.read(1, "eos")
            found.append((opened - start, time.process_time() - opened))
    return [1000 * min(each) for each in zip(*found, strict=True)]


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "0.h5"
    make(path)
    print("without a manifest: {:.0f} ms to open, {:.0f} ms to read".format(*milliseconds(path)))
    store.write_json(path.with_suffix(".json"), shards.manifest(path))
    print("with its manifest:  {:.0f} ms to open, {:.0f} ms to read".format(*milliseconds(path)))
