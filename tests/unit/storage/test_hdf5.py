"""Small HDF5 files are those that were written at their place, or refused."""

import errno
import os
import random
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from made.shards import small_shard
from skillprobe.activations.shards import Shard
from skillprobe.errors import DamagedFile, UserError
from skillprobe.storage import hdf5


def test_a_copy_of_another_small_file_is_refused(tmp_path):
    paths = [tmp_path / f"s/probes/specialist/m/t/{layer}.h5" for layer in range(2)]
    for path in paths:
        with hdf5.create(path) as file:
            file["x"] = 1
    kept = [shutil.copy(paths[0], tmp_path / "kept.h5"), paths[0]]
    for path in kept:
        with hdf5.whole(path, "probe"):
            pass
    shutil.copy(paths[0], paths[1])
    words = (
        "can't be read as a probe file .it is a copy of probes/specialist/m/t/0.h5.; make it again: snakemake"
    )
    with pytest.raises(DamagedFile, match=f"{paths[1]} {words}"), hdf5.whole(paths[1], "probe"):
        pass


def test_every_flipped_bit_and_cut_of_a_small_file_is_noticed(tmp_path):
    path = tmp_path / "p.h5"
    with hdf5.create(path) as file:
        file["x"] = np.arange(50)
    with hdf5.whole(path, "probe") as file, h5py.File(path) as plain:
        assert file["x"][()].tolist() == plain["x"][()].tolist() == list(range(50))
    content, chance = path.read_bytes(), random.Random(1)
    damaged = [content[:size] for size in (0, 300, 512, len(content) - 1)]
    # Behind the checksum HDF5 leaves room that nobody reads.
    for place in [*range(64), *(chance.randrange(512, len(content)) for _ in range(100))]:
        damaged.append(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    for bad in damaged:
        path.write_bytes(bad)
        with (
            pytest.raises(DamagedFile, match="can't be read as a probe file"),
            hdf5.whole(path, "probe") as file,
        ):
            file["x"][()]


# What HDF5 2.0 says of a file on a disk without locks.
NO_LOCKS = (
    "Unable to synchronously open file "
    "(unable to lock file, errno = 37, error message = 'No locks available')"
)


def made(folder):
    """A small file and a shard."""
    with hdf5.create(folder / "p.h5") as file:
        file["x"] = 1
    return folder / "p.h5", small_shard(folder / "0.h5")


def read_both(small, shard):
    with hdf5.whole(small, "probe") as file:
        assert file["x"][()] == 1
    with Shard(shard) as file:
        assert file.read(1, "eos").shape[0] == len(file.samples["id"])


def test_whole_files_are_read_on_a_disk_without_locks(tmp_path, monkeypatch):
    paths, plain = made(tmp_path), h5py.h5f.open

    def no_locks(name, flags=h5py.h5f.ACC_RDWR, fapl=None):
        if os.path.exists(name):
            raise OSError(errno.ENOLCK, NO_LOCKS)
        return plain(name, flags, fapl)

    monkeypatch.setattr(h5py.h5f, "open", no_locks)
    with pytest.raises(OSError, match="No locks available"):
        h5py.File(paths[0])
    read_both(*paths)
    # And new ones are written.
    read_both(*made(tmp_path / "more"))


SHIM = "#include <errno.h>\nint flock(int file, int operation) { errno = ENOLCK; return -1; }\n"


@pytest.mark.parametrize("setting", [None, "TRUE", "BEST_EFFORT", "FALSE"])
def test_whole_files_are_read_where_the_system_call_fails(tmp_path, setting):
    """Whatever HDF5_USE_FILE_LOCKING says, which `locking=False` gives way to."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler and Linux, to replace flock")
    (tmp_path / "shim.c").write_text(SHIM)
    shim = tmp_path / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, tmp_path / "shim.c"], check=True)
    paths = made(tmp_path)
    code = """
import sys, fcntl, h5py
from skillprobe.activations.shards import Shard
from skillprobe.storage import hdf5
small, shard, new = sys.argv[1:]
try:
    fcntl.flock(open(small), fcntl.LOCK_SH)
except OSError as error:
    print(error)
with hdf5.whole(small, "probe") as file:
    print(file["x"][()])
with Shard(shard) as file:
    print(file.read(1, "eos").shape[0] == len(file.samples["id"]))
with hdf5.create(new) as file:
    file["x"] = 2
with hdf5.whole(new, "probe") as file:
    print(file["x"][()])
"""
    env = {**os.environ, "LD_PRELOAD": str(shim)} | ({"HDF5_USE_FILE_LOCKING": setting} if setting else {})
    command = [sys.executable, "-c", code, *paths, tmp_path / "new.h5"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    said = f"[Errno {errno.ENOLCK}] {os.strerror(errno.ENOLCK)}"
    assert done.stdout.splitlines() == [said, "1", "True", "2"], done.stderr


def test_a_file_that_is_open_elsewhere_in_the_process_is_read(tmp_path):
    small, shard = made(tmp_path)
    for locking in (True, False):
        with h5py.File(small, locking=locking), h5py.File(shard, locking=locking):
            read_both(small, shard)
    with hdf5.whole(small, "probe"), Shard(shard), h5py.File(small) as one, h5py.File(shard) as other:
        assert "x" in one and "layers" in other


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EACCES, errno.ESTALE, errno.EMFILE])
def test_a_file_that_the_system_does_not_give_is_not_called_damaged(tmp_path, monkeypatch, number):
    small, shard = made(tmp_path)

    class Refused(hdf5.Opened):
        def __init__(self, path):
            raise OSError(number, NO_LOCKS)

    monkeypatch.setattr(hdf5, "Opened", Refused)
    for path, read in (
        (small, lambda: hdf5.whole(small, "probe").__enter__()),
        (shard, lambda: Shard(shard)),
    ):
        with pytest.raises(
            UserError, match=f"^cannot read {path} .{os.strerror(number)}.; correct"
        ) as caught:
            read()
        assert not isinstance(caught.value, DamagedFile) and "again: snakemake" not in str(caught.value)


def test_a_file_is_closed_with_its_stream(tmp_path):
    small, _ = made(tmp_path)
    with hdf5.whole(small, "probe") as file:
        stream = file._stream
    assert stream.closed and not file
    small.write_bytes(b"no file of this kind")
    with pytest.raises(OSError, match="signature"):
        hdf5.Opened(small)
