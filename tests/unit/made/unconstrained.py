"""Planted worlds with responses without the constraint, and their specialists."""

from skillprobe.findings.planted import plant
from skillprobe.findings.planted_shards import write_shards
from skillprobe.probes.rows import read_rows
from skillprobe.probes.specialists import fit_specialist

CATEGORIES = {"word_count": "structural", "topic": "semantic"}
PROBES = {"penalties": [1e-3, 1e-2], "folds": 5, "fold_seeds": 2, "feature_scaling": True, "position": "eos"}
PROBES |= {"calibration_fraction": 0.1, "min_rows": 20, "min_groups": 10, "max_truncated": 0.05}
SETTINGS = {"seed": 0, "groups": 120, "probes": PROBES | {"confounds": [], "shuffles": 0}}
BASES = [f"g{number:03d}" for number in range(120)]
LAYERS = (0, 2)


def make(world, folder):
    """Shards and specialists of a world."""
    made = plant(world, CATEGORIES, BASES, seed=0, auroc=0.97, hidden_size=32, num_layers=2)
    paths = {task: str(folder / f"{task}.h5") for task in made}
    write_shards(paths, made, position="eos", study="test", world=world)
    specialists = {
        task: {layer: fit_specialist(read_rows([path], layer, "eos"), SETTINGS) for layer in LAYERS}
        for task, path in paths.items()
    }
    return list(paths.values()), specialists


def make_worlds(tmp_path_factory):
    return {name: make(name, tmp_path_factory.mktemp(name)) for name in ("planned", "monitored", "noise")}
