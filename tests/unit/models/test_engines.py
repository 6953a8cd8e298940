"""Answers by vLLM, of which there is a stand-in here with the interface that its documentation gives."""

import json
import os
import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import pytest
import torch
from huggingface_hub import constants
from made.models import SPECIAL, TEXT, entry_of
from skillprobe.errors import UserError
from skillprobe.models import engines, vllm_worker
from skillprobe.models.engines import answer_task
from skillprobe.models.loading import load_outline
from transformers import AutoModelForCausalLM

WORDS = TEXT.split()
EOS = SPECIAL.index("<eos>")
ITEMS = [
    {
        "item": f"topic/b00{n}/0",
        "base": f"b00{n}",
        "group": f"g00{n}",
        "prompt": " ".join(WORDS[n : 3 * n + 2]),
        "unconstrained_prompt": "write",
    }
    for n in range(6)
]
GREEDY = {"samples": 1, "twin_samples": 1, "max_new_tokens": 12, "batch_size": 7, "temperature": 0}
GREEDY |= {"top_k": 0, "top_p": 1.0, "engine": "vllm"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class SamplingParams:
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop_token_ids: list[int] | None = None
    max_tokens: int | None = 16
    ignore_eos: bool = False
    detokenize: bool = True

    def __post_init__(self):
        assert 0 < self.top_p <= 1 and (self.top_k == -1 or self.top_k > 0)
        assert -(2**63) <= self.seed < 2**63


class LLM:
    """Takes the likeliest token, whatever the temperature; `keep_eos` False, `loses` (tokens of the prompt),
    `error` and `late` (when it generates) are faults of it."""

    made: list = []
    keep_eos = True
    loses = 0
    error: Exception | None = None
    late: Exception | None = None

    def __init__(self, model, **options):
        if self.error:
            raise self.error
        self.model, self.options = model, options
        LLM.made.append(self)

    @torch.no_grad()
    def generate(self, prompts, sampling_params=None, *, use_tqdm=True):
        if self.late:
            raise self.late
        assert not use_tqdm and len(prompts) == len(sampling_params)
        self.prompts = [prompt["prompt_token_ids"] for prompt in prompts]
        self.params = sampling_params
        self.network = AutoModelForCausalLM.from_pretrained(self.model, dtype=self.options["dtype"])
        return [
            SimpleNamespace(
                prompt_token_ids=ids[self.loses :],
                outputs=[SimpleNamespace(text="", token_ids=self.one(ids, params))],
            )
            for ids, params in zip(self.prompts, sampling_params, strict=True)
        ]

    def one(self, ids, params):
        made = []
        while len(made) < params.max_tokens:
            assert len(ids) + len(made) < self.options["max_model_len"]
            token = self.network(torch.tensor([ids + made])).logits[0, -1].argmax().item()
            if token in params.stop_token_ids and not self.keep_eos:
                break
            made.append(token)
            if token in params.stop_token_ids:
                break
        return made


@pytest.fixture
def vllm(monkeypatch):
    """The stand-in, as `import vllm` finds it, and asked in this process (not so in test_vllm_worker)."""
    module, platforms = ModuleType("vllm"), ModuleType("vllm.platforms")
    module.LLM, module.SamplingParams, module.__version__ = LLM, SamplingParams, "0"
    platforms.current_platform = SimpleNamespace(is_cpu=lambda: False, device_type="cuda")
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)
    monkeypatch.setattr(LLM, "made", [])
    monkeypatch.setattr(os, "environ", dict(os.environ))

    def in_vllm(python, asked):
        # As it comes out of the file.
        return vllm_worker.answer(json.loads(json.dumps(asked)))

    monkeypatch.setattr(engines, "_in_vllm", in_vllm)
    return LLM


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "qwen2"])
def test_both_engines_give_the_same_rows_where_nothing_is_random(model_folders, vllm, architecture):
    entry = entry_of(model_folders, architecture)
    rows = answer_task(entry, ITEMS, GREEDY, seed=0)
    assert rows == answer_task(entry, ITEMS, GREEDY | {"engine": "transformers"}, seed=0)
    assert len(vllm.made) == 1 and len(rows) == 12
    for row in rows:
        assert row["truncated"] == (row["token_ids"][-1] != EOS)
        assert "<eos>" not in row["response"]
    # One BOS where the tokenizer has one (Qwen's has none): they are passed as tokens.
    bos = load_outline(entry).tokenizer.bos_token_id
    assert all(ids.count(bos) == (bos is not None) for ids in vllm.made[0].prompts)


def test_an_answer_of_full_length_that_ends_with_an_eos_is_whole(model_folders, vllm):
    entry = entry_of(model_folders, "qwen2")
    rows = answer_task(entry, ITEMS, GREEDY | {"max_new_tokens": 40}, seed=0)
    ended = next(row for row in rows if not row["truncated"])
    settings = GREEDY | {"max_new_tokens": len(ended["token_ids"])}
    assert ended in answer_task(entry, ITEMS, settings, seed=0)


def test_each_row_has_its_seed_and_the_settings(model_folders, vllm):
    settings = GREEDY | {"temperature": 0.7, "samples": 3}
    entry = entry_of(model_folders, "llama")
    answer_task(entry, ITEMS, settings, seed=0)
    answer_task(entry, ITEMS[1:], settings | {"top_k": 5, "top_p": 0.9}, seed=0)
    answer_task(entry, ITEMS, settings, seed=1)
    first, second, other = ([each.seed for each in llm.params] for llm in vllm.made)
    assert len(set(first)) == len(first) == 24
    assert second == first[4:] and not set(first) & set(other)
    assert {(each.temperature, each.top_k, each.top_p) for each in vllm.made[0].params} == {(0.7, -1, 1.0)}
    assert {(each.temperature, each.top_k, each.top_p) for each in vllm.made[1].params} == {(0.7, 5, 0.9)}
    for each in vllm.made[0].params:
        assert (each.max_tokens, each.stop_token_ids, each.detokenize) == (12, [EOS], False)
        assert each.ignore_eos


def test_the_model_is_asked_for_as_its_entry_says(model_folders, vllm):
    entry = entry_of(model_folders, "llama", dtype="auto", trust_remote_code=True)
    answer_task(entry, ITEMS, GREEDY, seed=0)
    llm = vllm.made[0]
    assert llm.model == str(model_folders["llama"])
    # "auto" would be float16 for a model stored as float32.
    assert llm.options["dtype"] == "float32" and llm.options["trust_remote_code"] is True
    assert llm.options["max_num_seqs"] == 7
    assert llm.options["max_model_len"] == max(map(len, llm.prompts)) + 12
    assert llm.options["tensor_parallel_size"] == 1 and llm.options["load_format"] == "safetensors"
    assert llm.options["skip_tokenizer_init"] and "enforce_eager" not in llm.options


def test_a_fetched_hub_model_is_the_folder_in_the_cache(model_folders, vllm, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--org--tiny" / "snapshots" / COMMIT
    folder.parent.mkdir(parents=True)
    folder.symlink_to(model_folders["llama"])
    entry = {"name": "tiny", "source": "org/tiny", "revision": COMMIT, "offline": True, "dtype": "bfloat16"}
    rows = answer_task(entry, ITEMS, GREEDY, seed=0)
    assert (vllm.made[0].model, vllm.made[0].options["revision"]) == (str(folder), COMMIT)
    assert vllm.made[0].options["dtype"] == "bfloat16" and len(rows) == 12


def test_nothing_is_loaded_for_no_prompts(model_folders, vllm):
    assert answer_task(entry_of(model_folders, "llama"), [], GREEDY, seed=0) == []
    assert vllm.made == []


def test_what_goes_wrong_is_one_sentence(model_folders, vllm, monkeypatch):
    entry = entry_of(model_folders, "llama")

    def refused(match):
        with pytest.raises(UserError, match=match) as caught:
            answer_task(entry, ITEMS, GREEDY | {"max_new_tokens": 40}, seed=0)
        assert "\n" not in str(caught.value)

    monkeypatch.setattr(LLM, "keep_eos", False)
    refused("model 'llama': vLLM ended a response after .* tokens without an EOS; set generation.engine")
    monkeypatch.setattr(LLM, "loses", 1)
    refused("model 'llama': vLLM read other tokens than it was given; set generation.engine")
    monkeypatch.setattr(LLM, "late", RuntimeError("no room\nfor them"))
    refused("model 'llama': vLLM failed while it generated: no room for them; the job's log has more")
    monkeypatch.setattr(LLM, "error", ValueError("1 validation error\n  Value error, no such architecture"))
    refused("model 'llama': vLLM can't load it from '.*': 1 validation error Value error, no such arch")
    monkeypatch.setitem(sys.modules, "vllm", None)
    refused(r"generation.engine is vllm, which can't be imported \(.*\); give the Python of an environment")


def test_transformers_never_looks_for_vllm(model_folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.setattr(engines, "vllm_generate", None)
    rows = answer_task(entry_of(model_folders, "llama"), ITEMS[:1], GREEDY | {"engine": "transformers"}, 0)
    assert len(rows) == 2
