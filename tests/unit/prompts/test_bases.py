"""Bases are the same for all tasks, and seeds everywhere."""

from made.items import SETTINGS, items_of
from skillprobe import tasks
from skillprobe.prompts.bases import base_number, group_ids, seed_from


def test_seeds_are_the_same_everywhere():
    assert seed_from("a", 1) == 2762751850920054114
    assert seed_from("a", 1) != seed_from("a", "1") != seed_from("a1")


def test_bases_are_shared_by_all_tasks():
    assert base_number("b017") == 17 and group_ids(2) == ["g000", "g001"]
    contents = [[(r["base"], r["request"], r["subject"]) for r in items_of(name)] for name in tasks.NAMES]
    assert all(content == contents[0] for content in contents)
    assert len({content[1:] for content in contents[0]}) == SETTINGS["bases"]
