"""HDF5 files that are not what they should be."""

import numpy as np

WAYS = ("text", "cut", "missing", "other")


def spoil(path, how):
    """Put something else in the place of a good file. how: one of WAYS."""
    import h5py

    if how == "text":
        path.write_text("no")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "missing":
        path.unlink()
    else:
        with h5py.File(path, "w") as file:
            file["scores"] = np.zeros(3)
