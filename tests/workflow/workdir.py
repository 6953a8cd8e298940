"""A copy of the repository to run Snakemake in."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import forks

ROOT = Path(__file__).resolve().parents[2]
SMOKE = "workflow/studies/smoke.yaml"
SOURCES = ("Snakefile", "config.yaml", "profiles", "workflow", "envs", "pyproject.toml")


class Workdir:
    """A copy of the repository in which snakemake runs with the copy's own package."""

    def __init__(self, path: Path):
        self.path = path

    def start(
        self,
        *arguments: str,
        cores: int = 2,
        env: Mapping[str, str] | None = None,
        forked: bool = True,
        **options,
    ) -> subprocess.Popen:
        """Snakemake as a process; env: added to the environment; options: Popen's.

        forked: whether it and its jobs are forks of what has imported all that they begin with (forks.py), or
        are started as a user does it.
        """
        own = {"PYTHONPATH": str(self.path / "workflow"), "XDG_CACHE_HOME": str(self.path / ".cache")}
        python = forks.python() if forked else sys.executable
        return subprocess.Popen(
            [python, "-m", "snakemake", "--cores", str(cores), *map(str, arguments)],
            **{"cwd": self.path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            | options,
            env=os.environ | own | (env or {}),
        )

    def snakemake(self, *arguments: str, check: bool = True, **options) -> subprocess.CompletedProcess:
        """Snakemake, run to its end; options: `start`'s."""
        with self.start(*arguments, **options) as process:
            done = subprocess.CompletedProcess(process.args, None, *process.communicate())
        done.returncode = process.returncode
        if check and done.returncode:
            raise AssertionError(done.stdout[-3000:] + done.stderr[-6000:])
        return done

    def results(self) -> dict[str, bytes]:
        """Content of all results of the smoke study. Not of logs and benchmarks, which hold times, nor of the
        report, which has one too."""
        root, others = self.path / "results/smoke", ("benchmarks", "logs", "report.html")
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.relative_to(root).parts[0] not in others
        }

    def listed(self, *arguments: str, configfile: str = SMOKE, **options) -> list[dict[str, str]]:
        """What a dry-run of the smoke study says of each job: "rule", "wildcards", "resources", …; options:
        `start`'s."""
        done = self.snakemake("--dry-run", "--configfile", configfile, *arguments, **options)
        jobs = []
        for block in re.split(r"\n(?=(?:local)?rule )", done.stdout):
            if found := re.match(r"(?:local)?rule (\w+):", block):
                jobs.append({"rule": found[1]} | dict(re.findall(r"^    (\w+): (.*)$", block, re.M)))
        return jobs

    def planned(self, *arguments: str, configfile: str = SMOKE) -> set[tuple[str, str]]:
        """(rule, wildcards) of every job that a dry-run lists, without the target."""
        listed = self.listed(*arguments, configfile=configfile)
        jobs = {(job["rule"], job.get("wildcards", "")) for job in listed}
        return jobs - {("all", "")}


def copy_repository(target: Path) -> Workdir:
    target.mkdir(exist_ok=True)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, target / name)
    return Workdir(target)


def cached_hub_model(home: Path, source: str, commit: str, files: Path) -> Path:
    """A model in the hub library's cache, as if downloaded; returns the file that names its commit."""
    cached = home / "hub" / f"models--{source.replace('/', '--')}"
    shutil.copytree(files, cached / "snapshots" / commit)
    main = cached / "refs/main"
    main.parent.mkdir()
    main.write_text(commit)
    return main


def copy_results(smoke: Workdir, target: Path) -> Workdir:
    """A copy of the finished smoke study, to go on from."""
    shutil.copytree(smoke.path, target, symlinks=True, dirs_exist_ok=True)
    return Workdir(target)
