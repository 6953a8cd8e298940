"""Leases of GPUs that no test leaves behind."""

import pytest
from skillprobe.models import devices


@pytest.fixture
def nothing_held(monkeypatch):
    monkeypatch.setattr(devices, "_held", [])
    monkeypatch.setattr(devices, "SECONDS", 0.05)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
