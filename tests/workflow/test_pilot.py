"""`snakemake pilot`: what it makes, what it prints, and what runs again."""

import csv

import pytest
import yaml
from workdir import SMOKE, copy_repository

TASKS = ("word_count", "term_exclusion")
MODEL = "toy-llama"
CHAIN = ("make_pilot_prompts", "generate_pilot_responses", "label_pilot_responses")
END = {("summarise_pilot", ""), ("pilot", "")}


@pytest.fixture(scope="module")
def piloted(tmp_path_factory):
    """A small study's pilot, and what it printed."""
    workdir = copy_repository(tmp_path_factory.mktemp("pilot"))
    config = yaml.safe_load((workdir.path / SMOKE).read_text())
    models = yaml.safe_load((workdir.path / "config.yaml").read_text())["models"]
    config |= {"tasks": [*TASKS], "models": [entry for entry in models if entry["name"] == MODEL]}
    config["pilot"] = {"prompts": 8, "samples": 3}
    # As by default: the smoke study is content with fewer.
    config["probes"] |= {"min_mixed_items": 60}
    (workdir.path / SMOKE).write_text(yaml.safe_dump(config))
    return workdir, workdir.snakemake("pilot", "--configfile", SMOKE).stdout


def chain(*rules, tasks=TASKS):
    return END | {
        (rule, f"task={task}, shard=0" if rule == CHAIN[0] else f"model={MODEL}, task={task}, shard=0")
        for rule in rules
        for task in tasks
    }


def planned(workdir, **changes):
    """Jobs of a dry-run of the pilot after changes of keys such as generation__temperature."""
    config = yaml.safe_load((workdir.path / SMOKE).read_text())
    for key, value in changes.items():
        section, _, name = key.partition("__")
        config[section] = config.get(section, {}) | {name: value}
    path = workdir.path / "changed.yaml"
    path.write_text(yaml.safe_dump(config))
    return workdir.planned("--", "pilot", configfile=path.name)


def test_a_pilot_makes_its_own_files_and_no_others(piloted):
    workdir, printed = piloted
    root = workdir.path / "results/smoke"
    assert {path.name for path in root.iterdir()} == {"pilot", "logs", "benchmarks"}
    for task in TASKS:
        labels = (root / f"pilot/labels/{MODEL}/{task}/0.jsonl").read_text().splitlines()
        assert len(labels) == 8 * (3 + 1)
    with (root / "pilot/pilot.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["task"]) for row in rows] == [(MODEL, task) for task in TASKS]
    assert all(int(row["satisfied"]) + int(row["violated"]) == 24 for row in rows)
    text = (root / "pilot/pilot.txt").read_text()
    assert text in printed and "up to 8 prompts per model and task, 3 responses each" in text
    assert "toy-llama, word_count: insufficient" in text


def test_a_pilot_asks_other_prompts_than_the_study(piloted):
    workdir, _ = piloted
    root = workdir.path / "results/smoke"
    study = "results/smoke/prompts/word_count/0.jsonl"
    workdir.snakemake(study, "--configfile", SMOKE)
    own = set((workdir.path / study).read_text().splitlines())
    assert not own & set((root / "pilot/prompts/word_count/0.jsonl").read_text().splitlines())


def test_it_is_printed_again_without_being_made_again(piloted):
    workdir, printed = piloted
    assert planned(workdir) == {("pilot", "")}
    table = printed[printed.index("pilot of the study smoke") :].splitlines()[:8]
    assert "\n".join(table) in workdir.snakemake("pilot", "--configfile", SMOKE).stdout


def test_what_changed_is_asked_again_and_nothing_else(piloted):
    workdir, _ = piloted
    assert planned(workdir, generation__temperature=1.2) == chain(*CHAIN[1:])
    assert planned(workdir, pilot__samples=4) == chain(*CHAIN[1:])
    assert planned(workdir, pilot__prompts=9) == chain(*CHAIN)
    assert planned(workdir, prompts__word_targets=[8, 9]) == chain(*CHAIN, tasks=("word_count",))
    assert planned(workdir, prompts__terms=["river"]) == chain(*CHAIN, tasks=("term_exclusion",))
    # The size of the study, and what it needs: another forecast from the same labels.
    for size in ({"prompts__bases": 80}, {"prompts__items_per_base": 2}, {"probes__min_rows": 9}):
        assert planned(workdir, **size) == END
    for other in ({"probes__penalties": [1.0]}, {"labels__crossings": 0}, {"figures__dpi": 90}):
        assert planned(workdir, **other) == {("pilot", "")}


def test_the_plan_repeats_its_warnings(piloted):
    workdir, _ = piloted
    printed = workdir.snakemake("plan", "--configfile", SMOKE).stdout
    assert "results/smoke/pilot/pilot.txt" in printed and "toy-llama, word_count: insufficient" in printed
    assert "run it again" not in printed
    (workdir.path / "hotter.yaml").write_text("generation: {temperature: 1.2}\n")
    printed = workdir.snakemake("plan", "--configfile", SMOKE, "hotter.yaml").stdout
    assert "made before these keys were changed: generation.temperature; run it again" in printed
