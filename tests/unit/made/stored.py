"""A small file of every kind that a study leaves, at its place, written by what writes it in a study."""

import numpy as np
from skillprobe.activations import shards
from skillprobe.analyses import pools
from skillprobe.erasure import cross, eraser
from skillprobe.erasure.cross import Ablated
from skillprobe.erasure.eraser import Eraser
from skillprobe.probes import monitors, planning, refits, results, transfer, trivial_monitors
from skillprobe.probes.planning import PromptScores
from skillprobe.probes.refits import Refits
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.transfer import Crossed
from skillprobe.statistics.intervals import Estimate
from skillprobe.storage import draws, files, tables
from skillprobe.storage.tables import DRAWS

N, SEEDS, FOLDS, D, TASKS = 12, 2, 3, 4, ("topic", "word_count")
IDS = np.array([f"topic/b{n // 2:03d}/0/constrained/{n % 2}" for n in range(N)])
GROUPS = np.array([f"g{n // 2:03d}" for n in range(N)])
RNG = np.random.default_rng(0)
ORIGIN = {
    **{"study": "s", "model": "m", "task": "topic", "model_source": "folder", "model_revision": ""},
    **{"model_dtype": "float32", "attn_implementation": "sdpa", "chat_template_sha256": "0" * 64},
    **{"tokenizer_sha256": "0" * 64, "library_versions": '{"numpy": "2"}'},
}


def random(*shape, dtype=np.float32):
    return RNG.normal(size=shape).astype(dtype)


def probe(status="", within=False):
    folds = np.tile(np.arange(N) // 2 % (FOLDS + 1) - 1, (SEEDS, 1)).astype(np.int8)
    labels = (np.arange(N) % 2).astype(np.int8)
    # All pairs within a fold are in the right order.
    scores = np.where(folds < 0, np.nan, labels + 0.0).astype(np.float32)
    chosen = np.full((SEEDS, FOLDS), 0.1)
    return ProbeResult(
        IDS,
        GROUPS,
        labels,
        folds,
        np.full_like(scores, np.nan) if status else scores,
        *(chosen, chosen * 7, chosen * 7),
        weights=random(D, dtype=float),
        intercept=0.5,
        penalties=np.array([0.01, 0.1]),
        fold_seeds=np.arange(SEEDS),
        status=status,
        items=GROUPS if within else np.zeros(0, "U1"),
        fold_weights=random(SEEDS, FOLDS, D),
        fold_intercepts=random(SEEDS, FOLDS, dtype=float),
    )


def one_eraser():
    return Eraser(random(D, 1), random(1, D), random(D))


def ablated():
    several = random(2, SEEDS, N)
    return Ablated(
        TASKS,
        ("", "it has no signal"),
        IDS,
        several[0],
        {name: several for name in cross.RETRAINED},
        {name: several for name in cross.FROZEN},
        *(random(3, 2, N), random(4, 2, N), random(3, N)),
    )


def prompt_scores():
    numbers = np.arange(N) % 3
    return PromptScores(
        *(IDS, GROUPS, numbers, numbers + 1, probe().folds, random(SEEDS, N, dtype=float)),
        *(random(SEEDS, N, dtype=float), np.ones((SEEDS, FOLDS), int), np.ones((SEEDS, FOLDS))),
        *(np.ones((5, N), int), random(5, N, dtype=float), random(5, N, dtype=float), np.ones(5, int)),
    )


def pool():
    """Two prompts, three responses to each, and one steered."""
    tokens, none = np.full((2, 3), 2), np.zeros((2, 3), bool)
    steered = pools.Steered(0.5, 2.0, tokens[:, :1], none[:, :1], none[:, :1])
    probabilities = np.full((2, 3, 3), 0.5, np.float32)
    names = np.array(["topic/b080/0", "topic/b081/0"]), np.array(["g080", "g081"])
    return pools.Pool(*names, tokens, none, none, np.zeros((2, 3), int), probabilities, (steered,))


def held_out():
    made = probe()
    return monitors.HeldOut(
        *(made.ids, made.groups, made.labels, made.folds, ["onset", "eos"]),
        *(np.ones((2, N), int), np.ones((2, N), bool), np.full((SEEDS, 2, N), 0.5, np.float32)),
    )


def trivial():
    kinds, inner = len(trivial_monitors.KINDS), np.full((len(trivial_monitors.KINDS), SEEDS, FOLDS, 1), 0.7)
    said = np.full((kinds, SEEDS, 2, N), 0.5, np.float32)
    return trivial_monitors.TrivialMonitors(IDS, ["eos"], "", inner, said, said[0])


def shard(path, kind="activations", dtype="float32"):
    crossed = kind.startswith("crossing")
    variant = {"activations": ("constrained", "unconstrained"), "random_activations": ("constrained",)}
    variants = variant.get(kind, ("counterfactual",))
    columns = {
        name: [f"{name}{n}" for n in range(N)] for name, of in shards.SAMPLE_FIELDS.items() if of is str
    }
    columns |= {"id": IDS, "group": GROUPS, "variant": [variants[n % len(variants)] for n in range(N)]}
    columns |= {"label": np.arange(N) % 2, "response_length": np.full(N, 5), "truncated": np.zeros(N, bool)}
    with shards.create(
        path,
        samples=columns,
        positions=("onset", "eos"),
        valid=np.ones((2, N), bool),
        num_layers=1,
        hidden_size=D,
        dtype=dtype,
        attributes=ORIGIN,
        log_probabilities=crossed,
    ) as writer:
        for layer in range(2):
            values = np.ones((2, N, D), shards.STORED[dtype])
            writer.write(layer, 0, [(slice(None), values)])
        if crossed:
            writer.write_log_probabilities(-np.ones(N, np.float32))
    files.write_json(path.with_suffix(".json"), shards.manifest(path))


def table(path, names, **cells):
    row = dict.fromkeys(names, "") | {"model": "m", "scope": "within", "layer": "selected", "estimate": 0.25}
    tables.write_csv(path, [{name: cells.get(name, row[name]) for name in names}])


HDF5 = {
    "activations/m/topic/0.h5": lambda path: shard(path, dtype="bfloat16"),
    "random_activations/m/topic/0.h5": lambda path: shard(path, "random_activations"),
    "crossing_activations/m/topic/0.h5": lambda path: shard(path, "crossing_activations"),
    "probes/specialist/m/topic/1.h5": lambda path: results.save(
        path, {"across": probe(), "within": probe(within=True)}
    ),
    "probes/general/m/1.h5": lambda path: results.save(
        path, {"across": {"all": {"topic": probe()}}, "within": {"matched": {"topic": probe("few")}}}
    ),
    "probes/surface/m/topic.h5": lambda path: results.save(path, {"length": probe()}),
    "probes/random/m/topic.h5": lambda path: results.save(path, {"0": probe(), "1": probe()}),
    "probes/wordings/m/1.h5": lambda path: results.save(
        path, {"topic": {"across": {"type": {"human": {"plm": probe()}}}}}
    ),
    "probes/transfer/m/1.h5": lambda path: transfer.save(
        path, {"across": {"topic": Crossed(TASKS, IDS, random(2, SEEDS, N))}}
    ),
    "probes/refits/m.h5": lambda path: refits.save(path, {"across": Refits.blank(TASKS, 5, FOLDS)}),
    "ablation/m/1.h5": lambda path: cross.save(path, {"across": {"topic": ablated()}}),
    "erasers/m/1.h5": lambda path: eraser.save(
        path, {"tasks": {"topic": {"0": one_eraser(), "all": one_eraser()}}, "random": {"0": one_eraser()}}
    ),
    "time/m/1.h5": lambda path: results.save(
        path, {"topic": {"across": {"eos_back": {"onset": probe(), "eos": probe()}}}}
    ),
    "time/m/baselines/topic.h5": lambda path: results.save(path, {"across": {"words": {"eos": probe()}}}),
    "time/m/planning/topic.h5": lambda path: planning.save(path, prompt_scores()),
    "guard/m/topic.h5": lambda path: pools.save(path, pool()),
    "monitors/m/topic.h5": lambda path: monitors.save_held_out(path, held_out()),
    "monitors/m/trivial/topic.h5": lambda path: trivial_monitors.save(path, trivial()),
    "tables/layers/m.h5": lambda path: draws.write_draws(
        path, [{"estimate": 0.5, DRAWS: Estimate(np.full(SEEDS, 0.5), np.full(7, 0.5))}]
    ),
}


def write_hdf5(root):
    """{place: path} of a file of each kind."""
    for place, write in HDF5.items():
        write(root / place)
    return {place: root / place for place in HDF5}
