"""What only a GPU can show: `make test-gpu`, which runs what bears the mark `gpu` elsewhere there too."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made.activations import ROWS, SETTINGS, label_row
from made.edits import CONDITIONS, TEXT_FOLDS, TEXTS
from made.generation import PROMPTS
from made.generation import SETTINGS as GENERATION
from skillprobe.activations import extraction
from skillprobe.activations.extraction import extract
from skillprobe.activations.shards import Shard
from skillprobe.erasure.behaviour import perplexity
from skillprobe.models.generation import generate
from skillprobe.models.loading import load

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="there is no GPU"),
]


@pytest.fixture
def on_cpu(model_folders):
    return load(
        {"name": "llama", "source": str(model_folders["llama"]), "dtype": "float32", "device_map": "cpu"}
    )


@pytest.fixture
def little_memory():
    """What tensors may take beyond what they take already: 32 MiB."""
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**25) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_models_are_on_the_gpu_and_random_weight_models_are_those_of_the_cpu(model_folders):
    entry = {"name": "m", "source": str(model_folders["gemma2"]), "dtype": "float32"}
    here = load(entry | {"device_map": "cpu"}, random_seed=3).model.state_dict()
    for device_map in (None, "auto", "balanced"):
        assert load(entry | {"device_map": device_map}).device.type == "cuda"
        drawn = load(entry | {"device_map": device_map, "gpu": 1}, random_seed=3)
        assert drawn.device.type == "cuda"
        for name, weights in drawn.model.state_dict().items():
            assert torch.equal(weights.cpu(), here[name])


def test_states_and_answers_are_those_of_the_cpu(loaded_models, on_cpu, tmp_path):
    on_gpu = loaded_models["llama"]
    assert (on_gpu.device.type, on_cpu.device.type) == ("cuda", "cpu")
    for name, loaded in (("gpu", on_gpu), ("cpu", on_cpu)):
        extract(loaded, ROWS, tmp_path / f"{name}.h5", SETTINGS, study="test", task="topic")
    with Shard(tmp_path / "gpu.h5") as first, Shard(tmp_path / "cpu.h5") as second:
        for layer in first.layers:
            for position in first.positions:
                found, expected = first.read(layer, position), second.read(layer, position)
                np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
    seeds = range(len(PROMPTS))
    assert generate(on_gpu, PROMPTS, seeds, GENERATION) == generate(on_cpu, PROMPTS, seeds, GENERATION)
    settings = {"tokens_per_batch": 60}
    found, expected = (perplexity(each, TEXTS, CONDITIONS, TEXT_FOLDS, settings) for each in (on_gpu, on_cpu))
    for one, other in zip(found, expected, strict=True):
        assert one["nll"] == pytest.approx(other["nll"], rel=1e-4)


def test_memory_that_runs_out_halves_the_batch_of_answers(loaded_models, little_memory):
    loaded = replace(loaded_models["llama"], held={})
    prompts, seeds = PROMPTS * 1000, range(1000 * len(PROMPTS))
    with pytest.warns(UserWarning, match="out of memory with"):
        many = generate(loaded, prompts, seeds, GENERATION | {"batch_size": len(prompts)})
    assert 0 < loaded.held["rows"] < len(prompts)
    few = generate(loaded, prompts[:500], seeds[:500], GENERATION | {"batch_size": 100})
    parted = sum(one != other for one, other in zip(many[:500], few, strict=True))
    # At one token in a thousand, by rounding.
    assert parted <= 0.001 * sum(len(answer.token_ids) for answer in few)


def test_memory_that_runs_out_halves_the_batch_that_is_read(loaded_models, little_memory, tmp_path):
    loaded = replace(loaded_models["llama"], held={})
    rows = [label_row(number, length=9 + number % 3) for number in range(12000)]
    settings = SETTINGS | {"positions": ["prompt_100", "eos"], "tokens_per_batch": 10**6}
    with pytest.warns(UserWarning, match="out of memory with"):
        extract(loaded, rows, tmp_path / "0.h5", settings, study="test", task="topic")
    assert 0 < loaded.held["tokens"] < 10**6
    with Shard(tmp_path / "0.h5") as shard:
        extract(loaded, rows[:20], tmp_path / "1.h5", settings, study="test", task="topic")
        with Shard(tmp_path / "1.h5") as alone:
            for layer in shard.layers:
                for position in shard.positions:
                    found, expected = shard.read(layer, position)[:20], alone.read(layer, position)
                    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


def test_states_leave_the_gpu_while_it_goes_on(loaded_models, tmp_path, monkeypatch):
    """Copied to pinned memory without waiting: the same bytes as if each copy were waited for."""
    many = [label_row(number, length=5 + number % 9) for number in range(300)]

    def made(name):
        extract(loaded_models["llama"], many, tmp_path / name, SETTINGS, study="test", task="topic")
        return (tmp_path / name).read_bytes()

    copied, to_host = [], extraction._to_host
    monkeypatch.setattr(extraction, "_to_host", lambda tensors: copied.append(to_host(tensors)) or copied[-1])
    at_once = made("0.h5")
    assert all(event is not None and host[0].is_pinned() for host, event in copied)
    monkeypatch.setattr(extraction, "_to_host", lambda tensors: ([each.cpu() for each in tensors], None))
    assert made("1.h5") == at_once
