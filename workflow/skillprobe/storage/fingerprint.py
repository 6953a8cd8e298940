"""What identifies a model folder's content, without importing torch: for params that trigger reruns."""

import hashlib
import json
import struct
from pathlib import Path

from skillprobe.errors import UserError

_WHOLE = 64 * 2**20
_END = 2**20


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder that are loaded, by name: those that its index lists, whether
    they are there or not; else model.safetensors; else all that there are.

    None of others that may lie beside them: the same weights in Mistral's own format (consolidated), an
    adapter's.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            return [
                folder / name for name in sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
            ]
        except (ValueError, LookupError, TypeError, AttributeError):  # who loads it says so
            pass
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    others = ("consolidated", "adapter_model")
    return sorted(file for file in folder.glob("*.safetensors") if not file.name.startswith(others))


def folder_hash(path: str | Path) -> str:
    """Hex SHA-256 of a Hugging Face model folder: the names and contents of its config, tokenizer, template
    and `weight_files`, whatever their times.

    Files of more than 64 MiB are not read whole: their size, first and last MiB stand for them, and for
    safetensors the header too, which holds every tensor's name, dtype and shape. An edit deep inside such a
    file that keeps its size would go unnoticed. Raises UserError if the folder or its config.json is missing.
    """
    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise UserError(f"'{folder}' is not a model folder (it has no config.json); check the model's source")
    digest = hashlib.sha256()
    for file in sorted(_relevant(folder), key=lambda file: file.relative_to(folder).as_posix()):
        digest.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
        _update(digest, file)
    return digest.hexdigest()


def file_sha256(path: str | Path) -> str:
    """Hex SHA-256 of a whole file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def gguf_hash(path: str | Path) -> str:
    """Hex SHA-256 that stands for a GGUF file, whatever its time. Of more than 64 MiB, its size, the first 16
    MiB, which hold its header, the first MiB of each 64 and the last: an edit elsewhere that keeps the size
    would go unnoticed."""
    size = Path(path).stat().st_size
    digest = hashlib.sha256(f"{size}\0".encode())
    with Path(path).open("rb") as stream:
        if size <= _WHOLE:
            digest.update(stream.read())
            return digest.hexdigest()
        digest.update(stream.read(16 * _END))
        for place in (*range(_WHOLE, size, _WHOLE), size - _END):
            stream.seek(place)
            digest.update(stream.read(_END))
    return digest.hexdigest()


def _relevant(folder: Path) -> list[Path]:
    patterns = ("*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt", "*.py")
    # How a sentence encoder makes one vector of its states.
    patterns += ("*_Pooling/config.json",)
    files = {file for pattern in patterns for file in folder.glob(pattern)}
    files |= set(weight_files(folder)) | set(folder.glob("additional_chat_templates/*.jinja"))
    return [file for file in files if file.is_file()]


def _update(digest, file: Path) -> None:
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= _WHOLE:
            while block := stream.read(_END):
                digest.update(block)
            return
        if file.suffix == ".safetensors":
            # Layout: 8 bytes, the header's length in little endian; then the header, JSON.
            length = struct.unpack("<Q", stream.read(8))[0]
            digest.update(stream.read(min(length, _WHOLE)))
            stream.seek(0)
        digest.update(stream.read(_END))
        stream.seek(size - _END)
        digest.update(stream.read(_END))
