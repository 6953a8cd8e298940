"""What kindred tasks share: relations, samplers, judged labels, and small evidence."""

import json
import re

import pytest
from hypothesis import strategies as st
from made.tasks import JUDGED, WORLD, any_text, given, sampled, satisfied
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
