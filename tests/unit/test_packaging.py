"""The lists of packages agree: pyproject.toml's requirements, the lock and the conda specs."""

import re
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
