"""What acting on a monitor brings, on pools whose truth is planted."""

from dataclasses import replace

import numpy as np
import pytest
from skillprobe.analyses.guard import ALL, COLUMNS, guard_table, interpolated
from skillprobe.analyses.pools import Pool, Steered

SETTINGS = {"guard.thresholds": [0.3, 0.5], "guard.tries": [2, 4]}
SETTINGS |= {"probes.max_truncated": 0.2, "probes.min_groups": 10}


def planted(seed=0, subjects=60, sure=True, when=2, tokens=10, chance=0.4):
    """A monitor that knows the outcome from token `when` on (sure), or that says what it likes."""
    rng = np.random.default_rng(seed)
    shape = subjects, 6
    satisfied = rng.random(shape) < chance
    probabilities = np.full((*shape, tokens + 1), 0.6, np.float32)
    told = satisfied if sure else rng.random(shape) < chance
    probabilities[..., when:] = np.where(told, 0.9, 0.1)[..., None]
    names = np.array([f"{number:03d}" for number in range(subjects)])
    return Pool(
        items=np.char.add("topic/b", names),
        groups=np.char.add("g", names),
        tokens=np.full(shape, tokens),
        satisfied=satisfied,
        truncated=np.zeros(shape, bool),
        lost=np.zeros(shape, int),
        probabilities=probabilities,
    )


def table(**by_task):
    return guard_table("m", by_task, SETTINGS, n_draws=300)


def cell(rows, task, policy, quantity="gain", **setting):
    found = [
        row
        for row in rows
        if (row["task"], row["policy"], row["quantity"]) == (task, policy, quantity)
        and all(row[key] == value for key, value in setting.items())
    ]
    assert len(found) == 1, found
    return found[0]


def test_a_monitor_that_knows_early_saves_tokens_and_one_that_guesses_costs_them():
    rows = table(knows=planted(), guesses=planted(sure=False))
    assert all(tuple(row) == COLUMNS for row in rows)
    gain = cell(rows, "knows", "stop_early", threshold=0.5, tries=4)
    assert gain["lower99"] > 0.1
    # Nothing is lost by the verifier's prefix, so it is as good as the verifier alone.
    assert cell(rows, "knows", "stop_on_prefix", tries=4)["estimate"] == 0
    over = cell(rows, "knows", "stop_early", "gain_over_prefix", threshold=0.5, tries=4)
    assert over["estimate"] == pytest.approx(gain["estimate"])
    assert cell(rows, "guesses", "stop_early", threshold=0.5, tries=4)["estimate"] < 0
    assert cell(rows, "guesses", "best_of", tries=4)["upper99"] < -0.2
    settings = [row["estimate"] for row in rows if (row["task"], row["policy"], row["quantity"])
                == ("knows", "stop_early", "gain") and row["tries"] != ALL]  # fmt: skip
    assert cell(rows, "knows", "stop_early", tries=ALL)["estimate"] == pytest.approx(np.mean(settings))


def test_where_the_verifier_is_free_the_best_of_n_can_not_beat_it():
    rows = table(knows=planted())
    for tries in (2, 4):
        best = cell(rows, "knows", "best_of", tries=tries)
        assert best["estimate"] <= 1e-12
        # As good at the end, for more tokens.
        ends = [cell(rows, "knows", each, "compliance", tries=tries) for each in ("best_of", "verify_again")]
        assert ends[0]["estimate"] == pytest.approx(ends[1]["estimate"])


def test_a_plain_response_costs_one_and_the_mean_is_of_the_tasks():
    rows = table(a=planted(1), b=planted(2, chance=0.7))
    for task in ("a", "b", "mean"):
        assert cell(rows, task, "plain", "tokens")["estimate"] == pytest.approx(1)
    for policy, setting in (("verify_again", {"tries": 3}), ("stop_early", {"threshold": 0.3, "tries": 2})):
        of = [cell(rows, task, policy, "compliance", **setting)["estimate"] for task in ("a", "b", "mean")]
        assert of[2] == pytest.approx((of[0] + of[1]) / 2)
    assert cell(rows, "mean", "plain", "tokens")["n"] == 2
    plain = cell(rows, "a", "plain", "compliance")
    assert plain["estimate"] == pytest.approx(planted(1).satisfied.mean())
    assert plain["lower99"] < plain["lower95"] < plain["estimate"] < plain["upper95"] < plain["upper99"]


def test_steered_responses_are_a_setting_of_their_own():
    pool = planted()
    made = Steered(0.5, 2.0, np.full((60, 2), 5), np.ones((60, 2), bool), np.zeros((60, 2), bool))
    rows = table(a=Pool(**{**vars(pool), "steered": (made,)}))
    assert cell(rows, "a", "steer", "compliance", strength=2.0)["estimate"] == 1
    assert cell(rows, "a", "steer", "tokens", strength=2.0)["estimate"] == pytest.approx(0.5)
    # Below one response's tokens it is compared with a plain one.
    gain = cell(rows, "a", "steer", strength=2.0)["estimate"]
    assert gain == pytest.approx(1 - pool.satisfied.mean())


def test_tasks_without_data_have_a_row_that_says_why():
    cut = planted()
    cut = Pool(**{**vars(cut), "truncated": np.ones((60, 6), bool)})
    few = planted(subjects=4)
    rows = table(none=Pool.blank("insufficient: no monitor"), cut=cut, few=few, good=planted())
    for task, why in (("none", "no monitor"), ("cut", "truncated"), ("few", "4 subjects; 10 are needed")):
        row = cell(rows, task, "plain", "compliance")
        assert why in row["status"] and np.isnan(row["estimate"])
    assert cell(rows, "mean", "plain", "compliance")["n"] == 1
    rows = table(none=Pool.blank("insufficient: no monitor"))
    assert cell(rows, "mean", "plain", "compliance")["status"].startswith("insufficient")


def test_lines_are_straight_between_points_and_level_beyond():
    x, y = np.array([[1.0], [2.0], [4.0]]), np.array([[0.2], [0.4], [0.8]])
    at = np.array([0.5, 1, 1.5, 2, 3, 4, 9])
    found = interpolated(np.repeat(x, 7, 1), np.repeat(y, 7, 1), at)
    np.testing.assert_allclose(found, np.interp(at, x[:, 0], y[:, 0]))
    one = interpolated(np.ones((1, 2)), np.array([[0.3, 0.4]]), np.array([0.5, 2]))
    np.testing.assert_allclose(one, [0.3, 0.4])
    flat = interpolated(np.ones((3, 1)), np.full((3, 1), 0.5), np.array([1.0]))
    np.testing.assert_allclose(flat, [0.5])
    # Two starts that cost less than one: at their tokens, one start is no yardstick.
    x, y = np.array([[1.0], [0.8], [0.9]]), np.array([[0.5], [0.7], [0.8]])
    told = {0.7: 0.7, 0.85: 0.75, 0.9: 0.8, 0.95: 0.8, 1.0: 0.8, 2.0: 0.8}
    for place, value in told.items():
        assert interpolated(x, y, np.array([place])) == pytest.approx(value)


def test_more_starts_can_cost_less_than_one_against_the_verifier_on_the_prefix():
    """Violated responses are lost at once and ten times as long, and the monitor repeats the verifier."""
    pool = planted(when=1)
    tokens = np.where(pool.satisfied, 2, 10)
    known = np.full(pool.probabilities.shape, np.nan, np.float32)
    for step in range(11):
        known[..., step] = np.where(step <= tokens, pool.probabilities[..., step], np.nan)
    pool = replace(pool, tokens=tokens, lost=np.where(pool.satisfied, 0, 1), probabilities=known)
    rows = table(knows=pool)
    spent = [cell(rows, "knows", "stop_on_prefix", "tokens", tries=k)["estimate"] for k in (1, 2, 6)]
    assert spent[0] == pytest.approx(1) and spent[1] < 0.9 > spent[2]
    # The monitor stops what the verifier stops, and is held against the best that costs no more.
    line = [
        [
            cell(rows, "knows", "stop_on_prefix", quantity, tries=k)["estimate"]
            for quantity in ("tokens", "compliance")
        ]
        for k in range(1, 7)
    ]
    for tries in (2, 4):
        x, y = line[tries - 1]
        gain = cell(rows, "knows", "stop_early", "gain_over_prefix", threshold=0.5, tries=tries)
        assert gain["estimate"] == pytest.approx(y - max(other for cost, other in line if cost <= x))
