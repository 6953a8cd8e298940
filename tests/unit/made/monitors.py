"""Stored monitors of planted worlds, and of a tiny model."""

from dataclasses import fields, replace

import numpy as np
from skillprobe.findings.planted import plant
from skillprobe.findings.planted_shards import label_rows, write_shards
from skillprobe.probes import monitors
from skillprobe.probes.monitors import AT_EOS, StoredMonitor

from made.courses import CATEGORIES, SETTINGS

TASK = "topic"


def split_world(name, folder, seed=0, fresh=480, auroc=0.9):
    """Paths of two shards of one planted world's task, and the labels of the first: 240 groups, which are
    those of `courses.SETTINGS`, and as many fresh ones as asked for."""
    groups = [f"g{number:03d}" for number in range(240 + fresh)]
    rows = plant(name, CATEGORIES, groups, seed=seed, auroc=auroc, hidden_size=32, num_layers=2)[TASK]
    first = np.isin(rows.groups, groups[:240])
    paths = []
    for kind, which in (("own", first), ("fresh", ~first)):
        paths.append(str(folder / f"{kind}{seed}.h5"))
        part = some(rows, which)
        write_shards({TASK: paths[-1]}, {TASK: part}, position="eos", study="test", world=name)
    return *paths, label_rows(TASK, some(rows, first))


def some(rows, which):
    """Planted rows that are `which`, [n] bool; without unconstrained responses."""
    parts = {each.name: getattr(rows, each.name) for each in fields(rows)}
    own = {name: part[which] for name, part in parts.items() if isinstance(part, np.ndarray) and name != "x"}
    params = [each for each, used in zip(rows.params, which, strict=False) if used]
    course = {name: x[:, which] for name, x in rows.course.items()}
    return replace(
        rows, **own, x=rows.x[:, which], params=params, course=course, unconstrained=None, crossed=None
    )


def fitted(name, folder, seed=0, layers=(1, 2), **more):
    """(own shard, fresh shard, monitor, held out) of a planted world."""
    own, fresh, labels = split_world(name, folder, seed, **more)
    return own, fresh, *monitors.fit_monitor([own], layers, labels, SETTINGS, TASK)


def made_monitor(task="word_count", hidden=32, layer=2, seed=0, spans=(1, 2, 3, 5), **card):
    """A monitor that no study made: random weights, stages at the prompt's end, from so many tokens on, and
    at EOS."""
    rng = np.random.default_rng(seed)
    first = np.array([0, *spans, AT_EOS], np.int32)
    names = ["prompt_100", *(f"tokens_{each}" for each in spans), "eos"]
    scores = {"source": monitors.TRAINED, "auroc": 0.7, "brier": 0.2, "brier_of_base_rate": 0.25}
    about = {
        "format_version": monitors.FORMAT_VERSION,
        "rules_version": monitors.RULES_VERSION,
        "task": task,
        "status": "",
        "model": "m",
        "model_source": "",
        "identity": {},
        "hidden_size": hidden,
        "num_layers": 3,
        "tokenizer_sha256": "",
        "layer": layer,
        "params": {"relation": {"n": 1, "values": ["exactly"]}, "n": {"n": 2, "values": [5, 7]}},
        "stages": [{"name": name, "first": int(k), **scores} for name, k in zip(names, first, strict=True)],
    }
    k = len(first)
    return StoredMonitor(
        about | card,
        first,
        rng.normal(size=(k, hidden)).astype(np.float32),
        rng.normal(size=k).astype(np.float32),
        np.stack([rng.uniform(0.02, 0.1, k), rng.normal(size=k)], axis=1).astype(np.float32),
    )


def made_study(folder, loaded, tasks=("word_count", "json_format"), layers=(2, 2), name="tiny", **card):
    """A study's folder whose monitors, of random weights, fit a tiny model of that name."""
    from skillprobe.activations.extraction import tokenizer_hash
    from skillprobe.storage.fingerprint import folder_hash

    about = {
        "model": name,
        "model_source": loaded.source,
        "identity": {"source": loaded.source, "dtype": "float32", "sha256": folder_hash(loaded.source)},
        "tokenizer_sha256": tokenizer_hash(loaded.tokenizer),
        "hidden_size": loaded.hidden_size,
        "num_layers": loaded.num_layers,
    }
    for number, (task, layer) in enumerate(zip(tasks, layers, strict=True)):
        monitor = made_monitor(task, loaded.hidden_size, layer, seed=number, **(about | card))
        monitors.save(folder / f"results/demo/monitors/{name}/{task}.safetensors", monitor)
    return folder / "results/demo"
