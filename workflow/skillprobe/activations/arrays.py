"""Activations that other tools have saved: arrays [row, hidden], one for each layer and position, of .npy
and .safetensors files, which are mapped into memory (docs/interop.md)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skillprobe.activations.positions import check_position_name, in_order
from skillprobe.errors import UserError
from skillprobe.storage import tensors
from skillprobe.storage.files import check_readable

NAMES = "the number of a layer, and if there are several positions, one of them: 12.npy, layer_12.npy, 12.eos"
_NAME = re.compile(r"(?:layers?[._/ -]?)?(\d{1,4})(?:[._/ -]([a-z]+(?:_\d+)?))?")
# As stored, and as shards have it: float64 is more than any model computes in.
_KINDS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float32"}
_OF_NUMPY = {"float16": "F16", "float32": "F32", "float64": "F64"}
# How a .npy file begins.
_MAGIC = b"\x93NUMPY"
_BFLOAT16_SPECIAL = 0x7F80


@dataclass(frozen=True)
class Array:
    """where: file and name, as messages have it; layer: 0 for the embeddings, k for the output of block k;
    values: [row, hidden], mapped into memory; dtype: of the shard (float64 becomes float32)."""

    where: str
    layer: int
    position: str
    values: np.ndarray
    dtype: str

    def rows(self, chosen: np.ndarray) -> np.ndarray:
        """These rows [n, hidden], as a shard of `dtype` takes them."""
        # A bad value is refused by the name of its row, so numpy need not warn of it.
        with np.errstate(over="ignore", invalid="ignore"):
            return self.values[chosen].astype(_STORED[self.dtype], copy=False)


_STORED = {"float16": np.float16, "float32": np.float32, "bfloat16": np.uint16}


def finite_rows(values: np.ndarray, dtype: str) -> np.ndarray:
    """[n] bool: which rows of `Array.rows` have finite values only."""
    if dtype == "bfloat16":
        return ((values & _BFLOAT16_SPECIAL) != _BFLOAT16_SPECIAL).all(axis=1)
    return np.isfinite(values).all(axis=1)


def read_arrays(
    paths: Sequence[str | Path], position: str = "eos", layers: Sequence[int] | None = None
) -> list[Array]:
    """The arrays of the files, and of the .npy and .safetensors files of the folders among them, by layer and
    position.

    position: of those whose name has none; layers: of an array [layer, row, hidden], or [row, hidden] of one
    layer, whose name has no layer.
    Raises UserError, with the file and the array's name, for names without a layer, other numbers of
    dimensions or rows, other widths or dtypes than the first array's, positions that one layer has and
    another hasn't, and for objects, which numpy would have to unpickle.
    """
    found: dict[tuple[int, str], Array] = {}
    for where, name, kind, values in _named(paths):
        for array in _placed(where, name, kind, values, position, layers):
            other = found.setdefault((array.layer, array.position), array)
            if other is not array:
                raise UserError(
                    f"{array.where} and {other.where} are both of layer {array.layer} and position "
                    f"'{array.position}'; give one of them"
                )
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: there is no array; give .npy or .safetensors files")
    _check_alike(list(found.values()))
    order = in_order(sorted({position for _, position in found}))
    return [found[layer, name] for layer in sorted({layer for layer, _ in found}) for name in order]


def _named(paths: Sequence[str | Path]) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """(as messages have it, its name, its kind as of `tensors.KINDS`, values) of every array."""
    for path in _files(paths):
        if path.suffix == ".npy":
            values = _numpy(path)
            yield str(path), path.name.removesuffix(".npy"), _OF_NUMPY.get(values.dtype.name, ""), values
            continue
        for name, tensor in tensors.read(path)[0].items():
            yield f"{path}, tensor '{name}'", name, tensor.kind, tensor.values


def _files(paths: Sequence[str | Path]) -> Iterator[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(each for end in ("npy", "safetensors") for each in path.glob(f"*.{end}"))
            if not inside:
                raise UserError(f"the folder {path} has no .npy or .safetensors file; give one that has")
            yield from inside
        elif path.suffix in (".npy", ".safetensors"):
            yield path
        else:
            raise UserError(
                f"{path} is neither a .npy nor a .safetensors file; save the arrays with numpy.save or "
                "safetensors (files of torch.save and .pkl run code when they are opened, so they are not "
                "read)"
            )


def _numpy(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}; correct the path") from error
    except (ValueError, OSError, EOFError) as error:
        check_readable(path, error)
        with path.open("rb") as stream:
            is_array = stream.read(len(_MAGIC)) == _MAGIC
        if is_array and "object" in str(error).lower():
            raise UserError(
                f"{path} holds Python objects, which could run code when they are opened; save an array of "
                "float32 numbers"
            ) from error
        why = str(error).splitlines()[0] if is_array and str(error) else "it doesn't begin as one"
        raise UserError(f"{path} is not a whole .npy file ({why}); save it again with numpy.save") from error


def _placed(
    where: str, name: str, kind: str, values: np.ndarray, position: str, layers: Sequence[int] | None
) -> Iterator[Array]:
    """The arrays of one layer in it: itself, or the parts of [layer, row, hidden]."""
    match = _NAME.fullmatch(name)
    dtype = _KINDS.get(kind)
    if dtype is None:
        given = kind or values.dtype.name
        raise UserError(f"{where} is of {given}; give float32, float16, bfloat16 or float64 numbers")
    if match is None and layers is None:
        raise UserError(
            f"{where}: the name doesn't say the layer; it should be {NAMES}, or give --layers for an array "
            "[layer, row, hidden]"
        )
    if match and layers is not None and int(match[1]) not in layers:
        raise UserError(
            f"{where}: the name says layer {int(match[1])}, but --layers names "
            f"{', '.join(map(str, layers))}; rename it, or leave --layers out"
        )
    own = match[2] if match and match[2] else position
    try:
        check_position_name(own)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    shape = f"[{', '.join(map(str, values.shape))}]"
    if match is None:
        if values.ndim == 2 and len(layers) == 1:
            yield Array(where, layers[0], own, _with_width(where, values), dtype)
            return
        if values.ndim != 3 or values.shape[0] != len(layers):
            raise UserError(
                f"{where} has the shape {shape}; --layers names {len(layers)}, so it should be "
                f"[{len(layers)}, row, hidden]"
            )
        for number, layer in enumerate(layers):
            yield Array(f"{where}[{number}]", layer, own, _with_width(where, values[number]), dtype)
        return
    if values.ndim != 2:
        raise UserError(
            f"{where} has the shape {shape}; it should be [row, hidden], of one layer and position"
        )
    yield Array(where, int(match[1]), own, _with_width(where, values), dtype)


def _with_width(where: str, values: np.ndarray) -> np.ndarray:
    if not values.shape[1]:
        raise UserError(f"{where} has rows of no numbers; save the activations [row, hidden]")
    return values


def _check_alike(arrays: Sequence[Array]) -> None:
    first = arrays[0]
    for array in arrays:
        for what, own, wanted in (
            ("rows", array.values.shape[0], first.values.shape[0]),
            ("numbers a row", array.values.shape[1], first.values.shape[1]),
            ("dtype", array.dtype, first.dtype),
        ):
            if own != wanted:
                has = f"is of {own}" if what == "dtype" else f"has {own} {what}"
                raise UserError(
                    f"{array.where} {has}, but {first.where} {'is of' if what == 'dtype' else 'has'} "
                    f"{wanted}; "
                    "all layers and positions of a model must have the same rows, width and dtype"
                )
    by_layer: dict[int, set[str]] = {}
    for array in arrays:
        by_layer.setdefault(array.layer, set()).add(array.position)
    every = set().union(*by_layer.values())
    for layer, own in by_layer.items():
        if own != every:
            raise UserError(
                f"layer {layer} has no array of the position '{min(every - own)}', which other layers have; "
                "give all positions of all layers"
            )
