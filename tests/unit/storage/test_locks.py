"""No two processes run one study at once; who was killed holds nothing."""

import errno
import multiprocessing
import os
import platform
import re
import signal

import pytest
from skillprobe.errors import UserError
from skillprobe.storage import locks
from skillprobe.storage.locks import hold_study


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch):
    monkeypatch.setattr(locks, "_held", {})


def test_another_process_is_refused_until_the_first_is_killed(tmp_path):
    context = multiprocessing.get_context("fork")
    holds = context.Event()

    def run():
        hold_study(tmp_path / "mine")
        holds.set()
        signal.pause()

    first = context.Process(target=run)
    first.start()
    assert holds.wait(30)
    hold_study(tmp_path / "another")
    who = re.escape(f"'mine' is already being run, by process {first.pid} on {platform.node()}; wait until")
    for _ in range(2):
        with pytest.raises(UserError, match=who):
            hold_study(tmp_path / "mine")
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    # Again by the same process, too.
    for _ in range(2):
        hold_study(tmp_path / "mine")
    assert (tmp_path / "mine" / locks.NAME).read_text() == f"process {os.getpid()} on {platform.node()}"


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, capsys):
    def flock(file, how):
        raise OSError(errno.ENOLCK, "")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    hold_study(tmp_path)
    assert f"cannot lock {tmp_path} (No locks available): make sure" in capsys.readouterr().err
