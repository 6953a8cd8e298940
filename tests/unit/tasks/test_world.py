"""Worlds: those that are shipped, those from a file, and what is wrong with others."""

import itertools
import json
import re

import pytest
from made.tasks import WORLD, WORLD_DATA
from skillprobe.errors import UserError
from skillprobe.tasks.world import adapted, load_world, make_world


@pytest.mark.parametrize("name", ["toy", "general", "provoking"])
def test_shipped_worlds(name):
    world = load_world(name)
    assert world.name == name and world.controlled == (name == "toy")


def content_words(subject):
    return set(re.findall(r"\w{3,}", subject.lower())) - {"the", "and", "that", "from", "after", "with"}


@pytest.mark.parametrize(("name", "at_least"), [("toy", 120), ("general", 300), ("provoking", 300)])
def test_shipped_worlds_have_enough_subjects_and_none_is_another_in_other_words(name, at_least):
    subjects = load_world(name).subjects
    assert len({subject.casefold() for subject in subjects}) == len(subjects) >= at_least
    for one, other in itertools.combinations(subjects, 2):
        shared = content_words(one) & content_words(other)
        assert len(shared) <= 1 and content_words(one) != content_words(other), (one, other)


@pytest.mark.parametrize("name", ["general", "provoking"])
def test_worlds_of_free_text_ask_for_two_or_three_sentences(name):
    requests = load_world(name).requests
    assert len(requests) >= 4 and all("two or three sentences" in request for request in requests)


def test_a_world_from_a_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(WORLD_DATA), encoding="utf-8")
    assert load_world(path) == WORLD
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="mine.json can't be read"):
        load_world(path)
    with pytest.raises(UserError, match="no world 'nowhere'.*general, provoking, toy"):
        load_world("nowhere")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", "", "'name'"),
        ("controlled", "yes", "'controlled'"),
        ("requests", [], "'requests' is empty"),
        ("requests", ["Write."], "{subject}"),
        ("subjects", "the teacher", "'subjects' must be a list"),
        ("word_targets", [5, 0], "'word_targets'"),
        ("word_targets", [True], "'word_targets'"),
        ("terms", ["a", "a"], "'terms' lists an item twice"),
        ("topics", {"food": ["bread"]}, "'topics' must map at least two"),
        ("topics", {"food": ["bread"], "music": []}, "'topics.music' is empty"),
        ("sentiment", {"good": ["x"], "bad": ["X"]}, "'sentiment' gives a word to two labels"),
        ("sentiment", {"good": ["can't"], "bad": ["can’t"]}, "'sentiment' gives a word to two labels"),
        ("insults", [], "'insults' is empty"),
        ("colour", 1, "unknown key 'colour'"),
    ],
)
def test_malformed_worlds(key, value, message):
    with pytest.raises(UserError, match=re.escape(message)):
        make_world({**WORLD_DATA, key: value})


@pytest.mark.parametrize("key", WORLD_DATA)
def test_missing_keys_of_a_world(key):
    with pytest.raises(UserError, match=f"lacks the key '{key}'"):
        make_world({other: value for other, value in WORLD_DATA.items() if other != key})


def test_a_config_may_replace_targets_and_terms():
    given = {"word_targets": [3, 4], "terms": None, "bases": 90}
    changed = adapted(WORLD, given)
    assert changed.word_targets == [3, 4] and changed.terms == WORLD.terms
    assert adapted(WORLD, {}) == WORLD
