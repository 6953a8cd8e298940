"""What a monitor of nine constraints at one layer costs: beside plain generation of as many tokens, and a
token alone at d = 4096. On one thread.

The three toy models and a random Llama (8 layers, d = 512), one prompt each, float32 on the CPU. CPU time,
since the machine may be shared: the shortest of some runs, taken in turns. Folders of other models, such as
`results/models/…` after `make real`, can be given as arguments.
"""

import common  # noqa: F401  # isort: skip (before numpy: it sets the threads)

import sys
import time
from pathlib import Path

import numpy as np
import torch
from llama import random_llama
from skillprobe import tasks
from skillprobe.models import loading
from skillprobe.models.chat import chat_ids
from skillprobe.monitor.constraints import Constraint, Watched
from skillprobe.monitor.reading import Monitor, Reading
from skillprobe.probes.monitors import AT_EOS, StoredMonitor

MODELS = Path(__file__).resolve().parents[2] / "workflow/resources/models"
PROMPT, TOKENS, TIMES = "Write a short text about the river.", 64, 15


def monitor(hidden, layers):
    """Of all tasks, with the stages of a study."""
    rng = np.random.default_rng(0)
    first = np.array([0, 1, 2, 3, 5, 9, 17, 33, AT_EOS], np.int32)
    parts = [(len(first), hidden), len(first), (len(first), 2)]
    watched = []
    for task in tasks.NAMES:
        card = {"task": task, "model": "m", "hidden_size": hidden, "num_layers": layers, "status": ""}
        card |= {"layer": layers // 2, "tokenizer_sha256": ""}
        arrays = (rng.normal(size=shape).astype(np.float32) for shape in parts)
        watched.append(Watched(Constraint(task), StoredMonitor(card, first, *arrays)))
    return Monitor(watched)


def beside(name, loaded):
    reader = monitor(loaded.hidden_size, loaded.num_layers)
    ids = torch.tensor([chat_ids(loaded.tokenizer, PROMPT)])

    def plain():
        more = {"min_new_tokens": TOKENS, "max_new_tokens": TOKENS, "do_sample": False}
        loaded.model.generate(input_ids=ids, pad_token_id=loaded.pad_id, **more)

    def watched():
        with reader.watch(loaded.model):
            plain()

    times = {plain: [], watched: []}
    for _ in range(TIMES):
        for way, seconds in times.items():
            start = time.process_time()
            way()
            seconds.append(time.process_time() - start)
    without, with_it = (min(seconds) for seconds in times.values())
    print(f"{name:<24}{1e3 * without:>8.1f} ms{1e3 * with_it:>8.1f} ms{with_it / without:>8.3f}x", flush=True)


def alone(hidden, steps=2000):
    """CPU time of what the hooks do for a token."""
    reader = monitor(hidden, 8)
    reading, (layer,) = Reading(reader, [3]), reader.layers.values()
    prompt, token = {"input_ids": torch.zeros(1, 9, dtype=int)}, {"input_ids": torch.zeros(1, 1, dtype=int)}
    states, shortest = torch.randn(1, 9, hidden), np.inf
    with torch.inference_mode():
        for _ in range(TIMES):
            reading.begin(None, (), prompt)
            reading.take(layer, states[:, -1])
            start = time.process_time()
            for _ in range(steps):
                reading.begin(None, (), token)
                reading.take(layer, states[:, -1])
            shortest = min(shortest, (time.process_time() - start) / steps)
    print(
        f"a token at d = {hidden:<9}{1e6 * shortest:>8.1f} µs for {len(reader.names)} constraints", flush=True
    )


torch.set_num_threads(1)
toys = [str(MODELS / name) for name in ("toy-llama", "toy-gemma2", "toy-qwen2")]
for folder in (*toys, *sys.argv[1:]):
    beside(Path(folder).name[:22], loading.load({"name": "m", "source": folder, "dtype": "float32"}))
beside("random Llama, d = 512", random_llama())
for hidden in (512, 4096):
    alone(hidden)
