"""How long Snakemake plans: CPU time until the first job begins, and of a dry-run, which describes every job.

    python tests/bench/planning.py [commit]

Nine tasks × 2 and × 6 models of 80 layers from the hub, all layers analysed, and 40 tasks × 6 models, of
which 31 are copies of one; with the working tree and, where one is named, with an older commit, in turn.
"""

import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))
from common import older_build
from workdir import Workdir, copy_repository

# Models, and copies of a task beside the nine.
SIZES, LAYERS = ((2, 0), (6, 0), (6, 31)), 80
COPIED = "word_count"
ARGUMENTS = ("--configfile", "planning.yaml")


def study(root, models, copies):
    made = yaml.safe_load((root / "workflow/studies/paper.yaml").read_text())
    made["models"] = [
        made["models"][0] | {"name": f"model-{number}", "num_layers": LAYERS, "hidden_size": 64}
        for number in range(models)
    ]
    # Few numbers, or the plan would be refused for want of disk; jobs are the same.
    made |= {"activations": {"positions": ["eos"]}, "behaviour": {"bases": 0}}
    made["prompts"]["bases"] = 15
    if copies:
        names = yaml.safe_load((root / "config.yaml").read_text())["tasks"]
        made["tasks"] = [*names, *(f"{COPIED}_{number}" for number in range(copies))]
    return made


def copy_task(workdir, copies):
    folder = workdir.path / "workflow/skillprobe/tasks"
    text = (folder / f"{COPIED}.py").read_text()
    for number in range(copies):
        name = f"{COPIED}_{number}"
        (folder / f"{name}.py").write_text(text.replace(f'"{COPIED}"', f'"{name}"'))


def until_the_first_job(workdir):
    """Jobs, and CPU time until the first are chosen; then it is killed."""
    options = {"cores": 1, "stdout": subprocess.DEVNULL, "start_new_session": True}
    with workdir.start(*ARGUMENTS, forked=False, **options) as process:
        for line in process.stderr:
            if line.startswith("total"):
                jobs = int(line.split()[1])
            if line.startswith("Select jobs"):
                used = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
                os.killpg(process.pid, signal.SIGKILL)
                return jobs, sum(map(int, used)) / os.sysconf("SC_CLK_TCK")
    sys.exit("no job was begun")


def dry_run(workdir):
    """CPU time, and peak memory in MB (of the largest so far)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    workdir.snakemake(*ARGUMENTS, "--dry-run", "--quiet", "all", cores=1, forked=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024


def measure(build, models, copies):
    """build: "now", or a commit."""
    with tempfile.TemporaryDirectory() as folder:
        if build == "now":
            workdir = copy_repository(Path(folder))
        else:
            older_build(build, folder)
            workdir = Workdir(Path(folder))
        copy_task(workdir, copies)
        (workdir.path / "planning.yaml").write_text(yaml.safe_dump(study(workdir.path, models, copies)))
        found = (*until_the_first_job(workdir), *dry_run(workdir))
    words = "{:<8}{:>7,} jobs{:>7.1f} s to the first{:>7.1f} s and{:>5.0f} MB of a dry-run"
    print(words.format(build, *found), flush=True)


for models, copies in SIZES:
    for build in (*sys.argv[1:], "now"):
        measure(build, models, copies)
