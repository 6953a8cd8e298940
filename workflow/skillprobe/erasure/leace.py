"""LEACE (Belrose et al. 2023, arXiv 2306.03819), by its authors' package, in the span of the rows."""

from __future__ import annotations

import numpy as np

from skillprobe.erasure.eraser import Eraser
from skillprobe.probes.solver import Rows


def leace(rows: Rows, train: np.ndarray, labels: np.ndarray, alpha: float = 1.0) -> Eraser:
    """The rank-one eraser after which no linear probe does better than chance on the training rows.

    train: [n] bool; labels: [n] in {0, 1}. Raises ValueError as `leaces` does.
    """
    return leaces(rows, train[:, None], labels[:, None], alpha)[0]


def leaces(rows: Rows, train: np.ndarray, labels: np.ndarray, alpha: float = 1.0) -> list[Eraser]:
    """`leace` of each of m training sets; train: [n, m] bool; labels: [n, m] in {0, 1}.

    An eraser's direction and what it reads lie in the span of the training rows, so their coordinates there
    are all that the package is given. Raises ValueError where the classes have one mean, or there is one
    class only: there is nothing to erase.
    """
    if not train.shape[1]:
        return []
    found = [_within(rows, *each) for each in zip(train.T, labels.T, strict=True)]
    # All at once: every product with the features scales them anew.
    weights = rows.weights(np.concatenate(found, axis=1))[0]
    erasers = []
    for each in np.split(weights, len(found), axis=1):
        a, b = each[:, :1] * rows.scale[:, None] ** 2, each[:, 1:2].T
        erasers.append(Eraser(a / (b @ a), b, each[:, 2] * rows.scale**2 + rows.offset, alpha))
    return erasers


def _within(rows: Rows, train: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of one training set, in the axes of the rows: along what it erases, what it reads, and the mean,
    [r, 3]."""
    # Lazily: the package imports torch.
    import torch
    from concept_erasure import LeaceFitter

    x, y = rows.coordinates[train], labels[train]
    if len(set(y.tolist())) < 2:
        raise ValueError("LEACE needs two classes, but all labels are of one class")
    # At least as many dimensions as the rows span; the package takes covariances, so few is better.
    centred = x - x.mean(axis=0)
    # The last of the centred rows is in the span of the others.
    n, r = x.shape
    axes = np.linalg.qr(centred[:-1].T)[0] if n <= r else np.eye(r)
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
    return np.column_stack([left, right, x.mean(axis=0)])
