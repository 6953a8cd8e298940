"""Policies run afterwards on pools of responses: what each costs and gives, by hand."""

from math import comb

import numpy as np
import pytest
from skillprobe.analyses import pools
from skillprobe.analyses.pools import Pool, Steered
from skillprobe.errors import DamagedFile

NAN = np.nan
IN_ORDER = np.array([[0, 1, 2]])


def pool(**more):
    """One prompt, three responses of 3, 4 and 2 tokens, of which the second satisfies."""
    parts = {
        "items": np.array(["topic/b080/0"]),
        "groups": np.array(["g080"]),
        "tokens": np.array([[3, 4, 2]]),
        "satisfied": np.array([[False, True, False]]),
        "truncated": np.array([[False, False, True]]),
        "lost": np.array([[2, 0, 0]]),
        "probabilities": np.array(
            [[[0.1, 0.6, 0.4, 0.2, NAN], [0.1, 0.6, 0.5, 0.7, 0.8], [0.1, 0.3, 0.9, NAN, NAN]]], np.float32
        ),
    }
    return Pool(**parts | more)


def ran(fates, tries, order=IN_ORDER):
    number, satisfied, spent, starts = pools.run(fates, pool().satisfied, tries, order)
    return [(int(n), bool(s), int(t), int(k)) for n, s, t, k in zip(
        number[0], satisfied[0], spent[0], starts[0], strict=True
    )]  # fmt: skip


@pytest.mark.parametrize(
    ("fates", "tries", "expected"),
    [
        (pools.verify_again(pool()), 1, (0, False, 3, 1)),
        (pools.verify_again(pool()), 2, (1, True, 7, 2)),
        (pools.verify_again(pool()), 3, (1, True, 7, 2)),
        # The first is stopped after two tokens; alone, it is written to its end.
        (pools.stop_on_prefix(pool()), 1, (0, False, 3, 1)),
        (pools.stop_on_prefix(pool()), 2, (1, True, 6, 2)),
        (pools.best_of(pool()), 2, (1, True, 7, 2)),
        (pools.best_of(pool()), 3, (2, False, 9, 3)),
        # Stopped after 2 tokens, then one that stays above.
        (pools.stop_early(pool(), 0.45), 3, (1, True, 6, 2)),
        # All are stopped, after 1, 1 and 1 tokens; the first of the highest is written to its end.
        (pools.stop_early(pool(), 0.65), 3, (0, False, 1 + 1 + 1 + 2, 3)),
        # The third is never below and isn't verified, the others are stopped after 2 and 2.
        (pools.stop_early(pool(), 0.55), 2, (1, True, 2 + 2 + 2, 2)),
        # The prompt's end alone stops nothing.
        (pools.stop_early(pool(), 0.15), 1, (0, False, 3, 1)),
        # With a verifier, what is whole and wrong goes on.
        (pools.stop_early(pool(), 0.15, verified=True), 3, (1, True, 7, 2)),
    ],
)
def test_what_a_policy_costs_and_gives(fates, tries, expected):
    assert ran(fates, tries) == [expected]


def test_what_is_known_to_be_wrong_is_not_the_answer_while_another_was_stopped():
    order = np.array([[2, 0, 1]])
    probabilities = pool().probabilities.copy()
    probabilities[0, 2, 1] = 0.9
    fates = pools.stop_early(pool(probabilities=probabilities), 0.45, verified=True)
    # The third is whole and wrong, at 0.9; the first was stopped at 0.4.
    assert ran(fates, 2, order) == [(0, False, 2 + 2 + 1, 2)]
    assert ran(pools.stop_early(pool(probabilities=probabilities), 0.45), 2, order) == [(2, False, 2, 1)]


def test_one_start_is_a_plain_response_and_more_are_never_worse_with_a_verifier():
    rng = np.random.default_rng(0)
    shape = 20, 6
    satisfied = rng.random(shape) < 0.4
    tokens = rng.integers(2, 9, shape)
    made = pool(
        satisfied=satisfied,
        tokens=tokens,
        lost=np.where(~satisfied & (rng.random(shape) < 0.5), np.minimum(tokens, 2), 0),
        probabilities=np.where(
            np.arange(10) <= tokens[..., None], rng.random((*shape, 10)), NAN
        ).astype(np.float32),
    )  # fmt: skip
    order = pools.orders(6, 0)
    for fates in (pools.verify_again(made), pools.stop_on_prefix(made), pools.best_of(made)):
        chance, spent = pools.mean_over_orders(fates, made, 1, order)
        np.testing.assert_allclose(chance, satisfied.mean(axis=1))
        np.testing.assert_allclose(spent, tokens.mean(axis=1))
    for tries in range(1, 6):
        fates = pools.verify_again(made)
        again, more = (pools.mean_over_orders(fates, made, k, order) for k in (tries, tries + 1))
        assert (more[0] >= again[0]).all() and (more[1] >= again[1]).all()
        prefix = pools.mean_over_orders(pools.stop_on_prefix(made), made, tries, order)
        np.testing.assert_allclose(prefix[0], again[0])
        assert (prefix[1] <= again[1] + 1e-9).all()
        best = pools.mean_over_orders(pools.best_of(made), made, tries, order)
        checked = pools.mean_over_orders(pools.stop_early(made, 0.3, True), made, tries, order)
        assert (best[0] <= again[0] + 1e-9).all() and (checked[0] <= again[0] + 1e-9).all()
    # With as many starts as responses, one that satisfies is found if there is one.
    np.testing.assert_allclose(more[0], satisfied.any(axis=1))


def test_verifying_again_meets_the_closed_form():
    """Of K responses, s of which satisfy, n starts without replacement find none by C(K - s, n) / C(K, n)."""
    satisfied = np.arange(6) < 2
    made = pool(satisfied=satisfied[None], tokens=np.full((1, 6), 5), lost=np.zeros((1, 6), int))
    rng = np.random.default_rng(1)
    order = np.array([rng.permutation(6) for _ in range(20_000)])
    for tries in (2, 3, 4):
        chance, spent = pools.mean_over_orders(pools.verify_again(made), made, tries, order)
        assert chance[0] == pytest.approx(1 - comb(4, tries) / comb(6, tries), abs=0.01)
        starts = sum(comb(4, k) / comb(6, k) for k in range(tries))
        assert spent[0] == pytest.approx(5 * starts, rel=0.01)


def test_orders_are_the_same_each_time_and_balanced():
    order = pools.orders(5, 3)
    assert np.array_equal(order, pools.orders(5, 3)) and not np.array_equal(order, pools.orders(5, 4))
    assert (np.sort(order, axis=1) == np.arange(5)).all()
    assert all((np.bincount(column) == len(order) // 5).all() for column in order.T)


def test_a_pool_is_what_was_stored_and_equal_pools_are_equal_bytes(tmp_path):
    steered = Steered(0.5, -2.0, np.array([[3, 4]]), np.array([[True, False]]), np.array([[False, False]]))
    made = pool(steered=(steered,))
    for name in ("a", "b"):
        pools.save(tmp_path / name / "x.h5", made)
    assert (tmp_path / "a/x.h5").read_bytes() == (tmp_path / "b/x.h5").read_bytes()
    found = pools.load(tmp_path / "a/x.h5")
    for name in ("items", "groups", "tokens", "satisfied", "truncated", "lost", "probabilities"):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
    (back,) = found.steered
    assert (back.threshold, back.strength) == (0.5, -2.0)
    np.testing.assert_array_equal(back.satisfied, steered.satisfied)
    pools.save(tmp_path / "none.h5", Pool.blank("insufficient: 3 violated responses"))
    none = pools.load(tmp_path / "none.h5")
    assert none.status == "insufficient: 3 violated responses" and len(none.items) == 0
    content = bytearray((tmp_path / "a/x.h5").read_bytes())
    content[-5] ^= 1
    (tmp_path / "a/x.h5").write_bytes(content)
    with pytest.raises(DamagedFile, match="guard file"):
        pools.load(tmp_path / "a/x.h5")
