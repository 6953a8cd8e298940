"""Hooks see what the plain forward computes, whatever the architecture: tiny random models of many."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import transformers
from accelerate import cpu_offload
from made.models import HIDDEN, NUM_LAYERS, SPECIAL, WORDS, check_padding, make_tokenizer, plain_states
from skillprobe.activations.extraction import read_states
from skillprobe.erasure import Eraser
from skillprobe.erasure.edits import Erase, RowWise, Steer, edited, identity
from skillprobe.models.chat import chat_ids
from skillprobe.models.generation import generate
from skillprobe.models.loading import load

pytestmark = pytest.mark.gpu

COMMON = {
    "vocab_size": len(SPECIAL + WORDS),
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": NUM_LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "pad_token_id": 1,
    "initializer_range": 0.25,
}
# Windows are shorter than the longest text here, which is of 27 tokens, and then longer.
SHORT, LONG = {"sliding_window": 8}, {"sliding_window": 64}
# Class of the config, its own settings, and the name of the norm after the last block.
ARCHITECTURES = {
    "llama": ("LlamaConfig", {}, "norm"),
    "gemma2": ("Gemma2Config", {"query_pre_attn_scalar": 8, **SHORT}, "norm"),
    "gemma2-long-window": ("Gemma2Config", {"query_pre_attn_scalar": 8, **LONG}, "norm"),
    "gemma3": (
        "Gemma3TextConfig",
        {"query_pre_attn_scalar": 8, "sliding_window_pattern": 2, **SHORT},
        "norm",
    ),
    "qwen2": ("Qwen2Config", {}, "norm"),
    "qwen3": ("Qwen3Config", {}, "norm"),
    "mistral": ("MistralConfig", SHORT, "norm"),
    "mistral-long-window": ("MistralConfig", LONG, "norm"),
    "phi3": ("Phi3Config", {"num_key_value_heads": 4}, "norm"),
    "olmo2": ("Olmo2Config", {}, "norm"),
    "gpt2": ("GPT2Config", {}, "ln_f"),
    "neox": ("GPTNeoXConfig", {}, "final_layer_norm"),
    "mixtral": ("MixtralConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}, "norm"),
    "qwen3-moe": (
        "Qwen3MoeConfig",
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
        "norm",
    ),
}
# Whose soft-capped attention transformers has no sdpa for.
ONLY_EAGER = ("gemma2", "gemma2-long-window")
CASES = [
    (name, attention)
    for name in ARCHITECTURES
    for attention in ("eager", "sdpa")
    if attention == "eager" or name not in ONLY_EAGER
]
PROMPTS = ["write", "write a short text about the teacher", " ".join(WORDS)]


def make_folder(name, folder):
    """A tiny random model of an architecture, with a tokenizer; returns the folder."""
    kind, own, _ = ARCHITECTURES[name]
    torch.manual_seed(list(ARCHITECTURES).index(name))
    config = getattr(transformers, kind)(**COMMON | own)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: make_folder(name, tmp_path_factory.mktemp(name)) for name in ARCHITECTURES}


def loaded_model(folders, name, attention="eager", dtype="float32"):
    entry = {"name": name, "source": str(folders[name]), "dtype": dtype, "attn_implementation": attention}
    return load(entry)


def sequences_of(loaded):
    return [loaded.tokenizer(text, add_special_tokens=False)["input_ids"] for text in PROMPTS]


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_every_layer_is_that_of_the_plain_forward(folders, name, attention):
    loaded = loaded_model(folders, name, attention)
    assert loaded.num_layers == NUM_LAYERS and loaded.hidden_size == HIDDEN
    assert loaded.attn_implementation == attention
    ids = sequences_of(loaded)[-1]
    states = read_states(loaded, [ids], np.arange(len(ids))[None])[:, :, 0]
    expected = plain_states(loaded, ids)
    assert states.shape == (NUM_LAYERS + 1, len(ids), HIDDEN)
    torch.testing.assert_close(states[:-1], expected[:-1])
    # The last before the final norm, which the plain forward has taken.
    norm = getattr(loaded.backbone, ARCHITECTURES[name][2])
    with torch.no_grad():
        torch.testing.assert_close(norm(states[-1]), expected[-1])
    assert not torch.allclose(states[-1], expected[-1], atol=1e-2)


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_padding_on_either_side_or_none_gives_the_same(folders, name, attention):
    loaded = loaded_model(folders, name, attention)
    check_padding(loaded, sequences_of(loaded), 2e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.1), ("float16", 0.02)])
def test_half_precision_is_near(folders, name, dtype, tolerance):
    ids = sequences_of(loaded_model(folders, name))[-1]
    ends = np.array([[len(ids) - 1]])
    exact, half = (
        read_states(loaded_model(folders, name, dtype=kind), [ids], ends)[:, 0, 0].float()
        for kind in ("float32", dtype)
    )
    # Layer by layer, relative to how far states are from 0. A mixture may choose another expert for a token
    # on the brink; then nothing bounds the difference, but that is one of several experts in one layer.
    error = (exact - half).norm(dim=-1) / exact.norm(dim=-1)
    assert error.max() < (0.5 if "moe" in name or name == "mixtral" else tolerance), error


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_answers_are_those_of_the_plain_forward(folders, name, attention):
    """Greedy, in one left-padded batch, and under hooks that change nothing the same."""
    loaded = loaded_model(folders, name, attention)
    settings = {"max_new_tokens": 5, "batch_size": 3, "temperature": 0.0}
    made = generate(loaded, PROMPTS, [0, 1, 2], settings)
    assert loaded.held["in_place"]
    with edited(loaded, dict.fromkeys(range(NUM_LAYERS + 1), identity)):
        assert generate(loaded, PROMPTS, [0, 1, 2], settings) == made
    for prompt, answer in zip(PROMPTS, made, strict=True):
        ids = chat_ids(loaded.tokenizer, prompt)
        for token in answer.token_ids:
            with torch.no_grad():
                logits = loaded.model(torch.tensor([ids], device=loaded.device)).logits[0, -1]
            # Rounding may decide between two that are as good.
            assert logits[token] > logits.max() - 1e-3
            ids = [*ids, token]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_model_in_parts_is_the_same(folders, name):
    """As a device_map leaves it: weights of some blocks are moved in when they are needed."""
    whole, parted = loaded_model(folders, name), loaded_model(folders, name)
    for block in (0, 2):
        cpu_offload(parted.blocks[block], parted.device)
        assert {weights.device.type for weights in parted.blocks[block].parameters()} == {"meta"}
    ids = sequences_of(whole)[-1]
    assert torch.equal(*(read_states(model, [ids], np.arange(len(ids))[None]) for model in (whole, parted)))
    settings, made = {"max_new_tokens": 5, "batch_size": 3, "temperature": 1.0}, []
    steer = RowWise([Steer(np.random.default_rng(0).normal(size=HIDDEN), 4.0)])
    for model in (whole, parted):
        with edited(model, {1: steer, 2: steer}):
            each = generate(
                model, PROMPTS, [0, 1, 2], settings, lambda rows: steer.choose(np.zeros(len(rows), int))
            )
        made.append(each)
    assert made[0] == made[1] != generate(whole, PROMPTS, [0, 1, 2], settings)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_erased_direction_is_gone_at_its_layer(folders, name):
    loaded = loaded_model(folders, name)
    ids = sequences_of(loaded)[1]
    unit = np.linalg.qr(np.random.default_rng(0).normal(size=(HIDDEN, 1)))[0]
    eraser = RowWise([Erase(Eraser(unit, unit.T, np.zeros(HIDDEN)))])
    eraser.choose(np.zeros(1, int))
    for layer in (0, 2, NUM_LAYERS):
        with edited(loaded, {layer: eraser}):
            states = read_states(loaded, [ids], np.arange(len(ids))[None])[:, :, 0].double().cpu().numpy()
        assert abs(states[layer] @ unit).max() < 1e-5
        assert all(
            abs(states[other] @ unit).max() > 1e-3 for other in range(NUM_LAYERS + 1) if other != layer
        )


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_rows_that_end_leave_the_batch(folders, name, attention):
    """Sampled with every fourth token an EOS, each row under an edit of its own: as each row alone."""
    loaded = loaded_model(folders, name, attention)
    loaded = replace(loaded, eos_ids=tuple(range(3, len(SPECIAL + WORDS), 4)))
    rng = np.random.default_rng(0)
    edit = RowWise([None, *(Steer(rng.normal(size=HIDDEN) / 4, 1.0) for _ in range(3))])
    prompts, seeds = PROMPTS * 4, list(range(12))
    settings = {"max_new_tokens": 12, "temperature": 1.0}

    def run(batch_size):
        went_on = []

        def choose(rows):
            went_on.append(rows)
            edit.choose(np.array(rows) % 4)

        with edited(loaded, {2: edit}):
            return generate(loaded, prompts, seeds, settings | {"batch_size": batch_size}, choose), went_on

    together, went_on = run(12)
    assert len(went_on[0]) == 12 and len(went_on) > 2
    assert all(set(after) < set(before) for before, after in pairwise(went_on))
    assert len({len(answer.token_ids) for answer in together}) > 2
    assert together == run(1)[0]
