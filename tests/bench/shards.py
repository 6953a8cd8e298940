"""What it costs to write a shard with its manifest, and to hold it against that when it is read.

2,700 answers, 4,096 numbers of bfloat16 each, two layers at ten positions. Written in batches of 64 by one
thread that waits for the disk, beside a plain write of as many bytes, in turns: the best of five. Read, one
layer at one position: CPU time, the best of seven.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from skillprobe.activations import shards
from skillprobe.activations.positions import DEFAULT
from skillprobe.storage import files

ROWS, HIDDEN, LAYERS, TOGETHER = 2700, 4096, 2, 64


def make(path, values):
    """The shard and its manifest, as `extract` and its rule make them of values [position, row, hidden]."""
    names = [f"topic/b{row:04d}/0/constrained/0" for row in range(ROWS)]
    columns = {name: names if kind is str else [0] * ROWS for name, kind in shards.SAMPLE_FIELDS.items()}
    rng = np.random.default_rng(0)
    with shards.create(
        path,
        samples=columns,
        positions=DEFAULT,
        valid=np.ones((len(DEFAULT), ROWS), bool),
        num_layers=LAYERS - 1,
        hidden_size=HIDDEN,
        dtype="bfloat16",
        attributes={},
    ) as writer:
        for start in range(0, ROWS, writer.rows_per_block):
            block = values[:, start : start + writer.rows_per_block]
            # Batches are of answers of like lengths, wherever in the block these are.
            places = rng.permutation(block.shape[1])
            firsts = range(0, len(places), TOGETHER)
            parts = [(places[k : k + TOGETHER], block[:, k : k + TOGETHER]) for k in firsts]
            for layer in range(LAYERS):
                writer.write(layer, start, parts)
    files.write_json(path.with_suffix(".json"), shards.manifest(path, writer.checksums))


def plain(path, values):
    """The same numbers, and no more."""
    with path.open("wb") as file:
        for _ in range(LAYERS):
            file.write(values)
        os.fsync(file.fileno())


def seconds(write, path, values):
    """Wall time, and CPU time."""
    path.unlink(missing_ok=True)
    start = time.perf_counter(), time.process_time()
    write(path, values)
    return time.perf_counter() - start[0], time.process_time() - start[1]


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


values = np.random.default_rng(0).integers(0, 2**14, (len(DEFAULT), ROWS, HIDDEN), dtype=np.uint16)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "0.h5"
    ways = {"plain bytes": (plain, path.with_name("bytes")), "with its manifest": (make, path)}
    times = [[seconds(*way, values) for way in ways.values()] for _ in range(5)]
    for name, found in zip(ways, zip(*times, strict=True), strict=True):
        wall, cpu = map(min, zip(*found, strict=True))
        size = LAYERS * values.nbytes / 1e9
        print(f"{name + ':':<19} {size / wall:.2f} GB/s written, {cpu / size:.2f} s of CPU a GB")
    print("with its manifest:  {:.0f} ms to open, {:.0f} ms to read".format(*milliseconds(path)))
    path.with_suffix(".json").unlink()
    print("without a manifest: {:.0f} ms to open, {:.0f} ms to read".format(*milliseconds(path)))
