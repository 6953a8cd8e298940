"""Training texts of the toy models."""

import pytest
from made.items import WORLD
from skillprobe.toy import corpus


@pytest.fixture(scope="module")
def rows():
    return list(corpus.examples(WORLD, 3000, seed=5))
