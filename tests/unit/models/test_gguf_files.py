"""Headers of GGUF files, read before any job."""

import struct

import gguf
import pytest
from gguf import GGML_QUANT_SIZES
from made.gguf import byte_level, make_model, write_model
from skillprobe.errors import UserError
from skillprobe.models import gguf_files
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_model(path, "qwen3", make_model("qwen3"), change={"tokenizer.note": "é" * 3000})
    return path


def refused(path, match, prompt_format=None):
    with pytest.raises(UserError, match=match) as caught:
        gguf_files.check_model(path, prompt_format)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_the_header_is_what_gguf_reads(whole):
    header, reader = gguf_files.read_header(whole), gguf.GGUFReader(whole)
    assert header.architecture == "qwen3"
    for key, field in reader.fields.items():
        if key.startswith("GGUF."):
            continue
        found, wanted = header.metadata[key], field.contents()
        if isinstance(wanted, list):
            assert found in (wanted, len(wanted)), key
        else:
            assert found == wanted, key
    assert header.tensors.keys() == {tensor.name for tensor in reader.tensors}
    for tensor in reader.tensors:
        found = header.tensors[tensor.name]
        assert list(found.shape) == list(reversed(tensor.shape.tolist()))
        assert (found.kind, found.start, found.size) == (
            tensor.tensor_type,
            tensor.data_offset,
            tensor.n_bytes,
        )
    assert gguf_files.num_layers(whole, None) == 2 and gguf_files.width(whole) == 32
    with pytest.raises(UserError, match="num_layers is 3, but .*tiny.gguf says 2"):
        gguf_files.num_layers(whole, 3)


def test_blocks_are_ggufs():
    for kind, sizes in gguf_files.BLOCKS.items():
        assert GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)] == sizes


def test_every_known_way_to_split_words_is_transformers_or_our_own():
    # gpt-2 is what transformers does without a name; smollm is `conversion`'s.
    assert set(gguf_files.PRE_TOKENIZERS) - {"gpt-2", "smollm"} <= GGUF_PRE_TOKENIZER_SPLITS.keys()


def test_a_file_that_is_cut_short_anywhere_is_refused(whole, tmp_path):
    content, path = whole.read_bytes(), tmp_path / "cut.gguf"
    start = min(tensor.start for tensor in gguf_files.read_header(whole).tensors.values())
    for end in (0, 3, 8, 20, 24, 100, start // 2, start - 70):
        path.write_bytes(content[:end])
        refused(path, "is not a (complete )?GGUF file")
    path.write_bytes(content[: start + 10])
    refused(path, "is cut short: .* download it again")
    path.write_bytes(content[:-40])
    refused(path, f"is cut short: {len(content) - 40} bytes of")
    path.write_bytes(content)
    gguf_files.check_model(path)


def test_what_is_no_gguf_file_is_said(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    refused(path, "is not a GGUF file .*Git LFS pointer")
    path.write_bytes(b"GGUF" + struct.pack(">I", 3) + bytes(100))
    refused(path, "has version 50331648 of GGUF, or is for other processors")
    # Counts and lengths beyond any file.
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60) + bytes(400))
    refused(path, "not a complete GGUF file")
    entry = struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 8, 2**62)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry + bytes(400))
    refused(path, "not a complete GGUF file")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"general.architecture": "falcon"}, "of the architecture 'falcon'; those that are read .*Phi-3"),
        ({"general.type": "adapter"}, "holds no model, but a part of one .'adapter'."),
        ({"llama.expert_count": 8}, "holds a mixture of experts"),
        ({"llama.block_count": None}, "doesn't give llama.block_count as one number"),
        (
            {"llama.attention.head_count_kv": [1, 2]},
            "doesn't give llama.attention.head_count_kv as one number",
        ),
        ({"split.count": 3}, "is one part of a model that was split; join the parts"),
        ({"tokenizer.chat_template": None}, "has no chat template, .* prompt_format"),
        ({"tokenizer.chat_template": " \n"}, "has no chat template"),
        (
            {"tokenizer.ggml.pre": "novel"},
            "has a tokenizer that isn't known here .which splits words as 'novel'",
        ),
        ({"tokenizer.ggml.pre": None}, "which splits words as None"),
        ({"tokenizer.ggml.model": "rwkv"}, "has a tokenizer that isn't known here .'rwkv'"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(change, match, tmp_path):
    path = tmp_path / "m.gguf"
    write_model(
        path,
        "llama",
        make_model("llama"),
        change={key: change[key] for key in change if key[:9] != "general.a"},
    )
    if "general.architecture" in change:
        # The same number of letters and more would move what follows.
        content = path.read_bytes()
        path.write_bytes(
            content.replace(struct.pack("<Q", 5) + b"llama", struct.pack("<Q", 6) + b"falcon", 1)
        )
    refused(path, match)


def test_a_prompt_format_takes_the_place_of_a_chat_template(tmp_path):
    write_model(tmp_path / "m.gguf", "llama", make_model("llama"), change={"tokenizer.chat_template": None})
    refused(tmp_path / "m.gguf", "no chat template")
    gguf_files.check_model(tmp_path / "m.gguf", "{prompt}")


def test_a_part_is_known_by_its_name_too(whole, tmp_path):
    for name, good in (("m-00001-of-00001.gguf", True), ("m-00002-of-00003.gguf", False)):
        (tmp_path / name).write_bytes(whole.read_bytes())
        if good:
            gguf_files.check_model(tmp_path / name)
        else:
            refused(tmp_path / name, "is one part of a model that was split")


def test_an_unknown_number_format_is_refused(whole, tmp_path):
    content, name = bytearray(whole.read_bytes()), b"blk.0.ffn_up.weight"
    place = content.index(name) + len(name) + 4 + 16
    content[place : place + 4] = struct.pack("<I", 99)
    (tmp_path / "m.gguf").write_bytes(content)
    refused(tmp_path / "m.gguf", "in a number format that isn't known .blk.0.ffn_up.weight: 99.")


def test_a_changed_file_is_read_anew(tmp_path):
    path = tmp_path / "m.gguf"
    write_model(path, "llama", make_model("llama"), tokenizer=byte_level("smollm"))
    assert gguf_files.check_model(path).metadata["tokenizer.ggml.pre"] == "smollm"
    write_model(path, "llama", make_model("llama"), tokenizer=byte_level("llama-bpe"))
    assert gguf_files.check_model(path).metadata["tokenizer.ggml.pre"] == "llama-bpe"
