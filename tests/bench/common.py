"""What the benchmarks share: one thread, made-up activations, older builds, the shortest of a few runs."""

import os

# Before numpy is imported, which reads them once.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import subprocess
import tarfile
import time
from io import BytesIO
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def world(n, d, seed=0):
    """Rows x [n, d] whose features' variances fall off as in a language model, with a weak signal in them,
    and labels y [n]."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    size = np.arange(1, d + 1) ** -0.5
    x = (rng.normal(size=(n, d)) + np.outer(y - 0.5, rng.normal(size=d) * 3 / np.sqrt(d))) * size
    return x, y


def best(function, *arguments, times=3):
    """Shortest of a few runs, in seconds, and the result."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        result = function(*arguments)
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def older_build(commit, folder):
    """The folder of packages of an older commit, whose files are laid into `folder`."""
    packed = subprocess.run(["git", "-C", ROOT, "archive", commit], check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return Path(folder) / "workflow"
