"""A tiny workflow, through the study's profile: jobs that Slurm kills, and jobs that hold a device."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from box import gpus, memory, minutes

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def tiny(slurm, tmp_path_factory):
    """Slurm's records of the tiny workflow, by rule, and its folder."""
    folder = tmp_path_factory.mktemp("faults")
    run = slurm.snakemake(folder, "--snakefile", str(Path(__file__).parent / "Snakefile"))
    assert run.wait(600) == 0, (folder / "run.log").read_text()[-4000:]
    jobs = slurm.jobs(folder)
    by_rule = {
        rule: [job for job in jobs if job["Comment"].startswith(f"rule_{rule}")]
        for rule in ("outlast", "outgrow", "begin", "hold")
    }
    return SimpleNamespace(folder=folder, jobs=by_rule)


def test_a_job_that_hits_its_time_limit_gets_twice_the_time(tiny):
    killed, again = tiny.jobs["outlast"]
    assert (killed["JobState"], again["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert (minutes(killed), minutes(again)) == (1, 2)


def test_a_job_that_outgrows_its_memory_gets_twice_the_memory(tiny, slurm):
    """Ended by the kernel, or by Slurm where there are no control groups."""
    killed, again = tiny.jobs["outgrow"]
    # The job's step was out of memory, if the kernel ended it; and so Snakemake's process beside it failed.
    assert (killed["JobState"], again["JobState"]) == ("FAILED", "COMPLETED")
    assert (memory(killed), memory(again)) == (500, 1000)
    log = Path(killed["StdOut"]).read_text()
    said = "exceeded memory limit" if slurm.why_no_cgroups else "task 0: Out Of Memory"
    assert said in log


def test_a_job_that_the_kernel_ends_is_out_of_memory_and_tried_again(tiny, slurm):
    if slurm.why_no_cgroups:
        pytest.skip(slurm.why_no_cgroups)
    killed, _ = tiny.jobs["outgrow"]
    # Slurm's number for steps out of memory.
    assert killed["DerivedExitCode"] == "0:125"
    killed, *_, last = tiny.jobs["begin"]
    assert (killed["JobState"], last["JobState"]) == ("OUT_OF_MEMORY", "COMPLETED")
    assert [memory(job) for job in tiny.jobs["begin"]] == [80, 160, 320][: len(tiny.jobs["begin"])]


def test_no_two_jobs_hold_one_device(tiny):
    jobs = tiny.jobs["hold"]
    assert len(jobs) == 4
    assert all((job["Partition"], gpus(job), job["JobState"]) == ("gpu", 1, "COMPLETED") for job in jobs)
    held = []
    for path in (tiny.folder / "holds").iterdir():
        device, start, end = path.read_text().split()
        held.append((float(start), float(end), device))
    assert {device for _, _, device in held} == {"0", "1"}
    at_once = [
        (first, second) for first in held for second in held if first < second and second[0] < first[1]
    ]
    # Were they to run one after the other, this would show nothing.
    assert at_once and all(first[2] != second[2] for first, second in at_once)
