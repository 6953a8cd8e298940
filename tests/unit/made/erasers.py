"""Erasers of made-up rows, and probes that are solved to machine precision."""

import numpy as np
from skillprobe.erasure.inlp import inlp
from skillprobe.probes.solver import Rows, feature_scale
from sklearn.linear_model import LogisticRegression


def scale_of(x, scaled):
    return feature_scale(x) if scaled else None


def training(n, share=0.75):
    return np.arange(n) < share * n


def features(x, scale):
    return x if scale is None else x / scale


def logistic(z, y, penalty):
    """Solved to machine precision."""
    return LogisticRegression(C=penalty, solver="newton-cholesky", tol=1e-13, max_iter=1000).fit(z, y)


def among_features(eraser, scale):
    """The directions of an eraser among the scaled features: along what, and what is read; [d, k] each."""
    scale = np.ones(len(eraser.a)) if scale is None else scale
    return eraser.a / scale[:, None], eraser.b.T * scale[:, None]


def one_inlp(x, y, scale=None, train=None, penalty=0.1, rank=3, alpha=1.0):
    train = training(len(x)) if train is None else train
    return inlp(Rows(x, scale), train[:, None], y, penalty, rank).erasers(alpha=alpha)[0]
