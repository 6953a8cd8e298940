"""Edits of the hidden states: what they change, what they leave alone, and what the table says of them."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import HIDDEN, NUM_LAYERS, TEXT
from skillprobe import tasks
from skillprobe.activations.extraction import read_states
from skillprobe.analyses.behaviour import COLUMNS, behaviour_table
from skillprobe.erasure import Eraser, behaviour
from skillprobe.erasure.behaviour import choose_bases, erasing, perplexity, respond, steering, under_all
from skillprobe.erasure.edits import Erase, RowWise, Steer, edited, identity
from skillprobe.errors import UserError
from skillprobe.labels.labelling import label_rows
from skillprobe.models import generation
from skillprobe.models.chat import chat_ids
from skillprobe.models.generation import generate, generate_task
from skillprobe.models.loading import load
from skillprobe.probes.cross_validation import Settings

pytestmark = pytest.mark.gpu

WORDS = TEXT.split()
PROMPTS = [" ".join(WORDS[:length]) for length in (3, 9, 1, 6, 12, 1)]
SEEDS = list(range(100, 100 + len(PROMPTS)))
GENERATION = {"max_new_tokens": 12, "batch_size": 4, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
LAYERS = range(NUM_LAYERS + 1)


def eraser(rank=4, alpha=1.0, seed=0, d=HIDDEN):
    """A random oblique one with B A = I."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(d, rank)), rng.normal(size=(rank, d))
    return Eraser(
        (a @ np.linalg.inv(b @ a)).astype(np.float32),
        b.astype(np.float32),
        rng.normal(size=d).astype(np.float32),
        alpha,
    )


def responses(loaded, edits=None, kinds=None):
    """kinds: [prompt], which of its edits a RowWise makes."""
    edits, kinds = edits or {}, np.zeros(len(PROMPTS), int) if kinds is None else kinds
    with edited(loaded, edits):
        return generate(loaded, PROMPTS, SEEDS, GENERATION, lambda rows: choose(edits, kinds[rows]))


def choose(edits, of_row):
    for edit in edits.values():
        if isinstance(edit, RowWise):
            edit.choose(np.asarray(of_row))


def states(loaded, edits):
    """[layer, token, hidden] of one sequence."""
    ids = chat_ids(loaded.tokenizer, PROMPTS[1])
    choose(edits, [0])
    with edited(loaded, edits):
        return read_states(loaded, [ids], np.arange(len(ids))[None])[:, :, 0].cpu()


def hooks(loaded):
    return [(len(block._forward_hooks), len(block._forward_pre_hooks)) for block in loaded.blocks]


def direction(seed=0):
    return np.random.default_rng(seed).normal(size=HIDDEN)


# Hooks and edits


def test_identity_is_bit_identical(loaded):
    plain = responses(loaded)
    ids = torch.tensor([chat_ids(loaded.tokenizer, PROMPTS[1])], device=loaded.device)
    with torch.no_grad():
        logits = loaded.model(ids).logits
        for edit in (
            identity,
            RowWise([Steer(np.ones(HIDDEN), 0.0)]),
            RowWise([Erase(eraser(rank=0))]),
            RowWise([None, Erase(eraser()), Steer(np.ones(HIDDEN), 3.0)]),
        ):
            edits = dict.fromkeys(LAYERS, edit)
            assert responses(loaded, edits) == plain
            choose(edits, [0])
            with edited(loaded, edits):
                assert torch.equal(loaded.model(ids).logits, logits)
    # And they are no test of nothing: a real edit at any layer changes the text.
    for layer in LAYERS:
        assert responses(loaded, {layer: RowWise([Steer(direction(1), 3.0)])}) != plain


@pytest.mark.parametrize("layer", LAYERS)
def test_the_layer_and_those_above_are_changed_and_none_below(loaded, layer):
    plain = states(loaded, {})
    made = eraser()
    found = states(loaded, {layer: RowWise([Erase(made)])})
    assert torch.equal(found[:layer], plain[:layer])
    np.testing.assert_allclose(found[layer], made(plain[layer].numpy()), atol=1e-4)
    read = (found[layer].numpy() - made.mean) @ made.b.T
    assert np.abs(read).max() < 1e-4 * np.abs((plain[layer].numpy() - made.mean) @ made.b.T).max()
    for above in range(layer + 1, NUM_LAYERS + 1):
        assert not torch.allclose(found[above], plain[above], atol=1e-3)


def test_edits_of_several_layers_are_made_together(loaded):
    made = {layer: eraser(seed=layer) for layer in LAYERS}
    found = states(loaded, {layer: RowWise([Erase(each)]) for layer, each in made.items()})
    for layer, each in made.items():
        np.testing.assert_allclose((found[layer].numpy() - each.mean) @ each.b.T, 0, atol=1e-3)


def test_reflecting_twice_is_the_identity(loaded):
    reflect = RowWise([Erase(eraser(alpha=2.0))])
    once = states(loaded, {1: reflect})
    twice = states(loaded, {1: lambda hidden: reflect(reflect(hidden))})
    plain = states(loaded, {})
    assert not torch.allclose(once[1], plain[1], atol=1e-2)
    torch.testing.assert_close(twice, plain, atol=1e-3, rtol=1e-3)


def test_steering_adds_strength_times_direction(loaded):
    found, plain = states(loaded, {2: RowWise([Steer(direction(), -1.5)])}), states(loaded, {})
    torch.testing.assert_close(found[2], plain[2] - 1.5 * torch.tensor(direction(), dtype=torch.float32))


def test_each_row_has_its_own_edit():
    """Of any rank, in any order, and as often as it is chosen."""
    edits = [Erase(eraser(rank=5)), None, Steer(direction(), 2.0), Erase(eraser(rank=2, alpha=2.0, seed=1))]
    together, of_row = RowWise(edits), np.array([3, 0, 1, 2, 2, 0])
    hidden = torch.tensor(np.random.default_rng(2).normal(size=(len(of_row), 7, HIDDEN)), dtype=torch.float32)
    together.choose(of_row)
    found = together(hidden)
    for row, number in enumerate(of_row):
        if edits[number] is None:
            assert torch.equal(found[row], hidden[row])
            continue
        alone = RowWise([edits[number]])
        alone.choose(np.array([0]))
        torch.testing.assert_close(found[row], alone(hidden[row : row + 1])[0])
    together.choose(np.array([1, 1]))
    assert torch.equal(together(hidden[:2]), hidden[:2])


def mixed_edits():
    """Three kinds of rows: unedited, edited at two layers, edited at one."""
    return {
        0: RowWise([None, Steer(direction(2), 0.5), None]),
        2: RowWise([None, Erase(eraser(alpha=2.0)), Erase(eraser(rank=2, seed=3))]),
    }


def test_rows_of_a_mixed_batch_are_as_if_alone(loaded):
    kinds = np.array([0, 1, 2, 1, 0, 2])
    alone = [responses(loaded, mixed_edits(), np.full(len(PROMPTS), kind)) for kind in range(3)]
    assert len({str(made) for made in alone}) == 3
    assert responses(loaded, mixed_edits(), kinds) == [alone[kind][row] for row, kind in enumerate(kinds)]
    assert alone[0] == responses(loaded)


def test_cached_decoding_is_the_teacher_forced_pass_under_the_same_edits(loaded):
    edits = mixed_edits()
    prompts = [chat_ids(loaded.tokenizer, prompt) for prompt in PROMPTS[:3]]
    width = max(map(len, prompts))
    ids = torch.tensor([[loaded.pad_id] * (width - len(each)) + each for each in prompts])
    mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in prompts])
    ids, mask = ids.to(loaded.device), mask.to(loaded.device)
    choose(edits, range(3))
    with torch.no_grad(), edited(loaded, edits):
        # More than Gemma's sliding window of 8; nothing ends, so that every step has every row.
        made = loaded.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=12,
            min_new_tokens=12,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        stepwise = torch.stack(made.logits, dim=1)
        for row, prompt in enumerate(prompts):
            whole = torch.tensor([prompt + made.sequences[row, width:].tolist()], device=loaded.device)
            choose(edits, [row])
            forced = loaded.model(whole, use_cache=False).logits[0, len(prompt) - 1 : -1]
            torch.testing.assert_close(stepwise[row], forced, atol=2e-3, rtol=2e-3)
            choose(edits, [(row + 1) % 3])
            other = loaded.model(whole, use_cache=False).logits[0, len(prompt) - 1 : -1]
            assert not torch.allclose(other, forced, atol=0.1)


def test_hooks_are_gone_after_the_block_and_after_an_exception(loaded):
    before, plain = hooks(loaded), states(loaded, {})
    edits = dict.fromkeys(LAYERS, RowWise([Erase(eraser())]))
    with edited(loaded, edits):
        assert hooks(loaded) != before
    assert hooks(loaded) == before
    with pytest.raises(ZeroDivisionError), edited(loaded, {1: lambda hidden: 1 / 0}):
        states(loaded, {})
    with pytest.raises(KeyError), edited(loaded, edits):
        raise KeyError
    assert hooks(loaded) == before
    assert torch.equal(states(loaded, {}), plain)


def test_half_precision_is_edited_in_float32_and_stays_half(model_folders):
    loaded = load({"name": "m", "source": str(model_folders["llama"]), "dtype": "bfloat16"})
    made, plain = eraser(), states(loaded, {})
    found = states(loaded, {2: RowWise([Erase(made)])})
    assert found.dtype == torch.bfloat16
    expected = torch.tensor(made(plain[2].float().numpy())).bfloat16()
    # Another order of sums may round the last bit the other way.
    torch.testing.assert_close(found[2], expected, atol=1e-3, rtol=2**-7)
    unedited = responses(loaded)
    assert responses(loaded, dict.fromkeys(LAYERS, identity)) == unedited
    assert responses(loaded, dict.fromkeys(LAYERS, RowWise([None, Erase(made)]))) == unedited


def test_factors_are_copied_once_to_a_device():
    edit = RowWise([None, Erase(eraser())])
    edit.choose(np.array([1, 0]))
    meta = torch.empty(2, 3, HIDDEN, device="meta")
    assert edit(meta).device.type == "meta" and edit(meta).shape == meta.shape
    assert edit._on(meta.device) is edit._on(meta.device)


@pytest.mark.parametrize("layer", [-1, NUM_LAYERS + 1])
def test_a_layer_that_is_not_there_is_refused(loaded_models, layer):
    loaded = loaded_models["llama"]
    before = hooks(loaded)
    message = f"model 'llama' has no layer {layer}; it has 0 to {NUM_LAYERS}"
    with pytest.raises(UserError, match=message), edited(loaded, {1: identity, layer: identity}):
        pass
    assert hooks(loaded) == before


@pytest.mark.parametrize("edit", [Erase(eraser(d=48)), Steer(np.ones(48), 1.0)])
def test_an_edit_of_another_hidden_size_is_refused(loaded_models, edit):
    message = "layer 2 is for a hidden size of 48, but that of model 'llama' is 32"
    with (
        pytest.raises(UserError, match=message),
        edited(loaded_models["llama"], {2: RowWise([None, edit])}),
    ):
        pass


# Conditions

TASK = tasks.get("word_count")
FOLDS = {f"b{n:03d}": n % 3 - 1 for n in range(9)}  # -1: calibration
NONE = {0: {}, 1: {}}
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


def test_conditions_that_steer():
    rng = np.random.default_rng(0)
    bases = np.repeat(list(FOLDS), 4)
    rows = {
        layer: SimpleNamespace(x=rng.normal(size=(len(bases), HIDDEN)), bases=bases)
        for layer in EDITED_LAYERS
    }
    conditions = steering("topic", ERASERS, rows, FOLDS, [-4, 0.5])
    assert list(conditions) == ["steer:-4", "steer:0.5"]
    of_row = np.array([FOLDS[base] for base in bases])
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
    chosen = [choose_bases(FOLDS, number, seed=0) for number in range(8)]
    assert [len(each) for each in chosen] == [0, 1, 2, 3, 4, 5, 6, 6]
    assert all(few <= more for few, more in itertools.pairwise(chosen))
    assert chosen[-1] == {base for base, fold in FOLDS.items() if fold >= 0}
    assert any(choose_bases(FOLDS, 3, seed) != chosen[3] for seed in range(1, 9))


# Responses and perplexity under edits

ITEMS = [
    {
        "item": f"word_count/{base}/0",
        "base": base,
        "params": {"relation": "at_least", "n": 4},
        "prompt": PROMPTS[number % len(PROMPTS)],
        "unconstrained_prompt": "write",
        "instruction_type": "human",
        "polarity": "positive",
        "phrasing": "word_count.human.1",
    }
    for number, base in enumerate(FOLDS)
]
SAMPLING = GENERATION | {"samples": 2, "twin_samples": 1, "max_new_tokens": 8, "batch_size": 5}
ONE_BY_ONE = SAMPLING | {"batch_size": 1}
CONDITIONS = {
    "none": NONE,
    "flip": {fold: {2: Erase(eraser(alpha=2.0, seed=fold))} for fold in (0, 1)},
    "steer": {fold: {0: Steer(direction(fold), 1.0), 2: Steer(direction(3), 2.0)} for fold in (0, 1)},
}


def by_condition(rows):
    found = {}
    for row in rows:
        found.setdefault(row["condition"], {})[row["id"]] = row["token_ids"]
    return found


def test_unedited_responses_are_the_studys(loaded_models):
    loaded = loaded_models["llama"]
    made = generate_task(loaded, ITEMS, ONE_BY_ONE, seed=7)
    study = {row["id"]: row for row in label_rows(TASK, None, ITEMS, made, None, {"crossings": 0}, 7)}
    with edited(loaded, {1: identity}):
        rows = respond(loaded, TASK, ITEMS, {"none": NONE}, FOLDS, ONE_BY_ONE, seed=7)
    about = {"condition": "none", "task": "word_count"}
    assert all(row == about | study[row["id"]] for row in rows)
    assert {row["base"] for row in rows} == {base for base, fold in FOLDS.items() if fold >= 0}
    assert len(rows) == 2 * 6 and {row["variant"] for row in rows} == {"constrained"}
    fewer = respond(loaded, TASK, ITEMS, {"none": NONE}, FOLDS, ONE_BY_ONE | {"samples": 1}, seed=7)
    assert fewer == [row for row in rows if row["id"].endswith("/0")]


def test_a_base_is_answered_under_its_own_folds_edits_only(loaded_models):
    loaded = loaded_models["llama"]
    rows = by_condition(respond(loaded, TASK, ITEMS, CONDITIONS, FOLDS, SAMPLING, seed=7))
    fold_of = {f"{item['item']}/constrained/{k}": FOLDS[item["base"]] for item in ITEMS for k in range(2)}
    for name in ("flip", "steer"):
        for fold in (0, 1):
            edits = {layer: RowWise([edit]) for layer, edit in CONDITIONS[name][fold].items()}
            choose(edits, [0])
            items = [item for item in ITEMS if FOLDS[item["base"]] == fold]
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
    loaded, plain = replace(loaded_models["llama"], held={}), generation._generate_batch
    whole = respond(loaded, TASK, ITEMS, CONDITIONS, FOLDS, SAMPLING, seed=7)

    def small_gpu(loaded, encoded, *rest):
        if len(encoded) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(loaded, encoded, *rest)

    monkeypatch.setattr(generation, "_generate_batch", small_gpu)
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
        (NONE, {"b000": 0}, "base 'b001'"),
    ],
)
def test_nothing_is_generated_when_a_fold_is_wrong(by_fold, folds, message, loaded_models, monkeypatch):
    monkeypatch.setattr(behaviour, "generate", lambda *_: pytest.fail("generated"))
    conditions = {"none": NONE, "erase": by_fold}
    with pytest.raises(UserError, match=message):
        respond(loaded_models["llama"], TASK, ITEMS, conditions, folds, SAMPLING, seed=7)


TEXTS = [
    {"id": f"r{n}", "base": f"b{n:03d}", "prompt": prompt, "token_ids": [6 + (n + i) % 20 for i in range(n)]}
    for n, prompt in enumerate(PROMPTS)
]
TEXT_FOLDS = {row["base"]: n % 2 for n, row in enumerate(TEXTS)}


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
        of_fold = CONDITIONS[name][TEXT_FOLDS[row["base"]]]
        edits = {layer: RowWise([edit]) for layer, edit in of_fold.items()}
        choose(edits, [0])
        with torch.no_grad(), edited(loaded, edits):
            loss = loaded.model(whole, labels=labels).loss
        assert result["nll"] == pytest.approx(loss.item() * result["tokens"], rel=1e-4)
        sums.add(round(result["nll"], 2))
    assert len(sums) == 15
    folds = TEXT_FOLDS | {"b001": -1}
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
    twins = [row | {"base": f"b{n + 1:03d}"} for n, row in enumerate(TEXTS)]

    def run(conditions):
        return under_all(loaded, TASK, ITEMS, twins, conditions, FOLDS, settings, 7)

    answers, texts = run(conditions)
    ids = by_condition(answers)
    assert list(ids) == ["none", "identity", "flip", "steer"] and ids["identity"] == ids["none"]
    assert list(dict.fromkeys(row["condition"] for row in texts)) == ["none", "flip", "steer"]
    assert {row["task"] for row in (*answers, *texts)} == {"word_count"}
    # Which is what the table is made of.
    table = behaviour_table("toy", answers, texts, Settings(), n_draws=10)
    assert {row["condition"] for row in table} == {"identity", "flip", "steer"}
    assert list(by_condition(run({})[0])) == ["none", "identity"]
    # Where every twin is truncated there is no text to predict.
    assert under_all(loaded, TASK, ITEMS, [], conditions, FOLDS, settings, 7) == (answers, [])
    monkeypatch.setattr(behaviour, "identity", lambda hidden: -hidden)
    with pytest.raises(UserError, match="writes other text under hooks that change nothing"):
        run(conditions)


# The table

ENOUGH = Settings()
BASES, SAMPLES = [f"b{n:03d}" for n in range(60)], 4


def made_up(rates, seed=0, task="topic"):
    """Label rows {condition: chance that a response satisfies}: paired, as one uniform number decides a
    response under all conditions, and correlated within bases."""
    rng = np.random.default_rng(seed)
    uniform = (rng.uniform(size=(len(BASES), 1)) * 0.5 + rng.uniform(size=(len(BASES), SAMPLES)) * 0.5).T
    ranks = uniform.T.argsort(axis=None).argsort().reshape(len(BASES), SAMPLES) / uniform.size
    return [
        {
            "condition": condition,
            "task": task,
            "base": base,
            "id": f"{task}/{base}/{sample}",
            "satisfied": bool(ranks[number, sample] < rate),
            "truncated": False,
        }
        for condition, rate in rates.items()
        for number, base in enumerate(BASES)
        for sample in range(SAMPLES)
    ]


RATES = {"none": 0.8, "identity": 0.8, "random": 0.75, "erase:topic": 0.4}


def cells(rows, perplexities=(), **options):
    table = behaviour_table("toy", rows, perplexities, ENOUGH, n_draws=500, **options)
    assert all(set(row) == set(COLUMNS) for row in table)
    found = {(row["condition"], row["task"], row["quantity"]): row for row in table}
    assert len(found) == len(table)
    return found


def test_known_rates_are_found():
    found = cells(made_up(RATES))
    erased = {quantity: row for (condition, _, quantity), row in found.items() if condition == "erase:topic"}
    for quantity, truth in (
        ("compliance", 0.4),
        ("unedited", 0.8),
        ("change", -0.4),
        ("change_minus_random", -0.35),
    ):
        row = erased[quantity]
        assert row["estimate"] == pytest.approx(truth)
        assert row["lower99"] <= row["lower95"] < truth < row["upper95"] <= row["upper99"]
        assert (row["n"], row["n_bases"], row["truncated"], row["status"]) == (240, 60, 0, "")
    same = found["identity", "topic", "change"]
    assert same["estimate"] == same["lower99"] == same["upper99"] == 0
    # Nothing to compare the controls with, and no row of the unedited themselves.
    for condition in ("identity", "random"):
        assert (condition, "topic", "change_minus_random") not in found
    assert not [key for key in found if key[0] == "none"]


def test_intervals_contain_the_truth():
    """Half of the unedited responses satisfy, by a chance that those of a base share; no edited one does."""
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = made_up({"none": 1.0, "erase:topic": 1.0})
        chance = dict(zip(BASES, rng.beta(2, 2, len(BASES)), strict=True))
        for row in rows:
            row["satisfied"] = bool(rng.uniform() < chance[row["base"]] * (row["condition"] == "none"))
        row = cells(rows)["erase:topic", "topic", "change"]
        hits += row["lower95"] <= -0.5 <= row["upper95"]
    # Below this with a probability of 1 in 1,000 where the coverage is 95 %.
    assert hits >= 51


def test_pairing_narrows_the_interval():
    rows = made_up(RATES)
    paired = cells(rows)["erase:topic", "topic", "change"]
    order = np.random.default_rng(0).permutation(len(BASES) * SAMPLES)
    none = [row for row in rows if row["condition"] == "none"]
    shuffled = [row | {"satisfied": none[at]["satisfied"]} for row, at in zip(none, order, strict=True)]
    unpaired = cells([*shuffled, *(row for row in rows if row["condition"] != "none")])
    wide = unpaired["erase:topic", "topic", "change"]
    assert wide["estimate"] == pytest.approx(paired["estimate"])
    assert wide["upper95"] - wide["lower95"] > 1.2 * (paired["upper95"] - paired["lower95"])


def test_a_pair_with_a_truncated_response_is_left_out():
    rows = made_up(RATES)
    for number, condition in ((3, "none"), (3, "erase:topic"), (9, "erase:topic"), (10, "random")):
        row = [row for row in rows if row["condition"] == condition][number]
        row |= {"truncated": True, "satisfied": not row["satisfied"]}
    found = cells(rows)
    change, minus = (found["erase:topic", "topic", name] for name in ("change", "change_minus_random"))
    assert (change["n"], change["truncated"]) == (238, pytest.approx(2 / 240))
    assert (minus["n"], minus["truncated"]) == (237, pytest.approx(3 / 240))
    kept = [row for row in rows if row["id"] not in {rows[3]["id"], rows[9]["id"]}]
    assert change["estimate"] == pytest.approx(cells(kept)["erase:topic", "topic", "change"]["estimate"])
    for row in rows[:16]:
        row["truncated"] = True
    change = cells(rows)["erase:topic", "topic", "change"]
    assert change["status"].startswith("insufficient: 6.7% of the pairs have a truncated response")
    assert np.isnan(change["estimate"]) and change["truncated"] == pytest.approx(16 / 240)


def test_too_little_is_insufficient_in_words():
    rows = made_up(RATES)
    few = [row for row in rows if row["condition"] != "erase:topic" or row["base"] < "b007"]
    without = [row for row in rows if row["condition"] != "random"]
    other = made_up({"none": 0.5, "random": 0.5}, task="sentiment")
    for given, key, status in (
        (few, ("erase:topic", "topic", "change"), "28 pairs from 7 bases; 20 from 10 are needed"),
        (without, ("erase:topic", "topic", "change_minus_random"), "0 pairs from 0 bases"),
        ([*rows, *other], ("erase:topic", "sentiment", "change"), "0 pairs from 0 bases"),
    ):
        row = cells(given)[key]
        assert row["status"].startswith(f"insufficient: {status}")
        assert all(np.isnan(row[name]) for name in COLUMNS[4:9])


def test_a_condition_may_have_a_control_of_its_own():
    rows = made_up(RATES | {"flip:topic": 0.2, "random_flip": 0.6})
    found = cells(rows, controls={"flip:topic": "random_flip"})
    assert found["flip:topic", "topic", "change_minus_random"]["estimate"] == pytest.approx(-0.4)
    assert found["erase:topic", "topic", "change_minus_random"]["estimate"] == pytest.approx(-0.35)
    assert ("random_flip", "topic", "change_minus_random") not in found


def test_means_over_own_and_other_tasks():
    first = made_up({"none": 0.8, "random": 0.8, "flip:topic": 0.4, "flip:register": 0.7, "steer:2": 0.1})
    second = made_up({"none": 0.5, "random": 0.5, "flip:topic": 0.6, "flip:register": 0.3}, 1, "register")
    found = cells([*first, *second])
    own, others = (found["flip", word, "change_minus_random"] for word in ("own", "others"))
    assert own["estimate"] == pytest.approx((-0.4 - 0.2) / 2) and own["n"] == 2
    assert others["estimate"] == pytest.approx((-0.1 + 0.1) / 2) and others["n_bases"] == len(BASES)
    # Joint draws: what one task gains where the other loses leaves the mean narrow.
    single = found["flip:topic", "topic", "change_minus_random"]
    assert own["lower99"] < -0.3 < own["upper99"] < 0
    assert own["upper99"] - own["lower99"] < single["upper99"] - single["lower99"]
    # Strengths are no tasks; insufficient cells take no part.
    assert not [key for key in found if key[0] == "steer"]
    second = [row for row in second if row["condition"] != "flip:register"]
    assert cells([*first, *second])["flip", "own", "change_minus_random"]["n"] == 1


def test_perplexity_ratio():
    rng = np.random.default_rng(0)
    texts = [
        {
            "condition": "none",
            "task": "topic",
            "base": base,
            "id": base,
            "tokens": tokens,
            "nll": 2.0 * tokens,
        }
        for base, tokens in zip(BASES, rng.integers(5, 30, len(BASES)).tolist(), strict=True)
    ]
    noise = rng.normal(size=len(texts))
    worse = [
        row | {"condition": "erase:topic", "nll": row["nll"] + row["tokens"] * np.log(1.5) + change}
        for row, change in zip(texts, noise - noise.mean(), strict=True)
    ]
    row = cells(made_up(RATES), [*texts, *worse])["erase:topic", "topic", "perplexity_ratio"]
    assert row["estimate"] == pytest.approx(1.5) and row["lower95"] < 1.5 < row["upper95"]
    assert (row["n"], row["n_bases"], row["status"]) == (sum(row["tokens"] for row in texts), 60, "")
    few = cells(made_up(RATES), [*texts, *worse[:9]])["erase:topic", "topic", "perplexity_ratio"]
    assert few["status"] == "insufficient: texts from 9 bases; 10 are needed" and np.isnan(few["estimate"])


def test_what_cannot_be_paired_is_refused():
    rows = made_up(RATES)
    with pytest.raises(UserError, match="no responses of model 'toy' under any edit"):
        cells([row for row in rows if row["condition"] == "none"])
    with pytest.raises(UserError, match="'topic/b000/0' has been edited, but there is no unedited one"):
        cells(rows[1:])
