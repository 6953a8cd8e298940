"""What the tests fork from ends with them, and so do its forks."""

import os
import re
import signal
import subprocess
import sys
import time

import forks
import pytest

TESTS = """
import signal, subprocess, sys
import forks
signal.signal(signal.SIGINT, signal.default_int_handler)
python = forks.python()
print(python, flush=True)
subprocess.Popen([python, sys.argv[1]]).wait()
"""


@pytest.mark.parametrize("by", ["Ctrl-C", "a signal to all"])
def test_interrupted_tests_leave_no_process(tmp_path, by):
    """With nothing imported beforehand, which takes long."""
    with open(forks.__file__, encoding="utf-8") as stream:
        quick, replaced = re.subn(r"^MODULES = \(.*?^\)$", "MODULES = ()", stream.read(), flags=re.M | re.S)
    assert replaced == 1
    folder = tmp_path / "tests/workflow"
    folder.mkdir(parents=True)
    (folder / "forks.py").write_text(quick)
    (folder / "tests.py").write_text(TESTS)
    forked, number = tmp_path / "forked.py", tmp_path / "number"
    forked.write_text(
        f"import os, time; open({str(number)!r} + '.new', 'w').write(str(os.getpid()));"
        f"os.rename({str(number)!r} + '.new', {str(number)!r}); time.sleep(60)"
    )
    command = [sys.executable, folder / "tests.py", forked]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as tests:
        home = os.path.dirname(tests.stdout.readline())
        assert wait(number.exists)
        # As a terminal sends it, to all in the foreground.
        os.killpg(tests.pid, signal.SIGINT if by == "Ctrl-C" else signal.SIGKILL)
    assert home and wait(lambda: not os.path.exists(home) and not there(int(number.read_text())))


def there(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait(until):
    end = time.monotonic() + 20
    while not (found := until()) and time.monotonic() < end:
        time.sleep(0.05)
    return found
