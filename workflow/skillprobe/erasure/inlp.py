"""Iterative nullspace projection (INLP; Ravfogel et al. 2020, arXiv 2004.07667), many erasers at once.

Each step fits a probe on what the steps before have left and adds its direction. A probe's weights lie in
the span of the rows, so everything happens in the rows' principal axes: a step takes one more rank-one term
out of the rows (of their Gram matrix), and no projection of the features is ever formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skillprobe.erasure.eraser import Eraser
from skillprobe.probes.solver import Erased, Rows

# A direction shorter than this share of the longest one is a rounding error: nothing is left to find.
NOTHING_LEFT = 1e-9
# Each step carries on the errors of those before.
TOLERANCE = 1e-7


@dataclass(frozen=True)
class Directions:
    """What INLP found for each of m training sets, in the principal axes of its rows.

    axes: [m, r, k], orthonormal, in order, and zero from where nothing was left; midpoint: [m, r], of the
    training class means; decision: [k, n, m], of all rows, by the probe of each step; loss: [k, m], the
    optimal objective of each step (½‖w‖² + C Σ log-loss); coefficients: [k, r, m] and intercepts: [k, m], of
    these probes.
    """

    rows: Rows
    axes: np.ndarray
    midpoint: np.ndarray
    decision: np.ndarray
    loss: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray

    def erasers(self, which: slice = slice(None), alpha: float = 1.0) -> list[Eraser]:
        """On raw activations, of the training sets `which`."""
        found = []
        axes, midpoints = self.axes[which], self.midpoint[which]
        used = [each.any(axis=0) for each in axes]
        # All at once: every product with the features scales them anew.
        columns = [each[:, own] for each, own in zip(axes, used, strict=True)]
        weights = self.rows.weights(np.column_stack([*columns, *midpoints]))[0]
        ends = np.cumsum([0, *(own.sum() for own in used)])
        scale = self.rows.scale[:, None]
        for number, midpoint in enumerate(weights[:, ends[-1] :].T):
            # Through the scale and back: features, not scaled ones, are what gets erased.
            directions = weights[:, ends[number] : ends[number + 1]]
            middle = midpoint * self.rows.scale**2 + self.rows.offset
            found.append(Eraser(directions * scale**2, directions.T, middle, alpha))
        return found


def inlp(
    rows: Rows,
    train: np.ndarray,
    labels: np.ndarray,
    penalty: float | np.ndarray,
    rank: int,
    *,
    start: tuple[np.ndarray, np.ndarray] | None = None,
    tolerance: float = TOLERANCE,
) -> Directions:
    """Directions of `rank` successive probes for each of m training sets.

    train: [n, m] bool, or how often each row is there; labels: [n] or [n, m] in {0, 1}; penalty: C, or [m];
    start: coefficients [k, r, m] and intercepts [k, m] that the steps begin from; tolerance: of decision
    values. A training set whose rows differ in fewer directions, or not at all, gives fewer; so does a very
    strong penalty (small C), under which each direction is shorter than the one before by a large factor,
    until rounding hides it.
    """
    (n, m), r = train.shape, rows.coordinates.shape[1]
    labels = np.broadcast_to(labels.reshape(n, -1), (n, m))
    axes = np.zeros((m, r, 0))
    decision, loss, intercepts = np.zeros((rank, n, m)), np.zeros((rank, m)), np.zeros((rank, m))
    coefficients, longest = np.zeros((rank, r, m)), np.zeros(m)
    # Rows differ in one direction less than there are of them; the solver's errors would pass for more.
    most = (train > 0).sum(axis=0) - 1
    for step in range(rank):
        fit = rows.fit(
            train,
            labels,
            [penalty],
            erased=Erased(axes, axes.transpose(0, 2, 1)),
            start=None if start is None else (start[0][step], start[1][step]),
            tolerance=tolerance,
        )
        beta = fit.coefficients[0].T[:, :, None]
        # Twice is enough to be at right angles to rounding (Kahan and Parlett).
        for _ in range(2):
            beta = beta - axes @ (axes.transpose(0, 2, 1) @ beta)
        length = np.linalg.norm(beta, axis=1, keepdims=True)
        longest = np.maximum(longest, length[:, 0, 0])
        kept = (length > NOTHING_LEFT * longest[:, None, None]) & (step < most[:, None, None])
        direction = np.divide(beta, length, out=np.zeros_like(beta), where=kept & (length > 0))
        axes = np.concatenate([axes, direction], axis=2)
        decision[step], loss[step] = fit.decision[0], fit.loss[0]
        coefficients[step], intercepts[step] = fit.coefficients[0], fit.intercepts[0]
    ones, zeros = train * (labels == 1), train * (labels == 0)
    means = [rows.coordinates.T @ (of / np.maximum(of.sum(axis=0), 1)) for of in (ones, zeros)]
    midpoint = (means[0] + means[1]).T / 2
    return Directions(rows, axes, midpoint, decision, loss, coefficients, intercepts)
