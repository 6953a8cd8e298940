"""Own activations: exported and imported again they give the same numbers; and the snippets of the page."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file
from skillprobe.activations import shards
from skillprobe.probes import results
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.study import plan, reading
from skillprobe.study.config import complete
from workdir import ROOT, SMOKE, copy_repository

MODEL = "toy-llama"
PAGE = ROOT / "docs/interop.md"
# Files of the model that depend on activations and labels alone.
TABLES = (
    "transfer",
    "transfer_summary",
    "ablation",
    "ablation_summary",
    "layers",
    "time",
    "time_summary",
    "wording",
)
STAGES = ("probes/specialist", "probes/general", "probes/surface", "erasers")
# With --no-deps: all else that these need is in this environment or isn't imported here.
PACKAGES = {
    "nnsight": ("nnsight==0.8.1", "greenlet==3.5.6", "cloudpickle==3.1.3", "zstandard==0.25.0"),
    "transformer_lens": (
        "transformer-lens==4.3.0",
        "einops==0.8.2",
        "jaxtyping==0.3.11",
        "wadler-lindig==0.1.8",
    ),
    "probelab": ("probelab==0.1.0",),
    # Both of the last two import it.
    "datasets": (
        "datasets==5.2.0",
        "dill==0.4.1",
        "xxhash==4.1.0",
        "multiprocess==0.70.19",
        "pyarrow==26.0.1",
    ),
}


def skillprobe(folder, *arguments, check=True, path=()):
    """The command, run in a folder."""
    return python(folder, "-m", "skillprobe", *map(str, arguments), check=check, path=path)


def python(folder, *arguments, check=True, path=()):
    paths = [str(each) for each in (*path, ROOT / "workflow")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def exported(smoke, tmp_path_factory):
    """A folder with what is exported of the smoke study."""
    folder = tmp_path_factory.mktemp("exported")
    study = smoke.path / "results/smoke"
    skillprobe(folder, "export", "shards", study, "--model", MODEL, "-o", "exported")
    for kind in ("probes", "erasers"):
        skillprobe(folder, "export", kind, study, "--model", MODEL, "-o", f"{kind}.safetensors")
    return folder


def import_again(exported, folder, *more):
    return skillprobe(
        *(folder, "import", "activations", exported / "exported/activations.safetensors"),
        *("--rows", exported / "exported/rows.jsonl", "--model", MODEL, "-o", "imported", *more),
    )


@pytest.mark.slow
def test_what_is_exported_and_imported_again_gives_the_same_numbers(smoke, exported, tmp_path):
    workdir = copy_repository(tmp_path / "again")
    import_again(exported, workdir.path)
    (workdir.path / "own.yaml").write_text(
        yaml.safe_dump({"models": [{"name": MODEL, "activations": "imported"}]}), encoding="utf-8"
    )
    targets = [f"results/smoke/tables/{table}/{MODEL}.csv" for table in TABLES]
    ours = smoke.path / "results/smoke"
    tasks = sorted(path.name for path in (ours / "labels" / MODEL).iterdir())
    targets += [f"results/smoke/probes/surface/{MODEL}/{task}.h5" for task in tasks]
    targets += [f"results/smoke/monitors/{MODEL}/{task}.h5" for task in tasks]
    asked = ("--configfile", SMOKE, "own.yaml", "--", *targets)
    workdir.snakemake(*asked)
    again = workdir.path / "results/smoke"
    for table in TABLES:
        path = f"tables/{table}/{MODEL}.csv"
        assert (again / path).read_bytes() == (ours / path).read_bytes(), path
    for stage in STAGES:
        made = [path for path in sorted((again / stage / MODEL).rglob("*.h5")) if path.is_file()]
        assert made
        for path in made:
            assert path.read_bytes() == (ours / path.relative_to(again)).read_bytes(), path
    jobs = {path.name for path in (again / "logs").iterdir()}
    assert "take_activations" in jobs
    assert not jobs & {"make_prompts", "generate_responses", "label_responses", "extract_activations"}
    # Of what one task's labels decide, nothing of the others is made again.
    rows = exported / "exported/rows.jsonl"
    changed = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    changed = [row | {"label": 1 - row["label"]} if row["task"] == tasks[0] else row for row in changed]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed), encoding="utf-8")
    shutil.rmtree(workdir.path / "imported")
    skillprobe(
        *(workdir.path, "import", "activations", exported / "exported/activations.safetensors"),
        *("--rows", tmp_path / "rows.jsonl", "--model", MODEL, "-o", "imported"),
    )
    taken = [job["wildcards"] for job in workdir.listed(*asked[2:]) if job["rule"] == "take_labels"]
    assert taken == [f"model={MODEL}, task={tasks[0]}, shard=0"]


def test_the_plan_counts_the_jobs_of_given_activations(exported, tmp_path):
    workdir = copy_repository(tmp_path / "w")
    import_again(exported, workdir.path)
    (workdir.path / "own.yaml").write_text(
        yaml.safe_dump({"models": [{"name": MODEL, "activations": "imported"}]}), encoding="utf-8"
    )
    read = [reading.read_config(workdir.path / name) for name in ("config.yaml", SMOKE, "own.yaml")]
    counts = plan.jobs(complete(reading.merged(read), workdir.path), workdir.path)
    listed = Counter(job["rule"] for job in workdir.listed("own.yaml"))
    del listed["all"]
    assert listed == counts and counts["take_activations"] == counts["take_labels"] == 3


def test_exported_probes_and_activations_give_the_studys_scores(smoke, exported):
    """With numpy alone, as the page says."""
    study = smoke.path / "results/smoke"
    rows = [json.loads(line) for line in (exported / "exported/rows.jsonl").read_text().splitlines()]
    activations = load_file(exported / "exported/activations.safetensors")
    probes = load_file(exported / "probes.safetensors")
    place = {row["id"]: number for number, row in enumerate(rows)}
    compared = 0
    for path in sorted((study / "probes/specialist" / MODEL).glob("*/*.h5")):
        task, layer = path.parent.name, path.stem
        for scope, result in results.load(path).items():
            if result.status:
                assert f"{task}.{layer}.{scope}.weights" not in probes
                continue
            x = activations[f"layers.{layer}.eos"][[place[name] for name in result.ids]].astype(float)
            if scope == "within":
                for item in set(result.items):
                    own = result.items == item
                    x[own] -= x[own].mean(axis=0)
            name = f"{task}.{layer}.{scope}"
            assert np.array_equal(
                x @ probes[f"{name}.weights"] + probes[f"{name}.intercept"],
                x @ result.weights + result.intercept,
            )
            weights, intercepts = probes[f"{name}.fold_weights"], probes[f"{name}.fold_intercepts"]
            for seed, folds in enumerate(result.folds):
                for row in np.flatnonzero(folds != CALIBRATION):
                    score = x[row] @ weights[seed, folds[row]] + intercepts[seed, folds[row]]
                    assert score == pytest.approx(result.scores[seed, row], rel=1e-4, abs=1e-4)
                    compared += 1
    assert compared > 500


def test_exported_activations_are_those_of_the_shards(smoke, exported):
    rows = [json.loads(line) for line in (exported / "exported/rows.jsonl").read_text().splitlines()]
    activations = load_file(exported / "exported/activations.safetensors")
    place = {row["id"]: number for number, row in enumerate(rows)}
    for path in sorted((smoke.path / "results/smoke/activations" / MODEL).glob("*/*.h5")):
        with shards.Shard(path) as shard:
            own = [place[name] for name in shard.samples["id"].tolist()]
            for layer in shard.layers:
                for position in shard.positions:
                    assert np.array_equal(
                        activations[f"layers.{layer}.{position}"][own], shard.read(layer, position)
                    )


def snippets():
    """{what the page calls it: its code}."""
    return dict(re.findall(r"^```python (\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S))


def installed(name, tmp_path_factory, _folders={}):  # noqa: B006
    """A folder with a package and what it needs; skips where it can't be had."""
    if name not in _folders:
        folder = tmp_path_factory.mktemp(name)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        done = subprocess.run([*command, *PACKAGES[name]], capture_output=True, text=True)
        _folders[name] = folder if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
    if isinstance(_folders[name], str):
        pytest.skip(f"{name} can't be installed: {_folders[name]}")
    return _folders[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nnsight", "transformer_lens"])
def test_arrays_of_other_tools_are_our_activations(name, exported, tmp_path, tmp_path_factory):
    needed = (name, "datasets") if name == "transformer_lens" else (name,)
    paths = [installed(each, tmp_path_factory) for each in needed]
    shutil.copytree(ROOT / "workflow/resources/models" / MODEL, tmp_path / "model")
    lines = (exported / "exported/rows.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    chosen = [n for n, row in enumerate(rows) if row["variant"] == "constrained" and not row["truncated"]][
        :12
    ]
    text = "".join(lines[n] + "\n" for n in chosen)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "snippet.py").write_text(snippets()[name], encoding="utf-8")
    python(tmp_path, "snippet.py", path=paths)
    ours = load_file(exported / "exported/activations.safetensors")
    saved = sorted((tmp_path / "acts").glob("*.npy"))
    assert len(saved) == 5
    for file in saved:
        layer = int(file.stem.removeprefix("layer_"))
        expected = ours[f"layers.{layer}.eos"][chosen]
        assert np.abs(np.load(file) - expected).max() < 1e-4 * max(1, np.abs(expected).max())
    # Their positions are those of the study's rows, but there is only the last.
    one = [json.loads(line) for line in text.splitlines()]
    own = [{key: value for key, value in row.items() if key != "characters"} for row in one]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own), encoding="utf-8")
    said = skillprobe(
        *(tmp_path, "import", "activations", "acts", "--rows", "rows.jsonl", "--model", "m", "-o", "imported")
    )
    assert "12 rows" in said.stdout and "5 layers (0, 1, 2, 3, 4) of 4" in said.stdout


def test_the_numpy_snippet_gives_decision_values(exported):
    code = snippets()["numpy"] + "\nassert len(decision) and abs(decision).max() > 0\n"
    python(exported, "-c", code)


@pytest.mark.slow
def test_probelab_reads_exported_activations(exported, tmp_path_factory):
    paths = [installed(name, tmp_path_factory) for name in ("probelab", "datasets")]
    code = snippets()["probelab"] + "\nassert len(scores) == len(labels) and set(labels) == {0, 1}\n"
    python(exported, "-c", code, path=paths)


def test_a_folder_that_does_not_fit_is_refused_before_any_job(exported, tmp_path):
    """Of the config's other mistakes see the unit tests."""
    workdir = copy_repository(tmp_path / "w")
    import_again(exported, workdir.path)
    model = {"name": MODEL, "activations": "imported"}

    def refused(sentence, **study):
        (workdir.path / "own.yaml").write_text(yaml.safe_dump({"models": [model], **study}), encoding="utf-8")
        done = workdir.snakemake("-n", "--configfile", SMOKE, "own.yaml", check=False)
        said = done.stdout + done.stderr
        assert done.returncode and re.search(sentence, said) and "Traceback" not in said, said
        assert not (workdir.path / "results/smoke/labels").exists()

    refused(
        r"own.yaml.*models\[0\].activations \(model 'toy-llama'\): it has no rows of the task topic",
        tasks=["topic"],
    )
    with next(Path(workdir.path / "imported").rglob("*.h5")).open("ab") as stream:
        stream.write(b"x")
    refused("import the activations again")
