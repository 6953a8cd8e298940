from collections import Counter
from dataclasses import replace

import pytest
from skillprobe import tasks
from skillprobe.activations.positions import DEFAULT, check_position_name, resolve
from skillprobe.analyses.compliance import summarise
from skillprobe.errors import UserError
from skillprobe.labels.judges import get_judge
from skillprobe.labels.labelling import label_rows
from skillprobe.prompts.bases import base_ids, base_number, seed_from
from skillprobe.prompts.items import make_items
from skillprobe.tasks.world import load_world

WORLD = load_world("toy")
SETTINGS = {
    "bases": 24,
    "items_per_base": 2,
    "instruction_types": ["human", "plm", "entailment"],
    "polarities": ["positive", "negated"],
    "crossings": 1,
}


# Positions


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        # prompt of 5 tokens at 0-4; body of 4 at 5-8, EOS at 9
        ((5, 5, True), {"prompt_0": 0, "prompt_50": 2, "prompt_100": 4, "onset": 5, "last": 8, "eos": 9}),
        # truncated: no EOS, and the last token is one of the body
        ((5, 4, False), {"prompt_0": 0, "prompt_50": 2, "prompt_100": 4, "onset": 5, "last": 8}),
        # one token and EOS: it is the last rather than the first
        ((5, 2, True), {"prompt_0": 0, "prompt_50": 2, "prompt_100": 4, "last": 5, "eos": 6}),
        # only EOS, and nothing at all
        ((5, 1, True), {"prompt_0": 0, "prompt_50": 2, "prompt_100": 4, "eos": 5}),
        ((5, 0, False), {"prompt_0": 0, "prompt_50": 2, "prompt_100": 4}),
        # a prompt of one token: its last
        ((1, 3, True), {"prompt_100": 0, "onset": 1, "last": 2, "eos": 3}),
    ],
)
def test_positions(lengths, expected):
    names = ["prompt_0", "prompt_50", "prompt_100", "onset", "last", "eos"]
    indices, valid = resolve(names, *lengths)
    assert {name: i for name, i, ok in zip(names, indices.tolist(), valid, strict=True) if ok} == expected


def test_body_is_spread_over_the_response_without_its_eos():
    indices, valid = resolve(["onset", "body_10", "body_50", "body_90", "last"], 3, 12, True)
    assert indices.tolist() == [3, 4, 8, 12, 13] and valid.all()


def test_coinciding_positions_are_counted_once_whatever_the_order_of_names():
    for names in (list(DEFAULT), list(DEFAULT)[::-1]):
        for length in range(12):
            indices, valid = resolve(names, 4, length, has_eos=length > 0)
            chosen = indices[valid].tolist()
            assert len(set(chosen)) == len(chosen)
    # Of two body positions on one token the earlier counts.
    _, valid = resolve(["body_60", "body_50", "onset", "last"], 4, 4, True)
    assert valid.tolist() == [False, True, True, True]


def test_default_positions_and_refused_names():
    assert len(DEFAULT) == 10 and {"prompt_100", "onset", "last", "eos"} <= set(DEFAULT)
    for name in (*DEFAULT, "prompt_0", "body_25"):
        check_position_name(name)
    for name in ("prompt_101", "prompt_", "body_5", "body_95", "body", "end", "prompt_07", "onset_1"):
        with pytest.raises(UserError, match=f"no position '{name}'"):
            check_position_name(name)


# Prompts


def items_of(name, seed=0, **changes):
    return make_items(tasks.get(name), WORLD, SETTINGS | changes, seed)


def test_seeds_are_the_same_everywhere():
    assert seed_from("a", 1) == 2762751850920054114
    assert seed_from("a", 1) != seed_from("a", "1") != seed_from("a1")


def test_bases_are_shared_by_all_tasks():
    assert base_ids(SETTINGS)[:2] == ["b000", "b001"] and base_number("b017") == 17
    contents = [[(r["base"], r["request"], r["subject"]) for r in items_of(name)] for name in tasks.NAMES]
    assert all(content == contents[0] for content in contents)
    assert len({content[1:] for content in contents[0]}) == SETTINGS["bases"]


def test_more_bases_items_or_tasks_move_nothing():
    rows = {row["item"]: row for row in items_of("word_count")}
    for changes in ({"bases": 10}, {"items_per_base": 1}):
        fewer = items_of("word_count", **changes)
        assert len(fewer) < len(rows) and all(rows[row["item"]] == row for row in fewer)
    assert items_of("word_count", seed=1) != list(rows.values())


@pytest.mark.parametrize("n_shards", [1, 3, 5])
def test_shards_part_the_bases(n_shards):
    shards = [make_items(tasks.get("topic"), WORLD, SETTINGS, 0, s, n_shards) for s in range(n_shards)]
    bases = [{row["base"] for row in shard} for shard in shards]
    assert sum(map(len, bases)) == len(set().union(*bases)) == SETTINGS["bases"]
    rows = sorted((row | {"shard": 0} for shard in shards for row in shard), key=lambda row: row["item"])
    assert rows == items_of("topic")


@pytest.mark.parametrize("name", tasks.NAMES)
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


def test_restricted_phrasings_and_twins():
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
    with pytest.raises(UserError, match="24 bases are asked for, but world 'toy' has only 3"):
        make_items(tasks.get("topic"), small, SETTINGS, 0)


# Labels


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
    with pytest.raises(UserError, match="belongs to no item"):
        label_rows(tasks.get("word_count"), WORLD, items[:1], responses_to(items, words), None, SETTINGS, 0)


def test_compliance_of_nothing():
    summary = summarise([], n_draws=10, seed=0)
    assert (
        summary["n"] == 0
        and summary["compliance"] == summary["truncated"] == summary["twin_compliance"] == ""
    )
