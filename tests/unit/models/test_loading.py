"""Models are loaded as their folders say, or refused in one sentence."""

import json
import shutil

import pytest
import torch
import transformers
from made.models import (
    ARCHITECTURES,
    HIDDEN,
    NUM_LAYERS,
    TEXT,
    edited,
    entry_of,
    make_tokenizer,
)
from skillprobe.errors import UserError
from skillprobe.models import loading, placement
from skillprobe.models.chat import chat_ids
from skillprobe.models.generation import generate
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


# Models that see images too, and tokenizers of another kind


def seeing_folder(text, folder):
    """A tiny Mistral 3 with a language model of this type."""
    tokenizer = make_tokenizer()
    language = {"model_type": text, "vocab_size": len(tokenizer), "hidden_size": HIDDEN, "head_dim": 8}
    language |= {"num_hidden_layers": NUM_LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2}
    language |= {"intermediate_size": 48, "max_position_embeddings": 256, "initializer_range": 0.25}
    language |= {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 1}
    vision = {"model_type": "pixtral", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    vision |= {"num_attention_heads": 4, "head_dim": 8, "image_size": 28, "patch_size": 14}
    torch.manual_seed(0)
    config = transformers.Mistral3Config(text_config=language, vision_config=vision, image_token_index=5)
    transformers.AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("text", ["mistral", "ministral3"])
def test_of_a_model_that_sees_images_the_language_model_is_read(tmp_path, text):
    from made.activations import ROWS, make_shard, sequence_of
    from skillprobe.activations.shards import Shard
    from skillprobe.erasure.behaviour import perplexity

    source = str(seeing_folder(text, tmp_path / "model"))
    loaded = load({"name": "m", "source": source, "dtype": "float32", "num_layers": NUM_LAYERS})
    assert loaded.num_layers == NUM_LAYERS and loaded.hidden_size == HIDDEN
    assert loaded.blocks is loaded.model.get_decoder().layers
    # Its own language model alone gives the same states, log-probabilities and answers.
    language = transformers.AutoModelForCausalLM.from_config(loaded.model.config.text_config).eval()
    language.model.load_state_dict(loaded.model.get_decoder().state_dict())
    language.lm_head.load_state_dict(loaded.model.lm_head.state_dict())
    row = ROWS[2]
    ids = torch.tensor([sequence_of(loaded, row)])
    with torch.no_grad():
        output = language(ids, output_hidden_states=True, use_cache=False)
    with Shard(make_shard(loaded, tmp_path / "s.h5", [row], scored=True)) as shard:
        expected = output.hidden_states[2][0, -1].numpy()
        torch.testing.assert_close(torch.tensor(shard.read(2, "eos")[0]), torch.tensor(expected))
        told = output.logits[0].log_softmax(-1)
        start = ids.shape[1] - len(row["token_ids"])
        told = sum(told[place - 1, ids[0, place]] for place in range(start, ids.shape[1]))
        assert shard.log_probability[0] == pytest.approx(told.item(), abs=1e-3)
    (texts,) = perplexity(loaded, [row], {"none": {0: {}}}, {row["group"]: 0}, {"tokens_per_batch": 99})
    assert texts["nll"] == pytest.approx(-told.item(), abs=1e-3)
    prompts = ["write", "write a short text", "good"] * 2
    settings = {"max_new_tokens": 6, "batch_size": 6, "temperature": 0.0}
    for prompt, answer in zip(prompts, generate(loaded, prompts, range(6), settings), strict=True):
        so_far = chat_ids(loaded.tokenizer, prompt)
        for token in answer.token_ids:
            with torch.no_grad():
                scores = language(torch.tensor([so_far])).logits[0, -1]
            assert scores[token] > scores.max() - 1e-3
            so_far.append(token)
    twin = load({"name": "m", "source": source}, random_seed=1)
    assert type(twin.model) is type(loaded.model) and twin.num_layers == NUM_LAYERS


def test_a_tokenizer_of_sentencepiece_is_read(model_folders, tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    pytest.importorskip("google.protobuf")
    folder = shutil.copytree(model_folders["llama"], tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (tmp_path / "corpus.txt").write_text((TEXT + "\n") * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=60,
    )
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    about = json.dumps({"tokenizer_class": "LlamaTokenizer", **named})
    (folder / "tokenizer_config.json").write_text(about)
    tokenizer = load({"name": "m", "source": str(folder)}).tokenizer
    assert (
        tokenizer.decode(tokenizer("write it")["input_ids"], skip_special_tokens=True).strip() == "write it"
    )
