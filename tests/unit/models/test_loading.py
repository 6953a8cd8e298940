"""Models are loaded as their folders say, or refused in one sentence."""

import shutil

import pytest
import torch
import transformers
from made.models import ARCHITECTURES, HIDDEN, NUM_LAYERS, edited, entry_of, make_tokenizer
from skillprobe.errors import UserError
from skillprobe.models import loading, placement
from skillprobe.models.loading import load, load_outline


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


def test_the_head_reads_the_last_token_without_copies_of_its_weight(loaded):
    """Its input is a slice when a prompt is read, of which torch makes a copy of the weight for each row."""
    seen = []
    handle = loaded.model.get_output_embeddings().register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    with torch.inference_mode():
        ids = torch.ones((3, 5), dtype=torch.long)
        whole = loaded.model(ids).logits
        last = loaded.model(ids, logits_to_keep=1).logits
    handle.remove()
    assert [x.shape[1] for x in seen] == [5, 1] and all(x.is_contiguous() for x in seen)
    torch.testing.assert_close(last, whole[:, -1:])


def test_every_eos_of_the_model_and_of_the_tokenizer_ends_a_response(model_folders, tmp_path):
    folder = edited(model_folders["llama"], tmp_path, "generation_config.json", eos_token_id=[7, 9])
    assert load({"name": "m", "source": str(folder)}).eos_ids == (7, 9, 3)


def test_a_converted_file_is_loaded_from_its_folder_and_keeps_its_own_name(model_folders, tmp_path):
    entry = entry_of(model_folders, "llama", sha256="0" * 64)
    file = entry | {"source": "pypi:x==1#m.gguf", "folder": entry["source"], "offline": True}
    assert load(file).source == "pypi:x==1#m.gguf" and load(file, random_seed=1).num_layers == NUM_LAYERS
    assert load_outline(file).path == entry["source"]
    with pytest.raises(UserError, match="the folder '.*gone' no longer exists"):
        load(file | {"folder": str(tmp_path / "gone")})


def test_the_random_weight_model_has_the_shape_of_the_model_and_weights_of_its_seed(loaded):
    entry = {"name": loaded.name, "source": loaded.source}
    first, again, other = (load(entry, random_seed=seed) for seed in (3, 3, 4))
    shapes = [{k: (v.shape, v.dtype) for k, v in m.model.state_dict().items()} for m in (loaded, first)]
    assert shapes[0] == shapes[1] and first.attn_implementation == loaded.attn_implementation
    weights = [m.model.get_input_embeddings().weight for m in (first, again, other, loaded)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[3])
    assert first.eos_ids == loaded.eos_ids and not any(p.requires_grad for p in first.model.parameters())
    placement.spread(again.model, "auto")
    assert again.model.hf_device_map == {"": "cpu"} and torch.equal(weights[0], weights[1])


def test_missing_folder_and_wrong_depth_are_refused(model_folders, tmp_path):
    with pytest.raises(UserError, match="no folder"):
        load({"name": "m", "source": str(tmp_path / "absent")})
    with pytest.raises(UserError, match="no config.json"):
        load({"name": "m", "source": str(tmp_path)})
    with pytest.raises(UserError, match="has 3 layers, but its entry says num_layers: 5"):
        load({"name": "m", "source": str(model_folders["llama"]), "num_layers": 5})
    with pytest.raises(UserError, match="dtype is 'int4'"):
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


def weights_of(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def save_weights(folder, weights):
    from safetensors.torch import save_file

    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: {k: v for k, v in w.items() if ".layers.1." not in k},
            "lack 9 of the tensors of a LlamaForCausalLM, such as model.layers.1.input_layernorm.weight",
        ),
        (
            lambda w: {k: v for k, v in w.items() if k != "lm_head.weight"},
            "lack 1 .*, such as lm_head.weight",
        ),
        (
            lambda w: {f"other.{k}": v for k, v in w.items()},
            "lack 30 of the tensors .*download or save the complete model again",
        ),
        (lambda w: w | {"lm_head.weight": w["lm_head.weight"][:, :5]}, "can't be loaded .*RuntimeError"),
        (None, "model.safetensors is not a complete safetensors file"),
    ],
)
def test_weights_that_are_missing_are_not_drawn_at_random(model_folders, tmp_path, change, message):
    folder = shutil.copytree(model_folders["llama"], tmp_path / "part")
    if change:
        save_weights(folder, {k: v.contiguous() for k, v in change(weights_of(folder)).items()})
    else:
        (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(UserError, match=f"^model 'm'.*{message}"):
        load({"name": "m", "source": str(folder)})


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (
            "BartForConditionalGeneration",
            {"d_model": 32},
            "is an encoder-decoder .bart., .*choose a decoder-only",
        ),
        (
            "BertForMaskedLM",
            {"hidden_size": 32, "num_attention_heads": 4},
            "the states of a token depend on later tokens",
        ),
        (
            "AlbertForMaskedLM",
            {"hidden_size": 32, "num_attention_heads": 4},
            "is not a causal language model",
        ),
        (
            "Gemma3nForCausalLM",
            {
                "hidden_size_per_layer_input": 8,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 8,
            }
            | {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_kv_shared_layers": 0}
            | {"vocab_size_per_layer_input": 26, "layer_types": ["full_attention"] * 3, "laurel_rank": 4}
            | {"activation_sparsity_pattern": [0.0] * 3},
            "its blocks do not pass on one vector per token",
        ),
    ],
)
def test_what_is_no_decoder_is_refused(tmp_path, kind, settings, message):
    tokenizer = make_tokenizer()
    own = {"vocab_size": len(tokenizer), "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}
    own["initializer_range"] = 0.25
    cls = getattr(transformers, kind)
    cls(cls.config_class(**own | settings)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=f"^model 'm'.*{message}"):
        load({"name": "m", "source": str(tmp_path)})


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", {"num_attention_heads": "x"}),
        ("config.json", {"num_attention_heads": 5}),
        ("tokenizer.json", {"model": {}}),
    ],
)
def test_whatever_is_wrong_with_a_folder_is_one_sentence(model_folders, tmp_path, file, content):
    folder = edited(model_folders["llama"], tmp_path, file, **content)
    with pytest.raises(
        UserError, match="^model 'm' can't be loaded from .*; check that its files are complete"
    ):
        load({"name": "m", "source": str(folder)})


def test_quantised_weights_that_cannot_be_read_are_said_to_be_such(model_folders, tmp_path):
    quantised = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    folder = edited(model_folders["llama"], tmp_path, "config.json", **quantised)
    with pytest.raises(UserError, match="its weights are quantised, .*give unquantised ones"):
        load({"name": "m", "source": str(folder)})


def test_a_tokenizer_is_refused_before_the_weights_are_loaded(model_folders, tmp_path, monkeypatch):
    folder = shutil.copytree(model_folders["llama"], tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", None)
    with pytest.raises(UserError, match="no chat template"):
        load({"name": "m", "source": str(folder)})
    with pytest.raises(UserError, match="has 3 layers, but its entry says num_layers: 5"):
        load({"name": "m", "source": str(model_folders["llama"]), "num_layers": 5})


def test_a_token_to_pad_with_is_one_that_the_model_has(model_folders, tmp_path):
    """As where somebody gave the tokenizer one, and the model no embedding of it."""
    folder = shutil.copytree(model_folders["llama"], tmp_path / "padded")
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    loaded = load({"name": "m", "source": str(folder)})
    assert tokenizer.pad_token_id == loaded.model.config.vocab_size and loaded.pad_id == 3


def test_the_random_weight_model_is_of_the_weights_dtype_where_the_config_names_none(model_folders, tmp_path):
    folder = edited(model_folders["llama"], tmp_path, "config.json", dtype=None)
    save_weights(folder, {name: each.bfloat16() for name, each in weights_of(folder).items()})
    entry = {"name": "m", "source": str(folder)}
    assert load(entry).dtype == load(entry, random_seed=1).dtype == "bfloat16"


def test_a_source_may_begin_at_home(model_folders, monkeypatch):
    folder = model_folders["llama"]
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load({"name": "m", "source": f"~/{folder.name}"}).num_layers == NUM_LAYERS


def test_running_out_of_memory_while_loading_is_one_sentence(model_folders, monkeypatch):
    def load_weights(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", load_weights)
    with pytest.raises(UserError, match="model 'm' doesn't fit into memory; use a larger GPU"):
        load({"name": "m", "source": str(model_folders["llama"])})


def test_the_outline_is_that_of_the_loaded_model(loaded, model_folders):
    for dtype in ("auto", "float16"):
        entry = entry_of(model_folders, loaded.name, dtype=dtype, prompt_format="say {prompt}")
        outline, whole = load_outline(entry), load(entry)
        assert (outline.dtype, outline.eos_ids) == (whole.dtype, whole.eos_ids)
        assert outline.tokenizer.chat_template == whole.tokenizer.chat_template
        assert outline.tokenizer.get_vocab() == whole.tokenizer.get_vocab()
