"""Safetensors files, mapped into memory when they are read and written part by part: files may be larger than
memory, and numpy has no bfloat16.

Layout (https://github.com/huggingface/safetensors): 8 bytes with the header's length, the header as JSON, the
tensors' bytes, one after the other.
"""

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skillprobe.errors import UserError
from skillprobe.storage.files import atomic_path, check_readable

# What numpy reads of each; a bfloat16 is the upper half of a float32.
KINDS = {
    "BOOL": np.dtype(bool),
    "I8": np.dtype("<i1"),
    "U8": np.dtype("<u1"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
# No header of ours or of a model is near it.
_MOST = 100 * 2**20
# What reading one that isn't whole, or isn't one, raises; the last of brackets within brackets.
_BROKEN = (OSError, ValueError, TypeError, LookupError, AttributeError, struct.error, RecursionError)


@dataclass(frozen=True)
class Tensor:
    """kind: of KINDS, or another that is not read (values is None then); values: mapped into memory, of
    bfloat16 its 16 bits."""

    kind: str
    shape: tuple[int, ...]
    values: np.ndarray | None


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file by name, and its metadata. Raises UserError where it isn't such a file."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8))[0]
            if length > min(size - 8, _MOST):
                raise ValueError("its header is longer than the file")
            header = json.loads(stream.read(length))
        metadata = header.pop("__metadata__", {})
        data = (
            np.memmap(path, np.uint8, "r", offset=8 + length) if size > 8 + length else np.zeros(0, np.uint8)
        )
        found = {name: _tensor(data, about) for name, about in header.items()}
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}; correct the path") from error
    except _BROKEN as error:
        check_readable(path, error)
        raise UserError(
            f"{path} is not a whole safetensors file ({error}); save it again, or copy it again"
        ) from error
    return found, metadata


def _tensor(data: np.ndarray, about: Mapping) -> Tensor:
    kind, shape = about["dtype"], tuple(about["shape"])
    start, end = about["data_offsets"]
    if kind not in KINDS:
        return Tensor(kind, shape, None)
    if end > len(data) or end - start != math.prod(shape) * KINDS[kind].itemsize:
        raise ValueError("a tensor is cut short")
    return Tensor(kind, shape, data[start:end].view(KINDS[kind]).reshape(shape))


def write(
    path: str | Path, tensors: Mapping[str, tuple[str, tuple[int, ...], Iterable[np.ndarray]]], card: Mapping
) -> None:
    """Write a file: whole or not at all, equal content in equal bytes.

    tensors: {name: (of KINDS, shape, the values in parts that follow each other, of bfloat16 its 16 bits)};
    card: goes into the metadata as JSON, under "card".
    """
    # One entry, since others write several in no fixed order.
    text = json.dumps(card, sort_keys=True, ensure_ascii=False, allow_nan=False)
    header: dict[str, dict] = {"__metadata__": {"format": "pt", "card": text}}
    start = 0
    for name, (kind, shape, _) in tensors.items():
        end = start + math.prod(shape) * KINDS[kind].itemsize
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(struct.pack("<Q", len(encoded)) + encoded)
        for kind, _, parts in tensors.values():
            for part in parts:
                stream.write(np.ascontiguousarray(part, KINDS[kind]).tobytes())
        if stream.tell() != 8 + len(encoded) + start:
            raise ValueError("tensors are not of the shapes that were told")
