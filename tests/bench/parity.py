"""How far apart ways to the same hidden states are, by architecture, on the tiny random models of the tests.

Each number is the largest, over layers and tokens, of the norm of the difference relative to the norm of the
state: of what hooks read against `output_hidden_states` of the plain forward pass; of the last token of texts
padded on the right and on the left in one batch against each alone; of sdpa attention against eager; and of
bfloat16 against float32. tests/unit/test_parity.py bounds them.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from conftest import padded_states, plain_states
from skillprobe.activations import read_states
from test_parity import ARCHITECTURES, ONLY_EAGER, loaded_model, make_folder, sequences_of

COLUMNS = ("architecture", "hooks", "right-padded", "left-padded", "sdpa", "bfloat16")


def apart(found, expected):
    """found, expected: [..., hidden]."""
    return ((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max().item()


@torch.no_grad()
def differences(folders, name):
    loaded = loaded_model(folders, name)
    texts = sequences_of(loaded)

    def states(attention="eager", dtype="float32"):
        other = loaded_model(folders, name, attention, dtype)
        return read_states(other, texts[-1:], np.arange(len(texts[-1]))[None])[:, :, 0].float()

    eager = states()
    # The plain forward pass norms the last.
    normed = getattr(loaded.backbone, ARCHITECTURES[name][2])(eager[-1:])
    yield apart(torch.cat([eager[:-1], normed]), plain_states(loaded, texts[-1]))
    alone, *padded = padded_states(loaded, texts)[0]
    for side in padded:
        yield apart(side, alone)
    yield None if name in ONLY_EAGER else apart(states("sdpa"), eager)
    yield apart(states(dtype="bfloat16"), eager)


print("|", " | ".join(COLUMNS), "|")
print("|---" * len(COLUMNS) + "|")
for name in ARCHITECTURES:
    with tempfile.TemporaryDirectory() as folder:
        found = differences({name: make_folder(name, folder)}, name)
        cells = ["–" if number is None else "0" if number == 0 else f"{number:.0e}" for number in found]
    print("|", " | ".join([name, *cells]), "|")
