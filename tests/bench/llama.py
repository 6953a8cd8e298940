"""Models with random weights, Llamas above all, and the tokenizer of a toy model."""

from dataclasses import replace
from pathlib import Path

import torch
from skillprobe.models.loaded import LoadedModel
from skillprobe.models.loading import load
from transformers import AutoModelForCausalLM, LlamaConfig

TOY = Path(__file__).resolve().parents[2] / "workflow/resources/models/toy-llama"
HIDDEN, LAYERS = 512, 8
SMALL = {
    "hidden_size": HIDDEN,
    "intermediate_size": 4 * HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
}
# Llama-3.1-8B's, and how many tokens it knows.
LARGE_VOCABULARY = 128256
LARGE = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}


def random_llama(
    shape: dict[str, int] = SMALL,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    vocabulary: int | None = None,
) -> LoadedModel:
    """vocabulary: how many tokens it gives scores to (None: those of the tokenizer)."""
    size = vocabulary or len(_toy().tokenizer)
    return random_model(LlamaConfig(vocab_size=size, **shape), device, dtype)


def random_model(config, device: str = "cpu", dtype: torch.dtype = torch.float32) -> LoadedModel:
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    backbone = model.eval().requires_grad_(False).get_decoder()
    toy = _toy()
    return replace(
        toy,
        model=model,
        backbone=backbone,
        blocks=backbone.layers,
        device=torch.device(device),
        # No token ends a response, so that all are equally long.
        eos_ids=(len(toy.tokenizer),),
    )


def _toy() -> LoadedModel:
    return load({"name": "toy-llama", "source": str(TOY), "device_map": "cpu"})
