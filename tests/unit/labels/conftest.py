"""Tiny random text classifiers."""

import pytest
from made.judges import make_classifiers


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    return make_classifiers(tmp_path_factory)
