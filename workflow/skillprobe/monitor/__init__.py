"""The runtime monitor: what a study's probes say while a model writes."""

__all__ = ["Monitor", "StopBelow"]


def __getattr__(name: str):
    # Lazily: the command's help needs no torch.
    if name in __all__:
        from skillprobe.monitor import reading

        return getattr(reading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
