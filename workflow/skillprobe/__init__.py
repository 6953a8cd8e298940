"""skillprobe: one universal "constraint satisfied" signal, or many skills in coordination?

What users import is here, and comes when it is asked for: numpy, scikit-learn and h5py take a second.
"""

import importlib

__version__ = "0.1.0"
# Of the definitions and the rules that decide claims. Fixed before any result is seen: a change is a new one.
RULES_VERSION = 2

# name: (module, its name there)
_EXPORTS = {
    "INLP": ("erasure.estimator", "INLP"),
    "LEACE": ("erasure.estimator", "LEACE"),
    "Eraser": ("erasure.eraser", "Eraser"),
    "LogisticProbe": ("probes.estimator", "LogisticProbe"),
    "ProbeResult": ("probes.results", "ProbeResult"),
    "Shard": ("activations.shards", "Shard"),
    "UserError": ("errors", "UserError"),
    "auroc": ("statistics.metrics", "auroc"),
    "auroc_within": ("statistics.metrics", "auroc_within"),
    "load_ablation": ("erasure.cross", "load"),
    "load_erasers": ("erasure.eraser", "load"),
    "load_planning": ("probes.planning", "load"),
    "load_probe": ("probes.results", "load"),
    "load_refits": ("probes.refits", "load"),
    "load_transfer": ("probes.transfer", "load"),
    "read_lines": ("storage.files", "read_jsonl"),
    "read_rows": ("probes.rows", "read_rows"),
    "read_table": ("storage.tables", "read_csv"),
}
__all__ = ["RULES_VERSION", "__version__", *_EXPORTS]


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _EXPORTS[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
