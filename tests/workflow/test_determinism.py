"""How far the same study may come out otherwise elsewhere: in other batches, on another kind of processor.

Byte for byte the same on one core and on two, and after it was killed: test_faults.py.
"""

import json
from itertools import zip_longest

import numpy as np
import pytest
import torch
from skillprobe.activations.shards import Shard
from workdir import SMOKE, copy_repository

PAIRS = (("toy-llama", "term_exclusion"), ("toy-gemma2", "json_format"), ("toy-qwen2", "word_count"))
SHARD, RESPONSES = "results/smoke/activations/{}/{}/0.h5", "results/smoke/responses/{}/{}/0.jsonl"
BATCHES = "generation: {batch_size: 7}\nactivations: {tokens_per_batch: 500}\n"
# No vector units to speak of, and other code in every library that multiplies.
OTHER_MACHINE = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Prescott",
}
# Of the tokens, until an answer's first difference, after which it goes its own way.
TOKENS = 1 / 1000
# A stored number: by one of float16's last digits, or by a thousandth of its layer's usual size.
LAST_DIGIT, OF_SIZE = 2**-10, 1 / 1000


def test_other_batches_and_another_machine_move_a_token_in_a_thousand_at_most(smoke, tmp_path):
    (tmp_path / "batches.yaml").write_text(BATCHES)
    check_elsewhere(smoke, copy_repository(tmp_path), OTHER_MACHINE, "batches.yaml")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_moves_a_token_in_a_thousand_at_most(smoke, tmp_path):
    """The study was run on the GPU; here is the processor."""
    check_elsewhere(smoke, copy_repository(tmp_path), {"CUDA_VISIBLE_DEVICES": ""})


def check_elsewhere(smoke, workdir, env, *configfiles):
    targets = [SHARD.format(*pair) for pair in PAIRS]
    # What was imported before, with another environment, would be this machine's.
    workdir.snakemake(*targets, "--configfile", SMOKE, *configfiles, env=env, forked=False)
    moved = tokens = changed = 0
    for pair in PAIRS:
        first, second = (
            [json.loads(line) for line in (each.path / RESPONSES.format(*pair)).read_text().splitlines()]
            for each in (smoke, workdir)
        )
        assert [row["id"] for row in first] == [row["id"] for row in second]
        same = set()
        for a, b in zip(first, second, strict=True):
            pairs = zip_longest(a["token_ids"], b["token_ids"])
            parted = next((number for number, (x, y) in enumerate(pairs) if x != y), None)
            if parted is None:
                same.add(a["id"])
            moved += parted is not None
            tokens += len(a["token_ids"]) if parted is None else parted + 1
        changed += not_quite_equal(smoke.path / SHARD.format(*pair), workdir.path / SHARD.format(*pair), same)
    print(f"{moved} of {tokens} tokens moved, and {changed} numbers of the rest's activations")
    assert tokens > 10_000 and moved <= TOKENS * tokens
    # It was another machine, and no copy of this one.
    assert changed


def not_quite_equal(first, second, ids):
    """How many numbers of two shards differ on these answers; none by more than the tolerance."""
    changed = 0
    with Shard(first) as a, Shard(second) as b:
        rows = [[list(shard.samples["id"]).index(name) for name in sorted(ids)] for shard in (a, b)]
        for layer in a.layers:
            for position in a.positions:
                x, y = (shard.read(layer, position)[own] for shard, own in zip((a, b), rows, strict=True))
                size = np.sqrt(np.mean(np.square(x)))
                np.testing.assert_allclose(y, x, rtol=LAST_DIGIT, atol=OF_SIZE * size)
                changed += int((x != y).sum())
    return changed
