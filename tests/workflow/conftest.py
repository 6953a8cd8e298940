"""The smoke study, run once for all tests of the workflow."""

import pytest
from workdir import SMOKE, Workdir, copy_repository


@pytest.fixture(scope="session")
def smoke(tmp_path_factory) -> Workdir:
    """The smoke study, run to its end on two cores. Tests must leave it as they found it."""
    workdir = copy_repository(tmp_path_factory.mktemp("smoke"))
    workdir.snakemake("--configfile", SMOKE)
    return workdir
