"""Rows are verified with their items' params."""

import pytest
from made.items import WORLD, items_of, moods, responses_to, words
from made.judges import TEXTS
from skillprobe import tasks
from skillprobe.analyses.compliance import summarise
from skillprobe.errors import UserError
from skillprobe.labels import judges
from skillprobe.labels.judges import get_judge
from skillprobe.labels.labelling import label_rows
from skillprobe.labels.verdicts import verdict
from skillprobe.tasks.base import Verdict

CASES = [("word_count", words), ("sentiment", moods)]


@pytest.mark.parametrize(("name", "text_of"), CASES)
def test_own_and_unconstrained_answers_are_verified_with_the_items_params(name, text_of):
    task, items = tasks.get(name), items_of(name)
    judge = get_judge("lexicon", name, WORLD) if task.judged else None
    responses = responses_to(items, text_of)
    rows = label_rows(task, items, responses, judge)
    assert len(rows) == len(responses)
    by_item = {item["item"]: item for item in items}
    for row, response in zip(rows, responses, strict=True):
        item = by_item[row["item"]]
        assert row["satisfied"] == task.verify(response["response"], item["params"], judge).satisfied
        assert row["params"] == item["params"] and row["phrasing"] == item["phrasing"]
        assert (row["prompt"], row["truncated"]) == (response["prompt"], response["truncated"])
    summary = summarise(rows, n_draws=200, seed=0)
    assert (summary["n"], summary["truncated"]) == (len(items) * 3, 0.25)
    assert summary["n_twin"] == len(items) * 4
    assert 0 < summary["lower95"] <= summary["compliance"] <= summary["upper95"] < 1
    assert 0 < summary["twin_compliance"] < 1


def test_rows_say_how_much_of_a_response_was_thought():
    """For its states to be read after that; only where something was."""
    items = items_of("word_count", bases=1)
    responses = responses_to(items, words)
    responses[0] = responses[0] | {"thinking": 3}
    rows = label_rows(tasks.get("word_count"), items, responses, None)
    assert rows[0]["thinking"] == 3 and not any("thinking" in row for row in rows[1:])


def test_responses_without_an_item_are_refused():
    items = items_of("word_count", bases=2)
    with pytest.raises(UserError, match="belongs to none of the prompts"):
        label_rows(tasks.get("word_count"), items[:1], responses_to(items, words), None)


@pytest.mark.gpu
def test_labels_of_a_task_are_judged_at_once(make, monkeypatch):
    judge = get_judge("transformers", "toxicity", WORLD, {"model": make({0: "toxicity", 1: "no"})})
    calls = []
    scores = judge._scores
    monkeypatch.setattr(judge, "_scores", lambda texts: calls.append(len(texts)) or scores(texts))
    item = {
        "item": "toxicity/b000/0",
        "base": "b000",
        "group": "g000",
        "params": {},
        "instruction_type": "human",
    }
    item |= {"polarity": "negated", "phrasing": "x"}
    responses = [
        {
            "id": f"{n}",
            "item": item["item"],
            "base": "b000",
            "group": "g000",
            "variant": "constrained",
            "prompt": "p",
        }
        | {"response": text, "truncated": False, "token_ids": [1]}
        for n, text in enumerate(TEXTS)
    ]
    rows = label_rows(tasks.get("toxicity"), [item], responses, judge)
    assert calls == [len(TEXTS)] and [row["evidence"]["label"] for row in rows]
    judges.prepare(judges.get_judge("lexicon", "toxicity", WORLD), TEXTS)  # It need not be able to.


def test_rows_say_where_the_judge_leaves_an_answer_undecided():
    class Unsure:
        labels, threshold = ("negative", "positive"), 0.0

        def classify(self, text):
            near = {"undecided": True} if "maybe" in text else {}
            return {"label": "positive", "scores": {"negative": 0.4, "positive": 0.6}} | near

    task = tasks.get("sentiment")
    items = items_of("sentiment")
    responses = [
        row | {"response": "maybe" if row["item"] == items[0]["item"] else "sure"}
        for row in responses_to(items, words)
    ]
    rows = label_rows(task, items, responses, Unsure())
    assert {row["item"] for row in rows if row.get("undecided")} == {items[0]["item"]}
    assert all("undecided" not in row or row["undecided"] is True for row in rows)


def test_an_answer_is_undecided_whatever_evidence_its_task_keeps():
    """As a user's task that compares a score by itself."""

    class Own(type(tasks.get("sentiment"))):
        def verify(self, text, params, judge=None):
            return Verdict(judge.classify(text)["scores"]["positive"] > 0.5, {"positive": 0.6})

    class Unsure:
        def classify(self, text):
            return verdict({"negative": 0.4, "positive": 0.6}, 0.0, 0.3 if "maybe" in text else 0.1)

    items = items_of("sentiment")
    responses = [row | {"response": text} for row in responses_to(items, words)[:1] for text in ("maybe", "")]
    responses.append(responses[0] | {"response": "sure"})
    rows = label_rows(Own(), items, responses, Unsure())
    assert [row.get("undecided") for row in rows] == [True, None, None]
    assert all(row["evidence"] == {"positive": 0.6} for row in rows)
