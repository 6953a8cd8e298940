"""Logistic regression on a few columns, to convergence."""

import numpy as np

# Of a Hessian where every probability has saturated, and where columns are collinear.
_LEAST_CURVATURE, _RIDGE = 1e-12, 1e-9
MAX_STEPS = 100


def sigmoid(odds: np.ndarray) -> np.ndarray:
    """Of log-odds, without overflow."""
    return 1 / (1 + np.exp(-np.clip(odds, -500, 500)))


def fit_logistic(x: np.ndarray, target: np.ndarray, start: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Weights [d] that minimise Σ log-loss + ½ wᵀ penalty w, by Newton's method with halved steps.

    x: [n, d], with a column of ones for the intercept; target: [n] in 0 to 1; start: [d]; penalty: [d, d].
    See Lin, Lin & Weng (2007) for why steps are halved.
    """

    def loss(at):
        odds = x @ at
        return float((np.logaddexp(0, odds) - target * odds).sum() + 0.5 * at @ penalty @ at)

    at, now = start.copy(), loss(start)
    for _ in range(MAX_STEPS):
        p = sigmoid(x @ at)
        curvature = (x.T * np.maximum(p * (1 - p), _LEAST_CURVATURE)) @ x + penalty
        step = np.linalg.solve(curvature + _RIDGE * np.eye(len(at)), x.T @ (p - target) + penalty @ at)
        size = 1.0
        while size > 1e-6 and (then := loss(at - size * step)) > now:
            size /= 2
        if size <= 1e-6 or now - then < 1e-10 * max(1.0, abs(now)):
            break
        at, now = at - size * step, then
    return at
