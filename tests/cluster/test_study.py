"""The smoke study, smaller, on a Slurm: what each job asks for, and what the study survives."""

import re
from signal import SIGCONT, SIGSTOP
from types import SimpleNamespace

import pytest
import yaml
from box import gpus, memory, minutes, wait_until
from workdir import SMOKE, cached_hub_model, copy_repository

pytestmark = pytest.mark.cluster

# Fetched by the one local rule; a toy model's files. What it asks for is no real GPU.
MODEL = {"name": "tiny", "source": "org/tiny", "num_layers": 4, "mem_mb": 3000, "runtime": 45}
MODEL |= {"gpu": 1, "device_map": "cpu"}
TASKS = ["word_count", "json_format"]
STUDY = {
    "models": [MODEL],
    "tasks": TASKS,
    "judges": {},
    "prompts": {"bases": 20},
    "layers": [2, 4],
    "behaviour": {"bases": 2},
}
TARGETS = [
    "results/smoke/tables/generality.csv",
    "results/smoke/tables/compliance.csv",
    "results/smoke/tables/specificity.csv",
    "results/smoke/behaviour/tiny/json_format.jsonl",
    "results/smoke/guard/tiny/json_format.h5",
]
# Which rules' jobs share a Slurm job, by what the executor calls that.
GROUPS = {"rule_prompts_make_prompts": {"rule": "make_prompts"}} | {
    f"rule_specialists_tiny_{task}_fit_specialist_probe": {"rule": "fit_specialist_probe", "task": task}
    for task in TASKS
}
# What begins the names of rules that merge, draw and write.
LAST = ("merge_", "plot_", "write_", "compare_agreement")


@pytest.fixture(scope="module")
def study(slurm, tmp_path_factory):
    """The study, of which a job was cancelled, the controller killed, and the same command run again.

    `before` and `after`: Slurm's records of what the first and the second command submitted, in order;
    `running`: one that ran when the controller was killed; `refused`: what another controller beside it said.
    """
    workdir = copy_repository(tmp_path_factory.mktemp("repository"))
    hub = tmp_path_factory.mktemp("hub")
    cached_hub_model(hub, "org/tiny", "f" * 40, workdir.path / "workflow/resources/models/toy-llama")
    file = workdir.path / "cluster.yaml"
    file.write_text(yaml.safe_dump(STUDY))
    hub_environment = {"HF_HOME": str(hub), "HF_HUB_OFFLINE": "1"}
    environment = {
        "PYTHONPATH": str(workdir.path / "workflow"),
        "XDG_CACHE_HOME": str(workdir.path / ".cache"),
    } | hub_environment
    asked = [str(file), "--", *TARGETS]
    declared = [declaration(job) for job in workdir.listed(*asked, env=hub_environment)]

    def command(*arguments):
        arguments = arguments or asked
        return slurm.snakemake(workdir.path, "--configfile", SMOKE, *arguments, **environment)

    def log():
        return (workdir.path / "run.log").read_text()[-4000:]

    def cancel(record):
        """Until none of its processes is there."""
        assert slurm.processes(record)
        slurm.cancel(record)
        if not slurm.why_no_cgroups:
            wait_until(lambda: not slurm.processes(record), "the end of all processes of a cancelled job")

    def running(rule):
        """A job whose script has begun, stopped before it came to its end."""
        made = rule.split("_")[1]

        def look():
            assert first.poll() is None, log()
            if record := slurm.running(workdir.path, rule):
                (task,) = [task for task in TASKS if task in record["Comment"]]
                if (workdir.path / f"results/smoke/logs/{rule}/tiny/{task}/0.log").exists():
                    slurm.signal(record, SIGSTOP)
                    if not list(workdir.path.glob(f"results/smoke/{made}/tiny/{task}/0.json*")):
                        return record
                    slurm.signal(record, SIGCONT)
            return None

        return wait_until(look, f"a job of {rule} at work", 300)

    first = command()
    try:
        cancel(running("generate_responses"))
        assert command().wait(60)
        # All of it: the first may have gone on to say what it submits.
        refused = (workdir.path / "run.log").read_text()
        last = running("extract_activations")
    finally:
        first.kill()
        first.wait()
    # Else it might come to its end before the second command looks.
    cancel(last)
    assert command().wait(900) == 0, log()
    jobs = slurm.jobs(workdir.path)
    return SimpleNamespace(
        workdir=workdir,
        asked=asked,
        file=file,
        hub=hub_environment,
        command=command,
        refused=refused,
        first=first.pid,
        declared=declared,
        before=[job for job in jobs if job["JobName"] == last["JobName"]],
        after=[job for job in jobs if job["JobName"] != last["JobName"]],
        running=last,
    )


@pytest.fixture(scope="module")
def finished(study, slurm, tmp_path_factory):
    """The study goes on to its end: Slurm's records of that, and the same study made without Slurm."""
    workdir, file = study.workdir, str(study.file)
    # Jobs of a second or two share one job of Slurm.
    left = {job["rule"] for job in workdir.listed(file, env=study.hub)}
    last = [f"{rule}=last" for rule in sorted(left) if rule.startswith(LAST)]
    command = study.command(file, "--groups", *last, "--group-components", "last=100", "--cores", "2")
    local = copy_repository(tmp_path_factory.mktemp("local"))
    local.snakemake("--configfile", SMOKE, file, env=study.hub)
    assert command.wait(900) == 0, (workdir.path / "run.log").read_text()[-4000:]
    known = {job["JobId"] for job in study.before + study.after}
    jobs = [job for job in slurm.jobs(workdir.path) if job["JobId"] not in known]
    return SimpleNamespace(jobs=jobs, left=left, local=local)


def declaration(job):
    """What a dry-run says of a job: its wildcards, its resources, and what the executor calls it."""
    wildcards = dict(pair.split("=") for pair in job.get("wildcards", "").split(", ") if pair)
    named = "_".join(["rule", job["rule"], *(["wildcards", *wildcards.values()] if wildcards else [])])
    resources = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", job["resources"])}
    return {"gpu": 0, "rule": job["rule"], "Comment": named} | wildcards | resources


def of_record(study, record):
    """The declarations of the jobs that a Slurm job is for."""
    which = GROUPS.get(record["Comment"], {"Comment": record["Comment"]})
    found = [job for job in study.declared if which.items() <= job.items()]
    assert found, f"nothing declares {record['Comment']}"
    return found


def attempt(study, record):
    """Which attempt of its command a Slurm job is."""
    same = [
        job
        for job in study.before + study.after
        if (job["JobName"], job["Comment"]) == (record["JobName"], record["Comment"])
    ]
    return 1 + same.index(record)


def test_gpu_rules_get_one_gpu_in_the_gpu_partition_and_others_none(study):
    with_gpu = set()
    for record in study.before + study.after:
        (asked,) = {job["gpu"] for job in of_record(study, record)}
        assert (gpus(record), record["Partition"]) == ((1, "gpu") if asked else (0, "cpu")), record["Comment"]
        with_gpu |= {job["rule"] for job in of_record(study, record) if asked}
    rules = {"generate_responses", "extract_activations", "extract_random_activations", "extract_crossings"}
    rules |= {"edit_behaviour", "guard_responses"}
    assert with_gpu == rules


def test_memory_and_time_are_what_the_rules_declare(study):
    for record in study.before + study.after:
        jobs = of_record(study, record)
        growth = 2 ** (attempt(study, record) - 1)
        assert memory(record) == growth * max(job["mem_mb"] for job in jobs), record["Comment"]
        # Those that share a Slurm job run one after the other.
        assert minutes(record) == growth * sum(job["runtime"] for job in jobs), record["Comment"]
        # One of two writes what was read.
        reads = any(job["rule"].startswith("extract_") for job in jobs)
        assert int(record["NumCPUs"]) == 1 + reads, record["Comment"]


def test_every_job_goes_to_slurm_but_local_ones(study):
    submitted = {job["rule"] for record in study.before + study.after for job in of_record(study, record)}
    assert {job["rule"] for job in study.declared} - submitted == {"fetch_model"}
    assert (study.workdir.path / "results/smoke/models/tiny.json").exists()
    assert {job["Comment"] for job in study.before + study.after} >= GROUPS.keys()


def test_a_cancelled_job_is_tried_again_with_more(study):
    (cancelled,) = [
        job
        for job in study.before
        if job["JobState"] == "CANCELLED" and job["JobId"] != study.running["JobId"]
    ]
    tries = [job for job in study.before if job["Comment"] == cancelled["Comment"]]
    assert [job["JobState"] for job in tries] == ["CANCELLED", "COMPLETED"]
    assert [(memory(job), minutes(job)) for job in tries] == [(3000, 45), (6000, 90)]


def test_a_lost_controller_costs_what_was_running(study):
    again = {job["Comment"] for job in study.after}
    assert study.running["Comment"] in again
    # What that needs was known to be there.
    generated = study.running["Comment"].replace("extract_activations", "generate_responses")
    assert generated in {job["Comment"] for job in study.before} and generated not in again
    assert "rule_prompts_make_prompts" not in again
    assert all(job["JobState"] == "COMPLETED" for job in study.after)


def test_a_second_command_beside_the_first_is_refused(study):
    assert f"study 'smoke' is already being run, by process {study.first} on " in study.refused
    assert len({job["JobName"] for job in study.before + study.after}) == 2


def test_the_whole_study_has_the_bytes_that_it_has_without_slurm(study, finished):
    """Although a job of it was cancelled, and its controller lost."""
    assert len(finished.left) > 20 and all(job["JobState"] == "COMPLETED" for job in finished.jobs)
    found, expected = study.workdir.results(), finished.local.results()
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    assert {"findings.json", "figures/scorecard.svg", "tables/behaviour.csv"} <= found.keys()


def test_what_slurm_made_is_up_to_date_without_the_profile(study, finished):
    arguments = ("--dry-run", "--configfile", SMOKE, str(study.file))
    listed = study.workdir.snakemake(*arguments, env=study.hub)
    assert "Nothing to be done" in listed.stdout
