"""What is left out of an import is there for whoever needs it."""

import importlib.util
import subprocess
import sys

import pytest
import torch
from skillprobe.models import fast_import


def test_import_needs_no_scientific_packages_and_leaves_them_importable(model_folders):
    code = """
import gc, sys
import skillprobe.activations.extraction, skillprobe.models.loading
skillprobe.models.loading.load({"name": "m", "source": sys.argv[1]})
assert not {"scipy", "sklearn", "pandas", "accelerate"} & sys.modules.keys(), "imported"
assert gc.isenabled() and gc.get_freeze_count()
import scipy.linalg
"""
    subprocess.run([sys.executable, "-c", code, str(model_folders["llama"])], check=True, env=_environment())


def test_a_torch_with_cuda_is_left_accelerate(monkeypatch):
    monkeypatch.delitem(sys.modules, "transformers")
    for name in ("accelerate", "pandas"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    with fast_import.fast_import():
        assert importlib.util.find_spec("accelerate") and not importlib.util.find_spec("pandas")


def test_nothing_is_hidden_from_a_transformers_that_has_already_looked(monkeypatch):
    for name in fast_import.OPTIONAL:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with fast_import.fast_import():
        assert all(importlib.util.find_spec(name) for name in fast_import.OPTIONAL)
    monkeypatch.delitem(sys.modules, "transformers")
    with fast_import.fast_import():
        assert not any(importlib.util.find_spec(name) for name in fast_import.OPTIONAL)
        with pytest.raises(ImportError):
            import pandas  # noqa: F401
    assert not set(fast_import.OPTIONAL) & sys.modules.keys()


def test_fingerprint_prompts_labels_positions_and_shards_need_no_torch():
    modules = [
        "storage.fingerprint",
        "prompts.items",
        "labels.labelling",
        "activations.positions",
        "activations.shards",
    ]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(f'skillprobe.{name}')"
    code += "\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, *modules], check=True, env=_environment())


def _environment():
    import os
    from pathlib import Path

    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "workflow")}
