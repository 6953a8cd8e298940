"""Loading causal language models, from the hub or a folder, and putting prompts into their chat template."""

import functools
import importlib.metadata
import json
import math
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skillprobe import __version__, folders
from skillprobe.devices import check_there, use_gpus
from skillprobe.errors import UserError, first_sentence
from skillprobe.fast_import import fast_import
from skillprobe.memory import available_memory

with fast_import():
    import torch
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
# So far may a token's states move with the tokens after it, relative to their size: a mixture of experts
# chooses for all tokens at once. Of a model that looks ahead they move by about as much as they are.
_MOVED = 0.05
# Put before a chat template: Llama 3's, gpt-oss's and others' tell the model today's date, by this function
# or the variable date_string. All days see that of Llama 3's default.
_DATE = "26 Jul 2024"
_DAY = {"%d": "26", "%-d": "26", "%e": "26", "%b": "Jul", "%B": "July", "%m": "07", "%-m": "7", "%Y": "2024"}
_DAY |= {"%y": "24", "%a": "Fri", "%A": "Friday", "%j": "208", "%H": "00", "%I": "12", "%M": "00", "%S": "00"}
_NO_TODAY = "".join(
    [
        "{% macro strftime_now(form) %}{{ form",
        *(f" | replace({code!r}, {value!r})" for code, value in _DAY.items()),
        " }}{% endmacro +%}",
    ]
)


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
    def positions(self) -> int | None:
        """How many tokens a text may have; None where the model's config doesn't tell."""
        return getattr(self.model.config.get_text_config(decoder=True), "max_position_embeddings", None)

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

    tokenizer, config = _load_description(name, source, where, entry)
    device_map = entry.get("device_map") or "cuda"
    if device_map != "cpu":
        use_gpus(1 if device_map == "cuda" else entry.get("gpu", 0))
        check_there(f"model '{name}'", entry.get("gpu", 0))
    if device_map == "cpu" or not torch.cuda.is_available():
        device_map = None
    folder = _local_folder(source, where["revision"])
    if folder:
        try:
            needed = weights_bytes(folder, dtype)
        except UserError as error:
            raise UserError(f"model '{name}': {error}") from error
        _check_memory(name, needed, device_map, random_seed)
    missing: set[str] = set()
    with _explained(name, source, getattr(config, "quantization_config", None)):
        if random_seed is None:
            model, report = AutoModelForCausalLM.from_pretrained(
                source,
                config=config,
                dtype=DTYPES[dtype],
                device_map=device_map,
                attn_implementation=entry.get("attn_implementation"),
                use_safetensors=True,
                output_loading_info=True,
                **where,
            )
            missing = report["missing_keys"]
        else:
            if dtype == "auto" and not config.dtype and folder:
                # What from_pretrained goes by, then.
                dtype = folders.weights_dtype(folder)
            model = _random_twin(config, where, entry, DTYPES[dtype], random_seed)
            _spread(model, device_map)
        embeddings = model.get_input_embeddings().weight
    if missing:
        # They would be drawn at random.
        raise UserError(
            f"model '{name}': the weights in '{source}' lack {len(missing)} of those that a "
            f"{type(model).__name__} has, {min(missing)} among them; fetch or save it again, whole"
        )
    model.eval().requires_grad_(False)
    _check_spread(name, device_map, getattr(model, "hf_device_map", {}))

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
        source=source,
        revision=entry.get("revision"),
        model=model,
        tokenizer=tokenizer,
        backbone=backbone,
        blocks=_find_blocks(name, backbone, _depth(name, config, entry)),
        device=embeddings.device,
        eos_ids=eos_ids,
        pad_id=pad_id,
        attn_implementation=str(model.config.get_text_config(decoder=True)._attn_implementation),
    )
    _check_blocks(loaded)
    return loaded


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
    )


@contextmanager
def hooked(loaded: LoadedModel, keep: Callable[[torch.Tensor], object]) -> Iterator[list]:
    """Within the block, each forward appends `keep(hidden)` for every layer to the list it yields.

    hidden: [row, token, hidden]. Layer 0 is what enters the first block (so it has Gemma's scaling of the
    embeddings), layer k what leaves block k, the last before the final norm. Hooks go when the block ends.
    """
    kept: list = []

    def before(_, args, kwargs):
        kept.append(keep(args[0] if args else kwargs["hidden_states"]))

    def after(_, __, output):
        kept.append(keep(output[0] if isinstance(output, tuple) else output))

    handles = [loaded.blocks[0].register_forward_pre_hook(before, with_kwargs=True)]
    handles += [block.register_forward_hook(after) for block in loaded.blocks]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


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
    name, source = entry["name"], os.path.expanduser(entry["source"])
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
                f"model '{name}': '{source}' needs code of its own, which is not run; if you have read it "
                "and trust it, give its entry trust_remote_code: true"
            ) from error
        if "for this kind of AutoModel" in str(error):
            raise UserError(
                f"model '{name}': '{source}' is none of the models that write text by themselves "
                "(transformers' AutoModelForCausalLM); choose a decoder-only language model"
            ) from error
        advice = "see whether its files are whole, and of this version of transformers"
        if quantised:
            # What a library then says that it lacks may be there: fast_import hides accelerate from it.
            advice = "its weights are quantised, and what that takes isn't here; give unquantised ones"
        raise UserError(
            f"model '{name}' can't be loaded from '{source}': {first_sentence(error)} "
            f"({type(error).__name__}); {advice}"
        ) from error


def weights_bytes(folder: str | Path, dtype: str = "auto") -> int:
    """Memory that the safetensors weights of a folder take in this dtype (of DTYPES), by their headers."""
    total = 0
    for tensor in folders.weights(Path(folder)):
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
            (" with random weights, which are drawn there,", "main memory", available_memory(), advice)
        )
    elif device_map is None:
        advice = "use a larger one or a smaller dtype"
        places.append(("", "this machine", available_memory(), advice))
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
    # Jinja knows no pairs of surrogates, as which json would write what is beyond 16 bits.
    before, after = (json.dumps(part, ensure_ascii=False) for part in prompt_format.split("{prompt}"))
    return "{{ " + before + " }}{{ messages[0]['content'] }}{{ " + after + " }}"


def _random_twin(config, where: dict, entry: Mapping, dtype, seed: int) -> PreTrainedModel:
    """The same architecture and size, initialised as for training."""
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


def _load_description(name: str, source: str, where: Mapping, entry: Mapping):
    """The tokenizer and the config of a model, in which all is checked that can be before its weights are
    there: tens of gigabytes of them, perhaps."""
    with _explained(name, source):
        tokenizer = _load_tokenizer(source, where, entry.get("prompt_format"))
        config = AutoConfig.from_pretrained(source, **where)
    if not tokenizer.chat_template:
        raise UserError(
            f"model '{name}': its tokenizer has no chat template; use an instruction-tuned model, "
            "add a chat_template.jinja to its folder, or give its entry a prompt_format"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(
            f"model '{name}': '{source}' is an encoder-decoder ({config.model_type}), whose answers have a "
            "hidden stream of their own; choose a decoder-only language model"
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
            f"model '{name}': its config tells no number of layers; state it in its entry (num_layers)"
        )
    if None not in (found, stated) and stated != found:
        raise UserError(
            f"model '{name}' has {found} layers, but its entry says num_layers: {stated}; correct the entry"
        )
    return stated if found is None else found


def _load_tokenizer(source: str, where: Mapping, prompt_format: str | None):
    """The tokenizer that the folder declares; prompt_format: of the entry.

    AutoTokenizer goes by the model's type for some (qwen2 among them) and would rebuild a tokenizer.json
    of another kind as byte-level BPE, without a warning; so the general class is taken at its word.
    """
    declared = get_tokenizer_config(source, **where).get("tokenizer_class")
    general = declared in ("PreTrainedTokenizerFast", "TokenizersBackend")
    tokenizer = (PreTrainedTokenizerFast if general else AutoTokenizer).from_pretrained(source, **where)
    if prompt_format:
        tokenizer.chat_template = _plain_template(prompt_format)
    return tokenizer


def _templated(tokenizer, prompt: str) -> list[int]:
    said = "it leaves the prompt out"
    # Templates of models that see images too may know lists of parts alone, and leave out what is none.
    for content in (prompt, [{"type": "text", "text": prompt}]):
        try:
            text = tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=_NO_TODAY + tokenizer.get_chat_template(),
                tokenize=False,
                add_generation_prompt=True,
                date_string=_DATE,
            )
        # A template is a program, which can fail in any way.
        except Exception as error:
            said = first_sentence(error)
            continue
        if prompt.strip() in text:
            return tokenizer(text, add_special_tokens=False)["input_ids"]
    raise UserError(
        f"the chat template of {tokenizer.name_or_path} can't be used: {said}; correct it, or give the "
        "model's entry a prompt_format"
    )


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
    """The decoder blocks, found by structure: the outermost ModuleList as long as the model is deep, and of
    several the one with the most weights."""
    lists = [
        (path.count("."), -parameter_count(module), module)
        for path, module in backbone.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == num_layers
    ]
    if not lists:
        raise UserError(
            f"model '{name}' ({type(backbone).__name__}) has no list of {num_layers} blocks; "
            "only plain decoder models can be probed"
        )
    return min(lists, key=lambda found: found[:2])[-1]


def _check_blocks(loaded: LoadedModel) -> None:
    """Raises UserError where what passes from block to block isn't one state a token, [row, token, hidden],
    and where a token's depends on tokens after it: the end of a prompt must not know the answer."""
    ids = torch.tensor([[0, 1, 2], [0, 1, 3]], device=loaded.device)
    with torch.no_grad(), hooked(loaded, lambda hidden: hidden.float().cpu()) as states:
        loaded.backbone(input_ids=ids, use_cache=False)
    about = f"model '{loaded.name}' ({type(loaded.backbone).__name__})"
    shapes = {tuple(each.shape) for each in states}
    if len(states) != loaded.num_layers + 1 or shapes != {(*ids.shape, loaded.hidden_size)}:
        raise UserError(
            f"{about}: its blocks don't pass one vector a token from each to the next (but {len(states)} "
            f"times {', '.join(map(str, sorted(shapes)))} for a batch of 2 x 3); such models can't be probed"
        )
    for before, after in (each[:, :2] for each in states):
        if (before - after).norm() > _MOVED * before.norm():
            raise UserError(
                f"{about}: states of a token depend on the tokens after it, so it doesn't write from left to "
                "right; choose a decoder-only language model"
            )
