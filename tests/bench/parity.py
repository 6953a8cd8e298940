"""How far apart ways to the same hidden states are, by architecture, on the tiny random models of the tests;
with `--full` on models of the paper's sizes, with random weights (20 GB of memory, minutes).

Each number is the largest, over layers and tokens, of the norm of the difference relative to the norm of the
state: of what hooks read against `output_hidden_states` of the plain forward pass; of the last token of texts
padded on the right and on the left in one batch against each alone; of sdpa attention against eager; and of
bfloat16 against float32. tests/unit/test_parity.py bounds them for the tiny ones.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from llama import LARGE, LARGE_VOCABULARY, random_model
from transformers import Gemma2Config, LlamaConfig, Qwen2Config

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from made.models import padded_states, plain_states
from skillprobe.activations.extraction import read_states
from test_parity import ARCHITECTURES, ONLY_EAGER, loaded_model, make_folder, sequences_of

COLUMNS = ("architecture", "hooks", "right-padded", "left-padded", "sdpa", "bfloat16")


def apart(found, expected):
    """found, expected: [..., hidden]."""
    return ((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max().item()


@torch.no_grad()
def differences(loaded, other, norm, texts):
    """loaded: with eager attention; other: makes the same with another attention or dtype, or None."""

    def states(of):
        read = read_states(of, texts[-1:], np.arange(len(texts[-1]))[None])
        return read[:, :, 0].float()

    eager = states(loaded)
    # The plain forward pass norms the last.
    normed = getattr(loaded.backbone, norm)(eager[-1:].to(loaded.model.dtype)).float()
    yield apart(torch.cat([eager[:-1], normed]), plain_states(loaded, texts[-1]).float())
    alone, *padded = padded_states(loaded, texts)[0]
    for side in padded:
        yield apart(side.float(), alone.float())
    for change in ({"attention": "sdpa"}, {"dtype": "bfloat16"}):
        found = other(**change)
        yield None if found is None else apart(states(found), eager)


def tiny(name):
    with tempfile.TemporaryDirectory() as folder:
        folders = {name: make_folder(name, folder)}
        loaded = loaded_model(folders, name)

        def other(attention="eager", dtype="float32"):
            if attention == "sdpa" and name in ONLY_EAGER:
                return None
            return loaded_model(folders, name, attention, dtype)

        yield from differences(loaded, other, ARCHITECTURES[name][2], sequences_of(loaded))


# In the dtype of the second, so that 20 GB hold them.
FULL = {
    "Llama-3.1-8B": (LlamaConfig(vocab_size=LARGE_VOCABULARY, **LARGE), torch.bfloat16),
    "gemma-2-2b": (Gemma2Config(vocab_size=256000), torch.float32),
    "Qwen2.5-0.5B": (
        Qwen2Config(
            vocab_size=151936,
            hidden_size=896,
            intermediate_size=4864,
            num_hidden_layers=24,
            num_attention_heads=14,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        ),
        torch.float32,
    ),
}


def full(name):
    config, dtype = FULL[name]
    loaded = random_model(config, dtype=dtype)
    loaded.model.set_attn_implementation("eager")
    rng = np.random.default_rng(0)
    texts = [rng.integers(10, config.vocab_size, length).tolist() for length in (3, 40, 200)]

    def other(attention="eager", dtype=None):
        if (attention == "sdpa" and config.model_type == "gemma2") or dtype == loaded.dtype:
            return None
        loaded.model.set_attn_implementation(attention)
        if dtype:
            loaded.model.to(getattr(torch, dtype))
        return loaded

    yield from differences(loaded, other, "norm", texts)


rows = (FULL, full) if "--full" in sys.argv else (ARCHITECTURES, tiny)
print("|", " | ".join(COLUMNS), "|")
print("|---" * len(COLUMNS) + "|")
for name in rows[0]:
    found = rows[1](name)
    cells = ["–" if number is None else "0" if number == 0 else f"{number:.0e}" for number in found]
    print("|", " | ".join([name, *cells]), "|", flush=True)
