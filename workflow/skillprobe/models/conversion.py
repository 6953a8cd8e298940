"""GGUF files as ordinary model folders, which jobs load in seconds: reading a GGUF takes most of a minute."""

import functools
import hashlib
import importlib.metadata
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from skillprobe.errors import UserError
from skillprobe.models import folders, gguf_files
from skillprobe.models.fast_import import fast_import
from skillprobe.models.gguf_files import BF16, F32, Header
from skillprobe.models.memory import available_memory
from skillprobe.storage.files import shared_folder
from skillprobe.storage.fingerprint import file_sha256

with fast_import():
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerFast
    from transformers.modeling_gguf_pytorch_utils import (
        TensorProcessor,
        get_gguf_hf_weights_map,
        load_gguf_checkpoint,
    )
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.utils import logging

_CONFIGS = {"gemma3": "gemma3_text"}
_SIZES = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length",
}
_TOKENS = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
# Tables of the rotary embedding, which become part of the config.
_ROPE_TABLES = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
# Of Llama 3.1 to 3.3, besides the factor: blocks of frequencies are told apart by these.
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
# What ends an answer besides the EOS that the file names (llama.cpp's list, of the families read here): files
# of Gemma and Phi-3 name the end of a text and leave out that of a turn.
_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>")
_ENDS += ("<|end_of_text|>",)


def convert(name: str, path: Path, entry: Mapping, home: Path) -> dict[str, str]:
    """Make a model's folder of its GGUF file, in `home`, unless it is there: the "folder", and the file's
    "sha256".

    name: the model's, for messages; entry: its "num_layers" (checked), "prompt_format" and "dtype". The
    folder is named by what decides its content: the file, the number format, this code and its libraries.
    Raises UserError naming the model for a file that can't be used, or where disk or memory don't hold its
    weights.
    """
    try:
        header = gguf_files.check_model(path, entry.get("prompt_format"))
        gguf_files.num_layers(path, entry.get("num_layers"))
        dtype = stored_dtype(header, entry.get("dtype"))
        sha256 = file_sha256(path)
        folder = home / _key(sha256, dtype)
        if not folder.is_dir():
            _check_room(path, header, dtype, home)
            with shared_folder(folder) as temporary:
                _write(path, header, dtype, temporary)
        folders.check_model(folder, entry.get("prompt_format"), entry.get("chat_template_kwargs") or ())
    except UserError as error:
        raise UserError(f"model '{name}': {error}") from error
    # Such files don't say how they are meant to be sampled.
    return {"folder": folder.as_posix(), "sha256": sha256, "sampling": {}}


def stored_dtype(header: Header, dtype: str | None) -> str:
    """bfloat16 where the entry asks for it, or for what the file has, and that has no others; else float32.

    Quantised weights are worked out in float32, which so stores them as they are. bfloat16 rounds them to 8
    bits, takes half the disk and memory, and is faster where the processor computes in it.
    """
    kinds = {tensor.kind for tensor in header.tensors.values() if len(tensor.shape) > 1}
    wanted = dtype == "bfloat16" or (dtype in (None, "auto") and kinds == {BF16})
    return "bfloat16" if wanted else "float32"


def model_config(path: Path, header: Header):
    """The config that transformers has for the file's model. Raises UserError for what it has none for.

    transformers' own reading leaves out the scaling of positions, the head's size of Qwen 3, what Gemma's
    queries are scaled by, the window of Phi-3 and all special tokens, for which its defaults would stand.
    """
    own, kind = header.own, header.architecture
    sizes = {name: own(key) for name, key in _SIZES.items()}
    heads = sizes["num_attention_heads"]
    # Llama's files give the head's size so.
    whole = own("rope.dimension_count") if kind == "llama" else None
    head = own("attention.key_length") or whole or sizes["hidden_size"] // heads
    rotated = own("rope.dimension_count", head)
    if rotated != head and kind != "phi3":
        raise UserError(
            f"the file {path} rotates {rotated} of {head} dimensions, which isn't known of {kind}; give a "
            "folder in Hugging Face's format"
        )
    rope = _rope(path, header, rotated)
    more = {"head_dim": head, "rope_parameters": rope, "rms_norm_eps": _plain(_needed(path, header))}
    if kind == "phi3":
        more["rope_parameters"] = rope | {"partial_rotary_factor": rotated / head}
        more["original_max_position_embeddings"] = own(
            "rope.scaling.original_context_length", sizes["max_position_embeddings"]
        )
        more["sliding_window"] = own("attention.sliding_window")
        del more["head_dim"]
    if kind.startswith("gemma"):
        # As llama.cpp has it: the models of 27 billion weights alone are scaled by the mean head.
        largest = sizes["num_hidden_layers"] == {"gemma2": 46, "gemma3": 62}[kind]
        more["query_pre_attn_scalar"] = sizes["hidden_size"] // heads if largest else head
        more["sliding_window"] = own("attention.sliding_window")
        more["attn_logit_softcapping"] = _plain(own("attn_logit_softcapping"))
        more["final_logit_softcapping"] = _plain(own("final_logit_softcapping"))
    if kind == "gemma3":
        local = _plain(own("rope.freq_base_swa", 10000.0))
        more["rope_parameters"] = {
            "sliding_attention": {"rope_type": "default", "rope_theta": local},
            "full_attention": rope,
        }
    tokens = {
        key: header.metadata.get(f"tokenizer.ggml.{called}_token_id") for key, called in _TOKENS.items()
    }
    return CONFIG_MAPPING[_CONFIGS.get(kind, kind)](
        **sizes,
        **more,
        **tokens,
        vocab_size=header.tensors["token_embd.weight"].shape[0],
        tie_word_embeddings="output.weight" not in header.tensors,
    )


def load_tokenizer(path: Path, header: Header):
    """The file's tokenizer, as it splits texts there, with the chat template.

    Of the general class, which takes tokenizer.json at its word: with another, what is saved may be rebuilt
    when it is loaded.
    """
    found = PreTrainedTokenizerFast.from_pretrained(
        str(path.parent), gguf_file=path.name, local_files_only=True
    )
    if header.metadata.get("tokenizer.ggml.pre") == "smollm":
        # Digits alone, which transformers doesn't know of this name.
        found.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    for key in ("is_local", "local_files_only"):
        # Of this reading alone.
        found.init_kwargs.pop(key, None)
    return found


def end_ids(header: Header, tokenizer) -> list[int]:
    """Tokens that end an answer: those that the file names, and others of known texts in its vocabulary."""
    named = (header.metadata.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot", "eom"))
    vocabulary = tokenizer.get_vocab()
    ends = [*named, *(vocabulary.get(end) for end in _ENDS)]
    return list(dict.fromkeys(end for end in ends if end is not None))


def _write(path: Path, header: Header, dtype: str, folder: Path) -> None:
    logging.disable_progress_bar()
    config = model_config(path, header)
    tokenizer = load_tokenizer(path, header)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    known = get_gguf_hf_weights_map(model, TensorProcessor())
    if unread := set(header.tensors) - set(known) - set(_ROPE_TABLES):
        raise UserError(
            f"the file {path} has {len(unread)} tensors that a {type(model).__name__} has no place for, such "
            f"as {min(unread)}; give a folder in Hugging Face's format"
        )
    # Not by from_pretrained, whose model would be taken for a quantised one, which can't be saved.
    tensors = load_gguf_checkpoint(
        str(path), return_tensors=True, model_to_load=model, torch_dtype=getattr(torch, dtype)
    )["tensors"]
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    if wrong := [
        key for key, value in tensors.items() if key in shapes and tuple(value.shape) != shapes[key]
    ]:
        raise UserError(
            f"the file {path} has {wrong[0]} in the shape {list(tensors[wrong[0]].shape)}, where its "
            f"metadata says {list(shapes[wrong[0]])}; convert the model anew"
        )
    tied = model._tied_weights_keys if config.tie_word_embeddings else ()
    if missing := set(shapes) - set(tensors) - set(tied):
        raise UserError(
            f"the file {path} lacks {len(missing)} of the tensors of a {type(model).__name__}, such as "
            f"{min(missing)}; download or convert it again"
        )
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    ends = end_ids(header, tokenizer)
    tokens = {"eos_token_id": ends, "pad_token_id": config.pad_token_id, "bos_token_id": config.bos_token_id}
    model.generation_config = GenerationConfig(**tokens)
    model.save_pretrained(folder, max_shard_size="5GB")
    tokenizer.save_pretrained(folder)


def _needed(path: Path, header: Header) -> float:
    key = "attention.layer_norm_rms_epsilon"
    if (found := header.own(key)) is None:
        raise UserError(f"the file {path} doesn't give {header.architecture}.{key}; convert the model anew")
    return found


def _rope(path: Path, header: Header, rotated: int) -> dict:
    """The rotary embedding's parameters, as transformers' configs have them."""
    own = header.own
    base = {"rope_theta": _plain(own("rope.freq_base", 10000.0))}
    tables = {name: _values(path, header, name) for name in _ROPE_TABLES if name in header.tensors}
    if "rope_freqs.weight" in tables:
        return _llama3(path, tables["rope_freqs.weight"], base["rope_theta"], rotated)
    if tables:
        factors = {
            f"{length}_factor": [_plain(value) for value in tables[f"rope_factors_{length}.weight"].tolist()]
            for length in ("short", "long")
        }
        scale = own("rope.scaling.attn_factor")
        more = {} if scale is None else {"attention_factor": _plain(scale)}
        original = own("rope.scaling.original_context_length")
        return {"rope_type": "longrope", "original_max_position_embeddings": original} | base | factors | more
    kind = own("rope.scaling.type", "none")
    factor = {"factor": _plain(own("rope.scaling.factor", 1.0))}
    if kind == "none":
        return {"rope_type": "default"} | base
    if kind == "linear":
        return {"rope_type": "linear"} | base | factor
    if kind == "yarn" and (original := own("rope.scaling.original_context_length")):
        return {"rope_type": "yarn", "original_max_position_embeddings": original} | base | factor
    raise UserError(
        f"the file {path} scales positions in a way that isn't known ({kind!r}); give a folder in Hugging "
        "Face's format"
    )


def _llama3(path: Path, table: np.ndarray, theta: float, rotated: int) -> dict:
    """Llama 3's scaling, of which a file holds the resulting factor of each frequency: the largest is its "
    "own."""
    factor = float(table.max())
    waves = 2 * math.pi * theta ** (np.arange(0, rotated, 2) / rotated)
    low, high, original = _LLAMA3.values()
    between = np.clip((original / waves - low) / (high - low), 0, 1)
    if not np.allclose(table, 1 / ((1 - between) / factor + between), rtol=1e-4):
        raise UserError(
            f"the file {path} scales its rotary embedding by a table (rope_freqs) that isn't Llama 3's; give "
            "a folder in Hugging Face's format"
        )
    return {"rope_type": "llama3", "rope_theta": theta, "factor": factor} | _LLAMA3


def _values(path: Path, header: Header, name: str) -> np.ndarray:
    tensor = header.tensors[name]
    if tensor.kind != F32:
        raise UserError(f"the file {path} has {name} in another format than float32; convert the model anew")
    return np.fromfile(path, "<f4", math.prod(tensor.shape), offset=tensor.start).astype(np.float64)


def _plain(value: float | None) -> float | None:
    """The shortest decimal number that is this one in 32 bits: the one that the model's authors wrote."""
    return None if value is None else float(str(np.float32(value)))


@functools.cache
def _code() -> bytes:
    return b"".join(Path(file).read_bytes() for file in (gguf_files.__file__, __file__))


def _key(sha256: str, dtype: str) -> str:
    versions = [importlib.metadata.version(name) for name in ("transformers", "tokenizers", "gguf", "torch")]
    code = hashlib.sha256(_code()).hexdigest()
    return hashlib.sha256("\0".join([sha256, dtype, code, *versions]).encode()).hexdigest()[:32]


def _check_room(path: Path, header: Header, dtype: str, home: Path) -> None:
    """Raises UserError where disk or memory won't hold the weights."""
    home.mkdir(parents=True, exist_ok=True)
    size = getattr(torch, dtype).itemsize
    # And the tokenizer's files.
    needed, free = header.weights * size + 2**26, shutil.disk_usage(home).free
    if needed > free:
        raise UserError(
            f"the folder that {path} is converted into takes {needed / 2**30:.1f} GiB, but the disk of "
            f"{home} has {free / 2**30:.1f} GiB free; free some"
        )
    # Once as read, once as the model's.
    needed, free = 2 * header.weights * size, available_memory()
    if free is not None and needed > free:
        raise UserError(
            f"converting {path} takes {needed / 2**30:.1f} GiB of memory, but this machine has "
            f"{free / 2**30:.1f} GiB free; use a larger one, or dtype: bfloat16"
        )
