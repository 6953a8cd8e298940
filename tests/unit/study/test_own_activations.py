"""Studies of given activations: what their folders say takes the place of the config's keys."""

import json
import shutil

import numpy as np
import pytest
from made.configs import refused, study
from skillprobe.activations import given
from skillprobe.activations.arrays import Array
from skillprobe.findings import decidable
from skillprobe.study import own_activations, plan
from skillprobe.study.config import complete
from skillprobe.study.slices import blocks, layers_of, over_time
from skillprobe.study.sources import model_identity

TASKS = ("word_count", "json_format")
PARAMS = {"word_count": {"relation": "at_most", "n": 3}, "json_format": {}}
PARAMS["topic"] = {"label": "food", "labels": ["food", "sports"]}


def make(root, name="own", model="m", groups=40, layers=(2, 6), positions=("eos",), of=TASKS, **more):
    """An imported folder; more: keys of each row."""
    rows = [
        {"task": task, "group": f"s{group}", "item": f"q{group}", "label": sample % 2} | more
        for task in of
        for group in range(groups)
        for sample in range(3)
    ]
    if "prompt" in more:
        rows = [
            row | {"prompt": f"{row['task']} {row['group']}", "params": PARAMS[row["task"]]} for row in rows
        ]
    path = root / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = np.random.default_rng(0).normal(size=(len(rows), 16)).astype(np.float32)
    arrays = [Array("x", layer, position, values, "float32") for layer in layers for position in positions]
    shutil.rmtree(root / name, ignore_errors=True)
    given.write_folder(root / name, arrays, given.read_given(path), model=model, num_layers=8)
    return {"name": model, "activations": name}


def own(*models, **changes):
    small = {"ablation__rank": 2, "ablation__max_rank": 4, "judges": {}, "tasks": list(TASKS)}
    return small | {"models": list(models), "ablation__layers": "all"} | changes


def test_what_the_folder_says_takes_the_place_of_keys(root):
    config = complete(study(**own(make(root), behaviour__bases=4, guard__bases=4)), root)
    (entry,) = config["models"]
    assert layers_of(config, "m") == [2, 6] and entry["num_layers"] == 8 and entry["hidden_size"] == 16
    assert config["generation"]["samples"] == 3 and config["activations"]["positions"] == ["eos"]
    assert config["prompts"]["bases"] == 40 and blocks(config) == [[0, 40]]
    for section in ("behaviour", "guard"):
        assert config[section]["bases"] == 0
    assert config["labels"]["crossings"] == 0 and config["judges"] == {}
    counts = plan.jobs(config, root)
    assert counts["take_activations"] == 2
    assert (
        not {"make_prompts", "generate_responses", "extract_activations", "guard_responses"} & counts.keys()
    )
    assert "not computed: activations are given" in plan.describe(config, root)
    # A relative depth means a layer that is there.
    assert layers_of(complete(study(**own(make(root), layers=[0.5])), root), "m") == [6]


def test_a_study_knows_its_activations_by_their_content(root):
    entry = make(root)
    first = model_identity(complete(study(**own(entry)), root), "m", root)
    make(root, label=1)
    assert model_identity(complete(study(**own(entry)), root), "m", root) != first
    make(root)
    assert model_identity(complete(study(**own(entry)), root), "m", root) == first


def test_a_course_over_time_takes_texts_and_positions(root):
    texts = {"prompt": "", "response": "a b", "token_ids": [1, 2, 3]}
    config = complete(study(**own(make(root, positions=("prompt_100", "eos"), **texts))), root)
    assert over_time(config) and config["judges"] == {}
    assert not any("no course over time" in sentence for sentence in own_activations.missing(config))
    for more, why in (
        ({"positions": ("eos",), **texts}, "the activations have no position prompt_100"),
        ({"positions": ("prompt_100", "eos")}, "not all rows have a prompt and a response"),
        ({"positions": ("prompt_100", "onset", "eos"), **texts}, "how many characters of the response"),
        (
            {"positions": ("prompt_100", "eos"), **texts, "token_ids": []},
            "not all rows have token_ids or a response_length",
        ),
    ):
        config = complete(study(**own(make(root, **more))), root)
        said = list(own_activations.missing(config))
        assert not over_time(config) and any(why in sentence for sentence in said), said
        assert why in decidable.undecidable(config, root)["monitoring"]


def test_lexicon_judges_are_not_trusted_with_given_texts(root):
    entry = make(root, positions=("prompt_100", "eos"), of=("topic",), prompt="", response="a b")
    config = complete(study(**own(entry, tasks=["topic"], judges={"topic": "lexicon"})), root)
    assert not over_time(config) and "no judge but a lexicon" in config["prompts"]["found"]["untimed"]


def test_models_of_one_study_have_one_set_of_groups(root):
    first, second = make(root), make(root, "other", model="n")
    config = complete(study(**own(first, second)), root)
    assert [entry["name"] for entry in config["models"]] == ["m", "n"]
    second = make(root, "other", model="n", groups=41)
    refused(
        root,
        r"models\[1\].activations .*it has other groups than model 'm' \(such as 's40'\)",
        **own(first, second),
    )
    second = make(root, "other", model="n", positions=("last", "eos"))
    refused(root, "it has other positions than model 'm'", **own(first, second))


def test_what_is_not_known_is_not_regressed_out(root):
    wording = {"phrasing": "p", "instruction_type": "human", "polarity": "positive"}
    for more, kept in (
        ({}, []),
        ({"response_length": 5}, ["response_length"]),
        (wording, ["phrasing"]),
        ({"response_length": 5, **wording}, ["response_length", "phrasing"]),
    ):
        config = complete(study(**own(make(root, **more))), root)
        assert config["probes"]["confounds"] == kept
        said = " ".join(own_activations.missing(config))
        assert ("lengths are not regressed out" in said) is ("response_length" not in kept)
    # Of two models, only what the rows of both say.
    worded = make(root, **wording)
    other = make(root, "other", model="n")
    for models in ((worded, other), (other, worded)):
        config = complete(study(**own(*models)), root)
        assert config["prompts"]["found"]["worded"] == {name: [] for name in TASKS}
        assert config["probes"]["confounds"] == []


def test_what_does_not_fit_is_refused(root):
    entry = make(root)
    refused(root, "source is missing", models=[{"name": "a"}])
    refused(root, "source is of a model that is loaded", **own(entry | {"source": "models/a"}))
    refused(root, "temperature is of a model that is loaded", **own(entry | {"temperature": 1.0}))
    both = [entry, {"name": "a", "source": "models/a"}]
    refused(root, "models has some with activations and some without", **own(*both))
    refused(root, "prompts.file is given, but models has activations", **own(entry, prompts__file="x"))
    refused(root, "the folder holds activations of 'm'", **own(entry | {"name": "k"}))
    refused(root, "num_layers is 6, but the folder is of a model with 8", **own(entry | {"num_layers": 6}))
    refused(root, "it has no rows of the task topic", **own(entry, tasks=["word_count", "topic"]))
    refused(
        root, "layer 4 is to be analysed, but the activations are of layers 2, 6", **own(entry, layers=[4])
    )
    refused(root, "probes.position is 'last'", **own(entry, probes__position="last"))
    refused(root, "nothing' is no folder of imported activations", **own(entry | {"activations": "nothing"}))
    refused(
        root,
        "probes.folds is 5, but only 3 .*import rows of more groups",
        **own(make(root, "few", groups=4) | {"activations": "few"}),
    )
    shard = given.shard_of(root / "own", "m", "word_count")
    shard.write_bytes(shard.read_bytes() + b"x")
    refused(root, "bytes instead of .*import the activations again", **own(entry))


@pytest.fixture
def honesty(tmp_path, monkeypatch):
    """A task of the user's own, as the page has it."""
    from skillprobe import tasks

    folder = tmp_path / "added"
    folder.mkdir()
    (folder / "honesty.py").write_text(
        'from skillprobe.tasks.base import GivenTask\n\nTASK = GivenTask("honesty", category="semantic")\n'
    )
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(folder)])


def test_a_task_whose_labels_are_given(root, honesty):
    from skillprobe import tasks

    rows = [{"task": "honesty", "group": f"s{n}", "label": n % 2} for n in range(40)]
    (root / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    array = Array("x", 3, "eos", np.zeros((40, 16), np.float32), "float32")
    given.write_folder(root / "own", [array], given.read_given(root / "r.jsonl"), model="m")
    config = complete(study(**own({"name": "m", "activations": "own"}, tasks=["honesty"])), root)
    assert config["tasks"] == ["honesty"] and tasks.categories_of(["honesty"]) == {"honesty": "semantic"}
    refused(
        root, "tasks contains 'honesty', whose labels come with activations", tasks=["honesty"], judges={}
    )
