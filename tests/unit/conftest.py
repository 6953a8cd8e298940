"""Tiny random models as folders and loaded, and a place where a study can be planned."""

import pytest
from made.configs import make_folder
from made.models import ARCHITECTURES, make_config, make_tokenizer


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory):
    """architecture -> folder of a tiny random model; Qwen's tokenizer has no BOS and pads with its EOS."""
    import torch
    from transformers import AutoModelForCausalLM

    folders = {}
    for number, architecture in enumerate(ARCHITECTURES):
        torch.manual_seed(number)
        folder = tmp_path_factory.mktemp(architecture)
        model = AutoModelForCausalLM.from_config(make_config(architecture))
        # What a model folder brings along must not leak into the sampling.
        model.generation_config.update(do_sample=True, temperature=0.3, top_p=0.5, repetition_penalty=3.0)
        model.save_pretrained(folder)
        make_tokenizer(architecture != "qwen2", architecture == "qwen2").save_pretrained(folder)
        folders[architecture] = folder
    return folders


@pytest.fixture(scope="session")
def loaded_models(model_folders):
    """architecture -> LoadedModel, float32 with its usual attention."""
    from skillprobe.models.loading import load

    return {
        name: load({"name": name, "source": str(folder), "dtype": "float32"})
        for name, folder in model_folders.items()
    }


@pytest.fixture(params=ARCHITECTURES)
def loaded(request, loaded_models):
    return loaded_models[request.param]


@pytest.fixture
def use_looks():
    """`intervals.use_looks`; afterwards it is one look again."""
    from skillprobe.statistics import intervals

    yield intervals.use_looks
    intervals.use_looks(1)


@pytest.fixture
def root(tmp_path):
    """A root with one four-layer toy model, in models/a."""
    make_folder(tmp_path / "models/a")
    return tmp_path
