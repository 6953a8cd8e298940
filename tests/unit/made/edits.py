"""Prompts, edits of the hidden states, and texts to read under them."""

import numpy as np
from skillprobe.erasure import Eraser
from skillprobe.erasure.edits import Erase, RowWise, Steer

from made.models import HIDDEN, WORDS

PROMPTS = [" ".join(WORDS[:length]) for length in (3, 9, 1, 6, 12, 1)]
GENERATION = {"max_new_tokens": 12, "batch_size": 4, "temperature": 1.0, "top_k": 0, "top_p": 1.0}


def eraser(rank=4, alpha=1.0, seed=0, d=HIDDEN):
    """A random oblique one with B A = I."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(d, rank)), rng.normal(size=(rank, d))
    return Eraser(
        (a @ np.linalg.inv(b @ a)).astype(np.float32),
        b.astype(np.float32),
        rng.normal(size=d).astype(np.float32),
        alpha,
    )


def choose(edits, of_row):
    for edit in edits.values():
        if isinstance(edit, RowWise):
            edit.choose(np.asarray(of_row))


def direction(seed=0):
    return np.random.default_rng(seed).normal(size=HIDDEN)


NONE = {0: {}, 1: {}}
CONDITIONS = {
    "none": NONE,
    "flip": {fold: {2: Erase(eraser(alpha=2.0, seed=fold))} for fold in (0, 1)},
    "steer": {fold: {0: Steer(direction(fold), 1.0), 2: Steer(direction(3), 2.0)} for fold in (0, 1)},
}
TEXTS = [
    {
        "id": f"r{n}",
        "base": f"b{n:03d}",
        "group": f"g{n:03d}",
        "prompt": prompt,
        "token_ids": [6 + (n + i) % 20 for i in range(n)],
    }
    for n, prompt in enumerate(PROMPTS)
]
TEXT_FOLDS = {row["group"]: n % 2 for n, row in enumerate(TEXTS)}
