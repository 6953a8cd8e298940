"""Linear probes: the solver, nested cross-validation, and a scikit-learn estimator."""

__all__ = ["LogisticProbe"]


def __getattr__(name: str):
    # Lazily: importing scikit-learn takes about a second, and probe jobs need none of it.
    if name == "LogisticProbe":
        from skillprobe.probes.estimator import LogisticProbe

        return LogisticProbe
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
