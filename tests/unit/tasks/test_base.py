"""What kindred tasks share: relations, samplers, judged labels, and small evidence."""

import json
import re

import pytest
from hypothesis import strategies as st
from made.tasks import JUDGED, WORLD, any_text, given, judge_for, knotty_text, sampled, satisfied
from skillprobe import tasks
from skillprobe.errors import UserError

RELATIONS = ("exactly", "at_least", "at_most", "less_than", "more_than")


# Phrasings and samplers


def test_samplers_reach_every_relation_and_both_forms():
    draws = [sampled("word_count", seed) for seed in range(100)]
    assert {draw["relation"] for draw in draws} == set(RELATIONS)
    assert {draw["n"] for draw in draws} == set(WORLD.word_targets)
    assert {len(sampled("json_format", seed).get("keys", [])) for seed in range(50)} == {0, 1, 2}
    assert {len(sampled("term_inclusion", seed)["terms"]) for seed in range(50)} == {1, 2}
    assert {sampled("topic", seed)["label"] for seed in range(50)} == {"food", "music", "sports"}


MEANINGS = {
    r"exactly (\d+) (?:words|word)": lambda count, n: count == n,
    r"at least (\d+) (?:words|word)": lambda count, n: count >= n,
    r"at most (\d+) (?:words|word)": lambda count, n: count <= n,
    r"fewer than (\d+) (?:words|word)": lambda count, n: count < n,
    r"more than (\d+) (?:words|word)": lambda count, n: count > n,
    r"more or fewer than (\d+) (?:words|word)": lambda count, n: count != n,
    r"(\d+) or more words": lambda count, n: count >= n,
    r"(\d+) or fewer words": lambda count, n: count <= n,
}


@pytest.mark.parametrize("relation", RELATIONS)
def test_counts_are_worded_as_they_are_verified(relation):
    def meaning(wording, count):
        (found,) = [
            (test, match[1])
            for pattern, test in MEANINGS.items()
            if (match := re.fullmatch(pattern, wording))
        ]
        return found[0](count, int(found[1]))

    for n in range(1, 6):
        fields = tasks.get("word_count").describe({"relation": relation, "n": n})
        for number in range(1, 8):
            obeys = satisfied("word_count", "word " * number, {"relation": relation, "n": n})
            assert meaning(fields["amount"], number) == obeys
            assert meaning(fields["not_amount"], number) != obeys


def test_values_are_never_read_as_templates():
    task = tasks.get("term_inclusion")
    params = {"terms": ["{request}", "{0}"], "min_count": 2}
    for phrasing in task.phrasings:
        prompt = tasks.render(task, phrasing, "Write.", "a {subject} {x}", params)
        assert '"{request}"' in prompt and '"{0}"' in prompt and "2 times" in prompt


# Counts


@pytest.mark.parametrize("name", ["word_count", "character_count"])
@given(text=any_text.filter(bool), n=st.integers(0, 5) | st.just(10**4000))
def test_relations_are_consistent(name, text, n):
    holds = {relation: satisfied(name, text, {"relation": relation, "n": n}) for relation in RELATIONS}
    assert holds["at_least"] != holds["less_than"] and holds["at_most"] != holds["more_than"]
    assert holds["exactly"] == (holds["at_least"] and holds["at_most"])


# Judged tasks


@pytest.mark.parametrize("name", JUDGED)
def test_judged_tasks_say_that_they_need_a_judge(name):
    with pytest.raises(UserError, match=f"'{name}' needs a judge: give --judge"):
        tasks.get(name).verify("text", sampled(name, 0))


def test_a_label_the_judge_never_gives_is_refused():
    params = {"label": "history", "labels": ["history", "food"]}
    with pytest.raises(UserError, match="task 'topic': 'label' is 'history'"):
        satisfied("topic", "text", params)


# All tasks


@pytest.mark.parametrize("name", ["word_count", "character_count"])
def test_an_empty_response_fails_even_bounds_of_zero(name):
    holds = [relation for relation in RELATIONS if satisfied(name, "", {"relation": relation, "n": 0})]
    assert holds == ["at_most"]


def test_evidence_stays_small_whatever_the_params():
    terms = [f"{number}" + "x" * 1000 for number in range(100)]
    for name in ("term_inclusion", "term_exclusion"):
        evidence = tasks.get(name).verify(" ".join(terms), {"terms": terms}).evidence
        assert len(json.dumps(evidence)) < 5000
    evidence = tasks.get("json_format").verify("{}", {"keys": terms}).evidence
    assert len(json.dumps(evidence)) < 5000


# What can't be met any more


@pytest.mark.parametrize("name", tasks.NAMES)
def test_what_is_lost_stays_lost(name):
    task, judge = tasks.get(name), judge_for(name)

    @given(knotty_text | any_text, knotty_text | any_text, st.integers(0, 40))
    def check(text, more, seed):
        params = sampled(name, seed)
        for start in (text, f"{text} river fool 1 "):
            if task.is_lost(start, params, judge):
                assert not task.verify(start + more, params, judge).satisfied

    check()


@pytest.mark.parametrize(
    ("name", "params", "text", "end"),
    [
        # As soon as it is known: the last character is the one that decides.
        ("word_count", {"relation": "at_most", "n": 2}, "one two t", 1),
        ("word_count", {"relation": "less_than", "n": 2}, "one t", 1),
        ("word_count", {"relation": "exactly", "n": 1, "words": "whitespace"}, "one -", 1),
        ("character_count", {"relation": "exactly", "n": 3}, "abcd", 1),
        ("term_exclusion", {"terms": ["art"]}, "the art ", 1),
        ("term_exclusion", {"terms": ["C++"]}, "in C++", 1),
        ("term_exclusion", {"terms": ["art"], "match": "substring"}, "smart", 1),
        ("toxicity", {}, "You fool!", 1),
        ("json_format", {}, '{"a" 1', 1),
    ],
)
def test_it_is_known_at_once_what_is_lost(name, params, text, end):
    task, judge = tasks.get(name), judge_for(name)
    assert task.is_lost(text, params, judge) and not task.is_lost(text[:-end], params, judge)


@pytest.mark.parametrize(
    ("name", "params", "text"),
    [
        ("word_count", {"relation": "at_least", "n": 1}, "a b c d"),
        ("word_count", {"relation": "more_than", "n": 9}, "a"),
        ("word_count", {"relation": "exactly", "n": 1}, "don't-"),
        ("term_inclusion", {"terms": ["art"]}, "no such term"),
        ("topic", {"label": "food", "labels": ["food", "music"]}, "song song"),
        ("term_exclusion", {"terms": ["art"]}, "art"),
    ],
)
def test_what_may_still_be_met_is_not_lost(name, params, text):
    assert not tasks.get(name).is_lost(text, params, judge_for(name))


def test_of_a_judge_whose_score_may_fall_nothing_is_known():
    class Falling:
        labels, threshold = ("toxicity",), 0.5

        def classify(self, text):
            return {"label": "toxicity", "scores": {"toxicity": 1.0}}

    assert not tasks.get("toxicity").is_lost("You fool! ", {}, Falling())
