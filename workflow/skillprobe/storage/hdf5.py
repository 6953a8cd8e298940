"""HDF5 files that are either whole or absent; small ones carry a checksum of themselves.

(Shards of activations are large and read in parts, so their checksums are in a manifest: see shards.py.)
"""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from skillprobe.errors import DamagedFile
from skillprobe.storage.files import atomic_path, place_of

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
    where it is a copy of another result, and where something that the block asks for isn't there. kind: of
    file, for the message."""
    try:
        with Path(path).open("rb") as stream:
            checksum, _, origin = stream.read(_OWN).rstrip(b"\0").partition(b"  ")
            if checksum != _checksum(stream):
                raise OSError("its checksum is wrong")
            # Older files don't say; what lies in no study may be a copy.
            if origin and (place := _place(path)) and origin != place:
                raise OSError(f"it is a copy of {origin.decode(errors='replace')}")
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError) as error:
        raise DamagedFile(path, f"can't be read as a {kind} file ({error})") from error


def _place(path: str | Path) -> bytes:
    """`place_of`, as far as there is room for it beside a checksum."""
    return place_of(path).encode()[: _OWN // 2]


def _checksum(stream) -> bytes:
    stream.seek(_OWN)
    return hashlib.file_digest(stream, "sha256").hexdigest().encode()
