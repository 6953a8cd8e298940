"""Names that a shell, a path or Snakemake could take for something else do no harm where they are allowed."""

import json
import shutil

import yaml
from workdir import SMOKE, copy_repository

ODD = "a b; touch owned; $(touch owned) `touch owned` 'q' \"d\" {model} ~ #"


def test_folders_and_files_of_any_name_are_used_and_nothing_else_is_touched(tmp_path):
    (tmp_path / ODD.replace("{model}", "")).mkdir()
    workdir = copy_repository(tmp_path / ODD.replace("{model}", ""))
    (workdir.path / ODD).mkdir()
    shutil.copytree(workdir.path / "workflow/resources/models/toy-llama", workdir.path / ODD / ODD)
    world = f"./{ODD.replace('{model}', '')}.json"
    shutil.copy(workdir.path / "workflow/skillprobe/tasks/worlds/toy.json", workdir.path / world)
    study = {"models": [{"name": "odd", "source": f"{ODD}/{ODD}"}], "tasks": ["json_format"], "judges": {}}
    study |= {"prompts": {"world": world, "bases": 10}, "generation": {"max_new_tokens": 4}}
    study |= {"ablation": {"max_rank": 2}}
    (workdir.path / "odd.yaml").write_text(yaml.safe_dump(study))
    before = everything(tmp_path)
    labels = "results/smoke/labels/odd/json_format/0.jsonl"
    workdir.snakemake(labels, "--configfile", SMOKE, "odd.yaml")
    rows = [json.loads(line) for line in (workdir.path / labels).read_text().splitlines()]
    assert any(row["response"] for row in rows)
    new = {path.relative_to(workdir.path).parts[0] for path in everything(tmp_path) - before}
    assert new <= {"results", ".snakemake", ".cache"}


def everything(folder):
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_a_repository_in_a_folder_with_a_brace_is_refused(tmp_path):
    """Snakemake would take it for a name's, in the commands of all jobs."""
    workdir = copy_repository(tmp_path / "{model}")
    refused = workdir.snakemake("--configfile", SMOKE, "--dry-run", check=False)
    assert refused.returncode and f"{workdir.path} contains a brace, which" in refused.stdout
