"""Answers are right in batches, or written one by one, or refused: tiny random models of architectures whose
cache no batch can shrink, beside some where it can."""

import warnings
from dataclasses import replace

import pytest
import torch
import transformers
from made.generation import PROMPTS, SEEDS, SETTINGS
from made.models import SPECIAL, WORDS, make_tokenizer
from skillprobe.errors import UserError
from skillprobe.models import rehearsal, writing
from skillprobe.models.chat import chat_ids
from skillprobe.models.drawing import Draw
from skillprobe.models.generation import generate
from skillprobe.models.loading import load

COMMON = {"vocab_size": len(SPECIAL + WORDS), "hidden_size": 32, "num_hidden_layers": 3}
COMMON |= {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 1, "initializer_range": 0.25}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48}
HEADS |= {"max_position_embeddings": 256}
LONGROPE = {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0, 8.0, 16.0, 32.0]}
# Class of the config, its own settings, and whether answers are right in batches.
KINDS = {
    "llama": ("LlamaConfig", HEADS, True),
    "mamba": ("MambaConfig", {"state_size": 4}, True),
    "bamba": (
        "BambaConfig",
        HEADS | {"attn_layer_indices": [1], "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 4},
        True,
    ),
    "phi3": (
        "Phi3Config",
        HEADS | {"num_key_value_heads": 4, "original_max_position_embeddings": 32, "rope_scaling": LONGROPE},
        True,
    ),
    "recurrent_gemma": (
        "RecurrentGemmaConfig",
        HEADS | {"lru_width": 32, "w_init_variance_scale": 1.0, "attention_window_size": 64},
        False,
    ),
    "rwkv": ("RwkvConfig", {"attention_hidden_size": 32, "context_length": 256}, False),
    "minimax": (
        "MiniMaxConfig",
        HEADS
        | {"num_local_experts": 2, "num_experts_per_tok": 1, "block_size": 8}
        | {"layer_types": ["full_attention", "linear_attention", "full_attention"]},
        False,
    ),
}


def make_folder(kind, folder):
    name, own, _ = KINDS[kind]
    torch.manual_seed(1)
    config = getattr(transformers, name)(**COMMON | own)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for weights in model.parameters():
        # Not all architectures heed initializer_range; where all tokens are equally likely nothing shows.
        if weights.dim() > 1 and weights.std() < 0.2:
            torch.nn.init.normal_(weights, std=0.25)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: make_folder(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


def loaded_model(folders, kind, **more):
    """With every fourth token an EOS, so that rows leave batches."""
    loaded = load({"name": kind, "source": str(folders[kind]), "dtype": "float32"} | more)
    return replace(loaded, eos_ids=tuple(range(3, len(SPECIAL + WORDS), 4)))


def of_one_pass(loaded, prompt, answer):
    """Whether the tokens of a greedy answer are the likeliest after the text so far."""
    ids = chat_ids(loaded.tokenizer, prompt)
    for token in answer.token_ids:
        with torch.no_grad():
            scores = loaded.model(torch.tensor([ids], device=loaded.device), use_cache=False).logits[0, -1]
        # Rounding may decide between two that are as good.
        if scores[token] < scores.max() - 1e-3:
            return False
        ids = [*ids, token]
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_answers_of_any_architecture_are_those_of_one_pass(folders, kind):
    loaded = loaded_model(folders, kind)
    settings = SETTINGS | {"temperature": 0}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = generate(loaded, PROMPTS, SEEDS, settings)
    assert all(of_one_pass(loaded, *each) for each in zip(PROMPTS, made, strict=True))
    assert len({len(answer.token_ids) for answer in made}) > 1
    in_batches = KINDS[kind][2]
    about = [str(each.message) for each in said if "one by one" in str(each.message)]
    assert len(about) == (not in_batches) and loaded.held["rows"] == (rehearsal.ANY if in_batches else 1)
    assert loaded.held["in_place"] == (kind in ("llama", "phi3"))
    # Sampled, the same in batches of any size; and nothing is rehearsed or said again.
    whole = generate(loaded, PROMPTS, SEEDS, SETTINGS)
    assert generate(loaded, PROMPTS, SEEDS, SETTINGS | {"batch_size": 1}) == whole


def long_prompts():
    """Below the length at which the model of `LONGROPE` switches, across it, and beyond it."""
    return [" ".join((WORDS * 3)[:length]) for length in (2, 5, 22, 27, 34, 40)] * 2


def test_texts_on_either_side_of_longrope_share_no_batch(folders):
    loaded, prompts = loaded_model(folders, "phi3"), long_prompts()
    lengths = [len(chat_ids(loaded.tokenizer, prompt)) for prompt in prompts]
    assert loaded.switch == 32 and loaded_model(folders, "llama").switch is None
    assert min(lengths) < 20 and max(lengths) > 32
    settings = SETTINGS | {"temperature": 0}
    whole = generate(loaded, prompts, SEEDS, settings)
    assert whole == [generate(loaded, [prompt], [0], settings)[0] for prompt in prompts]
    # They would not be the same in one batch: a long text changes what is written after a short one.
    encoded = [chat_ids(loaded.tokenizer, prompt) for prompt in prompts]
    mixed = {}
    draw = Draw(loaded.name, SEEDS, settings, settings["max_new_tokens"])
    most = settings["max_new_tokens"]
    writing.by_transformers(loaded, writing.Job(encoded, most, draw, len(encoded), mixed.__setitem__))
    assert [mixed[row] for row in range(len(prompts))] != [answer.token_ids for answer in whole]


def test_states_are_read_on_either_side_of_longrope(folders, tmp_path):
    from made.activations import label_row, make_shard
    from skillprobe.activations.shards import Shard

    loaded = loaded_model(folders, "phi3")
    rows = [label_row(number, length=length) for number, length in enumerate((4, 40, 9, 22, 31, 30))]
    make_shard(loaded, tmp_path / "together.h5", rows, scored=True, tokens_per_batch=10_000)
    make_shard(loaded, tmp_path / "alone.h5", rows, scored=True, tokens_per_batch=1)
    with Shard(tmp_path / "together.h5") as together, Shard(tmp_path / "alone.h5") as alone:
        for layer in together.layers:
            for position in ("prompt_100", "eos"):
                found, right = (torch.tensor(each.read(layer, position)) for each in (together, alone))
                torch.testing.assert_close(found, right, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(*map(torch.tensor, (together.log_probability, alone.log_probability)))


def test_a_model_that_is_wrong_by_itself_is_refused(folders):
    loaded = loaded_model(folders, "llama")

    def forget(_, args, scores):
        return scores.roll(1, -1) if scores.shape[1] == 1 else scores

    # In steps, and not in one pass.
    loaded.model.lm_head.register_forward_hook(forget)
    sentence = r"^model 'llama' \(LlamaForCausalLM\): the answers that it writes are not right .*choose"
    with pytest.raises(UserError, match=sentence):
        generate(loaded, PROMPTS, SEEDS, SETTINGS)


def test_a_model_is_rehearsed_once_and_never_under_edits(folders, monkeypatch):
    loaded, calls = loaded_model(folders, "llama"), []
    plain = rehearsal.rehearse
    monkeypatch.setattr(rehearsal, "rehearse", lambda *given: calls.append(1) or plain(*given))
    hook = loaded.blocks[1].register_forward_hook(lambda *_: None)
    generate(loaded, PROMPTS[:2], SEEDS[:2], SETTINGS)
    assert not calls and "rows" not in loaded.held
    hook.remove()
    for _ in range(2):
        generate(loaded, PROMPTS[:2], SEEDS[:2], SETTINGS)
    assert len(calls) == 1


def test_a_rehearsal_is_of_plain_tokens_and_ends(folders):
    """Whatever the prompt: of a single token, or of tokens that all end answers."""
    loaded = loaded_model(folders, "llama")
    for prompt in ([2], [3, 7, 11], list(range(20))):
        texts, planned = rehearsal._plan(loaded, prompt)
        assert [len(text) for text in texts] == [5, 16, 9]
        assert [len(tokens) for tokens in planned] == [2, 6, 4] == list(rehearsal.TOKENS)
        ends = [[token in loaded.eos_ids for token in tokens] for tokens in planned]
        assert all(each[-1] and not any(each[:-1]) for each in ends)
