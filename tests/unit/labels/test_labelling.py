"""Rows are verified with their items' params, and crossings are balanced."""

from collections import Counter

import pytest
from made.items import SETTINGS, WORLD, items_of
from made.judges import TEXTS
from skillprobe import tasks
from skillprobe.analyses.compliance import summarise
from skillprobe.errors import UserError
from skillprobe.labels import judges
from skillprobe.labels.judges import get_judge
from skillprobe.labels.labelling import label_rows
from skillprobe.prompts.bases import seed_from


def responses_to(items, text_of, samples=4):
    """Responses as if sampled; the last sample of each constrained prompt is cut short."""
    rows = []
    for item in items:
        for variant, prompt in (
            ("constrained", item["prompt"]),
            ("unconstrained", item["unconstrained_prompt"]),
        ):
            for sample in range(samples):
                text = text_of(seed_from(item["item"], variant, sample))
                truncated = variant == "constrained" and sample == samples - 1
                rows.append(
                    {
                        "id": f"{item['item']}/{variant}/{sample}",
                        "item": item["item"],
                        "base": item["base"],
                        "group": item["group"],
                        "variant": variant,
                        "sample": sample,
                        "prompt": prompt,
                        "response": text,
                        "token_ids": [5] * len(text.split()) + [3] * (not truncated),
                        "truncated": truncated,
                    }
                )
    return rows


def words(seed):
    return " ".join(["word"] * (1 + seed % 25))


def moods(seed):
    adjectives = WORLD.sentiment["positive"] if seed % 2 else WORLD.sentiment["negative"]
    return f"The teacher is {adjectives[seed // 2 % len(adjectives)]}."


CASES = [("word_count", words), ("sentiment", moods)]


@pytest.mark.parametrize(("name", "text_of"), CASES)
def test_own_answers_and_twins_are_verified_with_the_items_params(name, text_of):
    task, items = tasks.get(name), items_of(name)
    judge = get_judge("lexicon", name, WORLD) if task.judged else None
    responses = responses_to(items, text_of)
    rows = label_rows(task, WORLD, items, responses, judge, SETTINGS | {"crossings": 0}, 0)
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


@pytest.mark.parametrize(("name", "text_of"), CASES)
def test_crossings_are_balanced_and_from_other_prompts(name, text_of):
    task, items = tasks.get(name), items_of(name)
    judge = get_judge("lexicon", name, WORLD) if task.judged else None
    responses = responses_to(items, text_of)
    rows = label_rows(task, WORLD, items, responses, judge, SETTINGS, 0)
    rows = [row for row in rows if row["variant"] == "counterfactual"]
    assert len(rows) >= 4 * 20 and len({row["id"] for row in rows}) == len(rows)
    params_of = {item["item"]: item["params"] for item in items}
    sources = {}
    for response in responses:
        if not response["truncated"]:
            own = params_of[response["item"]] if response["variant"] == "constrained" else None
            sources.setdefault((response["base"], response["response"]), []).append(own)
    for start in range(0, len(rows), 4):
        four = rows[start : start + 4]
        assert len({row["item"] for row in four}) == len({row["base"] for row in four}) == 1
        assert len({row["phrasing"] for row in four}) == 1
        # Each prompt and each response comes once satisfied and once violated: alone they say nothing.
        for part in ("prompt", "response"):
            cells = Counter((row[part], row["satisfied"]) for row in four)
            assert len(cells) == 4 and set(cells.values()) == {1}
        for row in four:
            assert task.verify(row["response"], row["params"], judge).satisfied == row["satisfied"]
            assert not row["truncated"] and row["token_ids"][-1] == 3
            crossed = [other["params"] for other in four]
            assert any(own not in crossed for own in sources[row["base"], row["response"]])
    again = label_rows(task, WORLD, items, responses, judge, SETTINGS, 0)
    assert [row for row in again if row["variant"] == "counterfactual"] == rows


@pytest.mark.parametrize(("name", "text_of"), CASES)
def test_labels_of_a_base_do_not_depend_on_how_many_there_are(name, text_of):
    task = tasks.get(name)
    judge = get_judge("lexicon", name, WORLD) if task.judged else None

    def labelled(items):
        rows = label_rows(task, WORLD, items, responses_to(items, text_of), judge, SETTINGS, 0)
        return {row["id"]: row for row in rows}

    items = items_of(name)
    alone, later, whole = labelled(items[:20]), labelled(items[20:]), labelled(items)
    assert alone | later == whole and any(row["variant"] == "counterfactual" for row in later.values())


def test_crossings_in_number_and_for_params_that_never_vary():
    task, items = tasks.get("word_count"), items_of("word_count", bases=4)
    responses = responses_to(items, words)
    rows = label_rows(task, WORLD, items, responses, None, SETTINGS | {"crossings": 3}, 0)
    counts = Counter(row["base"] for row in rows if row["variant"] == "counterfactual")
    assert set(counts.values()) == {12}
    task, items = tasks.get("toxicity"), items_of("toxicity", bases=4)
    judge = get_judge("lexicon", "toxicity", WORLD)
    rows = label_rows(task, WORLD, items, responses_to(items, words), judge, SETTINGS, 0)
    assert {row["variant"] for row in rows} == {"constrained", "unconstrained"}


def test_responses_without_an_item_are_refused():
    items = items_of("word_count", bases=2)
    with pytest.raises(UserError, match="belongs to none of the prompts"):
        label_rows(tasks.get("word_count"), WORLD, items[:1], responses_to(items, words), None, SETTINGS, 0)


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
    rows = label_rows(tasks.get("toxicity"), WORLD, [item], responses, judge, {"crossings": 0}, 0)
    assert calls == [len(TEXTS)] and [row["evidence"]["label"] for row in rows]
    judges.prepare(judges.get_judge("lexicon", "toxicity", WORLD), TEXTS)  # It need not be able to.
