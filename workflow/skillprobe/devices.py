"""A GPU for each job: where no scheduler deals them out, a job leases a free one by a lock file."""

from __future__ import annotations

import fcntl
import getpass
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

# Between two looks for a free device.
SECONDS = 2.0
# While these are open, the devices are ours: the system lets go of the locks when the process ends, however.
_held: list = []


def lease_gpu(devices: Sequence[str], folder: str | Path | None = None) -> str | None:
    """Wait until one of the devices is free, lease it until this process ends, and return it; None if there
    are none. Later calls return the same.

    devices: their names, as CUDA_VISIBLE_DEVICES has them; folder: of the lock files (None: one that all
    jobs of this user on this machine share, or within an allocation of Slurm, all of the allocation, where
    device 0 may be another than that of the next).
    """
    if _held:
        return _held[0][0]
    if not devices:
        return None
    if folder is None:
        allocation = os.environ.get("SLURM_JOB_ID")
        own = f"-{allocation}" if allocation else ""
        folder = Path(tempfile.gettempdir()) / f"skillprobe-gpus-{getpass.getuser()}{own}"
    Path(folder).mkdir(parents=True, exist_ok=True)
    said = False
    while True:
        for device in devices:
            # Names of slices of a GPU hold slashes.
            file = open(Path(folder) / f"{device.replace('/', '_')}.lock", "w", encoding="utf-8")  # noqa: SIM115
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            _held.append((device, file))
            return device
        if not said:
            print(f"waiting for one of {len(devices)} GPUs to be free", file=sys.stderr, flush=True)
            said = True
        time.sleep(SECONDS)


def use_one_gpu() -> None:
    """Let CUDA see one leased device only, before CUDA is first used; does nothing without GPUs."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if torch.cuda.is_initialized() or not torch.cuda.device_count():
        return
    names = visible.split(",") if visible else [str(k) for k in range(torch.cuda.device_count())]
    os.environ["CUDA_VISIBLE_DEVICES"] = lease_gpu(names)
