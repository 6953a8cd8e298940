"""One thread a test: oversubscribed, BLAS is many times slower."""

import os

import pytest

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")


# Before the plugin that deals them out looks at the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Where tests are dealt out to several processes: those that share what takes long stay together, and the
    longest begin."""
    items.sort(key=lambda item: item.path.parent.name == "unit")
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(item.path.name if folder == "unit" else folder))
