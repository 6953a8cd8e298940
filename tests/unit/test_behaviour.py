"""Edits of the hidden states: what they change, what they leave alone, and what the table says of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import HIDDEN, NUM_LAYERS, TEXT
from skillprobe import behaviour, tasks
from skillprobe.activations import read_states
from skillprobe.analyses.behaviour import COLUMNS, behaviour_table
from skillprobe.behaviour import Erase, Steer, cross_fitted, edited, identity, perplexity, respond
from skillprobe.erasure import Eraser
from skillprobe.errors import UserError
from skillprobe.generation import generate, generate_task
from skillprobe.labels import label_rows
from skillprobe.models import chat_ids, load
from skillprobe.probes import Settings

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


def responses(loaded, edits=None):
    with edited(loaded, edits or {}):
        return generate(loaded, PROMPTS, SEEDS, GENERATION)


def states(loaded, edits):
    """[layer, token, hidden] of one sequence."""
    ids = chat_ids(loaded.tokenizer, PROMPTS[1])
    with edited(loaded, edits):
        return read_states(loaded, [ids], np.arange(len(ids))[None])[:, :, 0]


def hooks(loaded):
    return [(len(block._forward_hooks), len(block._forward_pre_hooks)) for block in loaded.blocks]


# Hooks and edits


def test_identity_is_bit_identical(loaded):
    plain = responses(loaded)
    assert responses(loaded, dict.fromkeys(LAYERS, identity)) == plain
    rank_0 = Erase(eraser(rank=0))
    assert responses(loaded, dict.fromkeys(LAYERS, Steer(np.ones(HIDDEN), 0.0))) == plain
    assert responses(loaded, dict.fromkeys(LAYERS, rank_0)) == plain
    ids = torch.tensor([chat_ids(loaded.tokenizer, PROMPTS[1])])
    with torch.no_grad():
        logits = loaded.model(ids).logits
        for edit in (identity, Steer(np.ones(HIDDEN), 0.0), rank_0):
            with edited(loaded, dict.fromkeys(LAYERS, edit)):
                assert torch.equal(loaded.model(ids).logits, logits)
    # And they are no test of nothing: a real edit at any layer changes the text.
    for layer in LAYERS:
        assert responses(loaded, {layer: Steer(np.random.default_rng(1).normal(size=HIDDEN), 3.0)}) != plain


@pytest.mark.parametrize("layer", LAYERS)
def test_the_layer_and_those_above_are_changed_and_none_below(loaded, layer):
    plain = states(loaded, {})
    made = eraser()
    found = states(loaded, {layer: Erase(made)})
    assert torch.equal(found[:layer], plain[:layer])
    np.testing.assert_allclose(found[layer], made(plain[layer].numpy()), atol=1e-4)
    read = (found[layer].numpy() - made.mean) @ made.b.T
    assert np.abs(read).max() < 1e-4 * np.abs((plain[layer].numpy() - made.mean) @ made.b.T).max()
    for above in range(layer + 1, NUM_LAYERS + 1):
        assert not torch.allclose(found[above], plain[above], atol=1e-3)


def test_edits_of_several_layers_are_made_together(loaded):
    made = {layer: eraser(seed=layer) for layer in LAYERS}
    found = states(loaded, {layer: Erase(each) for layer, each in made.items()})
    for layer, each in made.items():
        np.testing.assert_allclose((found[layer].numpy() - each.mean) @ each.b.T, 0, atol=1e-3)


def test_reflecting_twice_is_the_identity(loaded):
    reflect = Erase(eraser(alpha=2.0))
    once = states(loaded, {1: reflect})
    twice = states(loaded, {1: lambda hidden: reflect(reflect(hidden))})
    plain = states(loaded, {})
    assert not torch.allclose(once[1], plain[1], atol=1e-2)
    torch.testing.assert_close(twice, plain, atol=1e-3, rtol=1e-3)


def test_steering_adds_strength_times_direction(loaded):
    direction = np.random.default_rng(0).normal(size=HIDDEN)
    found, plain = states(loaded, {2: Steer(direction, -1.5)}), states(loaded, {})
    torch.testing.assert_close(found[2], plain[2] - 1.5 * torch.tensor(direction, dtype=torch.float32))


def test_cached_decoding_is_the_teacher_forced_pass_under_the_same_edits(loaded):
    edits = {0: Steer(np.random.default_rng(2).normal(size=HIDDEN), 0.5), 2: Erase(eraser(alpha=2.0))}
    prompts = [chat_ids(loaded.tokenizer, prompt) for prompt in PROMPTS[:3]]
    width = max(map(len, prompts))
    ids = torch.tensor([[loaded.pad_id] * (width - len(each)) + each for each in prompts])
    mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in prompts])
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
            whole = torch.tensor([prompt + made.sequences[row, width:].tolist()])
            forced = loaded.model(whole, use_cache=False).logits[0, len(prompt) - 1 : -1]
            torch.testing.assert_close(stepwise[row], forced, atol=2e-3, rtol=2e-3)
    with torch.no_grad():
        assert not torch.allclose(loaded.model(whole).logits[0, len(prompt) - 1 : -1], forced, atol=0.1)


def test_hooks_are_gone_after_the_block_and_after_an_exception(loaded):
    before, plain = hooks(loaded), states(loaded, {})
    edits = dict.fromkeys(LAYERS, Erase(eraser()))
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
    found = states(loaded, {2: Erase(made)})
    assert found.dtype == torch.bfloat16
    expected = torch.tensor(made(plain[2].float().numpy())).bfloat16()
    # Another order of sums may round the last bit the other way.
    torch.testing.assert_close(found[2], expected, atol=1e-3, rtol=2**-7)
    assert responses(loaded, dict.fromkeys(LAYERS, identity)) == responses(loaded)


def test_factors_are_copied_once_to_a_device():
    erase = Erase(eraser())
    meta = torch.empty(2, 3, HIDDEN, device="meta")
    assert erase(meta).device.type == "meta" and erase(meta).shape == meta.shape
    assert erase._factors.on(meta.device) is erase._factors.on(meta.device)


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
    with pytest.raises(UserError, match=message), edited(loaded_models["llama"], {2: edit}):
        pass


# Responses and perplexity under edits

TASK = tasks.get("word_count")
FOLDS = {f"b{n:03d}": n % 3 - 1 for n in range(9)}  # -1: calibration
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
SAMPLING = GENERATION | {"samples": 2, "twin_samples": 1, "max_new_tokens": 8, "batch_size": 1}


def test_unedited_responses_are_the_studys(loaded_models):
    loaded = loaded_models["llama"]
    made = generate_task(loaded, ITEMS, SAMPLING, seed=7)
    study = {row["id"]: row for row in label_rows(TASK, None, ITEMS, made, None, {"crossings": 0}, 7)}
    rows = respond(loaded, TASK, ITEMS, dict.fromkeys((0, 1), {1: identity}), FOLDS, SAMPLING, seed=7)
    assert all(row == study[row["id"]] for row in rows)
    assert {row["base"] for row in rows} == {base for base, fold in FOLDS.items() if fold >= 0}
    assert len(rows) == 2 * 6 and {row["variant"] for row in rows} == {"constrained"}
    fewer = respond(loaded, TASK, ITEMS, {0: {}, 1: {}}, FOLDS, SAMPLING | {"samples": 1}, seed=7)
    assert fewer == [row for row in rows if row["id"].endswith("/0")]


def test_a_base_is_answered_under_its_own_folds_edits_only(loaded_models, monkeypatch):
    loaded = loaded_models["llama"]
    edits = {fold: {2: Erase(eraser(alpha=2.0, seed=fold))} for fold in (0, 1)}
    rows = {row["id"]: row for row in respond(loaded, TASK, ITEMS, edits, FOLDS, SAMPLING, seed=7)}
    for fold in (0, 1):
        with edited(loaded, edits[fold]):
            alone = generate_task(
                loaded, [item for item in ITEMS if FOLDS[item["base"]] == fold], SAMPLING, 7
            )
        for row in alone:
            if row["variant"] == "constrained":
                assert rows[row["id"]]["token_ids"] == row["token_ids"]
    other = {
        row["id"]: row for row in respond(loaded, TASK, ITEMS, {0: edits[1], 1: edits[0]}, FOLDS, SAMPLING, 7)
    }
    assert other.keys() == rows.keys() and other != rows
    # No edit ever sees another fold's prompts.
    within = []
    monkeypatch.setattr(behaviour, "edited", lambda _, edits: within.append(edits) or edited(loaded, {}))
    cross_fitted(
        loaded, ITEMS, edits, FOLDS, lambda part: within.append({FOLDS[i["base"]] for i in part}) or []
    )
    assert within == [edits[0], {0}, edits[1], {1}]


def test_judged_tasks_are_judged(loaded_models):
    items = [item | {"params": {"label": "x", "labels": ["x", "y"]}} for item in ITEMS]
    judge = SimpleNamespace(classify=lambda text: {"label": "x", "scores": {}}, labels=("x", "y"))
    rows = respond(
        loaded_models["llama"], tasks.get("topic"), items, {0: {}, 1: {}}, FOLDS, SAMPLING, 7, judge
    )
    assert all(row["satisfied"] == bool(row["response"]) for row in rows)


def test_nothing_is_generated_when_a_fold_is_wrong(loaded_models, monkeypatch):
    monkeypatch.setattr(behaviour, "generate_task", lambda *_: pytest.fail("generated"))
    for edits, folds, message in (
        ({0: {}}, FOLDS, "fold 1 has no edits"),
        ({0: {}, 1: {9: identity}}, FOLDS, "no layer 9"),
        ({0: {}, 1: {1: Erase(eraser(d=16))}}, FOLDS, "hidden size of 16"),
        ({0: {}, 1: {}}, {"b000": 0}, "base 'b001'"),
    ):
        with pytest.raises(UserError, match=message):
            respond(loaded_models["llama"], TASK, ITEMS, edits, folds, SAMPLING, seed=7)


def text_rows():
    return [
        {
            "id": f"r{n}",
            "base": f"b{n:03d}",
            "prompt": prompt,
            "token_ids": [6 + (n + i) % 20 for i in range(n)],
        }
        for n, prompt in enumerate(PROMPTS)
    ]


@pytest.mark.parametrize("edits", [{}, {2: Erase(eraser())}], ids=["plain", "erased"])
def test_perplexity_is_that_of_the_models_own_loss(loaded, edits):
    rows = text_rows()
    with edited(loaded, edits):
        found = perplexity(loaded, rows, {"tokens_per_batch": 60})
        for row, result in zip(rows, found, strict=True):
            assert (result["id"], result["base"]) == (row["id"], row["base"])
            assert result["tokens"] == len(row["token_ids"])
            if not row["token_ids"]:
                assert result["nll"] == 0
                continue
            ids = chat_ids(loaded.tokenizer, row["prompt"])
            labels = torch.tensor([[-100] * len(ids) + row["token_ids"]])
            with torch.no_grad():
                loss = loaded.model(torch.tensor([ids + row["token_ids"]]), labels=labels).loss
            assert result["nll"] == pytest.approx(loss.item() * result["tokens"], rel=1e-4)


def test_perplexity_halves_its_batches_when_out_of_memory(loaded_models, monkeypatch):
    loaded, plain = loaded_models["llama"], behaviour._nll
    whole = perplexity(loaded, text_rows(), {"tokens_per_batch": 1000})

    def small_gpu(loaded, sequences, lengths):
        if len(sequences) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(loaded, sequences, lengths)

    monkeypatch.setattr(behaviour, "_nll", small_gpu)
    with pytest.warns(UserWarning, match="out of memory"):
        parts = perplexity(loaded, text_rows(), {"tokens_per_batch": 1000})
    for one, other in zip(whole, parts, strict=True):
        assert one["nll"] == pytest.approx(other["nll"], rel=1e-4)


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
