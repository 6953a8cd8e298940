"""Loading causal language models, from the hub or a folder, and putting prompts into their chat template."""

import functools
import importlib.metadata
import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skillprobe import __version__
from skillprobe.devices import check_there, use_gpus
from skillprobe.errors import UserError, first_sentence
from skillprobe.fast_import import fast_import

with fast_import():
    import torch
    from jinja2 import TemplateError
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoTokenizer,
        GenerationConfig,
        PreTrainedTokenizerFast,
    )
    from transformers.modeling_utils import PreTrainedModel
    from transformers.models.auto.tokenization_auto import get_tokenizer_config
    from transformers.utils import is_pandas_available, is_scipy_available, is_sklearn_available, logging

    # It remembers the answers, so that the model classes it imports later go without them too.
    is_pandas_available(), is_scipy_available(), is_sklearn_available()

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "auto": "auto"}


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for use: in eval mode, without gradients.

    blocks: the decoder blocks in order; backbone: the decoder without the language-model head; device: where
    its inputs go; eos_ids: every token that ends a response; pad_id: a token to pad with (it may be an EOS);
    held: the most "rows" and "tokens" of a batch, where more were too much for the GPU's memory.
    """

    name: str
    source: str
    revision: str | None
    model: PreTrainedModel = field(repr=False)
    tokenizer: object = field(repr=False)
    backbone: torch.nn.Module = field(repr=False)
    blocks: torch.nn.ModuleList = field(repr=False)
    device: torch.device
    eos_ids: tuple[int, ...]
    pad_id: int
    attn_implementation: str
    held: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def num_layers(self) -> int:
        return len(self.blocks)

    @property
    def hidden_size(self) -> int:
        return self.model.config.get_text_config(decoder=True).hidden_size

    @property
    def dtype(self) -> str:
        return str(self.model.dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Outline:
    """A model without its weights. path: its folder, or a hub id that may have to be downloaded; dtype: what
    it is to compute in, "auto" where neither its entry nor its config says; eos_ids: as of LoadedModel."""

    path: str
    revision: str
    dtype: str
    tokenizer: object = field(repr=False)
    eos_ids: tuple[int, ...]


def load(entry: Mapping, random_seed: int | None = None) -> LoadedModel:
    """Load a model of the config, or its twin with random weights drawn from `random_seed`.

    entry: "name", "source" (hub id or folder); optional "revision", "dtype" (of DTYPES, default "auto": as
    stored), "device_map" (default: the GPU if there is one, else the CPU), "gpu" (how many a device_map may
    take; 0, the default: all), "attn_implementation" ("sdpa" or "eager"; default: sdpa where the architecture
    has it, which Gemma 2 has not), "trust_remote_code" (default False), "num_layers" (checked),
    "prompt_format" (in the place of the tokenizer's chat template), "offline" (a hub model is taken from the
    cache), "sha256" (what the folder held, so there must be one). Only safetensors weights are read, and
    nothing goes over the network for a folder. Raises UserError naming the model.
    """
    name, source, where = _source(entry)
    dtype = entry.get("dtype") or "auto"
    if dtype not in DTYPES:
        raise UserError(f"model '{name}': dtype '{dtype}' is none of {', '.join(DTYPES)}")

    device_map = entry.get("device_map") or "cuda"
    if device_map != "cpu":
        use_gpus(1 if device_map == "cuda" else entry.get("gpu", 0))
        check_there(f"model '{name}'", entry.get("gpu", 0))
    if device_map == "cpu" or not torch.cuda.is_available():
        device_map = None
    folder = _local_folder(source, where["revision"])
    if folder:
        _check_memory(name, weights_bytes(folder, dtype), device_map, random_seed)
    logging.disable_progress_bar()
    try:
        tokenizer = _load_tokenizer(entry, where)
        if random_seed is None:
            model = AutoModelForCausalLM.from_pretrained(
                source,
                dtype=DTYPES[dtype],
                device_map=device_map,
                attn_implementation=entry.get("attn_implementation"),
                use_safetensors=True,
                **where,
            )
        else:
            model = _random_twin(source, where, entry, DTYPES[dtype], random_seed)
            _spread(model, device_map)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(
            f"model '{name}' doesn't fit into memory; use a larger GPU, device_map: auto, or a smaller dtype"
        ) from error
    except (OSError, ValueError, ImportError) as error:
        raise _not_loaded(name, source, error) from error
    model.eval().requires_grad_(False)
    _check_spread(name, device_map, getattr(model, "hf_device_map", {}))

    _check_template(name, tokenizer)
    config = model.config.get_text_config(decoder=True)
    stated = entry.get("num_layers")
    if stated is not None and stated != config.num_hidden_layers:
        raise UserError(
            f"model '{name}' has {config.num_hidden_layers} layers, but its entry says num_layers: {stated}; "
            "correct the entry"
        )
    eos_ids = _eos_ids(name, model.generation_config, model.config, tokenizer)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos_ids[0]
    # generate() fills what its caller leaves open from here, and model folders like to set temperatures and
    # repetition penalties of their own.
    model.generation_config = GenerationConfig(eos_token_id=list(eos_ids), pad_token_id=pad_id)
    backbone = model.get_decoder()
    return LoadedModel(
        name=name,
        source=source,
        revision=entry.get("revision"),
        model=model,
        tokenizer=tokenizer,
        backbone=backbone,
        blocks=_find_blocks(name, backbone, config.num_hidden_layers),
        device=model.get_input_embeddings().weight.device,
        eos_ids=eos_ids,
        pad_id=pad_id,
        attn_implementation=str(config._attn_implementation),
    )


def load_outline(entry: Mapping) -> Outline:
    """A model of the config without its weights, which something else is to run.

    entry: as for `load`. Raises UserError naming the model.
    """
    name, source, where = _source(entry)
    try:
        tokenizer = _load_tokenizer(entry, where)
        config = AutoConfig.from_pretrained(source, **where)
    except (OSError, ValueError, ImportError) as error:
        raise _not_loaded(name, source, error) from error
    _check_template(name, tokenizer)
    try:
        generation_config = GenerationConfig.from_pretrained(
            source, revision=where["revision"], local_files_only=where["local_files_only"]
        )
    except OSError:  # It has none.
        generation_config = GenerationConfig.from_model_config(config)
    dtype = entry.get("dtype") or "auto"
    return Outline(
        path=str(_local_folder(source, where["revision"]) if where["local_files_only"] else source),
        revision=where["revision"],
        dtype=str(config.dtype or dtype).removeprefix("torch.") if dtype == "auto" else dtype,
        tokenizer=tokenizer,
        eos_ids=_eos_ids(name, generation_config, config, tokenizer),
    )


def decode(tokenizer, ids: Sequence[int]) -> str:
    """The text of these tokens as they were written: special ones left out, no blank tidied away."""
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def chat_ids(tokenizer, prompt: str) -> list[int]:
    """Token ids of `prompt` as the user's turn, up to where the answer begins, with exactly one BOS.

    Templates that write no BOS get it from the tokenizer if that adds one to plain text; where neither does
    (Qwen), the model was trained without. Raises UserError if the tokens begin with two, or if the prompt's
    own text contains one.
    """
    in_template, prepend = _bos_of_template(tokenizer)
    ids = _templated(tokenizer, prompt)
    bos = tokenizer.bos_token_id
    if bos is None:
        return ids
    if ids[:2] == [bos, bos]:
        raise UserError(
            f"the chat template of {tokenizer.name_or_path} begins with two BOS tokens; correct it"
        )
    if ids.count(bos) != in_template:
        raise UserError(
            f"the prompt {prompt[:60]!r} contains the BOS token {tokenizer.bos_token!r}; remove it"
        )
    return [bos, *ids] if prepend else ids


def _local_folder(source: str, revision: str) -> Path | None:
    """The folder of a model: itself, or that of a hub model in the cache."""
    if os.path.isdir(source):
        return Path(source)
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _source(entry: Mapping) -> tuple[str, str, dict]:
    """The name and source of an entry, and how its files are asked for."""
    name, source = entry["name"], str(entry["source"])
    is_folder = os.path.isdir(source)
    if not is_folder and entry.get("sha256"):
        raise UserError(f"model '{name}': the folder '{source}' has gone; put it back and run again")
    if not is_folder and not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", source):
        raise UserError(f"model '{name}': there is no folder '{source}'; correct its source")
    if is_folder and not (Path(source) / "config.json").is_file():
        raise UserError(f"model '{name}': the folder '{source}' has no config.json; it holds no model")
    if is_folder and not any(Path(source).glob("*.safetensors")):
        raise UserError(
            f"model '{name}': the folder '{source}' has no *.safetensors file, and pickled weights (.bin, "
            ".pt), which can run code, are not read; save it with save_pretrained"
        )
    return (
        name,
        source,
        {
            "revision": entry.get("revision") or "main",
            "local_files_only": is_folder or bool(entry.get("offline")),
            "trust_remote_code": bool(entry.get("trust_remote_code", False)),
        },
    )


def _not_loaded(name: str, source: str, error: Exception) -> UserError:
    """What to do about an error of the libraries."""
    if "trust_remote_code" in str(error):
        return UserError(
            f"model '{name}': '{source}' needs code of its own, which is not run; if you have read it and "
            "trust it, give its entry trust_remote_code: true"
        )
    return UserError(f"model '{name}' can't be loaded from '{source}': {first_sentence(error)}")


def weights_bytes(folder: str | Path, dtype: str = "auto") -> int:
    """Memory that the safetensors weights of a folder take in this dtype (of DTYPES), by their headers."""
    total = 0
    for path in sorted(Path(folder).glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            stored = tensor["data_offsets"][1] - tensor["data_offsets"][0]
            floating = tensor["dtype"].startswith(("F", "BF"))
            convert = dtype != "auto" and floating
            total += math.prod(tensor["shape"]) * DTYPES[dtype].itemsize if convert else stored
    return total


def _check_memory(name: str, needed: int, device_map: str | None, random_seed: int | None) -> None:
    """Before anything is loaded: a machine that swaps, or a job that is killed, says less."""
    places = []
    if device_map == "cuda":
        advice = "use a larger one, device_map: auto, or a smaller dtype"
        places.append(("", "the GPU", torch.cuda.mem_get_info()[0], advice))
    if random_seed is not None:
        advice = "ask for more (mem_mb), or set controls: {random_weights: false}"
        places.append(
            (" with random weights, which are drawn there,", "main memory", _available_memory(), advice)
        )
    elif device_map is None:
        advice = "use a larger one or a smaller dtype"
        places.append(("", "this machine", _available_memory(), advice))
    for how, where, free, advice in places:
        if free is not None and needed > free:
            raise UserError(
                f"model '{name}'{how} takes {needed / 2**30:.1f} GiB, but {where} has {free / 2**30:.1f} GiB "
                f"free; {advice}"
            )


def _check_spread(name: str, device_map: str | None, places: Mapping) -> None:
    """places: part of the model -> device. Raises UserError where GPUs hold but some of it: the rest would be
    moved there for each token, for days."""
    away = [part for part, place in places.items() if str(place) in ("cpu", "disk")]
    if away and len(away) < len(places):
        raise UserError(
            f"model '{name}' doesn't fit onto the GPUs that its job sees: device_map {device_map} left "
            f"{len(away)} of {len(places)} parts elsewhere, {away[0]} among them; ask for more GPUs (gpu) "
            "or use a smaller dtype"
        )


def _available_memory() -> int | None:
    """Of the machine, in bytes; None where it doesn't tell (that is, but for Linux)."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return 1024 * int(found[1]) if found else None


def parameter_count(model: torch.nn.Module) -> int:
    """Number of parameters, tied ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that shape a model's numbers."""
    names = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "h5py")
    return {
        "python": platform.python_version(),
        "skillprobe": __version__,
        **{name: importlib.metadata.version(name) for name in names},
    }


def _plain_template(prompt_format: str) -> str:
    """A chat template that puts the user's turn into a text, for base models."""
    before, after = (json.dumps(part) for part in prompt_format.split("{prompt}"))
    return "{{ " + before + " }}{{ messages[0]['content'] }}{{ " + after + " }}"


def _random_twin(source: str, where: dict, entry: Mapping, dtype, seed: int) -> PreTrainedModel:
    """The same architecture and size, initialised as for training."""
    config = AutoConfig.from_pretrained(source, **where)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(
            config,
            dtype=config.dtype if dtype == "auto" else dtype,
            attn_implementation=entry.get("attn_implementation"),
            trust_remote_code=where["trust_remote_code"],
        )


def _spread(model: PreTrainedModel, device_map: str | None) -> None:
    """Put weights that come from no file where `from_pretrained` would put a file's."""
    if device_map in (None, "cuda"):
        model.to(device_map or "cpu")
        return
    from accelerate import dispatch_model, infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    whole = model._no_split_modules
    most = None
    if device_map != "sequential":
        most = get_balanced_memory(
            model, no_split_module_classes=whole, low_zero=device_map == "balanced_low_0"
        )
    dispatch_model(model, infer_auto_device_map(model, most, no_split_module_classes=whole))


def _load_tokenizer(entry: Mapping, where: dict):
    """The tokenizer that the folder declares, with the entry's `prompt_format`.

    AutoTokenizer goes by the model's type for some (qwen2 among them) and would rebuild a tokenizer.json
    of another kind as byte-level BPE, without a warning; so the general class is taken at its word.
    """
    source = str(entry["source"])
    declared = get_tokenizer_config(source, **where).get("tokenizer_class")
    general = declared in ("PreTrainedTokenizerFast", "TokenizersBackend")
    tokenizer = (PreTrainedTokenizerFast if general else AutoTokenizer).from_pretrained(source, **where)
    if entry.get("prompt_format"):
        tokenizer.chat_template = _plain_template(entry["prompt_format"])
    return tokenizer


def _check_template(name: str, tokenizer) -> None:
    if not tokenizer.chat_template:
        raise UserError(
            f"model '{name}': its tokenizer has no chat template; use an instruction-tuned model, "
            "add a chat_template.jinja to its folder, or give its entry a prompt_format"
        )


def _templated(tokenizer, prompt: str) -> list[int]:
    # Llama 3's templates tell the model today's date unless they are given one; this is their own default.
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            date_string="26 Jul 2024",
        )
    except TemplateError as error:
        raise UserError(
            f"the chat template of {tokenizer.name_or_path} can't be used: {first_sentence(error)}"
        ) from error
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@functools.lru_cache(maxsize=8)
def _bos_of_template(tokenizer) -> tuple[int, bool]:
    """(BOS tokens in the template of an ordinary prompt, whether one must be put before it).

    Counted rather than taken to be 1, since for some (SmolLM2) the BOS also begins every turn.
    """
    bos = tokenizer.bos_token_id
    if bos is None:
        return 0, False
    count = _templated(tokenizer, "a").count(bos)
    return count, count == 0 and tokenizer("a")["input_ids"][:1] == [bos]


def _eos_ids(name: str, generation_config, config, tokenizer) -> tuple[int, ...]:
    """All end tokens: of the generation config (or, failing that, the config) and of the tokenizer."""
    ids = generation_config.eos_token_id
    if ids is None:
        ids = getattr(config.get_text_config(decoder=True), "eos_token_id", None)
    ids = [ids] if isinstance(ids, int) else list(ids or [])
    if tokenizer.eos_token_id is not None:
        ids.append(tokenizer.eos_token_id)
    if not ids:
        raise UserError(
            f"model '{name}' names no EOS token, so its responses would never end; add eos_token_id"
        )
    return tuple(dict.fromkeys(ids))


def _find_blocks(name: str, backbone: torch.nn.Module, num_layers: int) -> torch.nn.ModuleList:
    """The decoder blocks, found by structure: the outermost ModuleList as long as the model is deep."""
    lists = [
        (path.count("."), module)
        for path, module in backbone.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == num_layers
    ]
    if not lists:
        raise UserError(
            f"model '{name}' ({type(backbone).__name__}) has no list of {num_layers} blocks; "
            "only plain decoder models can be probed"
        )
    return min(lists, key=lambda pair: pair[0])[1]
