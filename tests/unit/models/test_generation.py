"""Answers are drawn from the model's own distribution, whatever the batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made.generation import PROMPTS, SEEDS, SETTINGS
from made.models import make_tokenizer
from skillprobe.errors import UserError
from skillprobe.models import generation
from skillprobe.models.chat import chat_ids
from skillprobe.models.generation import generate, generate_task
from skillprobe.models.loading import load

pytestmark = pytest.mark.gpu


def next_token_probabilities(loaded, prompt, temperature=1.0):
    with torch.no_grad():
        ids = torch.tensor([chat_ids(loaded.tokenizer, prompt)], device=loaded.device)
        logits = loaded.model(ids).logits[0, -1]
    return (logits.double() / temperature).softmax(-1).cpu().numpy()


def test_greedy_is_the_argmax_of_the_plain_forward(loaded):
    made = generate(loaded, PROMPTS[:4], SEEDS[:4], SETTINGS | {"temperature": 0})
    for prompt, response in zip(PROMPTS, made, strict=False):
        ids = chat_ids(loaded.tokenizer, prompt)
        expected = []
        with torch.no_grad():
            while len(expected) < SETTINGS["max_new_tokens"] and 3 not in expected:
                so_far = torch.tensor([ids + expected], device=loaded.device)
                expected.append(loaded.model(so_far).logits[0, -1].argmax().item())
        assert response.token_ids == expected


@pytest.mark.parametrize("temperature", [0.7, 1.3])
def test_sampling_follows_the_softmax(loaded, temperature):
    draws = 4000
    settings = SETTINGS | {"max_new_tokens": 1, "batch_size": 1000, "temperature": temperature}
    made = generate(loaded, [PROMPTS[1]] * draws, range(draws), settings)
    probabilities = next_token_probabilities(loaded, PROMPTS[1], temperature)
    counts = np.bincount([response.token_ids[0] for response in made], minlength=len(probabilities))
    big = probabilities * draws >= 5
    expected = np.append(probabilities[big], probabilities[~big].sum()) * draws
    observed = np.append(counts[big], counts[~big].sum())
    statistic = ((observed - expected) ** 2 / np.maximum(expected, 1e-9))[expected > 1].sum()
    degrees = (expected > 1).sum() - 1
    # Far in the tail (p < 1e-4) of chi-squared, by Wilson and Hilferty's approximation.
    assert statistic < degrees * (1 - 2 / (9 * degrees) + 3.72 * (2 / (9 * degrees)) ** 0.5) ** 3


def test_top_k_and_top_p_cut_the_tail(loaded):
    probabilities = next_token_probabilities(loaded, PROMPTS[1])
    order = np.argsort(-probabilities)
    for change, allowed in (
        ({"top_k": 3}, set(order[:3])),
        ({"top_p": 0.5}, set(order[: np.searchsorted(probabilities[order].cumsum(), 0.5) + 1])),
    ):
        settings = SETTINGS | {"max_new_tokens": 1, "batch_size": 400} | change
        made = generate(loaded, [PROMPTS[1]] * 400, range(400), settings)
        assert {response.token_ids[0] for response in made} <= allowed
        assert len({response.token_ids[0] for response in made}) > 1 or len(allowed) == 1


def test_responses_do_not_depend_on_batches(loaded):
    whole = generate(loaded, PROMPTS, SEEDS, SETTINGS)
    for batch_size in (1, 3):
        assert generate(loaded, PROMPTS, SEEDS, SETTINGS | {"batch_size": batch_size}) == whole
    backwards = generate(loaded, PROMPTS[::-1], SEEDS[::-1], SETTINGS)
    assert backwards[::-1] == whole
    assert len({tuple(response.token_ids) for response in whole}) > len(PROMPTS) // 2


def test_prefix_is_kept_when_more_tokens_are_allowed(loaded):
    short = generate(loaded, PROMPTS, SEEDS, SETTINGS | {"max_new_tokens": 5})
    for brief, full in zip(short, generate(loaded, PROMPTS, SEEDS, SETTINGS), strict=True):
        assert full.token_ids[: len(brief.token_ids)] == brief.token_ids


def test_end_is_found_by_position(loaded):
    # Qwen's tokenizer pads with its EOS; a response has one EOS at most, and that is its last token.
    made = generate(loaded, PROMPTS * 4, range(len(PROMPTS) * 4), SETTINGS | {"temperature": 1.5})
    assert {response.truncated for response in made} == {True, False}
    for response in made:
        assert response.truncated == (response.token_ids[-1] != 3)
        assert 3 not in response.token_ids[:-1]
        assert not response.truncated or len(response.token_ids) == SETTINGS["max_new_tokens"]
        assert "<eos>" not in response.text


def test_empty_response_is_just_its_eos(loaded_models, monkeypatch):
    loaded = loaded_models["qwen2"]
    monkeypatch.setattr(generation, "Draw", lambda *_: lambda rows, *_: torch.full((len(rows),), 3))
    made = generate(loaded, PROMPTS[:3], SEEDS[:3], SETTINGS)
    assert all(r.token_ids == [3] and r.text == "" and not r.truncated for r in made)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_scores_that_are_no_numbers_are_refused(tmp_path, loaded_models, temperature, value):
    loaded_models["llama"].model.save_pretrained(tmp_path)
    loaded_models["llama"].tokenizer.save_pretrained(tmp_path)
    broken = load({"name": "broken", "source": str(tmp_path)})
    broken.model.lm_head.register_forward_hook(lambda _, __, scores: scores.fill_(value))
    with pytest.raises(UserError, match=r"^model 'broken' returns NaN or infinite scores for the next token"):
        generate(broken, PROMPTS[:2], SEEDS[:2], SETTINGS | {"temperature": temperature})


def test_answers_that_would_outgrow_the_model_are_refused_before_any_is_written(loaded, monkeypatch):
    longest = max(len(chat_ids(loaded.tokenizer, prompt)) for prompt in PROMPTS)
    monkeypatch.setattr(loaded.model.config, "max_position_embeddings", longest + SETTINGS["max_new_tokens"])
    assert len(generate(loaded, PROMPTS, SEEDS, SETTINGS)) == len(PROMPTS)
    monkeypatch.setattr(generation, "_write", lambda *_: pytest.fail("generated"))
    with pytest.raises(
        UserError,
        match=r"has a context window of \d+ tokens, but .*; lower generation.max_new_tokens, or "
        "max_new_tokens in its entry, to at most 12",
    ):
        generate(loaded, PROMPTS, SEEDS, SETTINGS | {"max_new_tokens": 13})


def test_a_model_without_a_cache_of_keys_goes_on_with_fewer_rows(tmp_path):
    """A state-space model: once rows have left, what the others wrote is read again."""
    from transformers import MambaConfig, MambaForCausalLM

    tokenizer = make_tokenizer()
    config = MambaConfig(
        vocab_size=len(tokenizer), hidden_size=32, state_size=4, num_hidden_layers=3, initializer_range=0.5
    )
    torch.manual_seed(0)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load({"name": "m", "source": str(tmp_path)})
    loaded = replace(loaded, eos_ids=tuple(range(3, len(tokenizer), 4)))
    left: list[int] = []
    whole = generate(loaded, PROMPTS, SEEDS, SETTINGS, lambda rows: left.append(len(rows)))
    assert len(left) > 1 and len({len(answer.token_ids) for answer in whole}) > 1
    assert generate(loaded, PROMPTS, SEEDS, SETTINGS | {"batch_size": 1}) == whole


def test_rows_of_a_task_and_their_seeds(loaded_models):
    loaded = loaded_models["llama"]
    items = [
        {
            "item": f"word_count/b00{n}/0",
            "base": f"b00{n}",
            "group": f"g00{n}",
            "prompt": PROMPTS[1],
            "unconstrained_prompt": "write",
        }
        for n in range(3)
    ]
    settings = SETTINGS | {"samples": 2, "twin_samples": 1}
    rows = generate_task(loaded, items, settings, seed=0)
    assert [row["id"] for row in rows[:3]] == [
        "word_count/b000/0/constrained/0",
        "word_count/b000/0/constrained/1",
        "word_count/b000/0/unconstrained/0",
    ]
    assert len({row["id"] for row in rows}) == 9
    assert {row["prompt"] for row in rows if row["variant"] == "unconstrained"} == {"write"}
    assert len({tuple(row["token_ids"]) for row in rows}) > 5
    # More items or samples leave the others' responses alone.
    fewer = generate_task(loaded, items[1:], settings | {"samples": 1}, seed=0)
    by_id = {row["id"]: row for row in rows}
    assert all(by_id[row["id"]] == row for row in fewer)
    assert generate_task(loaded, items, settings, seed=1) != rows
    assert generate_task(loaded, [], settings, seed=0) == []


def test_a_log_is_not_silent_during_the_first_batch(loaded_models, capsys, monkeypatch):
    from skillprobe.storage import progress

    monkeypatch.setattr(progress, "SECONDS", 0.0)
    generate(loaded_models["llama"], PROMPTS[:2], SEEDS[:2], SETTINGS | {"temperature": 1.0})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2 and lines[0].startswith("answers: 0 of 2, 0 s so far")


def planned(monkeypatch, loaded, answers):
    """Answers are these texts, in the order of the prompts."""
    ids = [loaded.tokenizer(text, add_special_tokens=False)["input_ids"] for text in answers]

    def write(_, job, __):
        for place, each in enumerate(ids):
            job.done(place, each)

    monkeypatch.setattr(generation, "_write", write)


def test_what_is_thought_is_no_part_of_an_answer(tmp_path, monkeypatch):
    from made.thinking import make_thinking_folder

    loaded = load({"name": "m", "source": str(make_thinking_folder(tmp_path))})
    texts = [
        "<think> write about </think> the river <eos>",
        "the river <eos>",
        "<think> </think> <eos>",
        "<think> write about <eos>",
        "<think> write about",
        "<think> write </think> the river",
    ]
    planned(monkeypatch, loaded, texts)
    made = generate(loaded, ["write"] * 6, range(6), SETTINGS)
    assert [each.text for each in made] == ["the river", "the river", "", "", "", "the river"]
    assert [each.thinking for each in made] == [4, 0, 2, 4, 3, 3]
    assert [each.truncated for each in made] == [False, False, False, True, True, True]
    rows = generation.completed([{}] * 6, made)
    assert rows[0]["thinking"] == 4 and "thinking" not in rows[1]
    # All that was written is kept, for the states to be read where it was written.
    assert [len(row["token_ids"]) for row in rows] == [7, 3, 3, 4, 3, 5]
