"""The smoke study end to end: what it makes, and what is refused."""

import importlib.util
import json
import re
import subprocess
from itertools import product

import numpy as np
import pytest
import yaml
from skillprobe import cli
from skillprobe.activations.shards import Shard
from skillprobe.analyses.guard import POLICIES
from skillprobe.erasure import cross
from skillprobe.findings.rules import POOLED, VERDICTS
from skillprobe.probes import monitors, results
from skillprobe.storage import files, tables
from skillprobe.study import plan
from skillprobe.study.config import complete
from test_reruns import MODELS, TASKS
from workdir import ROOT, SMOKE, cached_hub_model, copy_repository, copy_results


def completed(*files):
    """The study's config as Snakemake merges it: mappings deeply, lists as a whole."""
    merged = {}
    for file in files:
        for key, value in yaml.safe_load((ROOT / file).read_text()).items():
            if isinstance(value, dict):
                merged[key] = merged.get(key, {}) | value
            else:
                merged[key] = value
    return complete(merged, ROOT)


def test_every_stage_has_its_results(smoke):
    root = smoke.path / "results/smoke"
    study = completed("config.yaml", SMOKE)
    for model in ("toy-llama", "toy-gemma2", "toy-qwen2"):
        for task in study["tasks"]:
            labels = [
                json.loads(line)
                for line in (root / f"labels/{model}/{task}/0.jsonl").read_text().splitlines()
            ]
            rows = plan.rows_per_task(study)
            assert sum(row["variant"] == "constrained" for row in labels) == rows["constrained"]
            assert sum(row["variant"] == "unconstrained" for row in labels) == rows["unconstrained"]
            with Shard(root / f"activations/{model}/{task}/0.h5") as shard:
                assert sorted(shard.samples["id"]) == sorted(row["id"] for row in labels)
                by_id = {row["id"]: row["satisfied"] for row in labels}
                found = dict(zip(shard.samples["id"], shard.samples["label"], strict=True))
                assert {name: bool(label) for name, label in found.items()} == by_id
                assert list(shard.layers) == list(range(5))
            crossings = [
                json.loads(line)
                for line in (root / f"crossings/{model}/{task}/0.jsonl").read_text().splitlines()
            ]
            assert {row["variant"] for row in crossings} == {"counterfactual", "without_constraint"}
            assert len(crossings) <= plan.crossed_rows(study)
            with Shard(root / f"crossing_activations/{model}/{task}/0.h5") as shard:
                assert shard.samples["id"].tolist() == [row["id"] for row in crossings]
                assert (shard.log_probability < 0).all() and shard.positions == ["eos"]
            for layer in (0, 4):
                probes = results.load(root / f"probes/specialist/{model}/{task}/{layer}.h5")
                assert set(probes) == {"across", "within"} and not probes["across"].status
                assert len(probes["within"].ids) == len(probes["within"].items) > 0
    # What jobs read of each other's texts and tables is sealed, and no figure, which nobody reads.
    unsealed = [
        path.relative_to(root).parts[0]
        for kind in ("jsonl", "csv")
        for path in root.rglob(f"*.{kind}")
        if not path.with_name(f".{path.name}.sha256").is_file()
    ]
    assert set(unsealed) == {"figures"}
    seals = "".join(path.read_text() for path in sorted(root.rglob(".*.sha256")))
    checked = subprocess.run(["sha256sum", "--check", "--quiet"], cwd=root, input=seals, text=True)
    assert seals and checked.returncode == 0
    compliance = tables.read_csv(root / "tables/compliance.csv")
    assert len(compliance) == 9 and all(row["n"] > 0 for row in compliance)
    findings = json.loads((root / "findings.json").read_text())
    for by_claim in findings.values():
        assert {found["verdict"] for found in by_claim.values()} <= set(VERDICTS)
        assert all(found["paper"]["says"] for found in by_claim.values())
    assert list(findings) == [*(entry["name"] for entry in study["models"]), POOLED]
    rows = tables.read_csv(root / "tables/findings.csv")
    assert [(row["model"], row["verdict"]) for row in rows if row["headline"] == "yes"] == [
        (model, found["verdict"]) for model, by_claim in findings.items() for found in by_claim.values()
    ]
    assert {row["scope"] for row in rows if row["headline"] == "no"} == {"across"}
    assert json.loads((root / "report/config.json").read_text()) == json.loads(json.dumps(study))
    behaviour = tables.read_csv(root / "tables/behaviour.csv")
    # Hooks that change nothing change nothing.
    same = [row for row in behaviour if (row["condition"], row["quantity"]) == ("identity", "change")]
    assert len(same) == 9 and all(row["estimate"] == 0 for row in same)
    guard = tables.read_csv(root / "tables/guard.csv")
    assert {row["policy"] for row in guard if row["task"] == "mean"} == set(POLICIES)
    plain = [row for row in guard if (row["policy"], row["quantity"]) == ("plain", "tokens")]
    assert plain and all(row["estimate"] == 1 for row in plain)
    generality = tables.read_csv(root / "tables/generality.csv")
    assert {row["layer"] for row in generality} == {0, 4, "selected"}
    for name, task in (
        ("generality", "mean"),
        ("transfer", "json_format"),
        ("layers", "all"),
        ("ablation", "json_format"),
    ):
        rows = tables.read_csv(root / f"tables/{name}.csv")
        of_scope = {row["scope"] for row in rows if task in row.values()}
        assert of_scope == {"across", "within"}, name
    within = tables.in_scope(generality, "within")
    assert any(row["n_items"] and 0 < row["estimate"] < 1 for row in within if row["probe"] == "specialist")
    assert {row["scope"] for row in tables.read_csv(root / "tables/specificity.csv")} == {"across", "within"}
    similarity = tables.read_csv(root / "tables/similarity.csv")
    assert {row["kind"] for row in similarity} == {"layers", "tasks", "subspaces"}
    between = tables.read_csv(root / "tables/model_similarity.csv")
    assert len({(row["first"], row["second"]) for row in between}) == 3
    figures = (
        "ablation",
        "agreement",
        "behaviour",
        "compliance",
        "generality",
        "guard",
        "layers",
        "robustness",
    )
    figures += ("ablation_within", "generality_within", "layers_within", "robustness_within", "time_within")
    figures += ("transfer_within",)
    figures += ("monitors/toy-llama", "monitors/toy-gemma2", "monitors/toy-qwen2")
    for name in (*figures, "scorecard", "similarity", "specificity", "time", "transfer"):
        assert {path.suffix for path in (root / "figures").glob(f"{name}.*")} == {".svg", ".png", ".csv"}


def test_signals_can_be_erased_at_every_layer(smoke, tmp_path):
    """In layer 0, the activations at EOS are the same for all responses."""
    workdir = copy_results(smoke, tmp_path)
    folder = "results/smoke/ablation/toy-llama"
    config = yaml.safe_load((workdir.path / SMOKE).read_text())
    config["ablation"] = config.get("ablation", {}) | {"layers": "all"}
    (workdir.path / SMOKE).write_text(yaml.safe_dump(config))
    workdir.snakemake(f"{folder}/0.h5", f"{folder}/4.h5", "--configfile", SMOKE)
    selected = files.read_json(workdir.path / folder / "selected.json")
    assert set(selected) == {"across", "within"} and set(selected.values()) <= {0, 4}
    found = {layer: cross.load(workdir.path / folder / f"{layer}.h5") for layer in (0, 4)}
    for scope, layer in product(selected, found):
        for each in found[layer][scope].values():
            # Only at the selected layer are erasers refitted, and in layer 0 there is none.
            assert layer == selected[scope] or not len(each.refitted_before)
            assert layer or all(each.without)


def test_two_models_are_put_side_by_side(smoke, capsys):
    folder = smoke.path / "results/smoke"
    assert cli.main(["compare", f"{folder}:toy-llama", f"{folder}:toy-qwen2"]) == 0
    text = capsys.readouterr().out
    assert "smoke: toy-llama, smoke: toy-qwen2" in text and "requests differ" not in text
    # The same study twice: no verdict and no number differs.
    assert cli.main(["compare", str(folder), str(folder)]) == 0
    text = capsys.readouterr().out
    assert "Verdicts that differ: 0 of 64" in text
    assert all("difference +0.000 [+0.000, +0.000]" in line for line in text.splitlines() if "[" in line)


def test_monitors_read_the_states_that_were_stored(smoke, capsys):
    """At EOS, from the command, against the shard's activations by the stored weights."""
    folder, compared = smoke.path / "results/smoke", 0
    for model, task in product(MODELS, TASKS):
        stored = monitors.load(folder / f"monitors/{model}/{task}.safetensors")
        held_out = monitors.load_held_out(folder / f"monitors/{model}/{task}.h5")
        assert stored.card["model"] == model and stored.card["task"] == task
        assert np.isnan(held_out.probabilities).all() == bool(stored.status)
        if stored.status:
            continue
        labels = folder / f"labels/{model}/{task}/0.jsonl"
        arguments = ["--study", str(folder), "--model", model, "--constraint", task, "--json"]
        assert cli.main(["monitor", *arguments, "--input", str(labels)]) == 0
        found = {}
        for row, line in zip(files.read_jsonl(labels), capsys.readouterr().out.splitlines(), strict=True):
            found[row["id"]] = json.loads(line)["constraints"][0]["probability"]
        with Shard(folder / f"activations/{model}/{task}/0.h5") as shard:
            states = shard.read(stored.card["layer"], "eos")
            whole = ~shard.samples["truncated"].astype(bool)
            ids = shard.samples["id"]
        expected = stored.probability(states[whole], stored.stage(0, at_eos=True))
        # They are stored with half of the bits.
        assert [found[name] for name in ids[whole].tolist()] == pytest.approx(expected.tolist(), abs=0.02)
        compared += len(expected)
    assert compared > 100


def make_classifier(workdir, folder):
    """A tiny random one, with the tokenizer of a toy model."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    # Some would give most answers the same score.
    torch.manual_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(workdir.path / "workflow/resources/models/toy-llama")
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 24}
    sizes |= {"num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(**sizes, id2label={0: "rude", 1: "kind"}, initializer_range=1.0)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_classifier_judges_and_a_change_of_it_is_judged_anew(tmp_path):
    workdir = copy_repository(tmp_path)
    make_classifier(workdir, tmp_path / "classifier")
    judge = {"kind": "transformers", "model": "classifier", "labels": {"rude": "toxicity"}, "mem_mb": 3000}
    study = {"tasks": ["toxicity"], "judges": {"toxicity": judge}}
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump(study))
    files = ("--configfile", SMOKE, "judge.yaml")
    labels = "results/smoke/labels/toy-llama/toxicity/0.jsonl"
    workdir.snakemake(labels, *files)
    rows = [json.loads(line) for line in (tmp_path / labels).read_text().splitlines()]
    scores = [row["evidence"]["scores"]["toxicity"] for row in rows if row["response"]]
    assert len({round(score, 3) for score in scores}) > 10
    assert all(row["satisfied"] == (row["evidence"]["label"] != "toxic") for row in rows)
    log = (tmp_path / "results/smoke/logs/label_responses/toy-llama/toxicity/0.log").read_text()
    assert "texts judged for toxicity" in log
    assert "Nothing to be done" in workdir.snakemake(labels, *files, "--dry-run").stdout
    study["judges"]["toxicity"]["threshold"] = 0.4
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump(study))
    again = workdir.snakemake(labels, *files, "--dry-run").stdout
    assert "label_responses" in again and "generate_responses" not in again
    study["judges"]["toxicity"]["labels"] = {"mean": "toxicity"}
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump(study))
    refused = workdir.snakemake(labels, *files, check=False)
    assert refused.returncode and "'mean' is not a label of 'classifier'; it has rude, kind" in refused.stderr


def test_a_model_and_a_judge_are_fetched_once_and_then_used_without_a_network(tmp_path, monkeypatch):
    """From a cache as the hub's library keeps it, with the hub switched off."""
    (tmp_path / "repository").mkdir()
    workdir = copy_repository(tmp_path / "repository")
    commits = {"model": "0123456789abcdef0123456789abcdef01234567", "judge": "89abcdef" * 5}
    files = {
        "model": workdir.path / "workflow/resources/models/toy-llama",
        "judge": make_classifier(workdir, tmp_path / "classifier"),
    }
    main = {
        name: cached_hub_model(tmp_path / "hf", f"org/{name}", commit, files[name])
        for name, commit in commits.items()
    }
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    file, results = tmp_path / "hub.yaml", workdir.path / "results/smoke"
    hub = {"name": "tiny", "source": "org/model", "num_layers": 4}
    judge = {"kind": "transformers", "model": "org/judge", "labels": {"rude": "toxicity"}, "mem_mb": 3000}

    def asked(target="labels/tiny/toxicity/0.jsonl", models=(hub,), world="toy", **of_judge):
        study = {"models": [*models], "tasks": ["toxicity"], "judges": {"toxicity": judge | of_judge}}
        study |= {"prompts": {"world": world}}
        file.write_text(yaml.safe_dump(study))
        return str(file), "--", f"results/smoke/{target}"

    fetching = {("fetch_model", "model=tiny"), ("fetch_judge", "task=toxicity")}
    labelling = {("label_responses", "model=tiny, task=toxicity, shard=0")}
    assert fetching | labelling < workdir.planned(*asked())
    workdir.snakemake("--configfile", SMOKE, *asked())
    # The toy model says nothing of how it is to be sampled.
    for name, path, more in (
        ("model", "models/tiny.json", {"sampling": {}}),
        ("judge", "judges/toxicity.json", {}),
    ):
        fetched = json.loads((results / path).read_text())
        assert fetched == {"source": f"org/{name}", "revision": commits[name]} | more
    rows = (results / "labels/tiny/toxicity/0.jsonl").read_text().splitlines()
    assert any("scores" in json.loads(row)["evidence"] for row in rows)
    # The branches move on: the study stays with the commits that it has begun with.
    for branch in main.values():
        branch.write_text("f" * 40)
    assert workdir.planned(*asked()) == set()
    assert workdir.planned(*asked(threshold=0.4)) == labelling
    # Whether these fit is for the rule that fetches to say.
    assert (
        workdir.planned(*asked(labels={"kind": "toxicity"})) == {("fetch_judge", "task=toxicity")} | labelling
    )
    # What can't be had.
    gone = hub | {"name": "gone", "source": "org/gone"}
    for target, missing, about in (
        ("responses/gone/toxicity/0.jsonl", {"models": [gone], "world": "general"}, "model 'gone'"),
        ("labels/tiny/toxicity/0.jsonl", {"model": "org/gone"}, "judges.toxicity"),
    ):
        refused = workdir.snakemake("--configfile", SMOKE, *asked(target, **missing), check=False)
        assert refused.returncode
        assert f"{about}: 'org/gone' isn't on this machine and can't be downloaded" in refused.stderr
    assert not (results / "responses/gone").exists()


@pytest.mark.parametrize(
    "study", sorted((ROOT / "workflow/studies").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_shipped_study_can_be_planned(study, tmp_path):
    workdir = copy_repository(tmp_path)
    listed = workdir.snakemake("--dry-run", "--quiet", "rules", "--configfile", str(study))
    total = int(re.search(r"^total +(\d+)$", listed.stdout, re.M)[1])
    assert 100 < total <= 2000


def test_a_task_whose_responses_are_all_truncated_is_insufficient(tmp_path):
    workdir = copy_repository(tmp_path)
    study = yaml.safe_load((ROOT / SMOKE).read_text()) | {"tasks": ["word_count", "term_exclusion"]}
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    study |= {"models": config["models"][:1], "layers": [4], "generation": {"max_new_tokens": 3}}
    (workdir.path / "short.yaml").write_text(yaml.safe_dump(study))
    done = workdir.snakemake("--configfile", "short.yaml")
    assert re.findall(r"^(\w+) +truncated$", done.stdout, re.M) == study["tasks"]
    findings = json.loads((workdir.path / "results/smoke/findings.json").read_text())["toy-llama"]
    assert {finding["verdict"] for finding in findings.values()} == {"insufficient"}


def test_a_study_too_large_for_its_disk_is_planned_and_refused_before_any_job(tmp_path):
    """The disk is that of the results, which may be another."""
    workdir = copy_repository(tmp_path / "here")
    (tmp_path / "small disk").mkdir()
    (workdir.path / "results").symlink_to(tmp_path / "small disk")
    (workdir.path / "workflow/sitecustomize.py").write_text(
        "import shutil\n"
        "usage = shutil.disk_usage\n"
        "def small(path):\n"
        "    return usage(path)._replace(free=2**20 if 'small disk' in str(path) else 2**60)\n"
        "shutil.disk_usage = small\n"
    )
    refused = workdir.snakemake("--configfile", SMOKE, check=False)
    sentence = "the study's activations need 0.1 GiB more, but the disk of results/ has 0.0 GiB free; lower"
    assert refused.returncode and sentence in refused.stderr and "Finished jobid" not in refused.stderr
    assert ("plot_time", "") in workdir.planned()
    assert f"the run would stop: {sentence}" in workdir.snakemake("plan", "--configfile", SMOKE).stdout
    # What takes no room to speak of is made.
    workdir.snakemake("--configfile", SMOKE, "--", "results/smoke/prompts/word_count/0.jsonl")


def test_activations_are_no_larger_than_planned(smoke):
    study = completed("config.yaml", SMOKE)
    there = plan.present_bytes(study, smoke.path)
    planned = plan.activation_bytes(study)
    overhead = 200_000 * 18  # ids, groups and chunk indices of small shards: nine, and nine of crossings
    assert 0.5 * planned < there <= planned + overhead
    # What was taken out of the study is there and doesn't count.
    less = study | {"models": study["models"][1:], "tasks": study["tasks"][1:]}
    assert 0.3 * there < plan.present_bytes(less, smoke.path) < 0.6 * there


def test_the_plan_counts_the_jobs_that_snakemake_counts(tmp_path):
    workdir = copy_repository(tmp_path)
    listed = workdir.snakemake("--dry-run", "--quiet", "rules", "--configfile", SMOKE).stdout
    counted = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", listed, re.M)}
    del counted["all"], counted["total"]
    assert plan.jobs(completed("config.yaml", SMOKE)) == counted
    printed = workdir.snakemake("plan", "--configfile", SMOKE).stdout
    assert re.search(rf"jobs in total +{sum(counted.values())}\b", printed)
    assert "GiB" in printed and "free disk" in printed


def test_the_report_is_one_file_that_needs_no_network(smoke):
    report = smoke.path / "results/smoke/report.html"
    smoke.snakemake("--configfile", SMOKE, "--report", str(report))
    text = report.read_text(encoding="utf-8")
    for page in (
        "overview.html",
        "findings.html",
        "methods.html",
        "examples.html",
        "scorecard.svg",
        "compliance.svg",
    ):
        assert page in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?://", text)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="it is about a missing vLLM")
def test_a_missing_engine_is_said_before_any_job(tmp_path):
    workdir = copy_repository(tmp_path)
    (tmp_path / "vllm.yaml").write_text("generation: {engine: vllm}")
    files = ("--configfile", SMOKE, "vllm.yaml", "--")
    refused = workdir.snakemake(*files, "responses", check=False)
    assert refused.returncode and "generation.engine is vllm, which isn't installed" in refused.stderr
    assert "Traceback" not in refused.stderr and not (tmp_path / "results/smoke/prompts").exists()
    (tmp_path / "other.yaml").write_text("generation: {engine: vllm, vllm_python: no/python}")
    refused = workdir.snakemake("--configfile", SMOKE, "other.yaml", "--", "responses", check=False)
    assert refused.returncode and "generation.vllm_python is 'no/python', which is no Py" in refused.stderr
    # What doesn't need it goes on: other jobs, and plans.
    workdir.snakemake(*files, "results/smoke/prompts/word_count/0.jsonl")
    workdir.snakemake("--dry-run", *files, "responses")


def test_rules_that_load_a_model_ask_for_what_its_entry_says(tmp_path):
    workdir = copy_repository(tmp_path)
    path = workdir.path / "config.yaml"
    entry = "- gpu: 1\n    mem_mb: 24000\n    runtime: 90\n    name: toy-llama"
    path.write_text(path.read_text().replace("- name: toy-llama", entry))
    jobs = workdir.listed()
    rules = ("generate_responses", "extract_activations", "extract_random_activations", "extract_crossings")
    rules += ("edit_behaviour", "guard_responses")
    loading = [job for job in jobs if job["rule"] in rules]
    asked = [job["resources"] for job in loading if "toy-llama" in job["wildcards"]]
    assert len(asked) == 16 and len(loading) == 48
    assert all("gpu=1" in line and "mem_mb=24000" in line and "runtime=90" in line for line in asked)
    # Toy models on the CPU, and all that needs no language model, ask for none.
    others = [job["resources"] for job in jobs if job not in loading or "toy-llama" not in job["wildcards"]]
    assert len(others) == len(jobs) - 16 and not any("gpu=1" in line for line in others)


def test_a_judge_on_a_gpu_is_asked_for_beside_a_model_on_the_cpu(tmp_path):
    workdir = copy_repository(tmp_path)
    judge = {"kind": "transformers", "model": "org/judge", "gpu": 1, "mem_mb": 3000}
    study = {"tasks": ["sentiment", "word_count"], "judges": {"sentiment": judge}}
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump(study))
    jobs = workdir.listed("judge.yaml")
    asked = {job["rule"] for job in jobs if "gpu=1" in job["resources"]}
    assert asked == {
        "label_responses",
        "make_crossings",
        "fit_prefix_baselines",
        "fit_trivial_monitors",
        "edit_behaviour",
        "guard_responses",
    }
    # A model on all the GPUs that there are isn't held to the judge's one.
    spread = "workflow/resources/models/toy-llama"
    study["models"] = [{"name": "spread", "source": spread, "device_map": "auto"}]
    (tmp_path / "spread.yaml").write_text(yaml.safe_dump(study))
    asked = {job["rule"] for job in workdir.listed("spread.yaml") if "gpu=1" in job["resources"]}
    assert asked == {"label_responses", "make_crossings", "fit_prefix_baselines", "fit_trivial_monitors"}
    assert not any(
        "gpu=1" in job["resources"] for job in jobs if "task=word_count" in job.get("wildcards", "")
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"taks": ["topic"]}, "unknown key 'taks'.*did you mean 'tasks'"),
        ({"tasks": ["word_cuont"]}, "word_cuont.*did you mean 'word_count'"),
        ({"layers": [0, 9]}, "layer 9.*toy-llama.*0 .*to 4"),
        ({"judges": {"topic": "oracle"}}, "judges.topic.*lexicon"),
        ({"probes": {"position": "end"}}, "end"),
        (
            {"generation": {"temperature": "hot"}},
            "generation.temperature must be a number or null, not 'hot'",
        ),
        ({"models": [{"name": "a", "source": "./nowhere"}]}, "models.0.*nowhere"),
        ({"generation": {"samples": 100_000_000}}, "GiB free"),
    ],
)
def test_a_config_that_cannot_work_is_refused_before_any_job(smoke, tmp_path, changes, sentence):
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump(changes))
    done = smoke.snakemake("--configfile", SMOKE, str(file), check=False)
    assert done.returncode != 0
    assert re.search(sentence, done.stderr)
    assert "Traceback" not in done.stderr and "rule " not in done.stdout
