"""The lists of packages agree: pyproject.toml's requirements, the lock and the conda specs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import skillprobe
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(lines):
    """Package -> version, names normalised as on package indexes."""
    pairs = (line.split("==") for line in lines if line.strip() and not line.startswith(("#", "-")))
    return {re.sub(r"[-_.]+", "-", name).lower(): version.strip() for name, version in pairs}


REQUIREMENTS = [Requirement(line) for line in PROJECT["dependencies"]]
LOCK = pins((ROOT / "envs/lock.txt").read_text().splitlines())


def test_the_lock_pins_every_requirement():
    wanted = {*(each.name for each in REQUIREMENTS), *PROJECT["optional-dependencies"]["test"], "setuptools"}
    assert wanted <= LOCK.keys()
    assert all(LOCK[each.name] in each.specifier for each in REQUIREMENTS)
    # A local version such as +cpu exists on one kind of machine only.
    assert not [name for name, version in LOCK.items() if "+" in version]


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_conda_specs_have_the_pins_of_the_lock(kind):
    spec = yaml.safe_load((ROOT / f"envs/{kind}.yaml").read_text())
    listed = pins(spec["dependencies"][-1]["pip"])
    assert listed == {each.name: LOCK[each.name] for each in REQUIREMENTS}


def test_the_citation_has_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == skillprobe.__version__


def run(code):
    """What it prints, as words."""
    command, env = [sys.executable, "-c", code], {"PYTHONPATH": str(ROOT / "workflow"), "PATH": ""}
    return set(subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.split())


def test_importing_the_package_imports_nothing_else():
    new = run("import sys; old = set(sys.modules); import skillprobe; print(*set(sys.modules) - old)")
    assert {name.split(".")[0] for name in new} - set(sys.stdlib_module_names) == {"skillprobe"}
    assert not [name for name in new if name.startswith("skillprobe.")]


def test_what_users_import_is_there_without_torch():
    for name in skillprobe.__all__:
        assert getattr(skillprobe, name) is not None and name in dir(skillprobe)
    assert skillprobe.LogisticProbe is skillprobe.probes.LogisticProbe
    assert skillprobe.INLP is skillprobe.erasure.INLP and skillprobe.LEACE is skillprobe.erasure.LEACE
    with pytest.raises(AttributeError, match="no attribute 'Probe'"):
        _ = skillprobe.Probe
    modules = run("import sys; from skillprobe import *; print(*sys.modules)")
    assert {"sklearn", "h5py"} <= modules and "torch" not in modules
