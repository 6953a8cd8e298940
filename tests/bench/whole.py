"""The whole workflow on a model of 115 million random weights (Llama, 12 layers, d = 768), on two cores.

Every 16th word of a toy model's vocabulary ends an answer, so that few are truncated; what they say is noise.
Prints the jobs, CPU time and peak memory of each rule, from the workflow's own benchmarks.
"""

import csv
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import torch
import yaml
from skillprobe.models import load
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results/bench-whole"
STUDY = {
    "study": RESULTS.name,
    "tasks": ["word_count", "character_count", "term_exclusion"],
    "prompts": {"bases": 40},
    "generation": {"samples": 3, "twin_samples": 1, "batch_size": 32},
    "layers": [0, 6, 12],
    "probes": {"min_rows": 5, "min_bases": 5},
    "ablation": {"layers": [6]},
    "time": {"layers": [6]},
    "robustness": {"layers": [6]},
    "similarity": {"layers": [6]},
    "behaviour": {"bases": 4, "strengths": [2]},
}


def make_model(folder):
    toy = load({"name": "toy-llama", "source": str(ROOT / "workflow/resources/models/toy-llama")})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        LlamaConfig(
            vocab_size=len(toy.tokenizer),
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            num_key_value_heads=12,
        )
    )
    ends = list(range(3, len(toy.tokenizer), 16))
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=toy.pad_id)
    model.save_pretrained(folder)
    toy.tokenizer.save_pretrained(folder)
    return sum(weights.numel() for weights in model.parameters())


with tempfile.TemporaryDirectory() as folder:
    print(f"{make_model(folder):,} weights", flush=True)
    models = [{"name": "random-llama", "source": folder, "dtype": "float32", "mem_mb": 4000}]
    path = Path(folder) / "whole.yaml"
    path.write_text(yaml.safe_dump(STUDY | {"models": models}))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", str(path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])

used = defaultdict(list)
for path in RESULTS.glob("benchmarks/**/*.tsv"):
    with open(path, encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    rule = path.relative_to(RESULTS / "benchmarks").parts[0].removesuffix(".tsv")
    # Of jobs that are over before the first look at them nothing is known.
    used[rule].append(
        [0.0 if row[key] in ("NA", "-") else float(row[key]) for key in ("cpu_time", "max_rss")]
    )
for rule, jobs in sorted(used.items(), key=lambda item: -sum(cpu for cpu, _ in item[1])):
    cpu, memory = zip(*jobs, strict=True)
    print(f"{rule:<28}{len(jobs):>4} jobs{sum(cpu):>8.0f} s{max(memory):>8.0f} MB")
total = sum(cpu for jobs in used.values() for cpu, _ in jobs)
print(f"{'all':<28}{sum(map(len, used.values())):>4} jobs{total:>8.0f} s")
