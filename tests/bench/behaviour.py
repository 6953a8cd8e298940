"""How much slower generation is under an eraser, beside plain generation of as many tokens, on one thread.

A random Llama (8 layers, d = 512, float32) on the CPU, the tokenizer a toy model's. Ratios come from one run
on one machine, the best of three of each, taken in turns.
"""

import common  # noqa: F401  # isort: skip (before numpy: it sets the threads)

import time

import numpy as np
from llama import HIDDEN, LAYERS, random_llama
from skillprobe.erasure import Eraser
from skillprobe.erasure.edits import Erase, RowWise, edited, identity
from skillprobe.models.generation import generate

RANK = 10
PROMPTS = [f"Write a short text about the {word} ." for word in ("river", "garden", "teacher", "city")] * 8
SETTINGS = {"max_new_tokens": 64, "batch_size": 16, "temperature": 1.0}


def eraser(seed=0):
    rng = np.random.default_rng(seed)
    a = np.linalg.qr(rng.normal(size=(HIDDEN, RANK)))[0].astype(np.float32)
    return Eraser(a, a.T, np.zeros(HIDDEN, np.float32))


def seconds(loaded, edits, n_kinds=1):
    """n_kinds: of its edits, how many a RowWise makes in one batch."""

    def choose(rows):
        for edit in edits.values():
            if isinstance(edit, RowWise):
                edit.choose(np.array(rows) % n_kinds)

    start = time.perf_counter()
    with edited(loaded, edits):
        generate(loaded, PROMPTS, range(len(PROMPTS)), SETTINGS, choose)
    return time.perf_counter() - start


loaded = random_llama()
every = range(LAYERS + 1)
one, several = RowWise([Erase(eraser())]), RowWise([None, *(Erase(eraser(seed)) for seed in range(15))])
ways = {
    "plain": ({},),
    "identity, all layers": (dict.fromkeys(every, identity),),
    f"rank {RANK}, one layer": ({LAYERS // 2: one},),
    f"rank {RANK}, all layers": (dict.fromkeys(every, one),),
    "mixed batch, all layers": (dict.fromkeys(every, several), 16),
}
seconds(loaded, {})
times = {name: [] for name in ways}
for _ in range(3):
    for name, way in ways.items():
        times[name].append(seconds(loaded, *way))
for name in ways:
    best = min(times[name])
    print(f"{name:<24}{best:>8.2f}s{best / min(times['plain']):>8.2f}x")
