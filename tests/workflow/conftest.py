"""The smoke study, run once for all tests of the workflow, in whichever processes they are."""

import fcntl
import os
import shutil

import pytest
from workdir import SMOKE, Workdir, copy_repository, copy_results


@pytest.fixture(scope="session")
def smoke(tmp_path_factory) -> Workdir:
    """The smoke study, run to its end on two cores: this process's copy of what the first one made.

    Tests must leave it as they found it.
    """
    base = tmp_path_factory.getbasetemp()
    # pytest-xdist gives each process a folder of its own, in one of all.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "smoke.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "smoke").exists():
            # Left by one that failed.
            shutil.rmtree(shared / "smoke.new", ignore_errors=True)
            workdir = copy_repository(shared / "smoke.new")
            workdir.snakemake("--configfile", SMOKE, forked=False)
            (shared / "smoke.new").rename(shared / "smoke")
    return copy_results(Workdir(shared / "smoke"), tmp_path_factory.mktemp("smoke"))
