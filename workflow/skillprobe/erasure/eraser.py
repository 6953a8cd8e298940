"""Erasers: affine maps that take a subspace out of activations, or turn it round, and their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from skillprobe.storage import hdf5


@dataclass(frozen=True)
class Eraser:
    """x′ = x − α A B (x − μ), with B A = I.

    a: [d, k] and b: [k, d], directions in the order in which they were found; mean: μ, [d]. alpha: 1 projects
    onto the complement through μ, 2 reflects (arXiv 2606.13720). Where a is not the transpose of b, the
    projection is oblique: along a, by what b reads.
    """

    a: np.ndarray
    b: np.ndarray
    mean: np.ndarray
    alpha: float = 1.0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """x: [..., d], of any float type, which the result has too."""
        read = (x - self.mean) @ self.b.T
        return (x - self.alpha * read @ self.a.T).astype(x.dtype, copy=False)

    @property
    def rank(self) -> int:
        return self.a.shape[1]

    def truncated(self, rank: int) -> Eraser:
        """Its first directions. Only of an eraser whose directions are at right angles (in its own metric),
        as INLP's are, this is the eraser that a smaller rank would have given."""
        return replace(self, a=self.a[:, :rank], b=self.b[:rank])

    def with_alpha(self, alpha: float) -> Eraser:
        return replace(self, alpha=alpha)


def save(path: str | Path, erasers: Eraser | Mapping) -> None:
    """Store an eraser, or any nesting of mappings of erasers, as HDF5 (float32): equal ones, equal bytes."""
    with hdf5.create(path) as file:
        hdf5.write_nested(file, erasers, _write)


def load(path: str | Path) -> Eraser | dict:
    """What `save` stored: an eraser, or nested dicts of them. Raises UserError if it isn't such a file."""
    with hdf5.whole(path, "eraser") as file:
        return hdf5.read_nested(file, _read)


def _write(group: h5py.Group, eraser: Eraser) -> None:
    for name in ("a", "b", "mean"):
        group.create_dataset(name, data=np.asarray(getattr(eraser, name), np.float32))
    group.attrs["alpha"] = eraser.alpha


def _read(group: h5py.Group) -> Eraser:
    return Eraser(group["a"][()], group["b"][()], group["mean"][()], float(group.attrs["alpha"]))
