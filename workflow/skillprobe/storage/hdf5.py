"""HDF5 files that are either whole or absent; small ones carry a checksum of themselves.

(Shards of activations are large and read in parts, so their checksums are in a manifest: see shards.py.)
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from skillprobe.errors import DamagedFile
from skillprobe.storage.files import atomic_path, check_readable, place_of

Value = TypeVar("Value")
# HDF5 leaves so many bytes at a file's beginning to its users.
_OWN = 512


class Stream(io.FileIO):
    """What HDF5 writes to. A process whose HDF5 sees a write fail crashes, so it sees none: the first failure
    is remembered, and `check` raises it."""

    failed: OSError | None = None

    def write(self, data) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failed = self.failed or error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failed = self.failed or error
            return size or 0

    def check(self) -> None:
        if self.failed:
            raise self.failed


@contextmanager
def written(path: str | Path, **options) -> Iterator[tuple[h5py.File, Stream]]:
    """Make the file `path`, which appears when the block has ended well and not before; options: h5py.File's.
    Raises UserError where the disk is full or can't be written."""
    with atomic_path(path) as temporary, Stream(temporary, "w+") as stream:
        try:
            with h5py.File(stream, "w", **options) as file:
                yield file, stream
        finally:
            stream.check()
        os.fsync(stream.fileno())


class Opened(h5py.File):
    """An HDF5 file, open for reading. Files here are whole or absent, so none need be locked, and disks
    without locks (some NFS and Lustre) refuse it. It is read from a stream, which HDF5 doesn't lock:
    `locking=False` gives way to HDF5_USE_FILE_LOCKING in the environment, and fails where the process has
    the file open with locks."""

    def __init__(self, path: str | Path):
        self._stream = io.FileIO(path)
        try:
            super().__init__(self._stream, "r")
        except BaseException:
            self._stream.close()
            raise

    def close(self) -> None:
        super().close()
        self._stream.close()


@contextmanager
def create(path: str | Path) -> Iterator[h5py.File]:
    """As `written`, for a small file: with its checksum and place, which `whole` looks at."""
    with written(path, libver="latest", userblock_size=_OWN) as (file, stream):
        yield file
        file.close()
        seal = _checksum(stream) + b"  " + _place(path)
        stream.seek(0)
        stream.write(seal)


@contextmanager
def whole(path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Open what `create` made. Raises DamagedFile where there is no file, where a byte isn't as it was,
    where it is a copy of another result, and where something that the block asks for isn't there; UserError
    where the system can't read it. kind: of file, for the message."""
    try:
        with Path(path).open("rb") as stream:
            checksum, _, origin = stream.read(_OWN).rstrip(b"\0").partition(b"  ")
            if checksum != _checksum(stream):
                raise OSError("its checksum is wrong")
            # Older files don't say; what lies in no study may be a copy.
            if origin and (place := _place(path)) and origin != place:
                raise OSError(f"it is a copy of {origin.decode(errors='replace')}")
        with Opened(path) as file:
            yield file
    except (OSError, KeyError) as error:
        check_readable(path, error)
        raise DamagedFile(path, f"can't be read as a {kind} file ({error})") from error


def write_names(group: h5py.Group, key: str, names: Iterable[str]) -> None:
    """Names in their order, as an attribute of the group."""
    group.attrs[key] = np.array([name.encode() for name in names])


def read_names(group: h5py.Group, key: str) -> list[str]:
    """Raises KeyError where there are none."""
    return [name.decode() for name in group.attrs[key]]


def write_groups(
    group: h5py.Group,
    values: Mapping[str, Value],
    write: Callable[[h5py.Group, Value], None],
    key: str = "names",
) -> None:
    """A group for each value, into which `write` puts it; their order is that of the names under `key`, since
    HDF5 keeps none."""
    write_names(group, key, values)
    for name, value in values.items():
        write(group.create_group(name), value)


def read_groups(
    group: h5py.Group, read: Callable[[h5py.Group], Value], key: str = "names"
) -> dict[str, Value]:
    """What `write_groups` wrote. Raises KeyError where it wrote nothing here."""
    return {name: read(group[name]) for name in read_names(group, key)}


def write_nested(
    group: h5py.Group, value: Value | Mapping, write: Callable[[h5py.Group, Value], None]
) -> None:
    """A value by `write`, or any nesting of mappings of values as groups."""
    if isinstance(value, Mapping):
        write_groups(group, value, lambda inner, each: write_nested(inner, each, write))
    else:
        write(group, value)


def read_nested(group: h5py.Group, read: Callable[[h5py.Group], Value]) -> Value | dict:
    """What `write_nested` wrote: a value, or nested dicts of them."""
    if "names" in group.attrs:
        return read_groups(group, lambda inner: read_nested(inner, read))
    return read(group)


def write_texts(group: h5py.Group, name: str, texts: np.ndarray) -> None:
    """A dataset of texts [n]."""
    # Of fixed length: variable-length ones go through a heap whose bytes may differ.
    encoded = np.char.encode(texts, "utf-8") if len(texts) else np.zeros(0, "S1")
    group.create_dataset(name, data=encoded)


def read_texts(group: h5py.Group, name: str) -> np.ndarray:
    return np.char.decode(group[name][()], "utf-8")


def _place(path: str | Path) -> bytes:
    """`place_of`, as far as there is room for it beside a checksum."""
    return place_of(path).encode()[: _OWN // 2]


def _checksum(stream) -> bytes:
    stream.seek(_OWN)
    return hashlib.file_digest(stream, "sha256").hexdigest().encode()
