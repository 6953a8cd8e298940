"""Items are balanced, and more of them move nothing."""

from collections import Counter
from dataclasses import replace

import pytest
from made.items import SETTINGS, WORLD, items_of
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.prompts.bases import group_ids
from skillprobe.prompts.items import make_items
from skillprobe.study.slices import blocks
from skillprobe.tasks.world import load_world


def test_more_bases_items_or_tasks_move_nothing():
    rows = {row["item"]: row for row in items_of("word_count")}
    for changes in ({"bases": 10}, {"items_per_base": 1}):
        fewer = items_of("word_count", **changes)
        assert len(fewer) < len(rows) and all(rows[row["item"]] == row for row in fewer)
    assert items_of("word_count", seed=1) != list(rows.values())


def test_every_subject_is_used_once_before_any_is_used_twice():
    n = len(WORLD.subjects)
    rows = items_of("word_count", bases=2 * n + 5, items_per_base=1)
    subjects = [row["subject"] for row in rows]
    assert set(subjects[:n]) == set(subjects[n : 2 * n]) == set(WORLD.subjects)
    assert len({(row["subject"], row["request"]) for row in rows}) == len(rows)
    # A subject is a group, whatever the request and the task.
    assert len({(row["subject"], row["group"]) for row in rows}) == n
    others = items_of("topic", bases=2 * n + 5, items_per_base=1)
    assert [(row["base"], row["group"]) for row in rows] == [(row["base"], row["group"]) for row in others]
    assert {row["group"] for row in rows} == set(group_ids(n))
    # The requests are mixed from the start.
    assert len({row["request"] for row in rows[:20]}) == len(WORLD.requests)


@pytest.mark.parametrize("world", [WORLD, load_world("general")], ids=lambda world: world.name)
@pytest.mark.parametrize("name", tasks.available())
def test_a_base_is_the_same_in_a_larger_study_and_in_any_block(world, name):
    """What a study costs when it grows: 90 bases are the first 90 of 180, whatever a job makes of them."""

    def made(size, bases):
        settings = SETTINGS | {"items_per_base": 1, "bases": bases}
        config = {"prompts": settings, "generation": {"block": size}}
        return [
            row
            for block in blocks(config)
            for row in make_items(tasks.get(name), world, settings, 0, range(*block))
        ]

    large = made(90, 180)
    assert len(large) == 180 and made(90, 90) == large[:90]
    assert all(made(size, 180) == large for size in (1, 7, 60, 180, 500))
    assert make_items(tasks.get(name), world, SETTINGS | {"items_per_base": 1, "bases": 180}, 0) == large


@pytest.mark.parametrize("name", tasks.available())
def test_instruction_types_and_phrasings_are_balanced(name):
    rows = items_of(name)
    types = Counter(row["instruction_type"] for row in rows)
    assert set(types.values()) == {len(rows) // 3}
    for kind in types:
        for polarity in SETTINGS["polarities"]:
            group = [
                p.id
                for p in tasks.get(name).phrasings
                if (p.instruction_type, p.polarity) == (kind, polarity)
            ]
            counts = Counter(row["phrasing"] for row in rows)
            assert not group or max(counts[p] for p in group) - min(counts[p] for p in group) <= 2


def test_restricted_phrasings_and_unconstrained_prompts():
    rows = items_of("word_count", instruction_types=["human"], polarities=["negated"])
    assert {(row["instruction_type"], row["polarity"]) for row in rows} == {("human", "negated")}
    for row in rows:
        assert row["unconstrained_prompt"] == row["request"].replace("{subject}", row["subject"])
        assert row["prompt"] != row["unconstrained_prompt"] and row["subject"] in row["prompt"]
    with pytest.raises(UserError, match="task 'word_count' has no phrasing"):
        items_of("word_count", instruction_types=["plm"], polarities=["negated"])


def test_phrasings_tell_nothing_about_params():
    rows = items_of("sentiment", bases=min(300, len(WORLD.requests) * len(WORLD.subjects)))
    labels = Counter((row["instruction_type"], row["params"]["label"]) for row in rows)
    for kind in SETTINGS["instruction_types"]:
        share = labels[kind, "positive"] / (labels[kind, "positive"] + labels[kind, "negative"])
        assert 0.35 < share < 0.65


def test_too_many_bases_are_refused():
    small = replace(WORLD, requests=WORLD.requests[:1], subjects=WORLD.subjects[:3])
    with pytest.raises(UserError, match="prompts.bases is 24, but world 'toy' has only 3"):
        make_items(tasks.get("topic"), small, SETTINGS, 0)


def test_params_come_from_the_lists_of_the_settings():
    assert {row["params"]["n"] for row in items_of("word_count", word_targets=[7, 9])} == {7, 9}
    terms = {term for row in items_of("term_exclusion", terms=["tea"]) for term in row["params"]["terms"]}
    assert terms == {"tea"}
    assert items_of("topic", word_targets=[7], terms=["tea"]) == items_of("topic")
