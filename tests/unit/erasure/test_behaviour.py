"""Answers and perplexity under edits, each base under those of its own fold."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made.edits import CONDITIONS, GENERATION, NONE, PROMPTS, TEXT_FOLDS, TEXTS, choose, eraser
from made.models import HIDDEN
from skillprobe import tasks
from skillprobe.analyses.behaviour import behaviour_table
from skillprobe.erasure import behaviour
from skillprobe.erasure.behaviour import choose_bases, erasing, perplexity, respond, steering, under_all
from skillprobe.erasure.edits import Erase, RowWise, edited, identity
from skillprobe.errors import UserError
from skillprobe.labels.labelling import label_rows
from skillprobe.models import generation
from skillprobe.models.chat import chat_ids
from skillprobe.models.generation import generate_task
from skillprobe.probes.cross_validation import Settings

pytestmark = pytest.mark.gpu

# Conditions


TASK = tasks.get("word_count")
FOLDS = {f"g{n:03d}": n % 3 - 1 for n in range(9)}  # -1: calibration
EDITED_LAYERS = (1, 3)
ERASERS = {
    layer: {
        "tasks": {
            task: {
                fold: eraser(rank=6, seed=10 * layer + 4 * k + f) for f, fold in enumerate(("0", "1", "all"))
            }
            for k, task in enumerate(("word_count", "topic"))
        },
        "random": {fold: eraser(seed=100 * layer + int(fold)) for fold in ("0", "1")},
    }
    for layer in EDITED_LAYERS
}


def test_conditions_that_erase():
    conditions = erasing(ERASERS, rank=3)
    sources = {"random": ("random", 1.0), "random_flip": ("random", 2.0)}
    for task in ("word_count", "topic"):
        sources |= {f"erase:{task}": (task, 1.0), f"flip:{task}": (task, 2.0)}
    assert conditions.keys() == sources.keys()
    for name, (source, alpha) in sources.items():
        assert conditions[name].keys() == {0, 1}
        for fold, by_layer in conditions[name].items():
            assert tuple(by_layer) == EDITED_LAYERS
            for layer, edit in by_layer.items():
                of_layer = ERASERS[layer]
                by_fold = of_layer["random"] if source == "random" else of_layer["tasks"][source]
                own = Erase(by_fold[str(fold)].truncated(3).with_alpha(alpha))
                assert edit.a.shape == (HIDDEN, 3)
                for values in ("a", "b", "offset"):
                    np.testing.assert_array_equal(getattr(edit, values), getattr(own, values))


def test_a_task_is_edited_where_it_has_an_eraser():
    """One that doesn't count at a layer is not erased there; without any there is no edit at all."""
    first, second = EDITED_LAYERS
    some = ERASERS | {first: {"tasks": {"topic": ERASERS[first]["tasks"]["topic"]}, "random": {}}}
    conditions = erasing(some | {first: some[first] | {"random": ERASERS[first]["random"]}}, rank=3)
    whole = erasing(ERASERS, rank=3)
    assert list(conditions) == ["random", "random_flip", "erase:topic", "flip:topic"] + [
        "erase:word_count",
        "flip:word_count",
    ]
    for name, by_fold in conditions.items():
        layers = (second,) if name.endswith("word_count") else EDITED_LAYERS
        assert all(tuple(by_layer) == layers for by_layer in by_fold.values())
    np.testing.assert_array_equal(
        conditions["erase:word_count"][0][second].a, whole["erase:word_count"][0][second].a
    )
    assert erasing({layer: {"tasks": {}, "random": {}} for layer in EDITED_LAYERS}, rank=3) == {}
    groups = np.repeat(list(FOLDS), 4)
    rows = SimpleNamespace(x=np.random.default_rng(0).normal(size=(len(groups), HIDDEN)), groups=groups)
    steered = steering("word_count", some, dict.fromkeys(EDITED_LAYERS, rows), FOLDS, [1])
    assert all(tuple(by_layer) == (second,) for by_layer in steered["steer:1"].values())


def test_conditions_that_steer():
    rng = np.random.default_rng(0)
    groups = np.repeat(list(FOLDS), 4)
    rows = {
        layer: SimpleNamespace(x=rng.normal(size=(len(groups), HIDDEN)), groups=groups)
        for layer in EDITED_LAYERS
    }
    conditions = steering("topic", ERASERS, rows, FOLDS, [-4, 0.5])
    assert list(conditions) == ["steer:-4", "steer:0.5"]
    of_row = np.array([FOLDS[group] for group in groups])
    for layer in EDITED_LAYERS:
        for fold in (0, 1):
            read = ERASERS[layer]["tasks"]["topic"][str(fold)].b[0]
            unit = read / np.linalg.norm(read)
            sd = (rows[layer].x[of_row == 1 - fold] @ unit).std()
            for name, strength in (("steer:-4", -4), ("steer:0.5", 0.5)):
                step = conditions[name][fold][layer].step
                np.testing.assert_allclose(step, strength * sd * unit, rtol=1e-6)
                # λ counts standard deviations of what the probe reads.
                assert step @ unit == pytest.approx(strength * sd)
    assert steering("sentiment", ERASERS, rows, FOLDS, [1]) == {}


def test_more_bases_keep_those_that_there_are():
    chosen = [choose_bases(ITEMS, FOLDS, number, seed=0) for number in range(8)]
    assert [len(each) for each in chosen] == [0, 1, 2, 3, 4, 5, 6, 6]
    assert all(few <= more for few, more in itertools.pairwise(chosen))
    assert chosen[-1] == {item["base"] for item in ITEMS if FOLDS[item["group"]] >= 0}
    assert any(choose_bases(ITEMS, FOLDS, 3, seed) != chosen[3] for seed in range(1, 9))


# Responses and perplexity under edits


ITEMS = [
    {
        "item": f"word_count/{base}/0",
        "base": base,
        "group": base.replace("b", "g"),
        "params": {"relation": "at_least", "n": 4},
        "prompt": PROMPTS[number % len(PROMPTS)],
        "unconstrained_prompt": "write",
        "instruction_type": "human",
        "polarity": "positive",
        "phrasing": "word_count.human.1",
    }
    for number, base in enumerate(group.replace("g", "b") for group in FOLDS)
]
SAMPLING = GENERATION | {"samples": 2, "twin_samples": 1, "max_new_tokens": 8, "batch_size": 5}
ONE_BY_ONE = SAMPLING | {"batch_size": 1}


def by_condition(rows):
    found = {}
    for row in rows:
        found.setdefault(row["condition"], {})[row["id"]] = row["token_ids"]
    return found


def test_unedited_responses_are_the_studys(loaded_models):
    loaded = loaded_models["llama"]
    made = generate_task(loaded, ITEMS, ONE_BY_ONE, seed=7)
    study = {row["id"]: row for row in label_rows(TASK, ITEMS, made, None)}
    with edited(loaded, {1: identity}):
        rows = respond(loaded, TASK, ITEMS, {"none": NONE}, FOLDS, ONE_BY_ONE, seed=7)
    about = {"condition": "none", "task": "word_count"}
    assert all(row == about | study[row["id"]] for row in rows)
    assert {row["group"] for row in rows} == {group for group, fold in FOLDS.items() if fold >= 0}
    assert len(rows) == 2 * 6 and {row["variant"] for row in rows} == {"constrained"}
    fewer = respond(loaded, TASK, ITEMS, {"none": NONE}, FOLDS, ONE_BY_ONE | {"samples": 1}, seed=7)
    assert fewer == [row for row in rows if row["id"].endswith("/0")]


def test_a_base_is_answered_under_its_own_folds_edits_only(loaded_models):
    loaded = loaded_models["llama"]
    rows = by_condition(respond(loaded, TASK, ITEMS, CONDITIONS, FOLDS, SAMPLING, seed=7))
    fold_of = {f"{item['item']}/constrained/{k}": FOLDS[item["group"]] for item in ITEMS for k in range(2)}
    for name in ("flip", "steer"):
        for fold in (0, 1):
            edits = {layer: RowWise([edit]) for layer, edit in CONDITIONS[name][fold].items()}
            choose(edits, [0])
            items = [item for item in ITEMS if FOLDS[item["group"]] == fold]
            with edited(loaded, edits):
                alone = generate_task(loaded, items, ONE_BY_ONE, 7)
            own = {row["id"]: row["token_ids"] for row in alone if row["variant"] == "constrained"}
            assert own == {key: ids for key, ids in rows[name].items() if fold_of[key] == fold}
    # What the edits of the other fold are makes no difference.
    for fold in (0, 1):
        changed = {name: {**by_fold, 1 - fold: by_fold[fold]} for name, by_fold in CONDITIONS.items()}
        others = by_condition(respond(loaded, TASK, ITEMS, changed, FOLDS, SAMPLING, seed=7))
        for name in ("flip", "steer"):
            same = {key: others[name][key] == ids for key, ids in rows[name].items()}
            assert all(equal for key, equal in same.items() if fold_of[key] == fold)
            assert not all(same.values())


def test_conditions_answered_together_are_as_if_alone(loaded):
    together = respond(loaded, TASK, ITEMS, CONDITIONS, FOLDS, SAMPLING, seed=7)
    alone = [
        row
        for name, by_fold in CONDITIONS.items()
        for row in respond(loaded, TASK, ITEMS, {name: by_fold}, FOLDS, SAMPLING, seed=7)
    ]
    assert together == alone
    ids = by_condition(together)
    assert list(ids) == list(CONDITIONS) and ids["none"] != ids["flip"] != ids["steer"] != ids["none"]


def test_responses_halve_their_batches_when_out_of_memory(loaded_models, monkeypatch):
    loaded, plain = replace(loaded_models["llama"], held={}), generation._write
    whole = respond(loaded, TASK, ITEMS, CONDITIONS, FOLDS, SAMPLING, seed=7)

    def small_gpu(loaded, job, alike):
        if job.together > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(loaded, job, alike)

    monkeypatch.setattr(generation, "_write", small_gpu)
    with pytest.warns(UserWarning, match="out of memory"):
        assert respond(loaded, TASK, ITEMS, CONDITIONS, FOLDS, SAMPLING, seed=7) == whole


def test_judged_tasks_are_judged(loaded_models):
    items = [item | {"params": {"label": "x", "labels": ["x", "y"]}} for item in ITEMS]
    judge = SimpleNamespace(classify=lambda text: {"label": "x", "scores": {}}, labels=("x", "y"))
    rows = respond(
        loaded_models["llama"], tasks.get("topic"), items, {"none": NONE}, FOLDS, SAMPLING, 7, judge
    )
    assert all(row["satisfied"] == bool(row["response"]) for row in rows)


@pytest.mark.parametrize(
    "by_fold, folds, message",
    [
        ({0: {}}, FOLDS, "fold 1 has no edits 'erase'"),
        ({0: {}, 1: {9: Erase(eraser())}}, FOLDS, "no layer 9"),
        ({0: {}, 1: {1: Erase(eraser(d=16))}}, FOLDS, "hidden size of 16"),
        (NONE, {"g000": 0}, "group 'g001'"),
    ],
)
def test_nothing_is_generated_when_a_fold_is_wrong(by_fold, folds, message, loaded_models, monkeypatch):
    monkeypatch.setattr(behaviour, "generate", lambda *_: pytest.fail("generated"))
    conditions = {"none": NONE, "erase": by_fold}
    with pytest.raises(UserError, match=message):
        respond(loaded_models["llama"], TASK, ITEMS, conditions, folds, SAMPLING, seed=7)


def test_perplexity_is_that_of_the_models_own_loss(loaded):
    found = perplexity(loaded, TEXTS, CONDITIONS, TEXT_FOLDS, {"tokens_per_batch": 60})
    expected = [(name, row) for name in CONDITIONS for row in TEXTS]
    sums = set()
    for (name, row), result in zip(expected, found, strict=True):
        assert (result["condition"], result["id"], result["base"]) == (name, row["id"], row["base"])
        assert result["tokens"] == len(row["token_ids"])
        if not row["token_ids"]:
            assert result["nll"] == 0
            continue
        ids = chat_ids(loaded.tokenizer, row["prompt"])
        labels = torch.tensor([[-100] * len(ids) + row["token_ids"]], device=loaded.device)
        whole = torch.tensor([ids + row["token_ids"]], device=loaded.device)
        of_fold = CONDITIONS[name][TEXT_FOLDS[row["group"]]]
        edits = {layer: RowWise([edit]) for layer, edit in of_fold.items()}
        choose(edits, [0])
        with torch.no_grad(), edited(loaded, edits):
            loss = loaded.model(whole, labels=labels).loss
        assert result["nll"] == pytest.approx(loss.item() * result["tokens"], rel=1e-4)
        sums.add(round(result["nll"], 2))
    assert len(sums) == 15
    folds = TEXT_FOLDS | {"g001": -1}
    fewer = perplexity(loaded, TEXTS, CONDITIONS, folds, {"tokens_per_batch": 60})
    assert [row["id"] for row in fewer] == [row["id"] for row in found if row["id"] != "r1"]


def test_perplexity_halves_its_batches_when_out_of_memory(loaded_models, monkeypatch):
    loaded, plain = replace(loaded_models["llama"], held={}), behaviour._nll
    whole = perplexity(loaded, TEXTS, CONDITIONS, TEXT_FOLDS, {"tokens_per_batch": 1000})

    def small_gpu(loaded, sequences, lengths):
        if len(sequences) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(loaded, sequences, lengths)

    monkeypatch.setattr(behaviour, "_nll", small_gpu)
    with pytest.warns(UserWarning, match="out of memory"):
        parts = perplexity(loaded, TEXTS, CONDITIONS, TEXT_FOLDS, {"tokens_per_batch": 1000})
    for one, other in zip(whole, parts, strict=True):
        assert one["nll"] == pytest.approx(other["nll"], rel=1e-4)


def test_all_conditions_with_their_controls(loaded_models, monkeypatch):
    loaded, settings = loaded_models["llama"], SAMPLING | {"tokens_per_batch": 60}
    conditions = {name: CONDITIONS[name] for name in ("flip", "steer")}
    unconstrained = [row | {"base": f"b{n + 1:03d}", "group": f"g{n + 1:03d}"} for n, row in enumerate(TEXTS)]

    def run(conditions):
        return under_all(loaded, TASK, ITEMS, unconstrained, conditions, FOLDS, settings, 7)

    answers, texts = run(conditions)
    ids = by_condition(answers)
    assert list(ids) == ["none", "identity", "flip", "steer"] and ids["identity"] == ids["none"]
    assert list(dict.fromkeys(row["condition"] for row in texts)) == ["none", "flip", "steer"]
    assert {row["task"] for row in (*answers, *texts)} == {"word_count"}
    # Which is what the table is made of.
    table = behaviour_table("toy", answers, texts, Settings(), n_draws=10)
    assert {row["condition"] for row in table} == {"identity", "flip", "steer"}
    assert list(by_condition(run({})[0])) == ["none", "identity"]
    # Where every unconstrained response is truncated there is no text to predict.
    assert under_all(loaded, TASK, ITEMS, [], conditions, FOLDS, settings, 7) == (answers, [])
    monkeypatch.setattr(behaviour, "identity", lambda hidden: -hidden)
    with pytest.raises(UserError, match="generates different text under hooks that change nothing"):
        run(conditions)
