"""What may go wrong in the middle of a study: it is said in one sentence, and the study goes on."""

import ctypes
import os
import platform
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import time
from hashlib import sha256

import pytest
from safetensors.torch import load_file, save_file
from skillprobe.activations.shards import Shard
from workdir import SMOKE, copy_repository, copy_results

MODEL = "workflow/resources/models/toy-llama"
SHARD = "results/smoke/activations/{}/{}/0.h5"
PROBE = "results/smoke/probes/specialist/{}/{}/{}.h5"


def leftovers(workdir):
    return [path for path in (workdir.path / "results").rglob("*") if path.name.endswith(".tmp")]


def kill_after(workdir, n_jobs, seconds):
    """Run the study on one core and kill it, with its job, some seconds after its n-th job."""
    process = workdir.start("--configfile", SMOKE, cores=1, stderr=subprocess.STDOUT, start_new_session=True)
    for line in process.stdout:
        n_jobs -= line.startswith("Finished jobid")
        if n_jobs <= 0:
            break
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return process.returncode


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """The whole study on one core, killed twenty times before it came to its end.

    And {path: hash} of the results that were there each time.
    """
    workdir, moments, there = copy_repository(tmp_path_factory.mktemp("resumed")), random.Random(8), []
    for _ in range(20):
        assert kill_after(workdir, moments.randrange(18), moments.uniform(0, 2)) == -signal.SIGKILL
        there.append({path: sha256(data).digest() for path, data in workdir.results().items()})
    workdir.snakemake("--configfile", SMOKE, cores=1)
    return workdir, there


def test_killed_twenty_times_it_ends_with_the_same_bytes(resumed, smoke):
    workdir, there = resumed
    expected, found = smoke.results(), workdir.results()
    for each in there:
        # What is there is whole: what was not is under another name.
        whole = {path: digest for path, digest in each.items() if not path.endswith(".tmp")}
        assert [path for path, digest in whole.items() if digest != sha256(expected[path]).digest()] == []
    # At the beginning, in the middle, and not at the end.
    numbers = [len(each) for each in there]
    assert numbers[0] < 50 and any(100 < number < 400 for number in numbers) and numbers[-1] < len(expected)
    assert found.keys() == expected.keys()
    assert [path for path in found if found[path] != expected[path]] == []
    assert workdir.planned() == set()


def test_one_core_gives_the_same_bytes_as_two(resumed, smoke):
    """However often it was killed: all jobs ran one by one."""
    first, second = smoke.results(), resumed[0].results()
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_a_study_that_is_being_run_is_refused_before_any_job(tmp_path):
    workdir = copy_repository(tmp_path)
    arguments = ("--configfile", SMOKE)
    first = workdir.start(*arguments, forked=False, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        assert any(line.startswith("Finished jobid") for line in first.stdout)
        refused = workdir.snakemake(*arguments, check=False)
        assert refused.returncode and "\nrule " not in refused.stderr and "Traceback" not in refused.stderr
        sentence = f"study 'smoke' is already being run, by process {first.pid} on {platform.node()}; wait"
        assert sentence in refused.stderr
        # Those that make nothing.
        workdir.snakemake(*arguments, "--dry-run")
        workdir.snakemake(*arguments, "--", "plan")
        assert first.poll() is None
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    workdir.snakemake(*arguments, "--", "results/smoke/prompts/term_exclusion/0.jsonl")


def test_damaged_and_foreign_files_are_named_with_the_command_that_mends_them(smoke, tmp_path):
    workdir, expected = copy_results(smoke, tmp_path), smoke.results()
    cut, flipped, foreign = (
        workdir.path / SHARD.format(*names)
        for names in (
            ("toy-gemma2", "json_format"),
            ("toy-gemma2", "word_count"),
            ("toy-qwen2", "word_count"),
        )
    )
    os.truncate(cut, 1_000_000)
    # Of the same size.
    assert foreign.stat().st_size == flipped.stat().st_size
    foreign.write_bytes(flipped.read_bytes())
    with Shard(flipped) as shard:
        place = shard.positions.index("eos")
        chunk = shard._file["layers/4"].id.get_chunk_info_by_coord((place, 0, 0))
    flip(flipped, chunk.byte_offset + 77)
    rotten = workdir.path / PROBE.format("toy-llama", "json_format", 0)
    before = rotten.stat()
    flip(rotten, before.st_size // 2)
    # As a disk does it.
    os.utime(rotten, ns=(before.st_atime_ns, before.st_mtime_ns))

    # With all that belongs to them.
    for source, target in (
        ("activations/toy-llama/term_exclusion", "activations/toy-gemma2/term_exclusion"),
        ("random_activations/toy-qwen2/term_exclusion", "activations/toy-qwen2/term_exclusion"),
    ):
        copy_folder(workdir, source, target)

    wanted = {
        PROBE.format("toy-gemma2", "json_format", 4): (
            r"toy-gemma2/json_format/0.h5 is not a complete HDF5 file "
            r"\(1000000 bytes instead of \d+\); make it"
        ),
        PROBE.format("toy-gemma2", "word_count", 4): (
            r"toy-gemma2/word_count/0.h5 is damaged at layer 4, position 'eos' \("
        ),
        PROBE.format("toy-qwen2", "word_count", 4): (
            "toy-qwen2/word_count/0.h5 does not match its manifest: it is another shard, or damaged; make"
        ),
        PROBE.format("toy-gemma2", "term_exclusion", 4): (
            "toy-gemma2/term_exclusion/0.h5 holds activations of model 'toy-llama' on task 'term_exclusion'; "
        ),
        PROBE.format("toy-qwen2", "term_exclusion", 4): (
            "toy-qwen2/term_exclusion/0.h5 holds activations of the random-weight model; make it"
        ),
        "results/smoke/probes/transfer/toy-llama/0.h5": (
            r"toy-llama/json_format/0.h5 can't be read as a probe file \(its checksum is wrong\); make"
        ),
    }
    mend(workdir, wanted)
    found = workdir.results()
    assert [name for name in expected if found.get(name) != expected[name]] == []
    assert workdir.planned() == set()


def test_damaged_and_foreign_texts_and_tables_are_too(smoke, tmp_path):
    workdir, expected = copy_results(smoke, tmp_path), smoke.results()
    results = workdir.path / "results/smoke"
    shorten(results / "responses/toy-gemma2/json_format/0.jsonl", 0)
    shorten(results / "labels/toy-qwen2/word_count/0.jsonl", 20)
    copy_folder(workdir, "labels/toy-llama/json_format", "labels/toy-llama/word_count")
    shutil.copy(*(results / f"probes/specialist/toy-qwen2/json_format/{layer}.h5" for layer in (4, 0)))
    changed = (
        r"has changed since it was written "
        r"\(on purpose\? then delete its checksum file \.\S+\.sha256\); make it"
    )
    mend(
        workdir,
        {
            "results/smoke/labels/toy-gemma2/json_format/0.jsonl": f"json_format/0.jsonl {changed}",
            "results/smoke/probes/surface/toy-qwen2/word_count.h5": f"word_count/0.jsonl {changed}",
            "results/smoke/probes/surface/toy-llama/word_count.h5": (
                "toy-llama/word_count/0.jsonl is a copy of labels/toy-llama/json_format/0.jsonl; make it"
            ),
            "results/smoke/probes/transfer/toy-qwen2/0.h5": (
                "toy-qwen2/json_format/0.h5 can't be read as a probe file "
                r"\(it is a copy of probes/specialist/toy-qwen2/json_format/4.h5\); make it again"
            ),
        },
    )
    shorten(results / "tables/compliance.csv", 5)
    shorten(results / "tables/generality/toy-llama.csv", 9)
    mend(
        workdir,
        {
            "results/smoke/figures/compliance.svg": f"tables/compliance.csv {changed}",
            "results/smoke/findings.json": f"tables/generality/toy-llama.csv {changed}",
        },
    )
    found = workdir.results()
    assert [name for name in expected if found.get(name) != expected[name]] == []
    assert workdir.planned() == set()


def mend(workdir, wanted):
    """Ask for files, see each refused in these words, and do what these say. wanted: {file: pattern}."""
    for name in wanted:
        (workdir.path / name).unlink()
    refused = workdir.snakemake("--keep-going", *wanted, "--configfile", SMOKE, check=False)
    assert refused.returncode and "Traceback" not in refused.stderr
    for words in wanted.values():
        assert re.search(words, refused.stderr), (words, refused.stderr)
    commands = set(re.findall(r"make it again: (snakemake .+?) \(add the --configfile", refused.stderr))
    assert len(commands) == len(wanted)
    for command in commands:
        done = workdir.snakemake(*shlex.split(command)[1:], "--configfile", SMOKE)
        # Just it.
        assert re.search(r"^total +1$", done.stderr, re.M), done.stderr
    workdir.snakemake(*wanted, "--configfile", SMOKE)


def shorten(path, n_lines):
    """As a disk does it, whose files keep their times."""
    before = path.stat()
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) > n_lines
    path.write_bytes(b"".join(lines[:n_lines]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def copy_folder(workdir, source, target):
    """All files, those of hidden names too."""
    results = workdir.path / "results/smoke"
    shutil.copytree(results / source, results / target, dirs_exist_ok=True)


def flip(path, place):
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 4]))


def test_a_full_disk_is_one_sentence_and_the_study_goes_on_when_there_is_room(smoke, tmp_path):
    """Full for files of more than a megabyte: a limit on their size fails as a full disk does."""
    workdir, expected = copy_results(smoke, tmp_path), smoke.results()
    shard = workdir.path / SHARD.format("toy-llama", "word_count")
    before = shard.read_bytes()
    shard.unlink()

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    arguments = (SHARD.format("toy-llama", "word_count"), "--configfile", SMOKE)
    refused = workdir.snakemake(*arguments, check=False, forked=False, preexec_fn=limit)
    assert refused.returncode and not shard.exists() and not leftovers(workdir)
    sentence = (
        r"extract_activations: cannot write results/\S+/0.h5 \(File too large\); correct that and run again"
    )
    assert len(re.findall(sentence, refused.stderr)) == 1
    assert "Traceback" not in refused.stderr and "SIGSEGV" not in refused.stderr
    workdir.snakemake(*arguments)
    assert shard.read_bytes() == before and workdir.results() == expected


def test_results_that_are_no_folder_are_refused_before_any_job(tmp_path):
    workdir = copy_repository(tmp_path)
    results = tmp_path / "results"

    def refusal(*arguments):
        done = workdir.snakemake("--configfile", SMOKE, *arguments, check=False)
        # A dry-run says it there.
        said = done.stdout + done.stderr
        assert done.returncode and "rule make_prompts:" not in said and "Error:" not in said
        return said

    # As where a disk isn't mounted.
    results.symlink_to("/nowhere/results")
    assert "cannot write to results/smoke: " in refusal() and "/results is not a folder, or" in refusal("-n")
    results.unlink()
    results.write_text("")
    assert "/results is not a folder, or" in refusal("-n")
    results.unlink()
    results.mkdir()
    (results / "smoke").write_text("")
    assert "results/smoke is not a folder, or" in refusal("-n")
    (results / "smoke").unlink()
    (results / "smoke/prompts").mkdir(parents=True)
    (results / "smoke/prompts/word_count").write_text("")
    assert "prompts/word_count: results/smoke/prompts/word_count is not a folder, or" in refusal()


def test_what_may_not_be_read_or_written_is_named_before_any_job(tmp_path):
    workdir = copy_repository(tmp_path)
    prompts = "results/smoke/prompts/word_count/0.jsonl"
    responses = "results/smoke/responses/toy-llama/word_count/0.jsonl"
    workdir.snakemake(prompts, "--configfile", SMOKE)
    (tmp_path / responses).parent.mkdir(parents=True)
    denied = "permission denied; make it readable"
    write = "you have no write permission for .*"
    for name, mode, sentence in (
        ("results/smoke/logs", 0o555, f"cannot write to .*word_count: {write}/logs; change"),
        ("results/smoke/benchmarks", 0o555, f"cannot write to .*word_count: {write}/benchmarks; change"),
        ("results/smoke/responses/toy-llama/word_count", 0o555, f"{write}toy-llama/word_count; change"),
        (prompts, 0, f"cannot read {prompts}: {denied}"),
        (f"{MODEL}/tokenizer.json", 0, f"cannot read .*toy-llama/tokenizer.json: {denied}"),
        (f"{MODEL}/model.safetensors", 0, f"cannot read .*toy-llama/model.safetensors: {denied}"),
    ):
        before = (tmp_path / name).stat().st_mode
        (tmp_path / name).chmod(mode)
        arguments = (responses, "--configfile", SMOKE)
        refused = workdir.snakemake(*arguments, check=False, forked=False, preexec_fn=obey_permissions)
        (tmp_path / name).chmod(before)
        assert refused.returncode and re.search(sentence, refused.stderr), refused.stderr
        assert "rule generate_responses:" not in refused.stderr and "Traceback" not in refused.stderr


def obey_permissions():
    """As root, too: what the process then runs has neither CAP_DAC_OVERRIDE nor CAP_DAC_READ_SEARCH."""
    if os.geteuid() == 0:
        for capability in (1, 2):
            # PR_CAPBSET_DROP
            assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0


def test_a_model_that_breaks_or_vanishes_stops_its_jobs_and_no_more(smoke, tmp_path):
    workdir, expected = copy_results(smoke, tmp_path), smoke.results()
    shard = SHARD.format("toy-llama", "json_format")
    weights = workdir.path / MODEL / "model.safetensors"
    sound, before = load_file(weights), weights.read_bytes()
    spoiled = dict(sound) | {"model.norm.weight": sound["model.norm.weight"]}
    name = next(name for name in sound if "layers.2" in name and "down_proj" in name)
    spoiled[name] = sound[name].clone()
    spoiled[name][0, 0] = float("nan")
    save_file(spoiled, weights, metadata={"format": "pt"})
    refused = workdir.snakemake(shard, "--configfile", SMOKE, check=False)
    responses = workdir.path / "results/smoke/responses/toy-llama/json_format/0.jsonl"
    assert refused.returncode and not responses.exists() and not leftovers(workdir)
    sentence = "generate_responses: model 'toy-llama' returns NaN or infinite scores for the next token; try"
    assert re.search(sentence, refused.stderr) and "Traceback" not in refused.stderr

    # Sound again: answers are given anew, and then the folder goes.
    weights.write_bytes(before)
    away = tmp_path / "away"
    process = workdir.start(shard, "--configfile", SMOKE, stderr=subprocess.STDOUT)
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("Finished jobid") and "generate_responses" in line:
            (workdir.path / MODEL).rename(away)
    process.communicate()
    assert process.returncode and not (workdir.path / shard).exists() and not leftovers(workdir)
    assert f"model 'toy-llama': the folder '{MODEL}' no longer exists; put it back and run again" in printed
    assert "Traceback" not in printed

    away.rename(workdir.path / MODEL)
    done = workdir.snakemake(shard, "--configfile", SMOKE)
    assert "rule extract_activations:" in done.stderr and "rule generate_responses:" not in done.stderr
    assert workdir.results() == expected
