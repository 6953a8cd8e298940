"""What reading activations costs beside the forward pass alone, and what the usual ways cost.

With a GPU, a random Llama of Llama-3.1-8B's shape in bfloat16 and 512 answers of up to 256 tokens; without,
one of 8 layers and d = 512 in float32, on one thread, and 96 answers of up to 60. All layers are read at ten
positions, in the same token-budget batches by all but `generate`, which writes answers of its own: all others
must read the same numbers. Ratios come from one run on one machine, the best of five of each (of three on a
GPU), taken in turns. Peak memory is that of a process of its own, or what tensors take on the GPU. "peak" is
the share of what the machine reaches in one product of two large matrices; for it no attention and no padding
is counted as work.

nnsight (https://github.com/ndif-team/nnsight) is no requirement: it takes part where it is installed.
"""

import common  # noqa: F401  # isort: skip (before numpy: it sets the threads)

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch
from llama import LARGE, SMALL, random_llama
from skillprobe.activations.extraction import extract
from skillprobe.activations.positions import DEFAULT, resolve
from skillprobe.models.batches import in_batches
from skillprobe.models.chat import chat_ids

ON_GPU = torch.cuda.is_available()
SHAPE, ROWS, ANSWER, BUDGET, TOGETHER, TIMES = (
    (LARGE, 512, 256, 16384, 128, 3) if ON_GPU else (SMALL, 96, 60, 2048, 16, 5)
)
PROMPT = "Write a short text about the river . " * 4
SETTINGS = {"positions": list(DEFAULT), "dtype": "float16", "tokens_per_batch": BUDGET}


def label_rows(loaded):
    rng = np.random.default_rng(0)
    rows = []
    for number in range(ROWS):
        # Of many lengths, as answers are.
        ids = rng.integers(10, len(loaded.tokenizer) - 1, ANSWER - number % 20).tolist()
        row = {
            "id": f"{number}",
            "item": "i",
            "base": f"b{number:03d}",
            "group": f"g{number:03d}",
            "variant": "constrained",
            "phrasing": "p",
        }
        row |= {"satisfied": True, "truncated": False, "prompt": PROMPT, "instruction_type": "human"}
        row |= {"response": loaded.tokenizer.decode(ids), "token_ids": ids, "polarity": "positive"}
        rows.append(row)
    return rows


def batches(loaded, rows):
    """The same batches as `extract`: token ids and mask, right-padded."""
    sequences = [chat_ids(loaded.tokenizer, row["prompt"]) + row["token_ids"] for row in rows]
    lengths = [len(sequence) for sequence in sequences]

    def padded(batch):
        width = lengths[batch[-1]]
        ids, mask = (
            torch.full((len(batch), width), loaded.pad_id),
            torch.zeros(len(batch), width, dtype=torch.long),
        )
        for k, row in enumerate(batch):
            ids[k, : lengths[row]] = torch.tensor(sequences[row])
            mask[k, : lengths[row]] = 1
        return ids.to(loaded.device), mask.to(loaded.device)

    return in_batches(loaded, padded, range(len(rows)), lengths, "tokens", BUDGET)


@torch.inference_mode()
def forward(loaded, rows, folder):
    for _, (ids, mask) in batches(loaded, rows):
        loaded.backbone(input_ids=ids, attention_mask=mask, use_cache=False)
    if ON_GPU:
        torch.cuda.synchronize()


def ours(loaded, rows, folder):
    extract(loaded, rows, folder / "shard.h5", SETTINGS, study="bench", task="topic")


@torch.inference_mode()
def all_hidden_states(loaded, rows, folder):
    """`output_hidden_states=True`, every token of every layer kept until the positions are taken."""
    kept, order = [], []
    for batch, (ids, mask) in batches(loaded, rows):
        states = loaded.backbone(
            input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False
        )
        at = places(loaded, rows, batch)
        kept.append(torch.stack([layer[at].half() for layer in states.hidden_states]).cpu().numpy())
        order += batch
    save(folder, kept, order)


@torch.inference_mode()
def by_nnsight(loaded, rows, folder):
    """One trace a batch that saves all layers, as nnsight's docs advise, and of these the positions only. The
    backbone is wrapped as it is: its TransformersModel would pad the batch anew, and compute logits."""
    import nnsight

    model = nnsight.NNsight(loaded.backbone)
    kept, order = [], []
    for batch, (ids, mask) in batches(loaded, rows):
        at = places(loaded, rows, batch)
        with model.trace(input_ids=ids, attention_mask=mask, use_cache=False):
            first = model.layers[0].input[at].half()
            states = nnsight.save([first, *(layer.output[at].half() for layer in model.layers)])
        kept.append(torch.stack(states).cpu().numpy())
        order += batch
    save(folder, kept, order)


def places(loaded, rows, batch):
    """Index of the rows' positions in states [row, token, hidden]: rows, and tokens [position, row]."""
    prompt = len(chat_ids(loaded.tokenizer, PROMPT))
    found = [resolve(list(DEFAULT), prompt, len(rows[row]["token_ids"]), True)[0] for row in batch]
    return torch.arange(len(batch), device=loaded.device), torch.tensor(
        np.array(found).T, device=loaded.device
    )


def save(folder, kept, order):
    """States [layer, position, row, hidden], of batches whose rows are `order`, as those of rows in order."""
    np.save(folder / "states.npy", np.concatenate(kept, axis=2)[:, :, np.argsort(order)])


def check(folder, layers):
    """The same numbers as in our shard, but for the rounding of float16."""
    states = np.load(folder / "states.npy")
    with h5py.File(folder / "shard.h5") as shard:
        for layer in range(layers):
            expected = shard[f"layers/{layer}"][:]
            np.testing.assert_allclose(states[layer], expected, rtol=2e-3, atol=1e-3 * abs(expected).max())


@torch.inference_mode()
def generating(loaded, rows, folder):
    """`generate(output_hidden_states=True)`: states come with the tokens, one step at a time."""
    ids = torch.tensor([chat_ids(loaded.tokenizer, PROMPT)] * TOGETHER, device=loaded.device)
    for _ in range(0, len(rows), TOGETHER):
        output = loaded.model.generate(
            input_ids=ids,
            max_new_tokens=ANSWER,
            do_sample=False,
            eos_token_id=None,
            output_hidden_states=True,
            return_dict_in_generate=True,
        )
        last = torch.stack([step[-1][:, -1].half() for step in output.hidden_states])
        np.save(folder / "states.npy", last.cpu().numpy())
        # The next batch's would be made beside them.
        del output, last


WAYS = {
    "forward pass alone": forward,
    "extract": ours,
    "output_hidden_states": all_hidden_states,
    "nnsight": by_nnsight,
    "generate with states": generating,
}


def megabytes(name):
    """Of a process that does nothing else."""
    done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def most_memory():
    """The most that this process had so far, in MB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def matrix_peak(loaded):
    """Floating-point operations a second in one product of matrices of the model's dtype, where it is."""
    size = 8192 if ON_GPU else 2048
    a, b = torch.randn(2, size, size, device=loaded.device, dtype=loaded.model.dtype)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        (a @ b)[0, 0].item()
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def main():
    loaded = random_llama(SHAPE, *(("cuda", torch.bfloat16) if ON_GPU else ()))
    layers = SHAPE["num_hidden_layers"]
    rows = label_rows(loaded)
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            WAYS[sys.argv[1]](loaded, rows, Path(folder))
            print(most_memory())
            return
        folder = Path(folder)
        if importlib.util.find_spec("nnsight") is None:
            del WAYS["nnsight"]
            print("without nnsight, which isn't installed: pip install nnsight==0.8.1")
        ours(loaded, rows, folder)
        # hidden_states[-1] is after the final norm, which is none of the blocks.
        for way, read in ((all_hidden_states, layers), (WAYS.get("nnsight"), layers + 1)):
            if way:
                way(loaded, rows, folder)
                check(folder, read)
        times, memory = {name: [] for name in WAYS}, {}
        for _ in range(TIMES):
            for name, way in WAYS.items():
                if ON_GPU:
                    torch.cuda.reset_peak_memory_stats()
                start = time.perf_counter(), time.process_time()
                way(loaded, rows, folder)
                times[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
                if ON_GPU:
                    memory[name] = torch.cuda.max_memory_allocated() / 2**20
    plain, peak = min(times["forward pass alone"])[0], matrix_peak(loaded)
    weights = sum(weight.numel() for weight in loaded.blocks.parameters())
    prompt = len(chat_ids(loaded.tokenizer, PROMPT))
    tokens = dict.fromkeys(WAYS, sum(prompt + len(row["token_ids"]) for row in rows))
    tokens["generate with states"] = ROWS * (prompt + ANSWER)
    memory = memory or {name: megabytes(name) for name in WAYS}
    print(f"{torch.cuda.get_device_name() if ON_GPU else 'one thread'}: {peak / 1e12:.2f} TFLOP/s")
    print(f"{'':<24}{'time':>9}{'ratio':>9}{'CPU':>9}{'tokens/s':>10}{'peak':>7}{'memory':>11}")
    for name in WAYS:
        wall, cpu = map(min, zip(*times[name], strict=True))
        rate = tokens[name] / wall
        print(
            f"{name:<24}{wall:>8.2f}s{wall / plain:>8.2f}x{cpu:>8.2f}s{rate:>10,.0f}"
            f"{2 * weights * rate / peak:>7.0%}{memory[name]:>8,.0f} MB"
        )


if __name__ == "__main__":
    main()
