"""What comes out of a good config, and how little it takes."""

import copy
import json
import time

import pytest
import yaml
from made.configs import ROOT, SCHEMA, make_folder, refused, study
from skillprobe.study.config import complete
from skillprobe.study.reading import laid_over


def test_defaults_are_filled_in_and_the_given_config_is_left_alone(root):
    given = study(generation__samples=7)
    before = copy.deepcopy(given)
    config = complete(given, root)
    assert given == before
    assert config["generation"]["samples"] == 7
    assert config["statistics"]["bootstrap_draws"] == 2000
    assert config["probes"]["folds"] == SCHEMA["properties"]["probes"]["properties"]["folds"]["default"]
    assert config["activations"]["positions"][-1] == "eos"
    defaults = {key: sub.get("default") for key, sub in SCHEMA["$defs"]["model"]["properties"].items()}
    assert config["models"] == [defaults | {"name": "a", "source": "models/a", "num_layers": 4}]
    assert complete(config, root) == config


def shipped_studies():
    return [None, *sorted((ROOT / "workflow/studies").glob("*.yaml"))]


@pytest.mark.parametrize("path", shipped_studies(), ids=lambda path: path.name if path else "config.yaml")
def test_the_shipped_studies_are_good(path, tmp_path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    if path:
        config = laid_over(config, yaml.safe_load(path.read_text()))
    for entry in config["models"]:
        if entry["source"].startswith("workflow/resources/models/"):
            make_folder(tmp_path / entry["source"])
    assert complete(config, tmp_path)["study"] == (path.stem if path else "demo")


def test_checking_is_quick(root):
    began = time.process_time()
    complete(study(), root)
    assert time.process_time() - began < 1.0  # about 0.01 s once imported


def test_planning_needs_no_heavy_package(root):
    import subprocess
    import sys

    code = (
        "import json, sys; from skillprobe.study.config import complete; "
        f"complete(json.loads({json.dumps(study())!r}), {str(root)!r}); "
        "print({'torch', 'transformers', 'pandas', 'sklearn', 'scipy'} & sys.modules.keys())"
    )
    path = str(ROOT / "workflow")
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert run.stdout.strip() == "set()", run.stderr


def test_names_that_the_workflow_needs_itself_are_taken(root):
    refused(root, r"^study can't be 'toy': results/toy/ is reserved", study="toy")
    refused(root, r"^study can't be 'pilot': results/pilot/ is reserved", study="pilot")
