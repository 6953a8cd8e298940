"""Tokens are drawn from the distribution that temperature, top-k and top-p leave, by a row's own number."""

import numpy as np
import pytest
import torch
from skillprobe.errors import UserError
from skillprobe.models.drawing import Draw, uniforms_of
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

VOCABULARY = 5000
SETTINGS = {"temperature": 0.7, "top_k": 0, "top_p": 1.0}


def scores_of(rows, spread=3.0, vocabulary=VOCABULARY):
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, vocabulary, generator=generator) * spread


def drawn(scores, uniforms, **changes):
    """One token of each row, by these numbers."""
    draw = Draw("m", range(len(scores)), SETTINGS | changes, 3)
    draw.uniforms = torch.as_tensor(uniforms, dtype=torch.float64)[:, None]
    return draw(range(len(scores)), [0] * len(scores), scores)


def probabilities(scores, temperature=0.7, top_k=0, top_p=1.0):
    """As transformers has them, in double precision from there."""
    scores = TemperatureLogitsWarper(temperature)(None, scores)
    if top_k:
        scores = TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(None, scores)
    return scores.double().softmax(-1).numpy()


@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
@pytest.mark.parametrize("filters", [{}, {"top_k": 7}, {"top_p": 0.9}, {"top_k": 300, "top_p": 0.95}])
def test_a_token_is_the_first_whose_cumulative_probability_exceeds_the_number(spread, filters):
    scores = scores_of(40, spread)
    uniforms = np.random.default_rng(0).random(len(scores))
    cumulative = probabilities(scores, **filters).cumsum(-1)
    expected = [np.searchsorted(row, u, side="right") for row, u in zip(cumulative, uniforms, strict=True)]
    assert drawn(scores, uniforms, **filters).tolist() == expected


@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("spread", [0.0, 0.1, 3.0, 30.0])
def test_top_p_keeps_the_fewest_tokens_that_have_so_much(top_p, spread):
    """Thousands of tokens where all are about as likely, and one where one is likelier than top_p."""
    scores = scores_of(6, spread)
    kept = Draw("m", range(6), SETTINGS | {"top_p": top_p}, 3)._weights(scores).double()
    share = kept / (scores / 0.7).sub((scores / 0.7).amax(-1, keepdim=True)).exp().double().sum(-1, True)
    least = kept.masked_fill(kept == 0, 2).amin(-1)
    assert (share.sum(-1) >= top_p - 1e-6).all()
    without = torch.where(kept == least[:, None], 0, share).sum(-1)
    assert (without < top_p + 1e-6).all()
    if spread == 3.0:
        assert ((kept > 0).numpy() == (probabilities(scores, top_p=top_p) > 0)).all()


def test_nothing_is_drawn_that_has_no_probability():
    scores = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]]).repeat(4, 1)
    assert drawn(scores, [0.0, 0.4999, 0.5001, 1 - 2**-53]).tolist() == [1, 1, 3, 3]
    wide = torch.full((3, 1000), -torch.inf)
    wide[:, 300], wide[:, 900] = 0.0, -20.0
    assert drawn(wide, [0.0, 0.9, 1 - 2**-53]).tolist() == [300, 300, 900]


def test_a_row_is_drawn_alike_in_any_company():
    scores, uniforms = scores_of(50), np.random.default_rng(1).random(50)
    together = drawn(scores, uniforms, top_p=0.9)
    alone = [drawn(scores[[row]], uniforms[[row]], top_p=0.9) for row in range(50)]
    assert together.tolist() == torch.cat(alone).tolist()
    # Of which rows, and how many tokens they have.
    draw = Draw("m", range(100, 110), SETTINGS, 3)
    expected = drawn(scores[:2], uniforms_of([107, 103], 3)[[0, 1], [2, 0]].numpy())
    assert draw([7, 3], [2, 0], scores[:2]).tolist() == expected.tolist()


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_what_top_p_keeps_is_the_same_in_any_company(two_threads):
    """At shares where rounding decides: torch sums a long row in parts where it is alone."""
    scores = scores_of(4, vocabulary=40_000)
    share = np.sort(probabilities(scores), axis=1)[:, ::-1].cumsum(axis=1)
    for row, number in np.ndindex(4, 6):
        draw = Draw("m", range(4), SETTINGS | {"top_p": share[row, 9 * number]}, 3)
        together, alone = draw._weights(scores)[row], draw._weights(scores[[row]])[0]
        assert torch.equal(together > 0, alone > 0)


@pytest.mark.parametrize("settings", [{"top_p": 1e-15}, {"temperature": 1e-300}, {"temperature": 1e-4}])
def test_the_likeliest_is_drawn_however_little_is_left(settings):
    scores = torch.tensor([[0.0, 1.0, 5.0, 4.9], [7.0, 1.0, 5.0, 0.0]])
    for uniform in (0.0, 0.5, 1 - 2**-53):
        assert drawn(scores, [uniform] * 2, **settings).tolist() == [2, 0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_scores_that_are_no_numbers_are_refused(temperature, value):
    draw = Draw("broken", [0, 1], SETTINGS | {"temperature": temperature}, 3)
    scores = scores_of(2)
    assert draw([0, 1], [0, 0], scores).shape == (2,)
    scores[1] = value
    with pytest.raises(UserError, match=r"^model 'broken' returns NaN or infinite scores"):
        draw([0, 1], [0, 0], scores)
