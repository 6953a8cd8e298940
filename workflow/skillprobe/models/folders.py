"""What is in the folder of a model or a judge, read without loading it.

Apart from `config`, so that an edit there doesn't fetch models anew, and all of their study after them.
"""

import importlib.util
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.storage.fingerprint import weight_files

# What a number of blocks is called in the config.json of a model's folder.
LAYER_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
# And the size of its states.
WIDTH_KEYS = ("hidden_size", "n_embd", "d_model")
# And how many tokens it can read.
WINDOW_KEYS = ("max_position_embeddings", "n_positions")
# How the names of models end that write nothing, as config.json has them.
NO_WRITERS = ("ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")


def settings(folder: Path) -> dict:
    """The config.json of a model's folder. Raises UserError where there is none."""
    if not (folder / "config.json").is_file():
        check_no_adapter(folder)
        raise UserError(f"the folder {folder} has no config.json; give a model in Hugging Face's format")
    return _json_object(folder / "config.json")


def text_settings(folder: Path) -> dict:
    """The part of config.json that is about the language model; others are about images and the like."""
    found = settings(folder)
    return found if any(key in found for key in LAYER_KEYS) else found.get("text_config", {})


def num_layers(folder: Path, stated: int | None) -> int:
    """Number of blocks (without the embeddings): from config.json, else as stated.

    Raises UserError if neither tells, or if they contradict each other.
    """
    found = text_settings(folder)
    found = next((found[key] for key in LAYER_KEYS if key in found), stated)
    if found is None:
        raise UserError(
            f"num_layers is missing: {folder / 'config.json'} does not give it; set it to the number "
            "of blocks"
        )
    if stated is not None and stated != found:
        raise UserError(f"num_layers is {stated}, but {folder / 'config.json'} says {found}; remove the key")
    return found


def width(folder: Path) -> int | None:
    """Size of the model's states, where config.json tells it."""
    found = text_settings(folder)
    return next((found[key] for key in WIDTH_KEYS if key in found), None)


def window(folder: Path) -> int | None:
    """How many tokens the model can read, prompt and response together, where config.json tells it."""
    found = text_settings(folder)
    return next((found[key] for key in WINDOW_KEYS if isinstance(found.get(key), int)), None)


def template(folder: Path) -> str:
    """The chat template, or several by name as JSON; "" where there is none."""
    file = folder / "chat_template.jinja"
    text = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    if text:
        return text
    return json.dumps(_json_object(folder / "tokenizer_config.json").get("chat_template") or "").strip('"')


def world(folder: Path) -> str | None:
    """The world whose controlled language is all that the model speaks, as its config.json says; None for any
    other model."""
    return settings(folder).get("skillprobe_world")


def check_model(folder: Path, prompt_format: str | None = None, variables: Collection[str] = ()) -> None:
    """Raises UserError for a folder without what loading a model takes. prompt_format: in the place of a chat
    template; variables: names of some that the template must know."""
    check_description(folder, prompt_format, variables)
    check_weights(folder)


def check_description(
    folder: Path, prompt_format: str | None = None, variables: Collection[str] = ()
) -> None:
    """As `check_model`, of all but the weights, which need not be there yet."""
    config = settings(folder)
    kinds = config.get("architectures") or []
    if config.get("is_encoder_decoder") or (kinds and all(str(kind).endswith(NO_WRITERS) for kind in kinds)):
        kind = ", ".join(map(str, kinds)) or config.get("model_type")
        raise UserError(
            f"the folder {folder} holds a {kind}, which is not a decoder-only language model; choose "
            "one that is"
        )
    tokenizer = folder / "tokenizer_config.json"
    if not tokenizer.is_file():
        raise UserError(f"the folder {folder} has no tokenizer (tokenizer_config.json); save it there too")
    check_tokenizer_packages(folder)
    if prompt_format:
        return
    text = template(folder)
    for name in variables:
        if text and not re.search(rf"\b{name}\b", text):
            raise UserError(
                f"chat_template_kwargs sets {name!r}, which the chat template of {folder} doesn't have; "
                "correct the name or remove it"
            )
    if not text:
        raise UserError(
            f"the tokenizer in {folder} has no chat template, which prompts need; give an "
            "instruction-tuned model, add chat_template.jinja, or give the entry a prompt_format"
        )


def check_weights(folder: Path) -> None:
    """Raises UserError for a folder without safetensors weights, or without some of their files, and for a
    file that isn't whole."""
    if not weight_files(folder):
        check_no_adapter(folder)
        if any(folder.glob("consolidated*.safetensors")):
            raise UserError(
                f"the folder {folder} has weights in Mistral's own format only (consolidated.safetensors); "
                "give the model in Hugging Face's format"
            )
        raise UserError(f"the folder {folder} has no *.safetensors file; give one saved with save_pretrained")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        _json_object(index)
        for file in weight_files(folder):
            if not file.is_file():
                raise UserError(
                    f"the folder {folder} lacks {file.name}, which {index.name} lists; download it again"
                )
    for _ in weights(folder):
        pass


def weights(folder: Path) -> Iterator[dict]:
    """What the headers of its safetensors files say of each tensor: "dtype", "shape", "data_offsets" (bytes).
    Raises UserError for a file that isn't whole."""
    for path in weight_files(folder):
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            try:
                header = json.loads(file.read(length)) if length < size else {}
                header.pop("__metadata__", None)
                end = max(tensor["data_offsets"][1] for tensor in header.values())
            except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
                end = error
        if end != size - 8 - length:
            raise UserError(
                f"{path} is not a complete safetensors file (it may be a Git LFS pointer); download it again"
            )
        yield from header.values()


def weights_dtype(folder: Path) -> str:
    """Of the first tensor of floating-point numbers: float32, float16 or bfloat16 ("auto" for others)."""
    names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    return next((names[each["dtype"]] for each in weights(folder) if each["dtype"] in names), "auto")


def dtype(folder: Path) -> str | None:
    """What a model computes in if nothing else is asked for: as its config.json says, else as it is stored.
    None where neither tells."""
    for found in (settings(folder), text_settings(folder)):
        # The second is the older name.
        if said := found.get("dtype") or found.get("torch_dtype"):
            return said
    stored = weights_dtype(folder)
    return None if stored == "auto" else stored


def check_no_adapter(folder: Path) -> None:
    """Raises UserError for the folder of an adapter, which holds what changes a model, and no model."""
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        base = _json_object(adapter).get("base_model_name_or_path") or "its base model"
        raise UserError(
            f"the folder {folder} holds an adapter ({adapter.name}) and no model; merge it into {base} first "
            "(merge_and_unload of the peft package), and give the folder where that is saved"
        )


def check_tokenizer_packages(folder: Path) -> None:
    """Raises UserError for a tokenizer that only packages can read which aren't installed: one that is
    SentencePiece's file (tokenizer.model) and nothing else."""
    if (folder / "tokenizer.json").is_file() or not any(folder.glob("*.model")):
        return
    for package, module in (("sentencepiece", "sentencepiece"), ("protobuf", "google.protobuf")):
        if not _is_installed(module):
            raise UserError(
                f"the tokenizer in {folder} is a SentencePiece model, which needs the package {package}; "
                f"install it (pip install {package}), or save the tokenizer with a tokenizer.json"
            )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor what it is within
        return False


def check_padding(folder: Path) -> None:
    """Raises UserError for a tokenizer whose files say that it has no padding token. Where they say nothing,
    its class may know one."""
    files = (folder / "tokenizer_config.json", folder / "special_tokens_map.json")
    said, special = (_json_object(file) if file.is_file() else {} for file in files)
    if said.get("pad_token", "of its class") is None and not special.get("pad_token"):
        raise UserError(
            f"the tokenizer in {folder} has no padding token (pad_token in tokenizer_config.json is null); "
            "choose another model"
        )


def _json_object(path: Path) -> dict:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} can't be read as JSON ({error}); save the model again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} must hold one JSON object; save the model again")
    return value
