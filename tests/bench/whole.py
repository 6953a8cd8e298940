"""The whole workflow on a large model with random weights, whose answers are noise.

With a GPU, a Llama of Llama-3.1-8B's shape and vocabulary in bfloat16, and one task of as many answers as in
workflow/studies/paper.yaml; without, one of 115 million weights in float32 (12 layers, d = 768), three small
tasks, on two cores. Every 64th token (every 16th word) ends an answer, so that few are truncated. Prints the
jobs, time, CPU time and peak memory of each rule, from the workflow's own benchmarks.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import torch
import yaml
from llama import LARGE, LARGE_VOCABULARY, TOY
from skillprobe.models.loading import load
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results/bench-whole"
STUDY = {
    "study": RESULTS.name,
    "tasks": ["word_count", "character_count", "term_exclusion"],
    "prompts": {"bases": 40},
    "generation": {"samples": 3, "twin_samples": 1, "batch_size": 32},
    "layers": [0, 6, 12],
    "probes": {"min_rows": 5, "min_groups": 5},
    "ablation": {"layers": [6]},
    "time": {"layers": [6]},
    "robustness": {"layers": [6]},
    "similarity": {"layers": [6]},
    "behaviour": {"bases": 4, "strengths": [2]},
}
SHAPE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
}
ENTRY, VOCABULARY, ENDS = {"dtype": "float32", "mem_mb": 4000}, None, 16
PLACE, OPTIONS = {}, ("--cores", "2")
if torch.cuda.is_available():
    PAPER = yaml.safe_load((ROOT / "workflow/studies/paper.yaml").read_text())
    STUDY |= {name: {"layers": [16]} for name in ("ablation", "time", "robustness", "similarity")}
    STUDY |= {name: PAPER[name] for name in ("generation", "activations", "behaviour")}
    STUDY |= {"tasks": ["word_count"], "prompts": {"bases": PAPER["prompts"]["bases"]}, "layers": [0, 16, 32]}
    SHAPE, VOCABULARY, ENDS = LARGE, LARGE_VOCABULARY, 64
    ENTRY = {"dtype": "bfloat16", "gpu": 1, "mem_mb": 40000}
    PLACE, OPTIONS = {"device": "cuda"}, ("--cores", "all", "--resources", "gpu=1")


def make_model(folder):
    """Number of its weights."""
    toy = load({"name": "toy-llama", "source": str(TOY), "device_map": "cpu"})
    tokenizer = toy.tokenizer
    if VOCABULARY:
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        known = state["model"]["vocab"]
        known |= {f" w{number}": number for number in range(len(known), VOCABULARY)}
        tokenizer._tokenizer = Tokenizer.from_str(json.dumps(state))
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), **SHAPE)
    # All that its tokenizer knows.
    config.skillprobe_world = "toy"
    with torch.device(PLACE.get("device", "cpu")):
        model = AutoModelForCausalLM.from_config(config, dtype=ENTRY["dtype"])
    ends = list(range(3, len(tokenizer), ENDS))
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=toy.pad_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(weights.numel() for weights in model.parameters())


def read(path):
    """Seconds, CPU seconds and MB of a job; of one that ends before the first look at it nothing is known."""
    with open(path, encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    return [0.0 if row[key] in ("NA", "-") else float(row[key]) for key in ("s", "cpu_time", "max_rss")]


with tempfile.TemporaryDirectory() as folder:
    print(f"{make_model(folder):,} weights", flush=True)
    path = Path(folder) / "whole.yaml"
    path.write_text(yaml.safe_dump(STUDY | {"models": [{"name": "random-llama", "source": folder} | ENTRY]}))
    command = [sys.executable, "-m", "snakemake", *OPTIONS, "--configfile", str(path)]
    # Of the GPU, this process keeps nothing that the jobs could miss.
    torch.cuda.empty_cache()
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])

used = defaultdict(list)
for path in RESULTS.glob("benchmarks/**/*.tsv"):
    used[path.relative_to(RESULTS / "benchmarks").parts[0].removesuffix(".tsv")].append(read(path))
print(f"{'':<32}{'jobs':>5}{'time':>9}{'CPU':>9}{'memory':>11}")
for rule, jobs in sorted(used.items(), key=lambda item: -sum(job[0] for job in item[1])):
    time, cpu, memory = zip(*jobs, strict=True)
    print(f"{rule:<32}{len(jobs):>5}{sum(time):>7.0f} s{sum(cpu):>7.0f} s{max(memory):>8,.0f} MB")
everything = [job for jobs in used.values() for job in jobs]
total = [sum(column) for column in zip(*everything, strict=True)]
print(f"{'all':<32}{len(everything):>5}{total[0]:>7.0f} s{total[1]:>7.0f} s")
rows = [json.loads(line) for path in RESULTS.glob("responses/**/*.jsonl") for line in path.open()]
edited = [json.loads(line) for path in RESULTS.glob("behaviour/*/*.jsonl") for line in path.open()]
edited = [row for row in edited if "token_ids" in row]
for name, answers in (("answers", rows), ("under edits", edited)):
    print(f"{name}: {len(answers)} of {sum(len(row['token_ids']) for row in answers):,} tokens")
