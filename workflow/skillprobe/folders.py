"""What is in the folder of a model or a judge, read without loading it.

Apart from `config`, so that an edit there doesn't fetch models anew, and all of their study after them.
"""

import json
from pathlib import Path

from skillprobe.errors import UserError

# What a number of blocks is called in the config.json of a model's folder.
LAYER_KEYS = ("num_hidden_layers", "n_layer", "num_layers")


def settings(folder: Path) -> dict:
    """The config.json of a model's folder. Raises UserError where there is none."""
    if not (folder / "config.json").is_file():
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
            f"num_layers is missing: {folder / 'config.json'} doesn't tell; state the number of blocks"
        )
    if stated is not None and stated != found:
        raise UserError(f"num_layers is {stated}, but {folder / 'config.json'} says {found}; remove the key")
    return found


def check_model(folder: Path, prompt_format: str | None = None) -> None:
    """Raises UserError for a folder without what loading a model takes. prompt_format: in the place of a chat
    template."""
    settings(folder)
    check_weights(folder)
    tokenizer = folder / "tokenizer_config.json"
    if not tokenizer.is_file():
        raise UserError(f"the folder {folder} has no tokenizer (tokenizer_config.json); save it there too")
    if (
        prompt_format
        or (folder / "chat_template.jinja").is_file()
        or (folder / "chat_template.json").is_file()
    ):
        return
    if not _json_object(tokenizer).get("chat_template"):
        raise UserError(
            f"the tokenizer in {folder} has no chat template, and prompts go through one; "
            "give an instruction-tuned model, add chat_template.jinja, or give the entry a prompt_format"
        )


def check_weights(folder: Path) -> None:
    """Raises UserError for a folder without safetensors weights."""
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"the folder {folder} has no *.safetensors file; give one saved with save_pretrained")


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
