"""What policies cost beside plain generation of the same responses. One thread.

The three toy models, 32 prompts, monitors of random weights; responses are short. A threshold of 0 stops
nothing, and no constraint is lost, so all ways write the same tokens. In `guarded`, rows that have ended stay
in their batch. CPU time, since the machine may be shared: the shortest of some runs, taken in turns.
"""

import common  # noqa: F401  # isort: skip (before numpy: it sets the threads)

import time
from pathlib import Path

import numpy as np
import torch
from skillprobe.models import loading
from skillprobe.models.generation import generate
from skillprobe.monitor.constraints import Constraint, Watched
from skillprobe.monitor.guard import SETTINGS, StopEarly, StopOnPrefix, VerifyAgain, guarded
from skillprobe.monitor.reading import Monitor
from skillprobe.probes.monitors import AT_EOS, StoredMonitor

MODELS = Path(__file__).resolve().parents[2] / "workflow/resources/models"
PROMPTS = [f"Write a short text about the {thing}." for thing in ("river", "garden", "lake", "forest")] * 8
TIMES, SEEDS = 7, list(range(32))
PLAIN = SETTINGS | {"max_new_tokens": 48}
# More words than there can be: never lost, never satisfied.
ASKED = Constraint("word_count", {"relation": "at_most", "n": 1000})


def monitor(loaded):
    rng = np.random.default_rng(0)
    first = np.array([0, 1, 2, 3, 5, 9, 17, 33, AT_EOS], np.int32)
    parts = [(len(first), loaded.hidden_size), len(first), (len(first), 2)]
    card = {"task": "word_count", "model": "m", "status": "", "layer": loaded.num_layers // 2}
    card |= {"hidden_size": loaded.hidden_size, "num_layers": loaded.num_layers, "tokenizer_sha256": ""}
    arrays = (rng.normal(size=shape).astype(np.float32) for shape in parts)
    made = Monitor([Watched(ASKED, StoredMonitor(card, first, *arrays))])
    made.check = lambda *_: None
    return made


def beside(name):
    loaded = loading.load({"name": name, "source": str(MODELS / name), "dtype": "float32"})
    reader = monitor(loaded)

    def plain():
        made = generate(loaded, PROMPTS, SEEDS, PLAIN)
        return sum(len(each.token_ids) for each in made)

    def under(policy):
        seeds = [[seed] for seed in SEEDS]
        made = guarded(loaded.model, loaded.tokenizer, reader, PROMPTS, policy, settings=PLAIN, seeds=seeds)
        return sum(each.spent for each in made)

    ways = {"plain": plain} | {
        type(policy).__name__: lambda policy=policy: under(policy)
        for policy in (StopEarly(0.0, 1), VerifyAgain(1), StopOnPrefix(1))
    }
    shortest, tokens = dict.fromkeys(ways, np.inf), {}
    for _ in range(TIMES):
        for way, run in ways.items():
            start = time.process_time()
            tokens[way] = run()
            shortest[way] = min(shortest[way], time.process_time() - start)
    assert len(set(tokens.values())) == 1, tokens
    cells = (
        f"{way} {1e3 * seconds:.0f} ms ({seconds / shortest['plain']:.2f}x)"
        for way, seconds in shortest.items()
    )
    print(f"{name:<11} {tokens['plain']} tokens: {', '.join(cells)}", flush=True)


torch.set_num_threads(1)
for folder in ("toy-llama", "toy-gemma2", "toy-qwen2"):
    beside(folder)
