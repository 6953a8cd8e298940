"""Activation shards: HDF5 files, written whole or not at all."""

import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from skillprobe.errors import DamagedFile, UserError
from skillprobe.storage import hdf5
from skillprobe.storage.files import check_readable, read_json

FORMAT_VERSION = 3
# Of rows of a block, as numpy takes them.
Places = Sequence[int] | slice
STORED = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
_CHUNK_BYTES = 1_500_000
# What HDF5 may raise on a file that isn't as it was written.
_DAMAGE = (LookupError, AttributeError, TypeError, ValueError, OSError, RuntimeError, MemoryError)
_TEXT = ("id", "base", "group", "variant", "instruction_type", "polarity", "phrasing")
SAMPLE_FIELDS = {
    **dict.fromkeys(_TEXT, str),
    "label": np.int8,
    "response_length": np.int32,
    "truncated": np.bool_,
}


@dataclass(frozen=True)
class ShardWriter:
    """Takes a shard's values; `create` makes one. layers: those of the shard, from the first, which need not
    be layer 0; rows_per_block: how many samples make a block, the last of
    which may have fewer; chunk: room for them at one layer and position; written: how many there are so far,
    by layer; checksums: [layer][position], the CRC-32 of these, which go into the `manifest` in the end;
    log_probability: where these go, None in a shard without them."""

    layers: Sequence[h5py.Dataset]
    valid: np.ndarray
    rows_per_block: int
    stream: hdf5.Stream
    chunk: np.ndarray
    written: list[int]
    checksums: list[list[int]]
    log_probability: h5py.Dataset | None = None

    def write_log_probabilities(self, values: np.ndarray) -> None:
        """Of all samples: [sample]."""
        self.log_probability[:] = values
        self.stream.check()

    def write(self, layer: int, start: int, parts: Sequence[tuple[Places, np.ndarray]]) -> None:
        """Write a layer (its place in `layers`) of the block of samples that begins with number `start`.
        Blocks come in order, since checksums run on from one to the next.

        parts: which rows of the block, and their values [position, row, hidden], as stored: together all of
        the block. Raises ValueError for other blocks, or other numbers of rows.
        """
        valid = self.valid[:, start : start + self.rows_per_block]
        n, given = valid.shape[1], sum(values.shape[1] for _, values in parts)
        if start != self.written[layer] or given != n:
            raise ValueError(
                f"layer {layer}, written to {self.written[layer]}: {given} samples from {start} on"
            )
        # A chunk is put together where it is still in the processor's cache when it is summed up and written.
        # A whole block at once would be fresh memory each time, and would be read from there twice.
        chunk = self.chunk[:n]
        for position, stored in enumerate(valid.any(axis=1)):
            if stored:
                for places, values in parts:
                    chunk[places] = values[position]
            else:
                chunk[:] = 0
            sums = self.checksums[layer]
            sums[position] = zlib.crc32(chunk, sums[position])
            # Chunks that are never written take no space and read as zeros: responses to unconstrained
            # prompts have one position only.
            if stored:
                self.layers[layer][position, start : start + n] = chunk
                # On a full disk the rest need not be computed.
                self.stream.check()
        self.written[layer] += n


@contextmanager
def create(
    path: str | Path,
    *,
    samples: Mapping[str, Sequence],
    positions: Sequence[str],
    valid: np.ndarray,
    num_layers: int,
    hidden_size: int,
    dtype: str,
    attributes: Mapping[str, str | int],
    characters: np.ndarray | None = None,
    log_probabilities: bool = False,
    layers: Sequence[int] | None = None,
) -> Iterator[ShardWriter]:
    """Make the shard `path`, which appears when the block has ended well and not before.

    samples: a column for each of SAMPLE_FIELDS; valid, characters: [position, sample], the second how many
    of the response the tokens up to a valid position make (None: 0); dtype: of STORED (bfloat16 values are
    handed over as their 16 bits); log_probabilities: whether the shard has one of each sample; layers: which
    it has, None for all, from 0, the embeddings, to num_layers. The bytes depend on the content alone.
    """
    numbers = range(num_layers + 1) if layers is None else layers
    n = len(samples["id"])
    item = np.dtype(STORED[dtype]).itemsize
    blocks = math.ceil(n * hidden_size * item / _CHUNK_BYTES)
    per_block = math.ceil(n / blocks) if n else 1
    # Of this kind HDF5 checks its own notes too; an older one with a bit flipped may hang it.
    with hdf5.written(path, libver="latest") as (file, stream):
        file.attrs.update(
            {
                "format_version": FORMAT_VERSION,
                "num_layers": num_layers,
                "hidden_size": hidden_size,
                "dtype": dtype,
                **attributes,
            }
        )
        file["positions"] = _texts(positions)
        file["valid"] = valid
        file["characters"] = np.zeros(np.shape(valid), np.int32) if characters is None else characters
        group = file.create_group("samples")
        for name, kind in SAMPLE_FIELDS.items():
            column = samples[name]
            group[name] = _texts(column) if kind is str else np.asarray(column, dtype=kind)
        datasets = [
            file.create_dataset(
                f"layers/{layer}",
                shape=(len(positions), n, hidden_size),
                dtype=STORED[dtype],
                chunks=(1, per_block, hidden_size) if n else None,
                # A checksum for each chunk, so that bytes gone bad on a disk are noticed when read.
                fletcher32=n > 0,
            )
            for layer in numbers
        ]
        for dataset in datasets:
            dataset.attrs["dtype"] = dtype
        if layers is not None:
            file["given_layers"] = np.array(numbers, np.int32)
        scored = None
        if log_probabilities:
            scored = file.create_dataset("log_probability", shape=(n,), dtype=np.float32)
        writer = ShardWriter(
            datasets,
            np.asarray(valid),
            per_block,
            stream,
            chunk=np.empty((per_block, hidden_size), STORED[dtype]),
            written=[0] * len(datasets),
            checksums=[[0] * len(positions) for _ in datasets],
            log_probability=scored,
        )
        yield writer
        if set(writer.written) != {n}:
            raise ValueError(f"{n} samples, of which these were written, by layer: {writer.written}")
        # What an older shard's says is no longer true.
        _manifest_of(path).unlink(missing_ok=True)


class Shard:
    """Reader of a shard, to be used in a `with` block. Raises UserError for a file that is no whole shard.

    Where its `manifest` lies beside it (0.json beside 0.h5), a shard of another size or with another head is
    refused, and so is, when it is read, each layer and position whose values are not those that were written.
    In a study's folders, a shard of another model or task is refused, or of a random-weight model.
    samples: name -> array [sample] (texts as str); positions: names; valid and characters (how many of the
    response there are up to the position): [position, sample]; log_probability: [sample] of each response
    given its prompt, in nats, None in shards without it;
    layers: their numbers, 0 for the embeddings, not all in shards of given activations; attrs: the root's
    attributes.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._manifest = _read_manifest(self.path)
        try:
            if self._manifest and (size := self.path.stat().st_size) != self._manifest["bytes"]:
                raise OSError(f"{size} bytes instead of {self._manifest['bytes']}")
            self._file = hdf5.Opened(self.path)
        except FileNotFoundError:
            raise UserError(f"there is no shard {self.path}") from None
        except OSError as error:
            check_readable(self.path, error)
            raise DamagedFile(self.path, f"is not a complete HDF5 file ({error})") from error
        try:
            self._read_head()
        except _DAMAGE as error:
            self._file.close()
            if isinstance(error, UserError):
                raise
            check_readable(self.path, error)
            raise DamagedFile(self.path, f"is not an activation shard, or is damaged ({error})") from error
        if self._manifest and self._head() != self._manifest["head"]:
            self._file.close()
            raise DamagedFile(self.path, "does not match its manifest: it is another shard, or damaged")
        if foreign := self._foreign():
            self._file.close()
            raise DamagedFile(self.path, foreign)

    def _foreign(self) -> str:
        """What it holds, if that isn't what its folders say, which a manifest that came along can't tell."""
        kind, *named = self.path.parts[-4:-1] if len(self.path.parts) >= 4 else [""]
        if kind not in ("activations", "random_activations", "crossing_activations"):
            return ""
        origin = [str(self.attrs.get(name)) for name in ("model", "task")]
        if origin != named:
            return f"holds activations of model '{origin[0]}' on task '{origin[1]}'"
        variants = set(self.samples["variant"].tolist())
        crossed = self.log_probability is not None
        if crossed != (kind == "crossing_activations"):
            return f"holds activations of {'crossings' if crossed else 'responses that are not crossed'}"
        if crossed:
            return ""
        # Shards of an older version don't say it: there random-weight models read these alone, and every
        # model has answers without the constraint.
        drawn = bool(self.attrs.get("random_weights", variants == {"constrained"}))
        if variants and drawn != (kind == "random_activations"):
            whose = "the random-weight model" if kind == "activations" else "the model itself"
            return f"holds activations of {whose}"
        return ""

    def _read_head(self) -> None:
        self.attrs = dict(self._file.attrs)
        if self.attrs["format_version"] != FORMAT_VERSION:
            raise UserError(
                f"{self.path} has shard format {self.attrs['format_version']}, this package reads "
                f"{FORMAT_VERSION}; extract its activations again"
            )
        self.samples = {}
        for name, kind in SAMPLE_FIELDS.items():
            dataset = self._file["samples"][name]
            self.samples[name] = dataset.asstr()[()].astype(str) if kind is str else dataset[()]
        self.positions = [str(name) for name in self._file["positions"].asstr()[()]]
        self.valid = self._file["valid"][()]
        self.characters = self._file["characters"][()]
        scored = "log_probability" in self._file
        self.log_probability = self._file["log_probability"][()] if scored else None
        self.layers = sorted(int(name) for name in self._file["layers"])
        shape = (len(self.positions), len(self.samples["id"]), self.attrs["hidden_size"])
        every = range(self.attrs["num_layers"] + 1)
        given = self._file["given_layers"][()].tolist() if "given_layers" in self._file else list(every)
        if self.layers != given or not set(given) <= set(every):
            raise ValueError("layers are missing")
        if {self.valid.shape, self.characters.shape} != {shape[:2]} or any(
            self._file[f"layers/{i}"].shape != shape for i in self.layers
        ):
            raise ValueError("shapes don't agree")
        if scored and self.log_probability.shape != shape[1:2]:
            raise ValueError("shapes don't agree")
        if self.attrs["dtype"] not in STORED:
            raise ValueError(f"dtype {self.attrs['dtype']}")

    def __enter__(self) -> "Shard":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def read(self, layer: int, position: str | int, dtype=np.float32) -> np.ndarray:
        """Activations [sample, hidden] of one layer at one position (name or number), and no other bytes.

        Rows that are not valid there are zeros. Raises UserError for a layer or position that isn't stored.
        """
        if layer not in self.layers:
            raise UserError(f"{self.path} has no layer {layer}; it has {_listed(self.layers)}")
        if isinstance(position, str):
            if position not in self.positions:
                raise UserError(
                    f"{self.path} has no position '{position}'; it has {', '.join(self.positions)}"
                )
            position = self.positions.index(position)
        try:
            values = self._file[f"layers/{layer}"][position]
            if self._manifest and zlib.crc32(values) != self._sum_of(layer, position):
                raise OSError("its values do not match its manifest")
        except _DAMAGE as error:
            check_readable(self.path, error)
            where = f"layer {layer}, position '{self.positions[position]}'"
            raise DamagedFile(self.path, f"is damaged at {where} ({error})") from error
        if self.attrs["dtype"] == "bfloat16":
            # A bfloat16 is the upper half of a float32.
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(dtype, copy=False)

    def _sum_of(self, layer: int, position: int) -> int:
        return self._manifest["layers"][self.layers.index(layer)][position]

    def _head(self) -> str:
        """SHA-256 of all but the activations: what tells one shard from another."""
        digest = hashlib.sha256()
        for name, value in sorted(self.attrs.items()):
            digest.update(f"{name}={value}\0".encode())
        scored = [] if self.log_probability is None else [self.log_probability]
        for values in (*self.samples.values(), self.positions, self.valid, self.characters, *scored):
            array = np.asarray(values)
            digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        return digest.hexdigest()


def each(paths: Sequence[str | Path]) -> Iterator[Shard]:
    """The shards of one model and task, open one after the other. Raises DamagedFile where two hold the same
    sample, as when one was copied over another."""
    holders: dict[str, str | Path] = {}
    for path in paths:
        with Shard(path) as shard:
            for name in shard.samples["id"].tolist():
                if (other := holders.setdefault(name, path)) != path:
                    raise DamagedFile(other, f"and {path} both hold sample '{name}'", path)
            yield shard


def manifest(path: str | Path, checksums: Sequence[Sequence[int]] | None = None) -> dict:
    """What identifies a shard: "bytes", "head" (SHA-256 of all but the activations), "layers" (CRC-32 of the
    values of each layer, by position), "n_samples", "n_layers" (with the embeddings), "hidden_size",
    "format_version". Raises UserError for a file that is no whole shard.

    checksums: the CRC-32s, which who wrote the shard has; None: of the values as they are in the file.
    """
    path = Path(path)
    with Shard(path) as shard:
        if checksums is None:
            checksums = [
                [zlib.crc32(shard._file[f"layers/{layer}"][place]) for place in range(len(shard.positions))]
                for layer in shard.layers
            ]
        return {
            "format_version": FORMAT_VERSION,
            "bytes": path.stat().st_size,
            "n_samples": len(shard.samples["id"]),
            "n_layers": len(shard.layers),
            "hidden_size": int(shard.attrs["hidden_size"]),
            "head": shard._head(),
            "layers": checksums,
        }


def _manifest_of(path: str | Path) -> Path:
    return Path(path).with_suffix(".json")


def _read_manifest(path: Path) -> dict | None:
    beside = _manifest_of(path)
    if not beside.is_file():
        return None
    facts = read_json(beside)
    if not isinstance(facts, dict) or not {"bytes", "head", "layers"} <= facts.keys():
        raise DamagedFile(beside, "is not a manifest of a shard")
    return facts


def describe(path: str | Path) -> str:
    """The shard in words, for `skillprobe inspect`: origin, shapes, labels by variant, valid positions."""
    with Shard(path) as shard:
        attrs, samples = shard.attrs, shard.samples
        n, size = len(samples["id"]), shard.path.stat().st_size
        origin = attrs.get("model_source", "?") + (
            f" at {rev}" if (rev := attrs.get("model_revision")) else ""
        )
        lines = [
            f"{shard.path} ({size / 1e6:.1f} MB, format {attrs['format_version']})",
            f"study {attrs.get('study', '?')}, model {attrs.get('model', '?')} ({origin}), "
            f"task {attrs.get('task', '?')}",
            f"layers {_listed(shard.layers).replace('0 to', '0 (embeddings) to')}, each [position "
            f"{len(shard.positions)}, sample {n}, hidden {attrs['hidden_size']}] in {attrs['dtype']}; "
            f"attention {attrs.get('attn_implementation', '?')}",
            f"{len(set(samples['base']))} bases of {len(set(samples['group']))} groups",
            "",
            f"{'variant':<20}{'samples':>8}{'satisfied':>11}{'violated':>10}{'truncated':>11}{'tokens':>8}",
        ]
        for variant in sorted(set(samples["variant"])):
            rows = samples["variant"] == variant
            whole = rows & ~samples["truncated"]
            satisfied = samples["label"] == 1
            lines.append(
                f"{variant:<20}{rows.sum():>8}{(whole & satisfied).sum():>11}{(whole & ~satisfied).sum():>10}"
                f"{(rows & samples['truncated']).sum():>11}{samples['response_length'][rows].mean():>8.1f}"
            )
        lines += ["", f"{'position':<16}{'valid':>8}"]
        for name, valid in zip(shard.positions, shard.valid, strict=True):
            lines.append(f"{name:<16}{valid.mean() if n else 0:>8.1%}")
        if "library_versions" in attrs:
            versions = json.loads(attrs["library_versions"])
            lines += ["", ", ".join(f"{name} {version}" for name, version in versions.items())]
    return "\n".join(lines)


def _listed(layers: Sequence[int]) -> str:
    if list(layers) == list(range(len(layers))):
        return f"0 to {layers[-1]}"
    return ", ".join(map(str, layers))


def _texts(values: Sequence[str]) -> np.ndarray:
    """Fixed-length UTF-8, since variable-length strings put addresses into the file."""
    encoded = [str(value).encode() for value in values]
    length = max(map(len, encoded), default=1) or 1
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", length))
