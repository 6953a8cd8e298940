"""Crossings are balanced, of answers that were sampled under neither constraint, and no task's alone."""

from collections import Counter

import pytest
from made.items import SETTINGS, WORLD, items_of, moods, responses_to, words
from skillprobe import tasks
from skillprobe.labels.crossings import _counts, can_cross, make_crossings
from skillprobe.labels.judges import get_judge
from skillprobe.labels.labelling import label_rows

NAMES = {"word_count": words, "sentiment": moods}


def world_of(task):
    return get_judge("lexicon", task.name, WORLD) if task.judged else None


def answered(names=NAMES, **changes):
    """{task: its items}, and responses to all of them."""
    items = {name: items_of(name, **changes) for name in names}
    return items, [row for name, own in items.items() for row in responses_to(own, NAMES[name])]


def crossed(name, items, answers, crossings=1, seed=0):
    task = tasks.get(name)
    own = [row for row in answers if row["id"].startswith(f"{name}/")]
    labels = label_rows(task, items[name], own, world_of(task))
    settings = SETTINGS | {"crossings": crossings}
    return make_crossings(task, WORLD, items[name], labels, answers, world_of(task), settings, seed)


def of_variant(rows, variant="counterfactual"):
    return [row for row in rows if row["variant"] == variant]


@pytest.mark.parametrize("name", NAMES)
def test_crossings_are_balanced_and_of_answers_to_other_prompts(name):
    items, answers = answered()
    task = tasks.get(name)
    rows = of_variant(crossed(name, items, answers, crossings=2))
    assert len(rows) >= 4 * 36 and len({row["id"] for row in rows}) == len(rows)
    params_of = {item["item"]: item["params"] for item in items[name]}
    by_id = {answer["id"]: answer for answer in answers}
    under = {}
    for answer in answers:
        if answer["variant"] == "constrained" and not answer["truncated"]:
            under.setdefault((answer["base"], answer["response"]), []).append(params_of.get(answer["item"]))
    for start in range(0, len(rows), 4):
        four = rows[start : start + 4]
        assert [(row["asked"], row["answered"]) for row in four] == [(0, 0), (1, 0), (0, 1), (1, 1)]
        assert [row["satisfied"] for row in four] == [True, False, False, True]
        for key in ("item", "base", "group", "phrasing", "one_relation", "n_difference"):
            assert len({row[key] for row in four}) == 1
        # Each prompt and each response comes once satisfied and once violated: alone they say nothing.
        for part in ("prompt", "response"):
            cells = Counter((row[part], row["satisfied"]) for row in four)
            assert len(cells) == 4 and set(cells.values()) == {1}
        asked = [row["params"] for row in four]
        for row in four:
            assert task.verify(row["response"], row["params"], world_of(task)).satisfied == row["satisfied"]
            assert not row["truncated"] and row["token_ids"][-1] == 3
            source = by_id[row["answer_from"]]
            assert (source["response"], source["base"]) == (row["response"], row["base"])
            assert all(own not in asked for own in under.get((row["base"], row["response"]), ()))
    assert of_variant(crossed(name, items, answers, crossings=2)) == rows
    assert of_variant(crossed(name, items, answers, crossings=2, seed=1)) != rows


def test_answers_to_other_tasks_and_to_unconstrained_prompts_are_candidates():
    items = {name: items_of(name) for name in NAMES}
    moodless = responses_to(items["sentiment"], words)
    assert of_variant(crossed("sentiment", items, moodless)) == []
    rows = of_variant(crossed("sentiment", items, moodless + responses_to(items["word_count"], moods)))
    assert len(rows) > 4 * 20 and {row["answer_from"].split("/")[0] for row in rows} == {"word_count"}
    assert {row["answer_from"].split("/")[3] for row in rows} == {"constrained", "unconstrained"}


def test_crossings_of_a_base_share_neither_params_nor_answers_and_the_first_prefers_one_relation():
    items, answers = answered(["word_count"], bases=12)
    rows = of_variant(crossed("word_count", items, answers, crossings=3))
    assert set(Counter(row["base"] for row in rows).values()) == {12}
    for base in {row["base"] for row in rows}:
        own = [row for row in rows if row["base"] == base]
        assert set(Counter(row["response"] for row in own).values()) == {2}
        assert set(Counter(str(row["params"]) for row in own).values()) == {2}
    for row in rows:
        pair = [other["params"] for other in rows if other["item"] == row["item"]]
        assert row["one_relation"] == (len({params["relation"] for params in pair}) == 1)
        numbers = {params["n"] for params in pair}
        assert row["n_difference"] == max(numbers) - min(numbers)
    share = {
        number: [row["one_relation"] for row in rows if row["item"].endswith(f"x{number}")]
        for number in (0, 1)
    }
    assert sum(share[0]) > sum(share[1])


def test_a_task_whose_constraint_never_varies_has_none():
    items = {"toxicity": items_of("toxicity", bases=4)}
    rows = crossed("toxicity", items, responses_to(items["toxicity"], words))
    assert {row["variant"] for row in rows} == {"without_constraint"}


def test_more_content_requests_leave_crossings_as_they_were():
    items, answers = answered(bases=6)
    few = of_variant(crossed("sentiment", items, answers))
    items, answers = answered(bases=12)
    assert few == [row for row in of_variant(crossed("sentiment", items, answers)) if row["base"] < "b006"]


def test_own_answers_come_again_with_the_unconstrained_prompt():
    items, answers = answered(["word_count"])
    rows = of_variant(crossed("word_count", items, answers), "without_constraint")
    own = {row["id"]: row for row in label_rows(tasks.get("word_count"), items["word_count"], answers, None)}
    plain = {item["item"]: item["unconstrained_prompt"] for item in items["word_count"]}
    outcomes = {
        (row["item"], row["satisfied"])
        for row in own.values()
        if row["variant"] == "constrained" and not row["truncated"]
    }
    assert sorted((row["item"], row["satisfied"]) for row in rows) == sorted(outcomes)
    for row in rows:
        source = own[row["answer_from"]]
        assert source["variant"] == "constrained" and row["prompt"] == plain[row["item"]] != source["prompt"]
        assert all(row[key] == source[key] for key in ("response", "token_ids", "satisfied", "group"))


def test_crossings_are_drawn_from_the_lists_of_the_settings():
    items, answers = answered(word_targets=[6, 18])
    own = [row for row in answers if row["id"].startswith("word_count/")]
    task = tasks.get("word_count")
    labels = label_rows(task, items["word_count"], own, None)
    settings = SETTINGS | {"crossings": 1, "word_targets": [6, 18]}
    rows = of_variant(make_crossings(task, WORLD, items["word_count"], labels, answers, None, settings, 0))
    assert {row["params"]["n"] for row in rows} == {6, 18}


@pytest.mark.parametrize("name", NAMES)
def test_crossings_of_a_base_do_not_depend_on_how_many_there_are(name):
    items, answers = answered()
    whole = {row["id"]: row for row in crossed(name, items, answers)}
    parts = {}
    for half in (slice(20), slice(20, None)):
        some = {each: own[half] for each, own in items.items()}
        bases = {item["base"] for item in some[name]}
        parts |= {row["id"]: row for row in crossed(name, some, [a for a in answers if a["base"] in bases])}
    assert parts == whole and whole


@pytest.mark.parametrize(
    "params", [{}, {"relation": "like"}, {"relation": "like", "n": "three"}, {"relation": "like", "n": True}]
)
def test_what_is_no_count_has_no_relation_to_compare(params):
    """Tasks of users may have params of these names that mean something else."""
    count = {"relation": "at_least", "n": 3}
    assert _counts(params, count) == _counts(count, params) == _counts(params, params) == (None, None)
    assert _counts(count, {"relation": "at_most", "n": 5}) == (False, 2)


def test_what_has_one_constraint_only_cannot_be_crossed():
    can = {name: can_cross(tasks.get(name), WORLD) for name in tasks.available()}
    assert can == dict.fromkeys(can, True) | {"toxicity": False}
