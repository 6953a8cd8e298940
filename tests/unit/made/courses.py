"""Planted worlds over time."""

from skillprobe.findings.planted import plant
from skillprobe.findings.planted_shards import label_rows, write_shards

CATEGORIES = {"word_count": "structural", "topic": "semantic"}
PROBES = {"penalties": [1e-3, 1e-2], "folds": 5, "fold_seeds": 2, "feature_scaling": True}
PROBES |= {"calibration_fraction": 0.1, "min_rows": 20, "min_groups": 10, "max_truncated": 0.05}
SETTINGS = {"seed": 0, "groups": 240, "probes": PROBES}
BASES = [f"g{number:03d}" for number in range(240)]
POSITIONS = ["prompt_100", "onset", "body_50", "last", "eos"]


def make(world, folder, seed=0):
    """{task: (path of its shard, its label rows)}"""
    made = plant(world, CATEGORIES, BASES, seed=seed, auroc=0.97, hidden_size=32, num_layers=2)
    paths = {task: str(folder / f"{task}.h5") for task in made}
    write_shards(paths, made, position="eos", study="test", world=world)
    return {task: (paths[task], label_rows(task, rows)) for task, rows in made.items()}


def make_worlds(tmp_path_factory):
    return {name: make(name, tmp_path_factory.mktemp(name)) for name in ("planned", "monitored", "noise")}
