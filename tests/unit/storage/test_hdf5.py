"""Small HDF5 files are those that were written at their place, or refused."""

import random
import shutil

import h5py
import numpy as np
import pytest
from skillprobe.errors import DamagedFile
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
