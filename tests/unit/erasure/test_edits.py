"""Edits of the hidden states: what they change, and what they leave alone."""

import numpy as np
import pytest
import torch
from made.edits import GENERATION, PROMPTS, choose, direction, eraser
from made.models import HIDDEN, NUM_LAYERS
from skillprobe.activations.extraction import read_states
from skillprobe.erasure.edits import Erase, RowWise, Steer, edited, identity
from skillprobe.errors import UserError
from skillprobe.models.chat import chat_ids
from skillprobe.models.generation import generate
from skillprobe.models.loading import load

pytestmark = pytest.mark.gpu

SEEDS = list(range(100, 100 + len(PROMPTS)))
LAYERS = range(NUM_LAYERS + 1)


def responses(loaded, edits=None, kinds=None):
    """kinds: [prompt], which of its edits a RowWise makes."""
    edits, kinds = edits or {}, np.zeros(len(PROMPTS), int) if kinds is None else kinds
    with edited(loaded, edits):
        return generate(loaded, PROMPTS, SEEDS, GENERATION, lambda rows: choose(edits, kinds[rows]))


def states(loaded, edits):
    """[layer, token, hidden] of one sequence."""
    ids = chat_ids(loaded.tokenizer, PROMPTS[1])
    choose(edits, [0])
    with edited(loaded, edits):
        return read_states(loaded, [ids], np.arange(len(ids))[None])[:, :, 0].cpu()


def hooks(loaded):
    return [(len(block._forward_hooks), len(block._forward_pre_hooks)) for block in loaded.blocks]


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
    message = "layer 2 is for a hidden size of 48, but model 'llama' has a hidden size of 32"
    with (
        pytest.raises(UserError, match=message),
        edited(loaded_models["llama"], {2: RowWise([None, edit])}),
    ):
        pass
