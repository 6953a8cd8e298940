"""Small shards that no model was needed for."""

import shutil

import numpy as np
from skillprobe.activations import shards
from skillprobe.storage import files

N, HIDDEN, POSITIONS = 20, 8, ("onset", "eos")


def small_shard(path, value=0.0, manifest=True, model="m", task="t", first=0, **columns):
    columns = {
        name: [f"{name}{first + row}" for row in range(N)] if kind is str else np.arange(N)
        for name, kind in shards.SAMPLE_FIELDS.items()
    } | columns
    valid = np.ones((len(POSITIONS), N), bool)
    valid[0, ::3] = False
    with shards.create(
        path,
        samples=columns,
        positions=POSITIONS,
        valid=valid,
        num_layers=1,
        hidden_size=HIDDEN,
        dtype="float32",
        attributes={"model": model, "task": task},
    ) as writer:
        values = np.arange(len(POSITIONS) * N * HIDDEN, dtype=np.float32)
        for layer in range(2):
            of_layer = values.reshape(len(POSITIONS), N, HIDDEN) + layer + value
            writer.write(layer, 0, [(slice(None), of_layer)])
    if manifest:
        files.write_json(path.with_suffix(".json"), shards.manifest(path))
    return path


def copy_over(target, source):
    """With its manifest."""
    for suffix in (".h5", ".json"):
        shutil.copy(source.with_suffix(suffix), target.with_suffix(suffix))
