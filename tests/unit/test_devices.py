"""Two jobs never hold one GPU at once."""

import multiprocessing
import os
import time

import pytest
import torch
from skillprobe import devices
from skillprobe.devices import lease_gpu, use_one_gpu


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch):
    monkeypatch.setattr(devices, "_held", [])
    monkeypatch.setattr(devices, "SECONDS", 0.05)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def hold(folder, names, seconds, found):
    devices.SECONDS = 0.02
    device = lease_gpu(names, folder)
    began = time.monotonic()
    time.sleep(seconds)
    found.put((device, began, time.monotonic()))
    found.close()
    found.join_thread()
    os._exit(1)  # As if killed: nothing is tidied up.


def test_no_two_processes_hold_one_device_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    found = context.Queue()
    jobs = [context.Process(target=hold, args=(tmp_path, ["0", "1"], 0.2, found)) for _ in range(6)]
    for job in jobs:
        job.start()
    held = [found.get(timeout=30) for _ in jobs]
    for job in jobs:
        job.join()
    assert {device for device, _, _ in held} == {"0", "1"}
    for device in ("0", "1"):
        spans = sorted((began, ended) for name, began, ended in held if name == device)
        assert all(second[0] >= first[1] for first, second in zip(spans, spans[1:], strict=False))
    # Two at a time.
    assert len(held) == 6 and max(ended for *_, ended in held) - min(began for _, began, _ in held) < 3


def test_a_process_leases_once(tmp_path, capsys):
    assert lease_gpu(["MIG-GPU/1", "2"], tmp_path) == "MIG-GPU/1"
    assert lease_gpu(["2"], tmp_path) == "MIG-GPU/1"
    assert [path.name for path in tmp_path.iterdir()] == ["MIG-GPU_1.lock"]
    assert capsys.readouterr().err == ""
    assert lease_gpu([]) == "MIG-GPU/1"


def test_without_gpus_nothing_is_leased(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    use_one_gpu()
    assert not devices._held and "CUDA_VISIBLE_DEVICES" not in os.environ and lease_gpu([]) is None


@pytest.mark.parametrize(
    ("environment", "held", "count", "visible"),
    [
        ({}, "0", 3, "1"),
        ({"CUDA_VISIBLE_DEVICES": "4,5"}, "4", 2, "5"),
        ({"CUDA_VISIBLE_DEVICES": "7"}, "4", 1, "7"),
        # Device 0 of this allocation of Slurm needn't be the one that a job outside calls so.
        ({"SLURM_JOB_ID": "12", "CUDA_VISIBLE_DEVICES": "0,1"}, "0", 2, "0"),
    ],
)
def test_cuda_sees_the_leased_device_only(monkeypatch, tmp_path, environment, held, count, visible):
    """One device is another job's."""
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    # So that it is put back afterwards.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", environment.get("CUDA_VISIBLE_DEVICES", ""))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()

    def other():
        lease_gpu([held], tmp_path / f"skillprobe-gpus-{devices.getpass.getuser()}")
        ready.set()
        done.wait(30)

    job = context.Process(target=other)
    job.start()
    assert ready.wait(30)
    try:
        use_one_gpu()
        assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
    finally:
        done.set()
        job.join()


def test_jobs_of_one_allocation_lease_one_each(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    first = lease_gpu(["0", "1"])
    another_job, devices._held = devices._held, []
    assert (first, lease_gpu(["0", "1"])) == ("0", "1") and another_job
