"""The probe as a scikit-learn estimator."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from skillprobe.probes.solver import Rows


def two_classes(estimator: BaseEstimator, X, y) -> tuple[np.ndarray, np.ndarray]:
    """X [n, d] as floats, and labels [n] in {0, 1}, the numbers of the estimator's classes_, which is set.
    Raises ValueError for any number of classes but two."""
    X, y = validate_data(estimator, X, y, dtype=(np.float64, np.float32))
    check_classification_targets(y)
    if (kind := type_of_target(y)) != "binary":
        raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
    estimator.classes_, labels = np.unique(y, return_inverse=True)
    if len(estimator.classes_) < 2:
        name = type(estimator).__name__
        raise ValueError(f"{name} needs two classes, but all labels are of one class")
    return X, labels


def scaled_rows(estimator: BaseEstimator, X: np.ndarray, once: bool = False) -> Rows:
    """X [n, d] by the estimator's scale, for one fit or more. Raises ValueError for a scale that isn't one of
    d features."""
    scale = None if estimator.scale is None else np.asarray(estimator.scale, float)
    if scale is not None and (scale.shape != (X.shape[1],) or not np.all(scale > 0)):
        raise ValueError(f"scale must hold one positive number for each of the {X.shape[1]} features")
    return Rows(X, scale, once)


class LogisticProbe(ClassifierMixin, BaseEstimator):
    """L2 logistic regression on centred rows of unit mean variance, exact for n < d and n ≥ d.

    Parameters
    ----------
    C : float, penalty as in scikit-learn: min ½‖w‖² + C Σ log-loss, intercept unpenalised.
    scale : None or array [d], per-feature divisor (see `skillprobe.probes.solver.feature_scale`).

    After `fit`: classes_ [2], coef_ [1, d] and intercept_ [1] on raw rows. Raises ValueError for any number
    of classes but two.
    """

    def __init__(self, C=1.0, scale=None):
        self.C = C
        self.scale = scale

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X, y):
        """X: [n, d] activations; y: [n] two classes, in any coding."""
        X, labels = two_classes(self, X, y)
        if not self.C > 0:
            raise ValueError(f"C is {self.C}, but must be positive")
        everything = np.ones((len(X), 1), bool)
        weights, self.intercept_ = scaled_rows(self, X, once=True).fit(everything, labels, [self.C]).raw()
        self.coef_ = weights.T
        return self

    def decision_function(self, X):
        """Log-odds of classes_[1], [n]."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return X @ self.coef_[0] + self.intercept_[0]

    def predict(self, X):
        positive = self.decision_function(X) > 0  # raises if not fitted, before classes_ is missed
        return self.classes_[positive.astype(int)]

    def predict_proba(self, X):
        """Probabilities of both classes, [n, 2]."""
        positive = 0.5 + 0.5 * np.tanh(self.decision_function(X) / 2)
        return np.stack([1 - positive, positive], axis=1)
