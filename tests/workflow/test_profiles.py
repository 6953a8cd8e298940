"""What the profiles have in common, and what they and the attempts of a job do to its resources."""

import re
import subprocess
import sys

import pytest
import yaml
from workdir import ROOT, SMOKE, copy_repository

PROFILES = ROOT / "workflow/profiles"


def settings(name):
    return yaml.safe_load((PROFILES / name / "config.yaml").read_text())


@pytest.mark.parametrize("name", ["local", "slurm"])
def test_profiles_decide_alike_what_runs_again(name):
    for key in ("rerun-triggers", "max-checksum-file-size"):
        assert settings(name)[key] == settings("default")[key]


def resources(jobs):
    """Of each job, in one order."""
    jobs = sorted(jobs, key=lambda job: (job["rule"], job.get("wildcards", "")))
    return [dict(re.findall(r"(\w+)=(\d+)", job["resources"])) for job in jobs if job["rule"] != "all"]


def test_memory_and_time_double_with_each_attempt(tmp_path):
    workdir = copy_repository(tmp_path)
    first, third = resources(workdir.listed()), resources(workdir.listed("--attempt", "3"))
    assert len(first) == len(third) > 100
    for before, after in zip(first, third, strict=True):
        for name in ("mem_mb", "runtime"):
            assert int(after[name]) == 4 * int(before[name])
    # No more than a profile allows for one job.
    capped = resources(workdir.listed("--attempt", "3", "--resources", "mem_mb=5000"))
    assert {int(job["mem_mb"]) for job in capped} == {min(int(job["mem_mb"]), 5000) for job in third}


def test_attempts_and_profiles_make_nothing_run_again(smoke):
    for profile in ("local", "slurm"):
        arguments = ("--profile", f"workflow/profiles/{profile}", "--attempt", "2")
        listed = smoke.snakemake("--dry-run", "--configfile", SMOKE, *arguments)
        assert "Nothing to be done" in listed.stdout


def test_a_model_gets_no_fewer_gpus_than_it_asks_for(tmp_path):
    """Snakemake would give it as many as the profile has."""
    workdir = copy_repository(tmp_path)
    models = yaml.safe_load((workdir.path / "config.yaml").read_text())["models"]
    models[0] |= {"gpu": 2, "device_map": "auto"}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump({"models": models}))
    arguments = ("--profile", "workflow/profiles/local", "--configfile", SMOKE, "two.yaml")
    done = workdir.snakemake(*arguments, check=False)
    assert done.returncode and re.search(
        r"'toy-llama' asks for gpu: 2, but .* have gpu: 1; raise", done.stderr
    )
    assert not (tmp_path / "results").exists()


def test_a_model_that_asks_for_more_memory_than_the_run_has_is_run_with_a_warning(tmp_path):
    workdir = copy_repository(tmp_path)
    prompts = "results/smoke/prompts/word_count/0.jsonl"
    arguments = ("--configfile", SMOKE, "--resources", "mem_mb=1500", "--", prompts)
    done = workdir.snakemake(*arguments)
    warning = "'toy-llama' asks for mem_mb: 2000, .* but .* mem_mb: 1500, so its job gets no more"
    assert re.search(warning, done.stderr)
    assert (tmp_path / prompts).exists()


def test_the_local_profile_bounds_gpu_jobs(tmp_path):
    rule = """
rule all:
    input: expand("{n}", n=range(3))
rule hold:
    output: "{n}"
    resources: gpu=1
    shell: "(date +%s.%N; sleep 0.5; date +%s.%N) > {output}"
"""
    (tmp_path / "Snakefile").write_text(rule)
    command = [sys.executable, "-m", "snakemake", "--profile", str(PROFILES / "local"), "--cores", "4"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert settings("local")["resources"]["gpu"] == 1
    spans = sorted(tuple(map(float, (tmp_path / str(n)).read_text().split())) for n in range(3))
    assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:], strict=False))
