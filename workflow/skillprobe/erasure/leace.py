"""LEACE (Belrose et al. 2023, arXiv 2306.03819), by its authors' package, in the span of the rows."""

from __future__ import annotations

import numpy as np

from skillprobe.erasure.eraser import Eraser
from skillprobe.probes.solver import Rows


def leace(rows: Rows, train: np.ndarray, labels: np.ndarray, alpha: float = 1.0) -> Eraser:
    """The rank-one eraser after which no linear probe does better than chance on the training rows.

    train: [n] bool; labels: [n] in {0, 1}. Its direction and what it reads lie in the span of the training
    rows, so their coordinates there are all that the package is given. Raises ValueError where the classes
    have one mean, or there is one class only: there is nothing to erase.
    """
    # Lazily: the package imports torch.
    import torch
    from concept_erasure import LeaceFitter

    x, y = rows.coordinates[train], labels[train]
    if len(set(y.tolist())) < 2:
        raise ValueError("LEACE needs two classes, but all labels are of one class")
    # At least as many dimensions as the rows span; the package takes covariances, so few is better.
    centred = x - x.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    axes = axes[: min(len(x) - 1, len(axes))].T
    if not axes.size:
        raise ValueError("LEACE finds nothing to erase: both classes have the same mean")
    coordinates, y = torch.from_numpy(centred @ axes), torch.from_numpy(y.astype(float))
    # Without the bound on the trace, which would give up the equal means.
    # Nor does it take a small difference for none.
    fitter = LeaceFitter.fit(coordinates, y, constrain_cov_trace=False, svd_tol=1e-9)
    # With hardly more rows than dimensions, the package's shrinkage overshoots to negative variances.
    if torch.linalg.eigvalsh(fitter.sigma_xx)[0] <= 0:
        fitter.shrinkage = False
    made = fitter.eraser
    left, right = axes @ made.proj_left.numpy(), axes @ made.proj_right.numpy().T
    if not left.any():
        raise ValueError("LEACE finds nothing to erase: both classes have the same mean")
    weights = rows.weights(np.column_stack([left, right, x.mean(axis=0)]))[0]
    scale = rows.scale
    a, b = weights[:, :1] * scale[:, None] ** 2, weights[:, 1:2].T
    return Eraser(a / (b @ a), b, weights[:, 2] * scale**2 + rows.offset, alpha)
