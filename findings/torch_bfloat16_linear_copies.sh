#!/usr/bin/env bash
# torch 2.13.0 (CPU): a linear layer in bfloat16 copies its weight once a row where its input is the slice
# h[:, -1:] of a longer text.
#
# Such a slice is not contiguous, so that matmul becomes a batched product with the weight expanded over the
# batch. In float32 and float16 the expanded weight stays a view. In bfloat16 it is made contiguous: as many
# copies of the weight as there are rows. On a contiguous copy of the input nothing of the kind happens.
#
# It matters to whoever generates in bfloat16 on a CPU: transformers' logits_to_keep=1 gives the language-model
# head just this slice when it reads the prompts. With a vocabulary of 150,000 and 128 rows these are 35 GB. A
# forward pre-hook on the head that makes its input contiguous is enough.
#
# Seen (copies of the weight, for 8 rows):
#   float32   slice 0   contiguous 0
#   float16   slice 0   contiguous 0
#   bfloat16  slice 8   contiguous 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys

import torch
from torch.profiler import profile

ROWS = 8


def copies(x, weight):
    """Of the weight, by the largest allocation of one call."""
    torch.nn.functional.linear(x, weight)
    with profile(profile_memory=True) as seen:
        torch.nn.functional.linear(x, weight)
    return max(event.cpu_memory_usage for event in seen.key_averages()) // weight.nbytes


found = {}
for name in ("float32", "float16", "bfloat16"):
    hidden = torch.zeros(ROWS, 20, 64, dtype=getattr(torch, name))
    weight = torch.zeros(1000, 64, dtype=hidden.dtype)
    last = hidden[:, -1:]
    found[name] = copies(last, weight), copies(last.contiguous(), weight)
    print(f"{name:9s} slice {found[name][0]}   contiguous {found[name][1]}")
print("torch", torch.__version__)
sys.exit(found != {"float32": (0, 0), "float16": (0, 0), "bfloat16": (ROWS, 0)})
PYTHON
