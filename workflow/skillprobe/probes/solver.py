"""L2 logistic regression, solved exactly by Newton's method in the Gram matrix (n < d) or in features.

min ½‖w‖² + C Σ log-loss with the intercept unpenalised: scikit-learn's C, on rows that are centred by
training means and divided by one scalar (ESTIMANDS, "Scale").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A Newton step that moves no decision value by more than this leaves an error of about its square.
LAST_STEP = 1e-3
MAX_STEPS = 200
# Training rows whose variance is below this share of their mean square differ by rounding only.
NO_VARIANCE = 1e-13


def feature_scale(x: np.ndarray) -> np.ndarray:
    """Standard deviation of each feature, [d] float64; x: [n, d] rows of calibration bases.

    A feature that is constant here says nothing about its scale and gets that of the median feature, so
    that it neither explodes nor vanishes where it does vary. Without two rows, all ones.
    """
    if len(x) < 2:
        return np.ones(x.shape[1])
    x = x.astype(np.float64)
    deviation = x.std(axis=0)
    varies = deviation > 1e-10 * np.abs(x).max(axis=0)
    if not varies.any():
        return np.ones(x.shape[1])
    return np.where(varies, deviation, np.median(deviation[varies]))


class Rows:
    """Rows of one (model, layer, position), prepared once for all tasks, folds, penalties and variants.

    x: [n, d] activations of any float type; scale: [d] per-feature divisor, or None for none.
    """

    def __init__(self, x: np.ndarray, scale: np.ndarray | None = None) -> None:
        n, d = x.shape
        self.scale = np.ones(d) if scale is None else np.asarray(scale, float)
        # Removing any common offset changes no centred Gram, but saves the digits that centring would lose;
        # constant features are taken out exactly, or their rounding errors would pass for signal.
        self.offset = x.mean(axis=0, dtype=np.float64)
        constant = x.max(axis=0) == x.min(axis=0)
        self.offset[constant] = x[0, constant]
        self.z = (x - self.offset) / self.scale
        # Shared by every fit below; with far more rows than features no large fit would use it.
        self.gram = self.z @ self.z.T if n <= 2 * d else None

    def fit(
        self,
        train: np.ndarray,
        labels: np.ndarray,
        penalties: Sequence[float],
        groups: np.ndarray | None = None,
    ) -> Fit:
        """Fit at each penalty C, ascending order being fastest (each starts at the one before).

        train: row numbers; labels: [n] in {0, 1}, read at `train` only; groups: [n] int, rows are centred
        within their group by its training mean (None: all rows are one group). Training rows of one class,
        or without any variance, give the constant score 0 and `Fit.degenerate`.
        """
        n, d = self.z.shape
        groups = np.zeros(n, int) if groups is None else groups
        y = labels[train].astype(float)
        # [n_groups, n_train]: averages training rows by group. A group unseen in training uses all of them.
        member = groups[train] == np.arange(groups.max() + 1)[:, None]
        member[~member.any(axis=1)] = True
        average = member / member.sum(axis=1, keepdims=True)
        centre = groups[train]

        dual = len(train) < d
        local = self.z[train]
        if not dual:
            design = local - (average @ local)[centre]
            total, reference = np.vdot(design, design), np.vdot(local, local)
        else:
            gram = self.gram[np.ix_(train, train)] if self.gram is not None else local @ local.T
            reference = np.trace(gram)
            # A G Aᵀ with A = I − (group average), without an n×n product.
            means = gram @ average.T
            design = gram - means[:, centre] - means[:, centre].T + (average @ means)[np.ix_(centre, centre)]
            total = np.trace(design)

        if total <= NO_VARIANCE * reference or y.min() == y.max():
            k = len(penalties)
            return Fit(self, np.zeros((k, n)), np.zeros((k, d)), np.zeros((k, len(average))), True)

        variance = total / (len(train) * d)
        coefficients, intercepts = _newton_path(
            design / variance if dual else design / np.sqrt(variance), y, penalties, dual
        )
        if dual:
            # From centred to plain rows: Aᵀα. Scores need G only, weights Z once.
            spread = np.zeros((n, len(penalties)))
            spread[train] = (coefficients - (coefficients @ member.T / member.sum(1))[:, centre]).T / variance
            weights = spread[train].T @ local
            projections = (self.gram @ spread).T if self.gram is not None else weights @ self.z.T
        else:
            weights = coefficients / np.sqrt(variance)
            projections = weights @ self.z.T
        shift = projections[:, train] @ average.T
        return Fit(
            self, projections - shift[:, groups] + intercepts[:, None], weights, intercepts[:, None] - shift
        )


@dataclass(frozen=True)
class Fit:
    """decision: [n_penalties, n] of *all* rows. `degenerate` fits have constant scores."""

    rows: Rows
    decision: np.ndarray
    z_weights: np.ndarray
    z_intercepts: np.ndarray
    degenerate: bool = False

    def raw(self, penalty: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Weights [d] and intercept of each group [n_groups]: x @ w + b[group] is the decision value."""
        weights = self.z_weights[penalty] / self.rows.scale
        return weights, self.z_intercepts[penalty] - weights @ self.rows.offset


def _newton_path(
    design: np.ndarray, y: np.ndarray, penalties: Sequence[float], dual: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [n_penalties, n or d] and intercepts [n_penalties] that minimise the penalised loss.

    design: the Gram matrix K [n, n] (dual: w = Xᵀα, decision values Kα + b) or X [n, d] (primal: Xw + b).
    """
    sign = 2 * y - 1
    coefficients, intercept = np.zeros(design.shape[1]), float(np.log(y.mean() / (1 - y.mean())))
    projection = np.zeros(len(y))
    augmented = None if dual else np.hstack([design, np.ones((len(y), 1))])
    path = []
    for penalty in penalties:
        for _ in range(MAX_STEPS):
            decision = projection + intercept
            probability = 0.5 + 0.5 * np.tanh(decision / 2)
            curvature = penalty * probability * (1 - probability)
            pull = penalty * (y - probability)  # minus the derivative of the loss
            if dual:
                step, step_intercept = _dual_step(design, coefficients, curvature, pull)
            else:
                step, step_intercept = _primal_step(augmented, coefficients, curvature, pull)
            step_projection = design @ step
            step_decision = step_projection + step_intercept
            if dual:
                slope = (pull - coefficients) @ step_projection + pull.sum() * step_intercept
                cross, square = coefficients @ step_projection, step @ step_projection
                norm = coefficients @ projection
            else:
                slope = pull @ step_decision - coefficients @ step
                cross, square, norm = coefficients @ step, step @ step, coefficients @ coefficients
            last = np.abs(step_decision).max() <= LAST_STEP
            length = 1.0
            if not last:
                current = _objective(norm, decision, sign, penalty)
                # Backtrack until the descent is a fair share of the promised one, up to rounding.
                while length > 1e-9 and _objective(
                    norm + 2 * length * cross + length**2 * square,
                    decision + length * step_decision,
                    sign,
                    penalty,
                ) > current - 1e-4 * length * slope + 1e-13 * abs(current):
                    length /= 2
                if length <= 1e-9:
                    break
            coefficients = coefficients + length * step
            projection = projection + length * step_projection
            intercept += length * step_intercept
            if last:
                break
        path.append((coefficients, intercept))
    return np.stack([c for c, _ in path]), np.array([b for _, b in path])


def _objective(norm: float, decision: np.ndarray, sign: np.ndarray, penalty: float) -> float:
    return 0.5 * norm + penalty * np.logaddexp(0, -sign * decision).sum()


def _primal_step(augmented, coefficients, curvature, pull):
    """Newton step for (w, b); augmented: [n, d + 1] rows with a column of ones."""
    root = augmented * np.sqrt(curvature)[:, None]
    hessian = root.T @ root
    d = len(coefficients)
    hessian[np.arange(d), np.arange(d)] += 1
    hessian[d, d] += 1e-12 * (1 + hessian[d, d])  # all probabilities may saturate on the way
    descent = augmented.T @ pull
    descent[:d] -= coefficients
    step = _solve_positive(hessian, descent[:, None])[:, 0]
    return step[:d], float(step[d])


def _dual_step(gram, coefficients, curvature, pull):
    """Newton step for (α, b): Δα + W(KΔα + Δb) = pull − α with 1ᵀ(α + Δα) = 0.

    Through B = I + W½KW½, well conditioned even where W underflows (Rasmussen & Williams 2006, eq. 3.27).
    """
    root = np.sqrt(curvature)
    matrix = gram * root
    matrix *= root[:, None]
    matrix[np.arange(len(root)), np.arange(len(root))] += 1
    right = np.stack([pull - coefficients, curvature], axis=1)
    right -= root[:, None] * _solve_positive(matrix, root[:, None] * (gram @ right))
    by_residual, by_intercept = right.T
    step_intercept = (by_residual.sum() + coefficients.sum()) / max(by_intercept.sum(), 1e-300)
    return by_residual - step_intercept * by_intercept, float(step_intercept)


def _solve_positive(matrix: np.ndarray, right: np.ndarray, block: int = 192) -> np.ndarray:
    """Solve a positive definite system; right: [n, k].

    numpy has a Cholesky factorisation (half the work of its `solve`) but no triangular solve, hence blocks;
    scipy has one, at 0.65 s of import a job.
    """
    n = len(matrix)
    if n <= 2 * block:
        return np.linalg.solve(matrix, right)
    lower = np.linalg.cholesky(matrix)
    result = right.copy()
    starts = range(0, n, block)
    for start in starts:
        here = slice(start, start + block)
        result[here] -= lower[here, :start] @ result[:start]
        result[here] = np.linalg.solve(lower[here, here], result[here])
    for start in reversed(starts):
        here, after = slice(start, start + block), slice(start + block, n)
        result[here] -= lower[after, here].T @ result[after]
        result[here] = np.linalg.solve(lower[here, here].T, result[here])
    return result
