"""Linear probes: the solver, the cross-validation protocol, and a scikit-learn estimator."""

from skillprobe.probes.protocol import (
    ProbeResult,
    Settings,
    general,
    load,
    load_specialists,
    on_subsets,
    save,
    specialist,
)

__all__ = [
    "LogisticProbe",
    "ProbeResult",
    "Settings",
    "general",
    "load",
    "load_specialists",
    "on_subsets",
    "save",
    "specialist",
]


def __getattr__(name: str):
    # Lazily: importing scikit-learn takes about a second, and probe jobs need none of it.
    if name == "LogisticProbe":
        from skillprobe.probes.estimator import LogisticProbe

        return LogisticProbe
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
