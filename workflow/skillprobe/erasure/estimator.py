"""The erasers as scikit-learn transformers."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import ClassifierTags
from sklearn.utils.validation import check_is_fitted, validate_data

from skillprobe.erasure.inlp import inlp
from skillprobe.erasure.leace import leace
from skillprobe.probes.estimator import scaled_rows, two_classes


class _Erasing(TransformerMixin, BaseEstimator):
    """After `fit`: eraser_, an `Eraser`; classes_ [2]."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.classifier_tags = ClassifierTags(multi_class=False)
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X, y):
        """X: [n, d] activations; y: [n] two classes, in any coding."""
        X, labels = two_classes(self, X, y)
        self.eraser_ = self._fit(scaled_rows(self, X), labels)
        return self

    def transform(self, X):
        """X: [n, d]; the same with the subspace erased, in its own dtype."""
        check_is_fitted(self)
        return self.eraser_(validate_data(self, X, dtype=(np.float64, np.float32), reset=False))


class INLP(_Erasing):
    """Iterative nullspace projection (Ravfogel et al. 2020, arXiv 2004.07667), through the class midpoint.

    Parameters
    ----------
    rank : int, number of directions; cut to the number in which the rows differ.
    alpha : float, 1 projects them out, 2 reflects along them (arXiv 2606.13720).
    C : float, penalty of the probes, as in `skillprobe.probes.LogisticProbe`.
    scale : None or array [d], per-feature divisor: directions are at right angles after it.
    """

    def __init__(self, rank=1, alpha=1.0, C=1.0, scale=None):
        self.rank = rank
        self.alpha = alpha
        self.C = C
        self.scale = scale

    def _fit(self, rows, labels):
        if not self.rank >= 1:
            raise ValueError(f"rank is {self.rank}, but must be at least 1")
        if not self.C > 0:
            raise ValueError(f"C is {self.C}, but must be positive")
        rank = min(self.rank, rows.coordinates.shape[1])
        found = inlp(rows, np.ones((len(labels), 1), bool), labels, self.C, rank)
        return found.erasers(alpha=self.alpha)[0]


class LEACE(_Erasing):
    """Least-squares concept erasure (Belrose et al. 2023, arXiv 2306.03819), rank one, through the mean.

    Parameters
    ----------
    alpha : float, 1 erases, 2 reflects.
    scale : None or array [d], per-feature divisor; it changes the result by the covariance's shrinkage only.
    """

    def __init__(self, alpha=1.0, scale=None):
        self.alpha = alpha
        self.scale = scale

    def _fit(self, rows, labels):
        return leace(rows, np.ones(len(labels), bool), labels, self.alpha)
