"""docs/tutorial.md: its files and commands, in the page's order, in a copy of the project."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
import yaml
from workdir import ROOT, copy_repository

PAGE = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
CONFIG, TASK = "tutorial.yaml", "workflow/skillprobe/tasks/one_sentence.py"
# What the commands are in this environment, without what an installed one would find.
PROGRAMS = {"snakemake": "snakemake", "skillprobe": "skillprobe"}


def blocks():
    """(language, text) of every block of code."""
    return re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S)


def run(workdir, line):
    program, *arguments = shlex.split(line)
    own = {"PYTHONPATH": str(workdir.path / "workflow"), "XDG_CACHE_HOME": str(workdir.path / ".cache")}
    return subprocess.run(
        [sys.executable, "-m", PROGRAMS[program], *arguments],
        cwd=workdir.path,
        env=os.environ | own,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The copy, and what each command printed."""
    workdir = copy_repository(tmp_path_factory.mktemp("tutorial"))
    config, done = {}, []
    for language, text in blocks():
        if language == "yaml":
            changed = yaml.safe_load(text)
            # The last is for models that this test doesn't have.
            if changed != {"prompts": {"world": "general"}}:
                config |= changed
                (workdir.path / CONFIG).write_text(yaml.safe_dump(config))
        elif language == "python":
            (workdir.path / TASK).write_text(text)
        else:
            for line in text.splitlines():
                found = run(workdir, line)
                assert found.returncode == 0, f"{line}\n{found.stdout[-2000:]}{found.stderr[-4000:]}"
                done.append((line, found.stdout + found.stderr))
    return workdir, done


def test_every_command_of_the_page_runs(ran):
    workdir, done = ran
    assert [shlex.split(line)[0] for line, _ in done].count("snakemake") == 4
    assert f"`{CONFIG}`" in PAGE and f"`{TASK}`" in PAGE
    page = (workdir.path / "monitor.html").read_text(encoding="utf-8")
    assert "toxicity" in page and "river" in page
    for line, printed in done:
        if line.startswith("skillprobe monitor"):
            assert re.search(r"\d\.\d\d", printed), line


def test_only_what_is_new_runs(ran):
    """A task and a model more cost their own jobs."""
    _, done = ran
    first, again, third = (out for line, out in done if line.startswith("snakemake") and "monitors" in line)
    jobs = [dict(re.findall(r"^(\w+) +(\d+)$", out, re.M)) for out in (first, again, third)]
    assert [int(each["generate_responses"]) for each in jobs] == [2, 1, 3]
    assert [int(each["fit_monitor"]) for each in jobs] == [2, 1, 3]


def test_the_page_says_what_came_out(ran):
    """The monitor of the new task can tell, and about 60 % of the responses have one sentence."""
    workdir, _ = ran
    folder = workdir.path / "results/tutorial"
    lines = (folder / "labels/toy-llama/one_sentence/0.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    constrained = [row["satisfied"] for row in rows if row["variant"] == "constrained"]
    assert "160 prompts per task (4 responses each)" in PAGE and len(constrained) == 160 * 4
    assert 0.5 < sum(constrained) / len(constrained) < 0.7
    from skillprobe.probes import monitors

    card = monitors.load(folder / "monitors/toy-llama/one_sentence.safetensors").card
    scores = {stage["name"]: stage["auroc"] for stage in card["stages"]}
    assert card["status"] == "" and scores["tokens_9_16"] > 0.75
