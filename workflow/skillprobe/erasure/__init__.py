"""Erasure: taking what a probe reads out of activations."""

from skillprobe.erasure.eraser import Eraser, load, save

__all__ = ["INLP", "LEACE", "Eraser", "load", "save"]


def __getattr__(name: str):
    # Lazily: importing scikit-learn takes about a second, and most jobs need none of it.
    if name in ("INLP", "LEACE"):
        from skillprobe.erasure import estimator

        return getattr(estimator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
