"""Hooks on a model: the states that extraction stores, while the model writes and afterwards."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made.activations import ROWS, make_shard, sequence_of
from made.models import WORDS
from made.monitors import made_study
from skillprobe.activations.extraction import tokenizer_hash
from skillprobe.activations.shards import Shard
from skillprobe.errors import UserError
from skillprobe.models.chat import chat_ids
from skillprobe.monitor import Monitor, StopBelow
from transformers import StoppingCriteriaList

ROOT = Path(__file__).parents[3]


@pytest.fixture
def monitor(loaded, tmp_path):
    return Monitor.from_study(made_study(tmp_path, loaded), "tiny")


def generate(loaded, ids, **more):
    """Of tokens that are no EOS, as many as are asked for."""
    settings = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": loaded.pad_id}
    settings |= {"eos_token_id": None, "suppress_tokens": list(loaded.eos_ids), **more}
    return loaded.model.generate(input_ids=torch.tensor(ids), **settings)


# The states


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 2e-3), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("layer", [0, 1, 3])
def test_what_is_read_is_what_extraction_stores(loaded, tmp_path, dtype, tolerance, layer):
    study = made_study(tmp_path, loaded, layers=(layer, layer))
    monitor = Monitor.from_study(study, "tiny", ["word_count"])
    stored = monitor.watched[0].stored
    rows = [row for row in ROWS if row["variant"] == "constrained"]
    compared = 0
    with Shard(make_shard(loaded, tmp_path / "0.h5", rows, dtype=dtype)) as shard:
        for number, row in enumerate(rows):
            assert shard.samples["id"][number] == row["id"]
            ids = sequence_of(loaded, row)
            length = len(ids) - len(row["token_ids"])
            table = monitor.read(loaded.model, [ids], [length], loaded.tokenizer)[0]
            body = len(row["token_ids"]) - (not row["truncated"])
            for name, step in (("prompt_100", 0), ("onset", 1), ("last", body), ("eos", body + 1)):
                if shard.valid[shard.positions.index(name), number]:
                    state = shard.read(layer, name)[number]
                    expected = stored.probability(state[None], stored.stage(step, name == "eos"))[0]
                    assert table[step, 0] == pytest.approx(expected, abs=tolerance)
                    compared += 1
    assert compared > 10


@pytest.mark.parametrize("use_cache", [True, False])
def test_while_it_is_written_it_is_read_as_afterwards(loaded, monitor, use_cache):
    asked = chat_ids(loaded.tokenizer, WORDS[0])
    with monitor.watch(loaded.model, loaded.tokenizer) as reading:
        out = generate(loaded, [asked], use_cache=use_cache)[0].tolist()
    table = monitor.read(loaded.model, [out], [len(asked)])[0]
    live = reading.probabilities[0]
    # The last token is chosen and not read.
    assert live.shape == (12, 2) and table.shape == (13, 2) and reading.written == 11
    np.testing.assert_allclose(live, table[:-1], atol=1e-4)
    assert reading.tokens[0].tolist() == out[len(asked) : -1]
    assert np.ptp(live, axis=0).min() > 0.01


def test_several_layers_are_read_side_by_side(loaded, tmp_path):
    study = made_study(tmp_path, loaded, tasks=("word_count", "json_format", "toxicity"), layers=(3, 0, 3))
    both = Monitor.from_study(study, "tiny", ["json_format", "word_count", "toxicity"])
    assert both.names == ["json_format", "word_count", "toxicity"]
    asked = chat_ids(loaded.tokenizer, WORDS[0])
    alone = {}
    for name in both.names:
        single = Monitor.from_study(study, "tiny", [name])
        with single.watch(loaded.model) as reading:
            generate(loaded, [asked])
        alone[name] = reading.probabilities[0, :, 0]
    with both.watch(loaded.model) as reading:
        generate(loaded, [asked])
    for number, name in enumerate(both.names):
        np.testing.assert_allclose(reading.probabilities[0, :, number], alone[name], atol=1e-6)


def test_left_padded_rows_are_read_as_alone(loaded, monitor):
    prompts = [chat_ids(loaded.tokenizer, " ".join(WORDS[:n])) for n in (2, 6)]
    width = max(map(len, prompts))
    ids = [[loaded.pad_id] * (width - len(each)) + each for each in prompts]
    mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in prompts])
    with monitor.watch(loaded.model) as reading:
        generate(loaded, ids, attention_mask=mask)
    together = reading.probabilities
    for row, prompt in enumerate(prompts):
        with monitor.watch(loaded.model) as reading:
            generate(loaded, [prompt])
        np.testing.assert_allclose(together[row], reading.probabilities[0], atol=1e-3)


def test_a_rows_eos_is_read_in_a_batch_and_what_follows_is_not(loaded, monitor):
    """Fed by hand, since which rows end is the model's own affair."""
    eos = loaded.eos_ids[0]
    asked = chat_ids(loaded.tokenizer, WORDS[0])
    written = torch.tensor([[8, eos, loaded.pad_id, loaded.pad_id], [8, 9, 10, 11]])
    with monitor.watch(loaded.model, loaded.tokenizer) as reading, torch.no_grad():
        out = loaded.model(input_ids=torch.tensor([asked] * 2), use_cache=True)
        for step in range(4):
            out = loaded.model(
                input_ids=written[:, step : step + 1], past_key_values=out.past_key_values, use_cache=True
            )
    found = reading.probabilities
    ended = monitor.read(loaded.model, [[*asked, 8, eos]], [len(asked)])[0]
    np.testing.assert_allclose(found[0, :3], ended, atol=1e-4)
    assert np.isnan(found[0, 3:]).all() and not np.isnan(found[1]).any()


def test_a_new_prompt_begins_anew_and_hooks_go_with_the_block(loaded, monitor):
    asked = chat_ids(loaded.tokenizer, WORDS[0])
    told, before = [], hooks(loaded)
    with monitor.watch(loaded.model, on_token=lambda reading: told.append(reading.written)) as reading:
        assert reading.probabilities.shape == (0, 0, 2) and reading.tokens.shape == (0, 0)
        for n in (3, 5):
            generate(loaded, [asked], max_new_tokens=n)
    assert told == [0, 1, 2, 0, 1, 2, 3, 4] and reading.probabilities.shape == (1, 5, 2)
    generate(loaded, [asked])
    assert len(told) == 8
    with pytest.raises(ValueError), monitor.watch(loaded.model):
        raise ValueError
    assert hooks(loaded) == before


def hooks(loaded):
    """How many there are: transformers may have left some of its own."""
    modules = [loaded.model, *loaded.blocks]
    return [(len(each._forward_hooks), len(each._forward_pre_hooks)) for each in modules]


def test_the_answer_is_the_same_with_and_without_the_monitor(loaded, monitor):
    asked = chat_ids(loaded.tokenizer, WORDS[0])
    plain = generate(loaded, [asked], output_scores=True, return_dict_in_generate=True)
    with monitor.watch(loaded.model):
        seen = generate(loaded, [asked], output_scores=True, return_dict_in_generate=True)
    for before, after in zip(plain.scores, seen.scores, strict=True):
        assert torch.equal(before, after)


# Stopping


def test_a_response_is_stopped_when_it_becomes_unlikely(loaded, monitor):
    asked = chat_ids(loaded.tokenizer, WORDS[0])
    with monitor.watch(loaded.model) as reading:
        generate(loaded, [asked])
    low = reading.probabilities[0, :, monitor.names.index("json_format")]
    first = int(np.argmin(low[2:])) + 2
    threshold = float(low[first]) + 1e-4
    expected = next(step for step in range(2, 12) if low[step] < threshold)
    with monitor.watch(loaded.model) as reading:
        stop = StopBelow(reading, threshold, ["json_format"], least=2)
        out = generate(loaded, [asked], stopping_criteria=StoppingCriteriaList([stop]))
    # After the step at which it is low, one more token has been chosen.
    assert out.shape[1] - len(asked) == expected + 1


def test_patience_waits_for_low_tokens_in_a_row(loaded, monitor):
    asked = chat_ids(loaded.tokenizer, WORDS[0])

    def tokens(**more):
        with monitor.watch(loaded.model) as reading:
            stop = StopBelow(reading, 1.0, **more)
            out = generate(loaded, [asked], stopping_criteria=StoppingCriteriaList([stop]))
        return out.shape[1] - len(asked)

    # Every probability is below 1: the prompt's end is the first low one.
    assert [tokens(), tokens(least=0), tokens(patience=4), tokens(least=6)] == [2, 1, 4, 7]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"threshold": 1.5}, "threshold of 0 to 1"),
        ({"threshold": 0.5, "patience": 0}, "patience of at least 1"),
        ({"threshold": 0.5, "constraints": ["topic"]}, "no monitor of 'topic' is watching"),
    ],
)
def test_wrong_rules_for_stopping_are_one_sentence(loaded_models, tmp_path, more, message):
    monitor = Monitor.from_study(made_study(tmp_path, loaded_models["llama"]), "tiny")
    with monitor.watch(loaded_models["llama"].model) as reading, pytest.raises(UserError, match=message):
        StopBelow(reading, **more)


# What doesn't fit


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"hidden_size": 64}, "for a hidden size of 64, but this model has a hidden size of 32"),
        ({"num_layers": 5}, "for 5 blocks, but this model has 3 blocks"),
        ({"tokenizer_sha256": "0" * 64}, "trained with another tokenizer"),
    ],
)
def test_another_model_or_tokenizer_is_one_sentence(loaded_models, tmp_path, card, message):
    loaded = loaded_models["llama"]
    monitor = Monitor.from_study(made_study(tmp_path, loaded, **card), "tiny")
    with pytest.raises(UserError, match=message), monitor.watch(loaded.model, loaded.tokenizer):
        pass
    with pytest.raises(UserError, match=message):
        monitor.read(loaded.model, [[1, 2, 3]], [2], loaded.tokenizer)


def test_padding_that_a_call_has_left_in_the_tokenizer_is_no_other_tokenizer(loaded, monitor):
    before = tokenizer_hash(loaded.tokenizer)
    loaded.tokenizer(["write", "write a"], padding=True)
    try:
        assert tokenizer_hash(loaded.tokenizer) != before
        left = loaded.tokenizer.backend_tokenizer.padding
        monitor.check(loaded.model, loaded.tokenizer)
        assert loaded.tokenizer.backend_tokenizer.padding == left
    finally:
        loaded.tokenizer.backend_tokenizer.no_padding()


def test_what_can_not_be_counted_is_refused(loaded, monitor):
    embedded = torch.zeros(1, 3, loaded.hidden_size)
    with monitor.watch(loaded.model), pytest.raises(UserError, match="must be given input_ids"):
        loaded.model(inputs_embeds=embedded)
    with monitor.watch(loaded.model), torch.no_grad():
        loaded.model(input_ids=torch.tensor([[6, 7], [6, 8]]))
        with pytest.raises(UserError, match="rows that join or leave"):
            loaded.model(input_ids=torch.tensor([[9]]))


@pytest.mark.parametrize("rows", [2, 5])
def test_texts_in_one_pass_are_read_as_alone(loaded, tmp_path, rows):
    study = made_study(tmp_path, loaded, tasks=("word_count", "json_format"), layers=(3, 0))
    both = Monitor.from_study(study, "tiny")
    prompts = [chat_ids(loaded.tokenizer, " ".join(WORDS[:n])) for n in (2, 6, 3, 4)]
    texts = [[*ids, 8, *[9] * n, loaded.eos_ids[0]] for n, ids in enumerate(prompts)]
    texts[2] = texts[2][:-1]
    lengths = list(map(len, prompts))
    found = both.read(loaded.model, texts, lengths, rows=rows)
    for text, length, table in zip(texts, lengths, found, strict=True):
        alone = both.read(loaded.model, [text], [length])[0]
        assert table.shape == alone.shape == (len(text) - length + 1, 2)
        np.testing.assert_allclose(table, alone, atol=1e-4)


# The page that is pasted from


def test_the_code_on_the_page_runs(loaded_models, tmp_path, monkeypatch, capsys):
    """docs/monitor.md, with a tiny model in the place of the demo's."""
    loaded = loaded_models["llama"]
    made_study(tmp_path, loaded, tasks=("word_count", "toxicity"), name="toy-llama")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/monitor.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    assert len(blocks) >= 3
    code = "\n".join(blocks).replace("workflow/resources/models/toy-llama", loaded.source)
    script = tmp_path / "page.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env={"PYTHONPATH": f"{ROOT}/workflow"}
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\[?\d\.\d+", done.stdout, re.M)
