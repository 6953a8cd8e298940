"""One thread a test: oversubscribed, BLAS is many times slower. On the CPU, but for `pytest -m gpu`."""

import os

import pytest

# What several tests share says, too, what it compared.
pytest.register_assert_rewrite("made")

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")


def pytest_configure(config):
    # Where tests are dealt out to several processes, these would wait for each other's GPU.
    if config.getoption("markexpr") != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def scope(nodeid: str) -> str:
    """Tests that share what takes long: those of a file, and all that a Slurm is started for."""
    file = nodeid.split("::")[0]
    return os.path.dirname(file) if "/cluster/" in file else file


def pytest_collection_modifyitems(items):
    """The longest begin: on a GPU also because their jobs lease it, which later tests do for themselves."""
    items.sort(key=lambda item: "/unit/" in item.nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Where tests are dealt out to several processes, those of a scope stay together."""
    from xdist.scheduler import LoadScopeScheduling

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = scope
    return scheduler
