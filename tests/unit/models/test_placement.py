"""Whether a model fits, and onto which devices, is known before it is loaded."""

import shutil

import pytest
import torch
from skillprobe.errors import UserError
from skillprobe.labels import classifiers
from skillprobe.models import loading, placement
from skillprobe.models.loading import load


@pytest.mark.usefixtures("nothing_held")
@pytest.mark.parametrize("device_map", [None, "auto"])
def test_a_model_that_asks_for_a_gpu_is_not_run_without(monkeypatch, model_folders, device_map):
    entry = {"name": "m", "source": str(model_folders["llama"]), "gpu": 1, "device_map": device_map}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        UserError, match=r"model 'm' asks for a GPU \(gpu: 1\), but torch .* finds none; install"
    ):
        loading.load(entry)
    with pytest.raises(UserError, match="^judges.topic asks for a GPU"):
        classifiers.TransformersJudge(
            "topic",
            {"model": entry["source"], "revision": None, "offline": True, "threshold": 0.5, "gpu": 1},
            ["a", "b"],
        )
    assert loading.load(entry | {"device_map": "cpu"}).device.type == "cpu"


@pytest.mark.usefixtures("nothing_held")
def test_a_model_that_does_not_fit_onto_its_gpus_is_refused():
    places = {"model.embed_tokens": 0, "model.layers.0": 0, "model.layers.1": "cpu", "lm_head": "cpu"}
    with pytest.raises(
        UserError,
        match=r"'m' doesn't fit onto .*: device_map auto placed 2 of 4 parts elsewhere, "
        "such as model.layers.1",
    ):
        placement.check_spread("m", "auto", places)
    for fine in ({}, {"": "cpu"}, {"": "cuda"}, {"model": 0, "lm_head": 1}):
        placement.check_spread("m", "auto", fine)


@pytest.mark.usefixtures("nothing_held")
@pytest.mark.parametrize(
    ("entry", "asked"),
    [
        ({}, [1]),
        ({"gpu": 2}, [1]),
        ({"gpu": 2, "device_map": "auto"}, [2]),
        ({"device_map": "auto"}, [0]),
        ({"gpu": 2, "device_map": "cpu"}, []),
    ],
)
def test_a_model_leases_what_its_device_map_may_take(monkeypatch, model_folders, entry, asked):
    numbers = []
    monkeypatch.setattr(placement, "use_gpus", numbers.append)
    monkeypatch.setattr(placement, "check_there", lambda *_: None)
    monkeypatch.setattr(loading, "_local_folder", None)
    with pytest.raises(TypeError):  # So far and no further.
        loading.load({"name": "m", "source": str(model_folders["llama"])} | entry)
    assert numbers == asked


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_the_memory_of_weights_is_known_before_they_are_loaded(model_folders, tmp_path, dtype):
    loaded = load({"name": "m", "source": str(model_folders["llama"]), "dtype": dtype})
    # Tied ones are stored once.
    expected = sum(parameter.numel() * parameter.element_size() for parameter in loaded.model.parameters())
    assert placement.weights_bytes(model_folders["llama"], dtype) == expected
    # The same weights once more, as Mistral's and Meta's repositories have them.
    folder = shutil.copytree(model_folders["llama"], tmp_path / "twice")
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    shutil.copytree(model_folders["llama"], folder / "original")
    assert placement.weights_bytes(folder, dtype) == expected


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(model_folders, monkeypatch):
    entry = {"name": "m", "source": str(model_folders["llama"]), "dtype": "float32"}
    needed = placement.weights_bytes(entry["source"], "float32")
    monkeypatch.setattr(placement, "available_memory", lambda: needed)
    load(entry)
    monkeypatch.setattr(placement, "available_memory", lambda: needed - 1)
    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", None)
    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_config", None)
    with pytest.raises(UserError, match="model 'm' takes 0.0 GiB, but this machine has 0.0 GiB free; use a"):
        load(entry)
    for device_map in (None, "auto"):
        with pytest.raises(
            UserError,
            match="model 'm' with random weights takes 0.0 GiB, but main memory .*random_weights: f",
        ):
            load(entry | {"device_map": device_map}, random_seed=1)
    # A model too large for this machine, of which a GPU has room for so much.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (needed - 1, needed))
    with pytest.raises(
        UserError, match="model 'm' takes 0.0 GiB, but the GPU has 0.0 GiB free; use a larger one, dev"
    ):
        load(entry)
