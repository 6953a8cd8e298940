"""Locks of files, which the system lets go of when a process ends, however; one run of a study at a time."""

import fcntl
import os
import platform
import sys
from pathlib import Path
from typing import TextIO

from skillprobe.errors import UserError

# Beside the logs, which are no results either.
NAME = "logs/controller.lock"
# While these are open, the studies are ours.
_held: dict = {}


def locked(path: str | Path, wait: bool = False) -> TextIO | None:
    """The file, made if need be and locked for as long as it is open; None if another process has it locked,
    unless that is waited for. Raises OSError for a link, and where the file system has no locks."""
    # What is there stays, and isn't another file that a link leads to: the folder may be open to others.
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        return None
    return file


def hold_study(results: str | Path) -> None:
    """Refuse any other run of the study until this process ends.

    results: the study's folder, where the lock file lies. Raises UserError with the process that holds it;
    only warns where the file system has no locks.
    """
    path = Path(results).resolve() / NAME
    if path in _held:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = locked(path)
        if file is None:
            who = path.read_text(encoding="utf-8") or "another process"
            raise UserError(
                f"study '{Path(results).name}' is already being run, by {who}; wait until that run "
                "ends, or stop it, then run again"
            )
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
    except OSError as error:
        print(
            f"cannot lock {results} ({os.strerror(error.errno)}): make sure that no other run of this "
            "study is active",
            file=sys.stderr,
            flush=True,
        )
        return
    _held[path] = file
