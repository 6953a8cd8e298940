"""A Slurm for all tests of this folder."""

import pytest
from box import Slurm, why_not


@pytest.fixture(scope="session")
def slurm():
    if reason := why_not():
        pytest.skip(reason)
    with Slurm() as started:
        yield started
