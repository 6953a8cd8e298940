"""Loading causal language models, from the hub or a folder."""

import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skillprobe import __version__
from skillprobe.errors import UserError, first_sentence
from skillprobe.models import folders
from skillprobe.models.chat import plain_template, with_variables
from skillprobe.models.fast_import import fast_import
from skillprobe.models.loaded import LoadedModel, check_blocks, find_blocks, positions_of
from skillprobe.models.placement import DTYPES, check_memory, check_spread, claim_devices, spread

with fast_import():
    import torch
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoTokenizer,
        GenerationConfig,
        PreTrainedTokenizerFast,
    )
    from transformers.configuration_utils import PreTrainedConfig
    from transformers.modeling_utils import PreTrainedModel
    from transformers.models.auto.tokenization_auto import get_tokenizer_config
    from transformers.utils import logging


@dataclass(frozen=True)
class Outline:
    """A model without its weights. path: its folder, or a hub id that may have to be downloaded; dtype: what
    it is to compute in, "auto" where neither its entry nor its config says; eos_ids, positions: as of
    LoadedModel."""

    path: str
    revision: str
    dtype: str
    tokenizer: object = field(repr=False)
    eos_ids: tuple[int, ...]
    positions: int | None


def load(entry: Mapping, random_seed: int | None = None) -> LoadedModel:
    """Load a model of the config, or a random-weight model of the same shape, drawn from `random_seed`.

    entry: "name", "source" (hub id or folder); optional "revision", "dtype" (of DTYPES, default "auto": as
    stored), "device_map" (default: the GPU if there is one, else the CPU), "gpu" (how many a device_map may
    take; 0, the default: all), "attn_implementation" ("sdpa" or "eager"; default: sdpa where the architecture
    has it, which Gemma 2 has not), "trust_remote_code" (default False), "num_layers" (checked),
    "prompt_format" (in the place of the tokenizer's chat template), "chat_template_kwargs" (values of the
    template's variables), "offline" (a hub model is taken from the cache), "sha256" (what the folder held, so
    there must be one), "folder" (with the model's files, where its source is a GGUF file that was converted).
    Only safetensors weights are read, and
    nothing goes over the network for a folder. Raises UserError naming the model.
    """
    name, source, where = _source(entry)
    dtype = entry.get("dtype") or "auto"
    if dtype not in DTYPES:
        raise UserError(f"model '{name}': dtype is '{dtype}'; it must be one of {', '.join(DTYPES)}")
    tokenizer, config = _load_description(name, source, where, entry)
    device_map = claim_devices(f"model '{name}'", entry)
    folder = _local_folder(source, where["revision"])
    if folder:
        check_memory(name, folder, dtype, device_map, random_seed)
    with _explained(name, source, getattr(config, "quantization_config", None)):
        if random_seed is None:
            model = _load_weights(name, source, where, entry, config, dtype, device_map)
        else:
            if dtype == "auto" and not config.dtype and folder:
                # What from_pretrained goes by, then.
                dtype = folders.weights_dtype(folder)
            model = _random_weight_model(config, where, entry, DTYPES[dtype], random_seed)
            spread(model, device_map)
        embeddings = model.get_input_embeddings().weight
    model.eval().requires_grad_(False)
    _lay_out(model)
    if (head := model.get_output_embeddings()) is not None:
        head.register_forward_pre_hook(_contiguous)
    check_spread(name, device_map, getattr(model, "hf_device_map", {}))

    eos_ids = _eos_ids(name, model.generation_config, model.config, tokenizer)
    pad_id = tokenizer.pad_token_id
    # Some tokenizers know more tokens than the model.
    if pad_id is None or pad_id >= len(embeddings):
        pad_id = eos_ids[0]
    # generate() fills what its caller leaves open from here, and model folders like to set temperatures and
    # repetition penalties of their own.
    model.generation_config = GenerationConfig(eos_token_id=list(eos_ids), pad_token_id=pad_id)
    backbone = model.get_decoder()
    loaded = LoadedModel(
        name=name,
        source=entry["source"] if entry.get("folder") else source,
        revision=entry.get("revision"),
        model=model,
        tokenizer=tokenizer,
        backbone=backbone,
        blocks=find_blocks(name, backbone, _depth(name, config, entry)),
        device=embeddings.device,
        eos_ids=eos_ids,
        pad_id=pad_id,
        attn_implementation=str(model.config.get_text_config(decoder=True)._attn_implementation),
    )
    check_blocks(loaded)
    return loaded


def _lay_out(model: PreTrainedModel) -> None:
    """Have the weights of linear layers, [out, in], lie in memory as [in, out], where they are on a CPU in
    float32: products of a few dozen rows with them take two thirds of the time there (MKL's). The embeddings,
    which an output layer may share, stay as they are: their rows are looked up."""
    shared = model.get_input_embeddings().weight
    for module in model.modules():
        if type(module) is torch.nn.Linear and module.weight is not shared:
            weight = module.weight
            if weight.device.type == "cpu" and weight.dtype == torch.float32:
                weight.data = weight.data.t().contiguous().t()


def _contiguous(head, inputs: tuple) -> tuple:
    """Of the last token's state alone, a slice, torch 2.13 makes a batched product in bfloat16 on a CPU, with
    a copy of the head's weight for each row: gigabytes, and up to 500 times as long."""
    return tuple(each.contiguous() for each in inputs)


def load_outline(entry: Mapping) -> Outline:
    """A model of the config without its weights, which something else is to run.

    entry: as for `load`. Raises UserError naming the model.
    """
    name, source, where = _source(entry)
    tokenizer, config = _load_description(name, source, where, entry)
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
        positions=positions_of(config),
    )


def _local_folder(source: str, revision: str) -> Path | None:
    """The folder of a model: itself, or that of a hub model in the cache."""
    if os.path.isdir(source):
        return Path(source)
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _source(entry: Mapping) -> tuple[str, str, dict]:
    """The name of an entry, its hub id or the folder of its files, and how these are asked for."""
    name, source = entry["name"], entry.get("folder") or os.path.expanduser(entry["source"])
    is_folder = os.path.isdir(source)
    if not is_folder and entry.get("sha256"):
        raise UserError(f"model '{name}': the folder '{source}' no longer exists; put it back and run again")
    if not is_folder and not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", source):
        raise UserError(f"model '{name}': there is no folder '{source}'; correct its source")
    if is_folder:
        _check_folder(name, source)
    return (
        name,
        source,
        {
            "revision": entry.get("revision") or "main",
            "local_files_only": is_folder or bool(entry.get("offline")),
            "trust_remote_code": bool(entry.get("trust_remote_code", False)),
        },
    )


def _check_folder(name: str, source: str) -> None:
    folder = Path(source)
    whole = (folder / "config.json").is_file() and folders.weight_files(folder)
    try:
        if not whole:
            folders.check_no_adapter(folder)
        folders.check_tokenizer_packages(folder)
    except UserError as error:
        raise UserError(f"model '{name}': {error}") from error
    if not (folder / "config.json").is_file():
        raise UserError(f"model '{name}': the folder '{source}' has no config.json; it holds no model")
    if not whole:
        raise UserError(
            f"model '{name}': the folder '{source}' has no *.safetensors file, and pickled weights (.bin, "
            ".pt), which can run code, are not read; save it with save_pretrained"
        )


def _auto_class(config: PreTrainedConfig):
    """What loads a model of this config: of one that sees images too, which transformers has as no causal
    language model, all of it. Its decoder is then the language model, as text alone goes through it."""
    seeing = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    if seeing and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return AutoModelForImageTextToText
    return AutoModelForCausalLM


@contextmanager
def _explained(name: str, source: str, quantised: object = None) -> Iterator[None]:
    """Whatever the libraries raise within the block, in one sentence that says what to do.

    quantised: what the model's config says of that, if anything.
    """
    logging.disable_progress_bar()
    try:
        yield
    except UserError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(
            f"model '{name}' doesn't fit into memory; use a larger GPU, device_map: auto, or a smaller dtype"
        ) from error
    # A model's folder, and code of its own, can be wrong in any way.
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise UserError(
                f"model '{name}': '{source}' needs its own code, which is not run by default; if you "
                "have read it and trust it, set trust_remote_code: true in the model's entry"
            ) from error
        if "for this kind of AutoModel" in str(error):
            raise UserError(
                f"model '{name}': '{source}' is not a causal language model (transformers' "
                "AutoModelForCausalLM can't load it); choose a decoder-only language model"
            ) from error
        advice = "check that its files are complete and fit this version of transformers"
        if quantised:
            # What a library then says that it lacks may be there: fast_import hides accelerate from it.
            advice = (
                "its weights are quantised, and a package that this needs is not installed; give "
                "unquantised ones"
            )
        raise UserError(
            f"model '{name}' can't be loaded from '{source}': {first_sentence(error)} "
            f"({type(error).__name__}); {advice}"
        ) from error


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that shape a model's numbers."""
    names = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "h5py")
    return {
        "python": platform.python_version(),
        "skillprobe": __version__,
        **{name: importlib.metadata.version(name) for name in names},
    }


def _load_weights(
    name: str,
    source: str,
    where: dict,
    entry: Mapping,
    config: PreTrainedConfig,
    dtype: str,
    device_map: str | None,
) -> PreTrainedModel:
    model, report = _auto_class(config).from_pretrained(
        source,
        config=config,
        dtype=DTYPES[dtype],
        device_map=device_map,
        attn_implementation=entry.get("attn_implementation"),
        use_safetensors=True,
        output_loading_info=True,
        **where,
    )
    if missing := report["missing_keys"]:
        # They would be drawn at random.
        raise UserError(
            f"model '{name}': the weights in '{source}' lack {len(missing)} of the tensors of a "
            f"{type(model).__name__}, such as {min(missing)}; download or save the complete model again"
        )
    return model


def _random_weight_model(config, where: dict, entry: Mapping, dtype, seed: int) -> PreTrainedModel:
    """The same architecture and size, initialised as for training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _auto_class(config).from_config(
            config,
            dtype=config.dtype if dtype == "auto" else dtype,
            attn_implementation=entry.get("attn_implementation"),
            trust_remote_code=where["trust_remote_code"],
        )


def _load_description(name: str, source: str, where: Mapping, entry: Mapping):
    """The tokenizer and the config of a model, in which all is checked that can be before its weights are
    there: tens of gigabytes of them, perhaps."""
    with _explained(name, source):
        tokenizer = _load_tokenizer(source, where, entry)
        config = AutoConfig.from_pretrained(source, **where)
    if not tokenizer.chat_template:
        raise UserError(
            f"model '{name}': its tokenizer has no chat template; use an instruction-tuned model, "
            "add a chat_template.jinja to its folder, or give its entry a prompt_format"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(
            f"model '{name}': '{source}' is an encoder-decoder ({config.model_type}), which has "
            "separate hidden states for prompt and response; choose a decoder-only language model"
        )
    _depth(name, config, entry)
    return tokenizer, config


def _depth(name: str, config, entry: Mapping) -> int:
    """Number of blocks. Raises UserError where the entry says another, or nothing says it."""
    found, stated = (
        getattr(config.get_text_config(decoder=True), "num_hidden_layers", None),
        entry.get("num_layers"),
    )
    if found is None and stated is None:
        raise UserError(
            f"model '{name}': its config.json does not give the number of layers; set num_layers in its entry"
        )
    if None not in (found, stated) and stated != found:
        raise UserError(
            f"model '{name}' has {found} layers, but its entry says num_layers: {stated}; correct the entry"
        )
    return stated if found is None else found


def load_tokenizer(entry: Mapping):
    """The tokenizer of a model of the config. entry: as for `load`. Raises UserError naming the model."""
    name, source, where = _source(entry)
    with _explained(name, source):
        return _load_tokenizer(source, where, entry)


def _load_tokenizer(source: str, where: Mapping, entry: Mapping):
    """The tokenizer that the folder declares, with the chat template as the entry has it.

    AutoTokenizer goes by the model's type for some (qwen2 among them) and would rebuild a tokenizer.json
    of another kind as byte-level BPE, without a warning; so the general class is taken at its word.
    """
    declared = get_tokenizer_config(source, **where).get("tokenizer_class")
    general = declared in ("PreTrainedTokenizerFast", "TokenizersBackend")
    tokenizer = (PreTrainedTokenizerFast if general else AutoTokenizer).from_pretrained(source, **where)
    if entry.get("prompt_format"):
        tokenizer.chat_template = plain_template(entry["prompt_format"])
    elif tokenizer.chat_template and entry.get("chat_template_kwargs"):
        tokenizer.chat_template = with_variables(tokenizer.chat_template, entry["chat_template_kwargs"])
    return tokenizer


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
            f"model '{name}' has no EOS token, so its responses would never end; add eos_token_id to "
            "its generation_config.json"
        )
    return tuple(dict.fromkeys(ids))
