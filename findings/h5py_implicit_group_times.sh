#!/usr/bin/env bash
# h5py 3.16.0 (HDF5 2.0): a group that an assignment by path makes on the way has the time of day in it; the
# same group made by create_group, or on the way by create_dataset, has none.
#
# h5py leaves out times by default (track_times=False) for groups and datasets, so that one expects that equal
# data make equal bytes. With libver="latest", file["drawn/0"] = data makes the group "drawn" with HDF5's own
# default instead, which stores four times in its header; two writes in different seconds differ.
#
# It matters to whoever compares or caches HDF5 files by their bytes: workflows, checksums, deduplicating stores.
#
# Seen:
#   by path           differs
#   create_group      equal
#   create_dataset    equal
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet h5py==3.16.0 numpy==2.4.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys
import time
from pathlib import Path

import h5py
import numpy as np


def by_path(file):
    file["drawn/0"] = np.zeros(3)


def create_group(file):
    file.create_group("drawn")["0"] = np.zeros(3)


def create_dataset(file):
    file.create_dataset("drawn/0", data=np.zeros(3))


def written(fill):
    with h5py.File("made.h5", "w", libver="latest") as file:
        fill(file)
    return Path("made.h5").read_bytes()


found = {}
for fill in (by_path, create_group, create_dataset):
    first = written(fill)
    time.sleep(1.1)
    found[fill.__name__] = "equal" if written(fill) == first else "differs"
    print(f"{fill.__name__.replace('by_path', 'by path'):17s} {found[fill.__name__]}")
print("h5py", h5py.__version__, "HDF5", h5py.version.hdf5_version)
sys.exit(found != {"by_path": "differs", "create_group": "equal", "create_dataset": "equal"})
PYTHON
