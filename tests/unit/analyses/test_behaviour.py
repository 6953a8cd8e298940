"""What the table says of answers under edits: known rates, pairs and means."""

import numpy as np
import pytest
from skillprobe.analyses.behaviour import COLUMNS, behaviour_table
from skillprobe.errors import UserError
from skillprobe.probes.cross_validation import Settings

pytestmark = pytest.mark.gpu

ENOUGH = Settings()
BASES, SAMPLES = [f"b{n:03d}" for n in range(60)], 4


def made_up(rates, seed=0, task="topic"):
    """Label rows {condition: chance that a response satisfies}: paired, as one uniform number decides a
    response under all conditions, and correlated within groups."""
    rng = np.random.default_rng(seed)
    uniform = (rng.uniform(size=(len(BASES), 1)) * 0.5 + rng.uniform(size=(len(BASES), SAMPLES)) * 0.5).T
    ranks = uniform.T.argsort(axis=None).argsort().reshape(len(BASES), SAMPLES) / uniform.size
    return [
        {
            "condition": condition,
            "task": task,
            "base": group,
            "group": group,
            "id": f"{task}/{group}/{sample}",
            "satisfied": bool(ranks[number, sample] < rate),
            "truncated": False,
        }
        for condition, rate in rates.items()
        for number, group in enumerate(BASES)
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
        assert (row["n"], row["n_groups"], row["truncated"], row["status"]) == (240, 60, 0, "")
    same = found["identity", "topic", "change"]
    assert same["estimate"] == same["lower99"] == same["upper99"] == 0
    # Nothing to compare the controls with, and no row of the unedited themselves.
    for condition in ("identity", "random"):
        assert (condition, "topic", "change_minus_random") not in found
    assert not [key for key in found if key[0] == "none"]


def test_intervals_contain_the_truth():
    """Half of the unedited responses satisfy, by a chance that those of a group share; no edited one does."""
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
    for row in rows[:60]:
        row["truncated"] = True
    change = cells(rows)["erase:topic", "topic", "change"]
    assert change["status"].startswith("insufficient: 25.0% of the pairs have a truncated response")
    assert np.isnan(change["estimate"]) and change["truncated"] == pytest.approx(60 / 240)


def test_too_little_is_insufficient_in_words():
    rows = made_up(RATES)
    few = [row for row in rows if row["condition"] != "erase:topic" or row["base"] < "b007"]
    without = [row for row in rows if row["condition"] != "random"]
    other = made_up({"none": 0.5, "random": 0.5}, task="sentiment")
    for given, key, status in (
        (few, ("erase:topic", "topic", "change"), "28 pairs from 7 groups; 20 from 10 are needed"),
        (without, ("erase:topic", "topic", "change_minus_random"), "0 pairs from 0 groups"),
        ([*rows, *other], ("erase:topic", "sentiment", "change"), "0 pairs from 0 groups"),
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
    assert others["estimate"] == pytest.approx((-0.1 + 0.1) / 2) and others["n_groups"] == len(BASES)
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
            "base": group,
            "group": group,
            "id": group,
            "tokens": tokens,
            "nll": 2.0 * tokens,
        }
        for group, tokens in zip(BASES, rng.integers(5, 30, len(BASES)).tolist(), strict=True)
    ]
    noise = rng.normal(size=len(texts))
    worse = [
        row | {"condition": "erase:topic", "nll": row["nll"] + row["tokens"] * np.log(1.5) + change}
        for row, change in zip(texts, noise - noise.mean(), strict=True)
    ]
    row = cells(made_up(RATES), [*texts, *worse])["erase:topic", "topic", "perplexity_ratio"]
    assert row["estimate"] == pytest.approx(1.5) and row["lower95"] < 1.5 < row["upper95"]
    assert (row["n"], row["n_groups"], row["status"]) == (sum(row["tokens"] for row in texts), 60, "")
    few = cells(made_up(RATES), [*texts, *worse[:9]])["erase:topic", "topic", "perplexity_ratio"]
    assert few["status"] == "insufficient: texts from 9 groups; 10 are needed" and np.isnan(few["estimate"])


def test_what_cannot_be_paired_is_refused():
    rows = made_up(RATES)
    with pytest.raises(UserError, match="no responses of model 'toy' under any edit"):
        cells([row for row in rows if row["condition"] == "none"])
    with pytest.raises(UserError, match="'topic/b000/0' was generated under an edit, but not without it"):
        cells(rows[1:])
