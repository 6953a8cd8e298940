"""Rows join, leave and move, and each is written as if it were alone."""

from dataclasses import replace

import pytest
import torch
from made.generation import PROMPTS
from skillprobe.models import writing
from skillprobe.models.chat import chat_ids
from skillprobe.models.drawing import Draw

MOST = 12
SETTINGS = {"temperature": 1.0}


@pytest.fixture
def ending(loaded):
    """Every fourth token is an EOS, so that answers end at many places."""
    size = loaded.model.get_input_embeddings().weight.shape[0]
    return replace(loaded, eos_ids=tuple(range(3, size, 4)))


def encoded(loaded, number=40):
    prompts = [chat_ids(loaded.tokenizer, prompt) for prompt in PROMPTS]
    return [prompts[row % len(prompts)] for row in range(number)]


def written(way, loaded, prompts, together, **more):
    done = {}
    draw = Draw(loaded.name, range(len(prompts)), SETTINGS, MOST)

    def keep(row, ids):
        assert row not in done
        done[row] = ids

    way(loaded, writing.Job(prompts, MOST, draw, together, keep, **more))
    return [done[row] for row in range(len(prompts))]


@pytest.mark.parametrize("together", [1, 3, 8, 64])
@pytest.mark.parametrize("slack, read", [(64, 4096), (1, 4096), (3, 20)])
def test_in_place_is_as_by_transformers(ending, together, slack, read, monkeypatch):
    """Also where what is kept moves at each step, and where prompts are read in parts."""
    monkeypatch.setattr(writing, "_SLACK", slack)
    monkeypatch.setattr(writing, "_READ", read)
    prompts = encoded(ending)
    alone = written(writing.by_transformers, ending, prompts, 1)
    assert len(set(map(len, alone))) > 5
    assert all(ids[-1] in ending.eos_ids or len(ids) == MOST for ids in alone)
    assert written(writing.in_place, ending, prompts, together) == alone
    # Each in the company that its length gives it.
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    told = []
    made = written(writing.in_place, ending, prompts, together, on_rows=told.append)
    assert made == alone and max(map(len, told)) <= together and len(order) == len({*sum(told, [])})


def passes(loaded, prompts, together, **more):
    """Of each pass the rows and tokens that were read, and which rows were told before."""
    seen, told = [], []

    def note(_, __, keywords):
        seen.append((*keywords["input_ids"].shape, told[-1] if told else None))

    handle = loaded.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        written(writing.in_place, loaded, prompts, together, on_rows=told.append, **more)
    finally:
        handle.remove()
    return seen


def test_the_rows_of_each_pass_are_told(ending):
    seen = passes(ending, encoded(ending), 8)
    assert all(rows == len(told) <= 8 for rows, _, told in seen)
    steps = [rows for rows, tokens, _ in seen if tokens == 1]
    # Seven eighths of the places are taken at each step, while prompts are waiting.
    waiting = max(place for place, (_, tokens, _) in enumerate(seen) if tokens > 1)
    assert all(rows >= 7 for rows, tokens, _ in seen[:waiting] if tokens == 1)
    assert sum(steps) == sum(len(ids) - 1 for ids in written(writing.in_place, ending, encoded(ending), 8))


def test_a_prompt_is_read_once_for_all_its_rows_but_where_someone_asks_for_rows(ending):
    prompts = sorted(encoded(ending))
    read = []

    def note(_, __, keywords):
        ids, mask = keywords["input_ids"], keywords["attention_mask"]
        if ids.shape[1] > 1:
            read.extend(tuple(row[kept == 1].tolist()) for row, kept in zip(ids, mask, strict=True))

    handle = ending.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        made = written(writing.in_place, ending, prompts, 8)
        assert sorted(read) == sorted(set(map(tuple, prompts)))
        read.clear()
        assert written(writing.in_place, ending, prompts, 8, on_rows=lambda rows: None) == made
        assert sorted(read) == sorted(map(tuple, prompts))
    finally:
        handle.remove()


def test_memory_is_for_the_longest_text_and_no_more(ending, monkeypatch):
    prompts, made = encoded(ending), []
    plain = writing._InPlace.__init__

    def note(layer, *given):
        plain(layer, *given)
        made.append(layer.keys.shape)

    monkeypatch.setattr(writing._InPlace, "__init__", note)
    longest = max(map(len, prompts)) + MOST
    written(writing.in_place, ending, prompts, 8)
    assert {(shape[0], shape[2]) for shape in made} == {(8, longest + writing._SLACK)}
    made.clear()
    written(writing.in_place, ending, prompts, 64)
    assert {(shape[0], shape[2]) for shape in made} == {(len(prompts), longest)}
    writing.in_place(ending, writing.Job([], MOST, None, 8, None))


def test_which_models_keep_keys_and_values_and_nothing_else(loaded):
    assert writing.sliding_layers(loaded) == [False] * loaded.num_layers or loaded.name == "gemma2"


def test_what_follows_an_eos_is_no_part_of_an_answer():
    assert writing.cut([5, 6, 3, 3], (3,)) == [5, 6, 3]
    assert writing.cut([5, 6], (3,)) == [5, 6] and writing.cut([], (3,)) == []
    assert torch.is_inference_mode_enabled() is False
