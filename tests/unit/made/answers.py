"""Answers that no model wrote and no monitor read."""

import numpy as np
from skillprobe.monitor.answers import Answer
from skillprobe.monitor.constraints import Constraint, Watched

from made.monitors import made_monitor

SEVEN = {"relation": "exactly", "n": 7}
EVIL = "<img src=x onerror=alert(1)>\"'&\x1b[31m\u202e"


def made_answer(tokens=("The", " river", ""), prompt="Write.", truncated=False, response=None, seed=0):
    watched = [
        Watched(Constraint("word_count", SEVEN), made_monitor()),
        Watched(Constraint("toxicity"), made_monitor("toxicity")),
    ]
    steps = len(tokens) + 1
    stages = [["prompt_100"] * 2, *([["tokens_1"] * 2] * (steps - 1))]
    return Answer(
        prompt=prompt,
        response="".join(tokens) if response is None else response,
        tokens=list(tokens),
        truncated=truncated,
        stages=stages,
        probabilities=np.random.default_rng(seed).random((steps, 2)).astype(np.float32),
        watched=watched,
        verdicts=[{"satisfied": False, "evidence": {"count": 2}}, None],
    )
