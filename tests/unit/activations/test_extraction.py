"""States are those of the plain forward pass, whatever the batches, and whole or not there at all."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from made.activations import ROWS, make_shard, sequence_of
from made.models import ARCHITECTURES, HIDDEN, NUM_LAYERS, check_padding, plain_states
from skillprobe.activations import extraction, shards
from skillprobe.activations.extraction import read_states
from skillprobe.activations.positions import DEFAULT
from skillprobe.activations.shards import Shard
from skillprobe.errors import UserError
from skillprobe.models.chat import chat_ids
from skillprobe.models.loading import load

pytestmark = pytest.mark.gpu

# Reading


def test_characters_are_those_of_the_tokens_up_to_the_position(loaded, tmp_path):
    with Shard(make_shard(loaded, tmp_path / "s.h5")) as shard:
        rows = {row["id"]: row for row in ROWS}
        for column, name in enumerate(shard.samples["id"]):
            row, found = rows[name], dict(zip(shard.positions, shard.characters[:, column], strict=True))
            words = row["response"].split()
            assert found["prompt_50"] == found["prompt_100"] == 0
            if row["truncated"] or row["variant"] == "unconstrained":
                continue
            assert found["eos"] == len(row["response"])
            if words:
                assert found["last"] == len(row["response"])
                assert found["onset"] == len(words[0])
                half = (50 * (len(words) - 1) + 50) // 100
                assert found["body_50"] == len(" ".join(words[: half + 1]))


def test_a_character_of_several_tokens_counts_when_it_is_whole():
    class Bytes:
        """A token a byte."""

        def decode(self, ids, **_):
            return bytes(ids).decode(errors="replace")

    row = {"response": "aé\U0001f600b", "token_ids": [*"aé\U0001f600b".encode(), 3]}
    lengths = [extraction.prefix_length(Bytes(), row["response"], row["token_ids"], n) for n in range(10)]
    assert lengths == [0, 1, 1, 2, 2, 2, 2, 3, 4, 4]


@pytest.mark.parametrize(
    ("architecture", "attention"),
    [(architecture, "eager") for architecture in ARCHITECTURES] + [("llama", "sdpa"), ("qwen2", "sdpa")],
)
def test_every_layer_is_that_of_the_plain_forward(model_folders, architecture, attention):
    source = str(model_folders[architecture])
    loaded = load({"name": "m", "source": source, "dtype": "float32", "attn_implementation": attention})
    ids = sequence_of(loaded, ROWS[2])
    states = read_states(loaded, [ids], np.arange(len(ids))[None])[:, :, 0]
    expected = plain_states(loaded, ids)
    assert states.shape == (NUM_LAYERS + 1, len(ids), HIDDEN)
    torch.testing.assert_close(states[:-1], expected[:-1])
    assert not torch.allclose(states[-1], expected[-1], atol=1e-2)
    with torch.no_grad():
        torch.testing.assert_close(loaded.backbone.norm(states[-1]), expected[-1])


def test_padding_on_either_side_or_none_gives_the_same(loaded):
    check_padding(loaded, [sequence_of(loaded, row) for row in ROWS], 1e-4)


def test_no_logits_are_computed(loaded, monkeypatch):
    def head(*_):
        raise AssertionError("the head was called")

    monkeypatch.setattr(loaded.model.lm_head, "forward", head)
    read_states(loaded, [[2, 4, 6]], np.array([[2]]))


def test_log_probabilities_are_those_of_the_plain_forward_whatever_the_batch(loaded, tmp_path):
    rows = [row for row in ROWS if not row["truncated"]]
    make_shard(loaded, tmp_path / "many.h5", rows, scored=True)
    make_shard(loaded, tmp_path / "one.h5", rows, scored=True, tokens_per_batch=1)
    with Shard(tmp_path / "many.h5") as many, Shard(tmp_path / "one.h5") as one:
        np.testing.assert_allclose(many.log_probability, one.log_probability, atol=1e-3)
        np.testing.assert_allclose(many.read(1, "eos"), one.read(1, "eos"), atol=1e-4)
        for name, found in zip(many.samples["id"].tolist(), many.log_probability, strict=True):
            row = next(row for row in rows if row["id"] == name)
            ids = sequence_of(loaded, row)
            with torch.no_grad():
                logits = loaded.model(torch.tensor([ids], device=loaded.device)).logits[0].double().cpu()
            told = logits.log_softmax(dim=-1)
            start = len(ids) - len(row["token_ids"])
            expected = sum(told[place - 1, ids[place]].item() for place in range(start, len(ids)))
            assert found == pytest.approx(expected, abs=1e-3) and found < 0
    with Shard(make_shard(loaded, tmp_path / "plain.h5", rows)) as plain:
        assert plain.log_probability is None


def test_batches_with_logits_are_bounded(loaded_models, tmp_path, monkeypatch):
    loaded, sizes = loaded_models["llama"], []
    read = extraction.read_scored

    def counted(loaded, sequences, indices, starts):
        sizes.append(len(sequences) * max(map(len, sequences)))
        return read(loaded, sequences, indices, starts)

    monkeypatch.setattr(extraction, "read_scored", counted)
    monkeypatch.setattr(extraction, "_LOGITS", 40 * len(loaded.tokenizer))
    make_shard(loaded, tmp_path / "0.h5", scored=True)
    assert len(sizes) > 2 and max(sizes) <= 40


# Shards


def test_shard_holds_what_the_forward_gives_at_the_positions(loaded, tmp_path):
    with Shard(make_shard(loaded, tmp_path / "0.h5")) as shard:
        assert shard.layers == list(range(NUM_LAYERS + 1)) and tuple(shard.positions) == DEFAULT
        # Counterfactual rows come after the constrained ones, unconstrained ones last.
        order = [0, 3, 4, 5, 2, 1]
        assert shard.samples["id"].tolist() == [ROWS[i]["id"] for i in order]
        assert shard.samples["label"].tolist() == [1, 0, 1, 0, 1, 0]
        assert shard.samples["response_length"].tolist() == [10, 4, 1, 21, 13, 8]
        assert shard.samples["truncated"].tolist() == [False, True, False, False, False, False]
        valid = dict(zip(shard.positions, shard.valid, strict=True))
        assert valid["eos"].tolist() == [True, False, True, True, True, True]
        assert valid["last"].tolist() == [True, True, False, True, True, False]
        assert valid["prompt_100"].tolist() == [True, True, True, True, True, False]
        assert valid["onset"].tolist() == [True, True, False, True, True, False]
        for sample, number in enumerate(order):
            ids = sequence_of(loaded, ROWS[number])
            expected = plain_states(loaded, ids).cpu()
            prompt = len(ids) - len(ROWS[number]["token_ids"])
            for name, token in {"eos": -1, "prompt_100": prompt - 1, "onset": prompt}.items():
                for layer in range(NUM_LAYERS):
                    values = shard.read(layer, name)[sample]
                    if valid[name][sample]:
                        np.testing.assert_allclose(values, expected[layer, token], atol=1e-4)
                    else:
                        assert not values.any()


def test_batches_do_not_matter(loaded, tmp_path):
    with (
        Shard(make_shard(loaded, tmp_path / "many.h5")) as many,
        Shard(make_shard(loaded, tmp_path / "one.h5", tokens_per_batch=1)) as one,
    ):
        for layer in many.layers:
            for name in many.positions:
                np.testing.assert_allclose(many.read(layer, name), one.read(layer, name), atol=1e-4)


def test_blocks_do_not_matter(loaded_models, tmp_path, monkeypatch):
    loaded = loaded_models["gemma2"]
    whole = make_shard(loaded, tmp_path / "whole.h5", tokens_per_batch=1)
    monkeypatch.setattr(shards, "_CHUNK_BYTES", 2 * HIDDEN * 4)
    with Shard(whole) as whole, Shard(make_shard(loaded, tmp_path / "cut.h5", tokens_per_batch=1)) as cut:
        assert cut._file["layers/0"].chunks == (1, 2, HIDDEN)
        for layer in whole.layers:
            for name in whole.positions:
                np.testing.assert_array_equal(whole.read(layer, name), cut.read(layer, name))


def test_float16_overflow_and_nan_are_refused_by_layer_and_sample(loaded_models, tmp_path, monkeypatch):
    plain = extraction.read_states

    def spoiled(value):
        def read(loaded, sequences, indices):
            states = plain(loaded, sequences, indices)
            for row, sequence in enumerate(sequences):
                if len(sequence) == len(sequence_of(loaded, ROWS[5])):
                    states[2, :, row, 7] = value
            return states

        return read

    loaded = loaded_models["llama"]
    for value, dtype, message in (
        (
            1e5,
            "float16",
            "layer 2, sample 'topic/b005/0/constrained/0', are too large for float16; set",
        ),
        (float("nan"), "float32", "layer 2, sample 'topic/b005/0/constrained/0', are NaN or infinite"),
        (float("inf"), "bfloat16", "layer 2, sample 'topic/b005/0/constrained/0', are NaN or infinite"),
    ):
        monkeypatch.setattr(extraction, "read_states", spoiled(value))
        with pytest.raises(UserError, match=message):
            make_shard(loaded, tmp_path / "0.h5", dtype=dtype)
        # Whole or absent: nothing is left, not even the temporary file.
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(extraction, "read_states", spoiled(1e5))
    make_shard(loaded, tmp_path / "0.h5", dtype="bfloat16")


def test_a_batch_is_refused_while_the_next_is_read(loaded_models, tmp_path, monkeypatch):
    plain, passes = extraction.read_states, []

    def spoiled(*given):
        passes.append(1)
        return plain(*given).fill_(torch.nan)

    monkeypatch.setattr(extraction, "read_states", spoiled)
    with pytest.raises(UserError, match="are NaN or infinite"):
        make_shard(loaded_models["llama"], tmp_path / "0.h5", tokens_per_batch=1)
    # All are of one block.
    assert len(passes) == 2 < len(ROWS)


def test_out_of_memory_halves_the_batch(loaded_models, tmp_path, monkeypatch):
    loaded, plain, sizes = replace(loaded_models["llama"], held={}), extraction.read_states, []

    def small_gpu(loaded, sequences, indices):
        sizes.append(len(sequences))
        if len(sequences) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(loaded, sequences, indices)

    monkeypatch.setattr(extraction, "read_states", small_gpu)
    with pytest.warns(UserWarning, match="out of memory"):
        make_shard(loaded, tmp_path / "0.h5", tokens_per_batch=10_000)
    assert sizes[0] == len(ROWS) and max(sizes[2:]) <= 3
    sizes.clear()
    make_shard(loaded, tmp_path / "1.h5", tokens_per_batch=10_000)
    assert max(sizes) <= 2


# The thread that writes


MANY = {"tokens_per_batch": 1}


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of two samples; with MANY, a batch is one of them."""
    monkeypatch.setattr(shards, "_CHUNK_BYTES", 2 * HIDDEN * 4)


@pytest.fixture
def writing(monkeypatch):
    """Sets what happens before a layer of a block is written; afterwards, no thread is left."""
    plain, threads = shards.ShardWriter.write, threading.active_count()

    def before(do):
        monkeypatch.setattr(shards.ShardWriter, "write", lambda *given: (do(), plain(*given)))

    yield before
    assert threading.active_count() == threads


def test_a_thread_writes_the_same_bytes(loaded, tmp_path, monkeypatch, small_blocks, writing):
    writers = set()
    writing(lambda: writers.add(threading.get_ident()))
    by_thread = make_shard(loaded, tmp_path / "0.h5", **MANY).read_bytes()
    assert len(writers) == 1 and threading.get_ident() not in writers

    @contextmanager
    def at_once():
        yield lambda work, *arguments: work(*arguments)

    monkeypatch.setattr(extraction, "in_thread", at_once)
    assert make_shard(loaded, tmp_path / "1.h5", **MANY).read_bytes() == by_thread
    assert threading.get_ident() in writers


def test_forward_passes_go_on_while_the_disk_is_slow_but_not_far(
    loaded_models, tmp_path, monkeypatch, small_blocks, writing
):
    plain, passes, seen = extraction.read_states, [], []

    def counted(*given):
        passes.append(1)
        return plain(*given)

    # A block is whole after two batches. While the first is written, the second is read and waits.
    ahead = 4

    def slow():
        if not seen:
            until = time.monotonic() + 10
            while len(passes) < ahead and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.3)
            seen.append(len(passes))

    monkeypatch.setattr(extraction, "read_states", counted)
    writing(slow)
    make_shard(loaded_models["llama"], tmp_path / "0.h5", **MANY)
    assert seen == [ahead] and len(passes) == len(ROWS)


@pytest.mark.parametrize("block", [0, 2])
def test_an_error_of_the_disk_ends_the_pass(loaded_models, tmp_path, small_blocks, writing, block):
    calls = []

    def full():
        calls.append(1)
        if len(calls) > block * (NUM_LAYERS + 1):
            raise OSError("No space left on device")

    writing(full)
    with pytest.raises(OSError, match="No space left"):
        make_shard(loaded_models["llama"], tmp_path / "0.h5", **MANY)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_pass_ends_the_thread(loaded_models, tmp_path, monkeypatch, small_blocks, writing):
    plain, passes, blocks = extraction.read_states, [], []

    def failing(*given):
        passes.append(1)
        if len(passes) == 4:
            until = time.monotonic() + 10
            while not blocks and time.monotonic() < until:
                time.sleep(0.01)
            raise RuntimeError("device-side assert")
        return plain(*given)

    monkeypatch.setattr(extraction, "read_states", failing)
    # Slow, so that the pass fails while a block is being written.
    writing(lambda: blocks.append(1) or time.sleep(0.1))
    with pytest.raises(RuntimeError, match="device-side assert"):
        make_shard(loaded_models["llama"], tmp_path / "0.h5", **MANY)
    assert len(blocks) == NUM_LAYERS + 1  # of the first block, which was being written
    assert list(tmp_path.iterdir()) == []


def test_states_are_not_read_before_they_are_copied(loaded_models, tmp_path, monkeypatch, small_blocks):
    expected = make_shard(loaded_models["llama"], tmp_path / "0.h5", **MANY).read_bytes()

    class Copied:
        def __init__(self, host, tensors):
            self.host, self.tensors = host, tensors

        def synchronize(self):
            for here, there in zip(self.host, self.tensors, strict=True):
                here.copy_(there)

    def as_a_gpu(tensors):
        host = [torch.full_like(each, torch.nan, device="cpu") for each in tensors]
        return host, Copied(host, tensors)

    monkeypatch.setattr(extraction, "_to_host", as_a_gpu)
    assert make_shard(loaded_models["llama"], tmp_path / "1.h5", **MANY).read_bytes() == expected


# Refusals


def test_wrong_settings_are_refused(loaded_models, tmp_path):
    with pytest.raises(UserError, match="no position 'middle'"):
        make_shard(loaded_models["llama"], tmp_path / "0.h5", positions=["middle"])
    with pytest.raises(UserError, match="can't be stored as 'int8'"):
        make_shard(loaded_models["llama"], tmp_path / "0.h5", dtype="int8")


# Thoughts


@pytest.mark.parametrize("opened", [False, True])
def test_positions_and_texts_are_of_the_answer_after_a_thought(tmp_path, opened):
    from made.activations import label_row
    from made.thinking import make_thinking_folder

    folder = make_thinking_folder(tmp_path / "model", opened=opened)
    loaded = load({"name": "m", "source": str(folder), "dtype": "float32"})
    think, over = loaded.tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    thought = [*([] if opened else [think]), 7, 8, 9, over]
    rows = []
    for number, variant in enumerate(
        ("constrained", "unconstrained", "counterfactual", "without_constraint")
    ):
        row = label_row(number, variant, 6)
        rows.append(row | {"token_ids": thought + row["token_ids"], "thinking": len(thought)})
    cut = label_row(4) | {"token_ids": thought[:-1], "thinking": len(thought) - 1}
    rows.append(cut | {"truncated": True, "response": ""})
    with Shard(make_shard(loaded, tmp_path / "s.h5", rows, scored=True)) as shard:
        number = {name: place for place, name in enumerate(shard.samples["id"].tolist())}
        found = {name: shard.read(2, name) for name in shard.positions}
        valid = dict(zip(shard.positions, shard.valid, strict=True))
        characters = dict(zip(shard.positions, shard.characters, strict=True))
        empty = [over] if opened else [think, over]
        for row in rows[:4]:
            place, answer = number[row["id"]], row["token_ids"][len(thought) :]
            own = row["variant"] in ("constrained", "unconstrained")
            # Under another prompt than its own, an answer has an empty thought.
            prompt = chat_ids(loaded.tokenizer, row["prompt"])
            ids = prompt + (thought if own else empty) + answer
            expected = plain_states(loaded, ids)[2].numpy()
            np.testing.assert_allclose(found["eos"][place], expected[-1], atol=1e-4)
            assert shard.samples["response_length"][place] == 7
            assert characters["eos"][place] == len(row["response"])
            if row["variant"] != "unconstrained":
                np.testing.assert_allclose(found["prompt_100"][place], expected[len(prompt) - 1], atol=1e-4)
                np.testing.assert_allclose(found["onset"][place], expected[-7], atol=1e-4)
                assert characters["onset"][place] == len(row["response"].split()[0])
            with torch.no_grad():
                scores = loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
            told = sum(scores[k - 1, ids[k]].item() for k in range(len(ids) - 7, len(ids)))
            assert shard.log_probability[place] == pytest.approx(told, abs=1e-3)
        # Of one that never ends, nothing is the answer.
        place = number[rows[-1]["id"]]
        assert shard.samples["response_length"][place] == 0
        assert {name for name in shard.positions if valid[name][place]} == {"prompt_50", "prompt_100"}
