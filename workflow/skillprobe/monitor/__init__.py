"""The runtime monitor: what a study's probes say while a model writes."""

_READING = ("Monitor", "StopBelow")
_GUARD = ("guarded", "spreads_of", "BestOf", "Steer", "StopEarly", "StopOnPrefix", "VerifyAgain")
__all__ = [*_READING, *_GUARD]


def __getattr__(name: str):
    # Lazily: the command's help needs no torch.
    if name in _READING:
        from skillprobe.monitor import reading

        return getattr(reading, name)
    if name in _GUARD:
        from skillprobe.monitor import guard

        return getattr(guard, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
