"""GPUs for each job: where no scheduler deals them out, a job leases free ones by lock files."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.storage.locks import locked

# Where the folder of the lock files is. Jobs may differ in TMPDIR, and must not in this.
PLACE = Path("/tmp")
# Between two looks for a free device.
SECONDS = 2.0
# While these are open, the devices are ours: the system lets go of the locks when the process ends, however.
_held: list = []


def lease_gpus(devices: Sequence[str], number: int = 1, folder: str | Path | None = None) -> list[str]:
    """Wait until so many of the devices are free at once, lease them until this process ends, and return
    them. Later calls return the same.

    devices: their names, as CUDA_VISIBLE_DEVICES has them, `number` of them at least; folder: of the lock
    files (None: one that all jobs of this user on this machine share, or within an allocation of Slurm, all
    of the allocation, where device 0 may be another than that of the next). Raises UserError for a folder
    that is a link or another user's.
    """
    if _held:
        return [device for device, _ in _held]
    if folder is None:
        allocation = os.environ.get("SLURM_JOB_ID")
        own = f"-{allocation}" if allocation else ""
        folder = PLACE / f"skillprobe-gpus-{os.getuid()}{own}"
    _check_own(Path(folder))
    said = False
    while True:
        # One job at a time looks, and takes all or none: two that want both of two would else take one each.
        with locked(Path(folder) / "looking.lock", wait=True):
            found = []
            for device in devices:
                # Names of slices of a GPU hold slashes.
                name = f"{device.replace('/', '_')}.lock"
                if len(found) < number and (file := locked(Path(folder) / name)):
                    found.append((device, file))
            if len(found) == number:
                _held.extend(found)
                return [device for device, _ in _held]
            for _, file in found:
                file.close()
        if not said:
            print(f"waiting for {number} of {len(devices)} GPUs to be free", file=sys.stderr, flush=True)
            said = True
        time.sleep(SECONDS)


def _check_own(folder: Path) -> None:
    """Make the folder, unless it is there. Its name is no secret, so another user may have been first."""
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError as error:
        raise UserError(
            f"cannot create the folder {folder}, where jobs reserve GPUs ({os.strerror(error.errno)}); "
            "correct that"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserError(
            f"{folder}, where jobs reserve GPUs, is a link, a file or another user's; remove it, or "
            "ask its owner (or root) to"
        )


def use_gpus(number: int = 1) -> None:
    """Let CUDA see so many leased devices only (0: all that there are), before CUDA is first used; does
    nothing without GPUs. Raises UserError if there are fewer."""
    import torch

    if torch.cuda.is_initialized() or not torch.backends.cuda.is_built():
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    # CUDA isn't asked for what is written there: to count slices of a GPU it would begin, and then see all.
    names = visible.replace(" ", "").split(",") if visible else map(str, range(torch.cuda.device_count()))
    names = list(takewhile(re.compile(r"\d+|(GPU|MIG)-.+").fullmatch, names))
    if not names:
        return
    if number > len(names):
        raise UserError(
            f"a model's entry has gpu: {number}, but its job sees only {len(names)} "
            f"({', '.join(names)}); lower it, or run on a machine with more GPUs"
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(lease_gpus(names, number or len(names)))


def check_there(what: str, asked: int) -> None:
    """Raises UserError if what is to run (a model or judge) asks for GPUs and CUDA has none: on the CPU it
    would run for days, a GPU held all the while."""
    import torch

    if asked and not torch.cuda.is_available():
        raise UserError(
            f"{what} asks for a GPU (gpu: {asked}), but torch {torch.__version__} finds none; install "
            "one with CUDA (on a machine without a GPU: make clean setup TORCH_INDEX=), check that "
            "the driver is new enough for it, or set gpu: 0"
        )
