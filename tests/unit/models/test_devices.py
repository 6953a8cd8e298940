"""Two jobs never hold one GPU at once, and a job of several gets all of them or none."""

import multiprocessing
import os
import tempfile
import time
from itertools import pairwise

import pytest
import torch
from skillprobe.errors import UserError
from skillprobe.models import devices
from skillprobe.models.devices import lease_gpus, use_gpus

pytestmark = pytest.mark.usefixtures("nothing_held")


def hold(folder, names, number, seconds, found):
    devices.SECONDS = 0.02
    held = lease_gpus(names, number, folder)
    began = time.monotonic()
    time.sleep(seconds)
    found.put((held, began, time.monotonic()))
    found.close()
    found.join_thread()
    os._exit(1)  # As if killed: nothing is tidied up.


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["0", "1"], [1] * 6),
        # One may be left over, which doesn't help the others.
        (["0", "1", "2"], [2] * 4),
        (["0", "1"], [2] * 4),
        (["0", "1", "2"], [3, 1, 2, 1, 3, 2]),
    ],
)
def test_no_two_processes_hold_one_device_at_once(tmp_path, names, numbers):
    context = multiprocessing.get_context("fork")
    found = context.Queue()
    jobs = [context.Process(target=hold, args=(tmp_path, names, number, 0.2, found)) for number in numbers]
    for job in jobs:
        job.start()
    spans = [found.get(timeout=30) for _ in jobs]
    for job in jobs:
        job.join()
    assert sorted(len(set(held)) for held, _, _ in spans) == sorted(numbers)
    for name in names:
        of_device = sorted((began, ended) for held, began, ended in spans if name in held)
        assert all(second[0] >= first[1] for first, second in pairwise(of_device))
    if numbers[0] == 1:
        # Two at a time.
        assert {name for held, _, _ in spans for name in held} == set(names)
        assert max(ended for *_, ended in spans) - min(began for _, began, _ in spans) < 3


def test_a_process_leases_once(tmp_path, capsys):
    assert lease_gpus(["MIG-GPU/1", "2"], folder=tmp_path) == ["MIG-GPU/1"]
    assert lease_gpus(["2"], folder=tmp_path) == lease_gpus([], 2) == ["MIG-GPU/1"]
    assert {path.name for path in tmp_path.iterdir()} == {"MIG-GPU_1.lock", "looking.lock"}
    assert capsys.readouterr().err == ""


def test_what_is_free_is_not_kept_while_the_rest_is_waited_for(monkeypatch, tmp_path, capsys):
    """A job holds one of two: another that wants both leaves the second to a third."""
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()

    def other():
        lease_gpus(["0"], folder=tmp_path)
        ready.set()
        done.wait(30)

    job = context.Process(target=other)
    job.start()
    assert ready.wait(30)
    rounds = []

    def wait(_):
        third = devices.locked(tmp_path / "1.lock")
        assert third
        third.close()
        rounds.append(1)
        if len(rounds) == 3:
            done.set()
            job.join()

    monkeypatch.setattr(devices.time, "sleep", wait)
    assert lease_gpus(["0", "1"], 2, tmp_path) == ["0", "1"] and len(rounds) == 3
    assert capsys.readouterr().err == "waiting for 2 of 2 GPUs to be free\n"


@pytest.mark.parametrize("hidden", [None, "", "-1", "NoDevFiles"])
def test_without_gpus_nothing_is_leased(monkeypatch, hidden):
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    use_gpus(2)
    assert not devices._held and os.environ.get("CUDA_VISIBLE_DEVICES") == hidden


def test_slices_of_a_gpu_are_not_counted_by_cuda(monkeypatch, tmp_path):
    """It would begin for that, and then see them all, whatever is leased."""
    seen(monkeypatch, tmp_path, 0, {"CUDA_VISIBLE_DEVICES": "MIG-1a,MIG-2b"})
    monkeypatch.setattr(torch.cuda, "device_count", None)
    use_gpus(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "MIG-1a"


def seen(monkeypatch, tmp_path, count, environment):
    """A machine with so many GPUs."""
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    # So that it is put back afterwards.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", environment.get("CUDA_VISIBLE_DEVICES", ""))
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(devices, "PLACE", tmp_path)


@pytest.mark.parametrize(
    ("environment", "held", "count", "number", "visible"),
    [
        ({}, "0", 3, 1, "1"),
        ({"CUDA_VISIBLE_DEVICES": "4, 5"}, "4", 2, 1, "5"),
        ({"CUDA_VISIBLE_DEVICES": "7"}, "4", 1, 1, "7"),
        ({}, "0", 3, 2, "1,2"),
        ({}, "1", 3, 2, "0,2"),
        ({"CUDA_VISIBLE_DEVICES": "4,5,7"}, "5", 3, 2, "4,7"),
        # Device 0 of this allocation of Slurm needn't be the one that a job outside calls so.
        ({"SLURM_JOB_ID": "12", "CUDA_VISIBLE_DEVICES": "0,1"}, "0", 2, 1, "0"),
        ({"SLURM_JOB_ID": "12", "CUDA_VISIBLE_DEVICES": "0,1"}, "0", 2, 2, "0,1"),
        # All that it was given.
        ({"SLURM_JOB_ID": "12", "CUDA_VISIBLE_DEVICES": "2,3"}, "0", 2, 0, "2,3"),
    ],
)
def test_cuda_sees_the_leased_devices_only(monkeypatch, tmp_path, environment, held, count, number, visible):
    """One device is another job's."""
    seen(monkeypatch, tmp_path, count, environment)
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()

    def other():
        lease_gpus([held], folder=tmp_path / f"skillprobe-gpus-{os.getuid()}")
        ready.set()
        done.wait(30)

    job = context.Process(target=other)
    job.start()
    assert ready.wait(30)
    try:
        use_gpus(number)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
        # What else the job loads takes of these.
        use_gpus(1)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
    finally:
        done.set()
        job.join()


def test_more_than_there_are_is_no_reason_to_wait(monkeypatch, tmp_path):
    seen(monkeypatch, tmp_path, 2, {"CUDA_VISIBLE_DEVICES": "4,5"})
    with pytest.raises(UserError, match=r"gpu: 3, but its job sees only 2 \(4, 5\); lower it"):
        use_gpus(3)


def test_jobs_of_one_allocation_lease_one_each(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setattr(devices, "PLACE", tmp_path)
    first = lease_gpus(["0", "1"])
    another_job, devices._held = devices._held, []
    assert (first, lease_gpus(["0", "1"])) == (["0"], ["1"]) and another_job


def test_another_tmpdir_is_no_other_place(monkeypatch, tmp_path):
    """Two jobs that begin with different environments would both take device 0."""
    monkeypatch.setattr(devices, "PLACE", tmp_path)
    leased = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        monkeypatch.setenv("TMPDIR", str(tmp_path / place))
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.setattr(devices, "_held", another_job := [])
        leased.append((lease_gpus(["0", "1"]), another_job))
    assert [devices for devices, _ in leased] == [["0"], ["1"]]
    assert (tmp_path / f"skillprobe-gpus-{os.getuid()}").stat().st_mode & 0o777 == 0o700


def test_a_place_that_another_user_made_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "PLACE", tmp_path)
    folder, elsewhere = tmp_path / f"skillprobe-gpus-{os.getuid()}", tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    with pytest.raises(UserError, match=f"^{folder}, where jobs reserve GPUs, is a link, .*; remove it"):
        lease_gpus(["0"])
    assert not list(elsewhere.iterdir())
    folder.unlink()
    folder.mkdir()
    monkeypatch.setattr(devices.os, "getuid", lambda: elsewhere.stat().st_uid + 1)
    with pytest.raises(UserError, match="another user's"):
        lease_gpus(["0"], folder=folder)
    monkeypatch.undo()
    # Nor does a file there change what a link leads to.
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    for name in ("looking.lock", "0.lock"):
        (folder / name).symlink_to(precious)
        with pytest.raises(OSError, match="symbolic links"):
            lease_gpus(["0"], folder=folder)
        (folder / name).unlink()
    assert precious.read_text() == "as it was"
