"""Which tokens positions are."""

import pytest
from skillprobe.activations.positions import DEFAULT, check_position_name, resolve
from skillprobe.errors import UserError


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        # prompt of 5 tokens at 0-4; body of 4 at 5-8, EOS at 9
        ((5, 5, True), {"prompt_0": 0, "prompt_50": 2, "prompt_100": 4, "onset": 5, "last": 8, "eos": 9}),
        # truncated: no EOS, and the last token is one of the body
        ((5, 4, False), {"prompt_0": 0, "prompt_50": 2, "prompt_100": 4, "onset": 5, "last": 8}),
        # one token and EOS: it is the last rather than the first
        ((5, 2, True), {"prompt_0": 0, "prompt_50": 2, "prompt_100": 4, "last": 5, "eos": 6}),
        # only EOS, and nothing at all
        ((5, 1, True), {"prompt_0": 0, "prompt_50": 2, "prompt_100": 4, "eos": 5}),
        ((5, 0, False), {"prompt_0": 0, "prompt_50": 2, "prompt_100": 4}),
        # a prompt of one token: its last
        ((1, 3, True), {"prompt_100": 0, "onset": 1, "last": 2, "eos": 3}),
    ],
)
def test_positions(lengths, expected):
    names = ["prompt_0", "prompt_50", "prompt_100", "onset", "last", "eos"]
    indices, valid = resolve(names, *lengths)
    assert {name: i for name, i, ok in zip(names, indices.tolist(), valid, strict=True) if ok} == expected


def test_body_is_spread_over_the_response_without_its_eos():
    indices, valid = resolve(["onset", "body_10", "body_50", "body_90", "last"], 3, 12, True)
    assert indices.tolist() == [3, 4, 8, 12, 13] and valid.all()


def test_coinciding_positions_are_counted_once_whatever_the_order_of_names():
    for names in (list(DEFAULT), list(DEFAULT)[::-1]):
        for length in range(12):
            indices, valid = resolve(names, 4, length, has_eos=length > 0)
            chosen = indices[valid].tolist()
            assert len(set(chosen)) == len(chosen)
    # Of two body positions on one token the earlier counts.
    _, valid = resolve(["body_60", "body_50", "onset", "last"], 4, 4, True)
    assert valid.tolist() == [False, True, True, True]


def test_default_positions_and_refused_names():
    assert len(DEFAULT) == 10 and {"prompt_100", "onset", "last", "eos"} <= set(DEFAULT)
    for name in (*DEFAULT, "prompt_0", "body_25"):
        check_position_name(name)
    for name in ("prompt_101", "prompt_", "body_5", "body_95", "body", "end", "prompt_07", "onset_1"):
        with pytest.raises(UserError, match=f"no position '{name}'"):
            check_position_name(name)


def test_positions_of_an_answer_after_a_thought_are_those_without_it():
    """What the prompt says is where it was, and the answer later by the tokens that were thought."""
    names = [*DEFAULT, "token_2"]
    for length in range(12):
        plain, valid = resolve(names, 4, length, has_eos=length > 0)
        moved, still_valid = resolve(names, 4, length + 7, has_eos=length > 0, thinking=7)
        in_answer = valid & (plain >= 4)
        assert (moved[in_answer] == plain[in_answer] + 7).all() and (valid == still_valid).all()
        assert (moved[plain < 4] == plain[plain < 4]).all()
