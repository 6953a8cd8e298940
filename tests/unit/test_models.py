import importlib.util
import json
import shutil
import subprocess
import sys

import pytest
import torch
import transformers
from conftest import ARCHITECTURES, HIDDEN, NUM_LAYERS, TEMPLATE, make_tokenizer
from skillprobe.errors import UserError
from skillprobe.models import fast_import, loading, placement
from skillprobe.models.chat import chat_ids
from skillprobe.models.loaded import find_blocks, parameter_count
from skillprobe.models.loading import load, versions
from skillprobe.models.memory import available_memory
from skillprobe.storage.fingerprint import folder_hash

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
    for form, day in (
        ("%Y-%m-%d", "2024-07-26"),
        ("%d %B %Y", "26 July 2024"),
        ("%A, %-d %b", "Friday, 26 Jul"),
    ):
        # Wherever it is asked for, and in a template that begins with an empty line.
        tokenizer = make_tokenizer()
        template = (
            "\n{% macro head() %}{{ strftime_now('FORM') }}{% endmacro %}"
            "{% if strftime_now('FORM') == head() == 'DAY' %}<user> {{ messages[0].content }}{% endif %}"
        )
        tokenizer.chat_template = template.replace("FORM", form).replace("DAY", day)
        ids = chat_ids(tokenizer, PROMPT)
        assert tokenizer.convert_ids_to_tokens(ids) == ["<user>", *PROMPT.split()]


@pytest.mark.parametrize(
    "content",
    [
        # Some know lists of parts alone, and some raise on a system's turn, which there is none of.
        "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}",
        "{{ raise_exception('no list') if m.content is not string else m.content }}",
        "{{ raise_exception('System role not supported') if m.role == 'system' else m.content }}",
    ],
)
def test_templates_of_text_and_of_parts_hold_the_prompt(content):
    tokenizer = make_tokenizer()
    plain = chat_ids(tokenizer, PROMPT)
    tokenizer.chat_template = TEMPLATE.replace("{{ m['content'] }}", content)
    assert chat_ids(tokenizer, PROMPT) == plain


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("<user> <assistant>", "it leaves the prompt out"),
        ("{{ raise_exception('only the system may speak') }}", "only the system may speak"),
        ("{{ messages[0].content + 1 }}", "can only concatenate"),
        ("{{ messages", "unexpected end of template"),
        ({"rag": "{{ messages }}", "tool_use": "{{ messages }}"}, "multiple chat templates"),
    ],
)
def test_templates_that_cannot_be_used_are_refused(template, why):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=f"the chat template of .* can't be used: .*{why}.*; correct it, or"):
        chat_ids(tokenizer, PROMPT)


def test_a_prompt_format_is_taken_to_the_letter(model_folders):
    entry = {
        "name": "m",
        "source": str(model_folders["llama"]),
        "prompt_format": "\U0001f600 'é' {{ {prompt} }}",
    }
    tokenizer = load(entry).tokenizer
    text = tokenizer.apply_chat_template([{"role": "user", "content": PROMPT}], tokenize=False)
    assert text == "\U0001f600 'é' {{ " + PROMPT + " }}"


def test_random_twin_has_the_shape_of_the_model_and_weights_of_its_seed(loaded):
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
            "lack 9 of those that a LlamaForCausalLM has, model.layers.1.input_layernorm.weight among them",
        ),
        (lambda w: {k: v for k, v in w.items() if k != "lm_head.weight"}, "lack 1 .*, lm_head.weight among"),
        (
            lambda w: {f"other.{k}": v for k, v in w.items()},
            "lack 30 of those .*fetch or save it again, whole",
        ),
        (lambda w: w | {"lm_head.weight": w["lm_head.weight"][:, :5]}, "can't be loaded .*RuntimeError"),
        (None, "model.safetensors is no whole safetensors file"),
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
            "states of a token depend on the tokens",
        ),
        (
            "AlbertForMaskedLM",
            {"hidden_size": 32, "num_attention_heads": 4},
            "is none of the models that write",
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
            "its blocks don't pass one vector a token",
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
        UserError, match="^model 'm' can't be loaded from .*; see whether its files are whole"
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


def test_the_twin_is_of_the_weights_dtype_where_the_config_names_none(model_folders, tmp_path):
    folder = edited(model_folders["llama"], tmp_path, "config.json", dtype=None)
    save_weights(folder, {name: each.bfloat16() for name, each in weights_of(folder).items()})
    entry = {"name": "m", "source": str(folder)}
    assert load(entry).dtype == load(entry, random_seed=1).dtype == "bfloat16"


def test_a_source_may_begin_at_home(model_folders, monkeypatch):
    folder = model_folders["llama"]
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load({"name": "m", "source": f"~/{folder.name}"}).num_layers == NUM_LAYERS


def test_blocks_are_the_list_with_the_weights():
    from torch import nn

    backbone = nn.Module()
    backbone.gates = nn.ModuleList([nn.Identity() for _ in range(3)])
    backbone.layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    assert find_blocks("m", backbone, 3) is backbone.layers
    with pytest.raises(UserError, match="model 'm' .Module. has no list of 4 blocks"):
        find_blocks("m", backbone, 4)


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
    monkeypatch.setattr("skillprobe.storage.fingerprint._WHOLE", 1000)
    monkeypatch.setattr("skillprobe.storage.fingerprint._END", 100)
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
import skillprobe.activations.extraction, skillprobe.models.loading
skillprobe.models.loading.load({"name": "m", "source": sys.argv[1]})
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
    modules = [
        "storage.fingerprint",
        "prompts.items",
        "labels.labelling",
        "activations.positions",
        "activations.shards",
    ]
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
    assert placement.weights_bytes(model_folders["llama"], dtype) == expected


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

    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", load_weights)
    with pytest.raises(UserError, match="model 'm' doesn't fit into memory; use a larger GPU"):
        load({"name": "m", "source": str(model_folders["llama"])})


def test_the_machine_tells_its_memory():
    available = available_memory()
    assert available is None or available > 2**20


GROUP_V2 = {
    "proc/self/cgroup": "0::/slurm/job_1/step\n",
    "sys/fs/cgroup/slurm/job_1/step/memory.max": "max\n",
    "sys/fs/cgroup/slurm/job_1/step/memory.current": "1000\n",
    "sys/fs/cgroup/slurm/job_1/memory.max": "6000\n",
    "sys/fs/cgroup/slurm/job_1/memory.current": "4000\n",
    "sys/fs/cgroup/slurm/job_1/memory.stat": "anon 500\ninactive_file 1500\nactive_file 7\n",
}
GROUP_V1 = {
    "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/job\n0::/x\n",
    "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "5000\n",
    "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "3000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "3000\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 10 * 1024),
        (GROUP_V2, 6000 - 4000 + 1500),
        (GROUP_V1, 5000 - 3000),
        # Of the machine there may be less; a group may hold more than it is now permitted.
        (GROUP_V2 | {"proc/meminfo": "MemAvailable: 2 kB\n"}, 2048),
        (GROUP_V1 | {"sys/fs/cgroup/memory/job/memory.usage_in_bytes": "7000\n"}, 0),
    ],
)
def test_a_container_or_cluster_job_has_what_it_is_given(tmp_path, files, expected):
    for name, content in ({"proc/meminfo": "MemTotal: 99 kB\nMemAvailable:   10 kB\n"} | files).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_memory(tmp_path) == expected
    assert available_memory(tmp_path / "elsewhere") is None
