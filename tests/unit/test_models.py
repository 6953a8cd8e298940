import importlib.util
import json
import shutil
import subprocess
import sys

import pytest
import torch
from conftest import ARCHITECTURES, HIDDEN, NUM_LAYERS, TEMPLATE, make_tokenizer
from skillprobe import fast_import, models
from skillprobe.errors import UserError
from skillprobe.fingerprint import folder_hash
from skillprobe.models import chat_ids, load, parameter_count, versions

PROMPT = "write a text about the river"


def edited(folder, tmp_path, file, **changes):
    """A copy of a model folder with some keys of one of its JSON files changed, or deleted where None."""
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    content = json.loads((copy / file).read_text()) | changes
    (copy / file).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return copy


def test_loads_what_the_folder_says(loaded):
    assert loaded.num_layers == NUM_LAYERS and loaded.hidden_size == HIDDEN
    assert len(loaded.blocks) == NUM_LAYERS and loaded.blocks is loaded.backbone.layers
    assert not loaded.model.training and not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.dtype == "float32" and loaded.attn_implementation == (
        "eager" if loaded.name == "gemma2" else "sdpa"
    )
    assert loaded.eos_ids == (3,)
    # Nothing of the folder's own sampling settings is left for generate() to fall back on.
    assert loaded.model.generation_config.repetition_penalty in (None, 1.0)
    assert loaded.model.generation_config.temperature in (None, 1.0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dtype_and_attention_of_the_entry_are_used(model_folders, architecture):
    entry = {"name": "m", "source": str(model_folders[architecture]), "num_layers": NUM_LAYERS}
    model = load(entry | {"dtype": "bfloat16", "attn_implementation": "eager"})
    assert (model.dtype, model.attn_implementation) == ("bfloat16", "eager")


def test_every_eos_of_the_model_and_of_the_tokenizer_ends_a_response(model_folders, tmp_path):
    folder = edited(model_folders["llama"], tmp_path, "generation_config.json", eos_token_id=[7, 9])
    assert load({"name": "m", "source": str(folder)}).eos_ids == (7, 9, 3)


def test_word_level_tokenizer_is_taken_as_declared(loaded):
    # AutoTokenizer turns Qwen's into an empty byte-level BPE, silently.
    ids = chat_ids(loaded.tokenizer, PROMPT)
    start = 0 if loaded.tokenizer.bos_token_id is None else 1
    expected = ["<user>", *PROMPT.split(), "<assistant>"]
    assert loaded.tokenizer.convert_ids_to_tokens(ids[start:]) == expected


def test_exactly_one_bos(loaded):
    ids, bos = chat_ids(loaded.tokenizer, PROMPT), loaded.tokenizer.bos_token_id
    assert ids.count(2) == (0 if bos is None else 1)
    assert bos is None or ids[0] == bos


def test_bos_is_added_for_a_template_that_leaves_it_to_the_tokenizer():
    from tokenizers import processors

    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace("{{ bos_token }}", "")
    assert 2 not in chat_ids(tokenizer, PROMPT)
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace("{{ bos_token }}", "")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 2)]
    )
    ids = chat_ids(tokenizer, PROMPT)
    assert ids[0] == 2 and ids.count(2) == 1


def test_doubled_and_injected_bos_are_refused():
    with pytest.raises(UserError, match="contains the BOS token"):
        chat_ids(make_tokenizer(), "write <bos> text")
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{{ bos_token }}" + TEMPLATE
    with pytest.raises(UserError, match="two BOS"):
        chat_ids(tokenizer, PROMPT)


def test_a_bos_that_begins_every_turn_is_no_mistake():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = (
        "<bos>system {% for m in messages %}<bos>user {{ m['content'] }}{% endfor %}<bos>"
    )
    assert chat_ids(tokenizer, PROMPT).count(2) == 3


def test_templates_do_not_tell_the_date():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = (
        "{% if date_string is defined %}blue{% else %}{{ strftime_now('%d %b %Y') }}{% endif %} " + TEMPLATE
    )
    assert chat_ids(tokenizer, PROMPT)[0] == tokenizer.convert_tokens_to_ids("blue")


def test_random_twin_has_the_shape_of_the_model_and_weights_of_its_seed(loaded):
    entry = {"name": loaded.name, "source": loaded.source}
    first, again, other = (load(entry, random_seed=seed) for seed in (3, 3, 4))
    shapes = [{k: (v.shape, v.dtype) for k, v in m.model.state_dict().items()} for m in (loaded, first)]
    assert shapes[0] == shapes[1] and first.attn_implementation == loaded.attn_implementation
    weights = [m.model.get_input_embeddings().weight for m in (first, again, other, loaded)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[3])
    assert first.eos_ids == loaded.eos_ids and not any(p.requires_grad for p in first.model.parameters())
    models._spread(again.model, "auto")
    assert again.model.hf_device_map == {"": "cpu"} and torch.equal(weights[0], weights[1])


def test_missing_folder_and_wrong_depth_are_refused(model_folders, tmp_path):
    with pytest.raises(UserError, match="no folder"):
        load({"name": "m", "source": str(tmp_path / "absent")})
    with pytest.raises(UserError, match="no config.json"):
        load({"name": "m", "source": str(tmp_path)})
    with pytest.raises(UserError, match="has 3 layers, but its entry says num_layers: 5"):
        load({"name": "m", "source": str(model_folders["llama"]), "num_layers": 5})
    with pytest.raises(UserError, match="dtype 'int4'"):
        load({"name": "m", "source": str(model_folders["llama"]), "dtype": "int4"})


def test_missing_chat_template_and_pickled_weights_are_refused(model_folders, tmp_path):
    folder = shutil.copytree(model_folders["llama"], tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="no chat template"):
        load({"name": "m", "source": str(folder)})
    folder = shutil.copytree(model_folders["llama"], tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(
        UserError, match=r"no \*.safetensors file, and pickled weights .*are not read; save it"
    ):
        load({"name": "m", "source": str(folder)})


def test_parameters_and_versions(loaded_models):
    llama, gemma = loaded_models["llama"].model, loaded_models["gemma2"].model
    # Gemma's embeddings are its head: counted once.
    assert parameter_count(gemma) == sum(p.numel() for p in gemma.model.parameters())
    assert parameter_count(llama) > sum(p.numel() for p in llama.model.parameters())
    assert {"python", "torch", "transformers", "numpy", "h5py", "skillprobe"} <= versions().keys()


def test_folder_hash_follows_content_and_nothing_else(model_folders, tmp_path):
    folder = model_folders["llama"]
    before = folder_hash(folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.md").write_text("about")
    assert folder_hash(copy) == before
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert folder_hash(copy) != before
    assert folder_hash(edited(folder, tmp_path, "config.json", rms_norm_eps=0.1)) != before
    with pytest.raises(UserError, match="no model folder"):
        folder_hash(tmp_path)


def test_folder_hash_of_a_big_file_sees_its_header_ends_and_size(tmp_path, monkeypatch):
    monkeypatch.setattr("skillprobe.fingerprint._WHOLE", 1000)
    monkeypatch.setattr("skillprobe.fingerprint._END", 100)
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "model.safetensors"
    content = bytearray((300).to_bytes(8, "little") + bytes(5000))

    def hash_of(data):
        weights.write_bytes(data)
        return folder_hash(tmp_path)

    plain = hash_of(content)
    assert hash_of(content + b"\0") != plain
    for place, seen in ((250, True), (-1, True), (2000, False)):
        changed = content.copy()
        changed[place] ^= 1
        assert (hash_of(changed) != plain) == seen


def test_import_needs_no_scientific_packages_and_leaves_them_importable(model_folders):
    code = """
import gc, sys
import skillprobe.activations, skillprobe.models
skillprobe.models.load({"name": "m", "source": sys.argv[1]})
assert not {"scipy", "sklearn", "pandas", "accelerate"} & sys.modules.keys(), "imported"
assert gc.isenabled() and gc.get_freeze_count()
import scipy.linalg
"""
    subprocess.run([sys.executable, "-c", code, str(model_folders["llama"])], check=True, env=_environment())


def test_a_torch_with_cuda_is_left_accelerate(monkeypatch):
    monkeypatch.delitem(sys.modules, "transformers")
    for name in ("accelerate", "pandas"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    with fast_import.fast_import():
        assert importlib.util.find_spec("accelerate") and not importlib.util.find_spec("pandas")


def test_nothing_is_hidden_from_a_transformers_that_has_already_looked(monkeypatch):
    for name in fast_import.OPTIONAL:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with fast_import.fast_import():
        assert all(importlib.util.find_spec(name) for name in fast_import.OPTIONAL)
    monkeypatch.delitem(sys.modules, "transformers")
    with fast_import.fast_import():
        assert not any(importlib.util.find_spec(name) for name in fast_import.OPTIONAL)
        with pytest.raises(ImportError):
            import pandas  # noqa: F401
    assert not set(fast_import.OPTIONAL) & sys.modules.keys()


def test_fingerprint_prompts_labels_positions_and_shards_need_no_torch():
    modules = ["fingerprint", "prompts", "labels", "positions", "shards"]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(f'skillprobe.{name}')"
    code += "\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, *modules], check=True, env=_environment())


def _environment():
    import os
    from pathlib import Path

    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "workflow")}


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_the_memory_of_weights_is_known_before_they_are_loaded(model_folders, dtype):
    loaded = load({"name": "m", "source": str(model_folders["llama"]), "dtype": dtype})
    # Tied ones are stored once.
    expected = sum(parameter.numel() * parameter.element_size() for parameter in loaded.model.parameters())
    assert models.weights_bytes(model_folders["llama"], dtype) == expected


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(model_folders, monkeypatch):
    entry = {"name": "m", "source": str(model_folders["llama"]), "dtype": "float32"}
    needed = models.weights_bytes(entry["source"], "float32")
    monkeypatch.setattr(models, "_available_memory", lambda: needed)
    load(entry)
    monkeypatch.setattr(models, "_available_memory", lambda: needed - 1)
    monkeypatch.setattr(models.AutoModelForCausalLM, "from_pretrained", None)
    monkeypatch.setattr(models.AutoModelForCausalLM, "from_config", None)
    with pytest.raises(UserError, match="model 'm' takes 0.0 GiB, but this machine has 0.0 GiB free; use a"):
        load(entry)
    for device_map in (None, "auto"):
        with pytest.raises(
            UserError, match="random weights, .* takes 0.0 GiB, but main memory .*random_weights: f"
        ):
            load(entry | {"device_map": device_map}, random_seed=1)
    # A model too large for this machine, of which a GPU has room for so much.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (needed - 1, needed))
    with pytest.raises(
        UserError, match="model 'm' takes 0.0 GiB, but the GPU has 0.0 GiB free; use a larger one, dev"
    ):
        load(entry)


def test_running_out_of_memory_while_loading_is_one_sentence(model_folders, monkeypatch):
    def load_weights(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(models.AutoModelForCausalLM, "from_pretrained", load_weights)
    with pytest.raises(UserError, match="model 'm' doesn't fit into memory; use a larger GPU"):
        load({"name": "m", "source": str(model_folders["llama"])})


def test_the_machine_tells_its_memory():
    available = models._available_memory()
    assert available is None or available > 2**20
