"""What the header of a GGUF file says of its model, read without the weights, and whether it can be used.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Planning reads this, so without torch.
"""

import math
import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from skillprobe.errors import UserError

# By their names in GGUF; Mistral's files say llama, whose blocks they have.
ARCHITECTURES = {
    "llama": "Llama and Mistral",
    "qwen2": "Qwen 2",
    "qwen3": "Qwen 3",
    "gemma2": "Gemma 2",
    "gemma3": "Gemma 3",
    "phi3": "Phi-3",
}
# How byte-level tokenizers (model gpt2) split text into words, by the names of those that are known.
PRE_TOKENIZERS = ("gpt-2", "smollm", "llama-bpe", "llama3", "llama-v3", "smaug-bpe", "falcon3", "pixtral")
PRE_TOKENIZERS += ("tekken", "qwen2", "deepseek-r1-qwen", "megrez", "kormo", "dbrx", "gpt-4o")
# Of each number format, how many weights a block holds and its bytes.
F32, F16, BF16 = 0, 1, 30
BLOCKS = {F32: (1, 4), F16: (1, 2), BF16: (1, 2), 39: (32, 17)}
BLOCKS |= {2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 20: (32, 18)}
BLOCKS |= {10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 16: (256, 66)}
BLOCKS |= {17: (256, 74), 18: (256, 98), 19: (256, 50), 21: (256, 110), 22: (256, 82), 23: (256, 136)}
BLOCKS |= {29: (256, 56), 34: (256, 54), 35: (256, 66)}

_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# Longer arrays of numbers are the tokenizer's.
_MOST = 1024


@dataclass(frozen=True)
class Tensor:
    """shape: as torch has it, rows first; kind: its number format; start, size: bytes in the file."""

    shape: tuple[int, ...]
    kind: int
    start: int
    size: int


@dataclass(frozen=True)
class Header:
    """metadata: without the entries of texts' arrays and of long ones, for which their length stands."""

    metadata: Mapping[str, object]
    tensors: Mapping[str, Tensor]

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture"))

    def own(self, key: str, otherwise: object = None) -> object:
        """What the architecture's own keys say, such as "llama.block_count"."""
        return self.metadata.get(f"{self.architecture}.{key}", otherwise)

    @property
    def weights(self) -> int:
        """How many numbers all tensors hold."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())


def is_gguf(path: str | Path) -> bool:
    """By its name, as llama.cpp writes it."""
    return str(path).lower().endswith(".gguf")


def read_header(path: Path) -> Header:
    """Raises UserError, in one sentence, for what is no GGUF file, not whole, or one part of several."""
    stat = path.stat()
    return _read_header(path, stat.st_mtime_ns, stat.st_size)


def check_model(path: Path, prompt_format: str | None = None) -> Header:
    """As `read_header`. Raises UserError for a model that isn't read, too. prompt_format: in the place of a
    chat template."""
    header = read_header(path)
    kind = header.metadata.get("general.type", "model")
    if kind != "model":
        raise UserError(
            f"the file {path} holds no model, but a part of one ({kind!r}); give the model's file"
        )
    if header.architecture not in ARCHITECTURES:
        raise UserError(
            f"the file {path} holds a model of the architecture {header.architecture!r}; those that are read "
            f"from GGUF are {', '.join(ARCHITECTURES)} ({', '.join(ARCHITECTURES.values())}): give a folder "
            "in Hugging Face's format"
        )
    if header.own("expert_count"):
        raise UserError(
            f"the file {path} holds a mixture of experts, which isn't read from GGUF; give a folder in "
            "Hugging Face's format"
        )
    for key in ("block_count", "embedding_length", "attention.head_count", "attention.head_count_kv"):
        if not isinstance(header.own(key), int):
            raise UserError(
                f"the file {path} doesn't give {header.architecture}.{key} as one number; convert the model "
                "anew"
            )
    _check_tokenizer(path, header.metadata)
    if not prompt_format and not str(header.metadata.get("tokenizer.chat_template", "")).strip():
        raise UserError(
            f"the file {path} has no chat template, which prompts need; give an instruction-tuned model, or "
            "give the entry a prompt_format"
        )
    return header


def num_layers(path: Path, stated: int | None) -> int:
    """Number of blocks. Raises UserError if the entry says another."""
    found = read_header(path).own("block_count")
    if stated is not None and stated != found:
        raise UserError(f"num_layers is {stated}, but {path} says {found}; remove the key")
    return found


def width(path: Path) -> int:
    """Size of the model's states."""
    return read_header(path).own("embedding_length")


def window(path: Path) -> int | None:
    """How many tokens the model can read, prompt and response together."""
    return read_header(path).own("context_length")


def _check_tokenizer(path: Path, metadata: Mapping) -> None:
    model, splits = (metadata.get(f"tokenizer.ggml.{key}") for key in ("model", "pre"))
    if model == "llama" or (model == "gpt2" and splits in PRE_TOKENIZERS):
        return
    said = f"which splits words as {splits!r}" if model == "gpt2" else f"{model!r}"
    raise UserError(
        f"the file {path} has a tokenizer that isn't known here ({said}), and would read texts otherwise "
        "than the model was trained to; give a folder in Hugging Face's format"
    )


@lru_cache(maxsize=64)
def _read_header(path: Path, mtime_ns: int, size: int) -> Header:
    """mtime_ns, size: for the cache, so that a changed file is read anew."""
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise UserError(
                f"the file {path} is not a GGUF file (it doesn't begin with those letters, and may be a Git "
                "LFS pointer); download it again"
            )
        if (version := int.from_bytes(file.read(4), "little")) not in (2, 3):
            raise UserError(
                f"the file {path} has version {version} of GGUF, or is for other processors; 2 and 3 are read"
            )
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                header = _Reader(content).header()
            except (struct.error, ValueError, IndexError, OverflowError) as error:
                raise UserError(
                    f"the file {path} is not a complete GGUF file: it ends within its header; download it "
                    "again"
                ) from error
    parts = header.metadata.get("split.count", 1)
    if re.search(r"-\d{5}-of-(?!00001)\d{5}\.gguf$", path.name, re.IGNORECASE) or parts > 1:
        raise UserError(
            f"the file {path} is one part of a model that was split; join the parts (llama.cpp's "
            "llama-gguf-split --merge) and give that file"
        )
    unknown = [name for name, tensor in header.tensors.items() if tensor.kind not in BLOCKS]
    if unknown:
        raise UserError(
            f"the file {path} has weights in a number format that isn't known "
            f"({unknown[0]}: {header.tensors[unknown[0]].kind}); give another quantisation"
        )
    end = max((tensor.start + tensor.size for tensor in header.tensors.values()), default=0)
    if end > size:
        raise UserError(f"the file {path} is cut short: {size} bytes of {end}; download it again")
    return header


class _Reader:
    """At a place of a GGUF file, which each reading moves on."""

    def __init__(self, content: mmap.mmap):
        self._content, self._place = content, 8

    def header(self) -> Header:
        tensors, entries = self._numbers("Q", 2)
        metadata = {}
        for _ in range(entries):
            key = self._text()
            metadata[key] = self._value(self._number("I"))
        listed = [self._tensor() for _ in range(tensors)]
        alignment = max(1, metadata.get("general.alignment", 32))
        start = -(-self._place // alignment) * alignment
        return Header(
            metadata,
            {
                name: Tensor(shape, kind, start + offset, _bytes(shape, kind))
                for name, shape, kind, offset in listed
            },
        )

    def _numbers(self, kind: str, count: int) -> tuple:
        found = struct.unpack_from(f"<{count}{kind}", self._content, self._place)
        self._place += struct.calcsize(kind) * count
        return found

    def _number(self, kind: str):
        return self._numbers(kind, 1)[0]

    def _text(self) -> str:
        length = self._number("Q")
        self._place += length
        if self._place > len(self._content):
            raise ValueError("a text goes on behind the file's end")
        return self._content[self._place - length : self._place].decode()

    def _value(self, kind: int) -> object:
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._number(_format(kind))
        kind, count = self._number("I"), self._number("Q")
        if kind == _STRING:
            # Only passed over: vocabularies are long, and texts of any length follow each other.
            place, content = self._place, self._content
            for _ in range(count):
                place += 8 + int.from_bytes(content[place : place + 8], "little")
                if place > len(content):
                    raise ValueError("a text goes on behind the file's end")
            self._place = place
            return count
        form = _format(kind)
        if count <= _MOST:
            return list(self._numbers(form, count))
        self._place += struct.calcsize(form) * count
        return count

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._text()
        shape = self._numbers("Q", self._number("I"))
        kind, offset = self._number("I"), self._number("Q")
        return name, tuple(reversed(shape)), kind, offset


def _format(kind: int) -> str:
    if kind not in _NUMBERS:
        raise ValueError(f"no kind of value: {kind}")
    return _NUMBERS[kind]


def _bytes(shape: tuple[int, ...], kind: int) -> int:
    weights, size = BLOCKS.get(kind, (1, 0))
    return math.prod(shape) // weights * size
