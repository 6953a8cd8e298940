"""A random Llama (8 layers, d = 512, float32) with the tokenizer of a toy model."""

from dataclasses import replace
from pathlib import Path

import torch
from skillprobe.models import load
from transformers import AutoModelForCausalLM, LlamaConfig

TOY = Path(__file__).resolve().parents[2] / "workflow/resources/models/toy-llama"
HIDDEN, LAYERS = 512, 8


def random_llama():
    toy = load({"name": "toy-llama", "source": str(TOY)})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        LlamaConfig(
            vocab_size=len(toy.tokenizer),
            hidden_size=HIDDEN,
            intermediate_size=4 * HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=8,
            num_key_value_heads=4,
        )
    )
    backbone = model.eval().requires_grad_(False).get_decoder()
    # No token ends a response, so that all are equally long.
    return replace(toy, model=model, backbone=backbone, blocks=backbone.layers, eos_ids=(len(toy.tokenizer),))
