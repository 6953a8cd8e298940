"""Prompts of a user's own file: which items they become, which lines are refused, what is not computed."""

import json

import pytest
from made.configs import study
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.labels.crossings import make_crossings
from skillprobe.labels.labelling import label_rows
from skillprobe.prompts import own
from skillprobe.study.config import complete
from skillprobe.study.plan import crossed_rows, describe, not_computed
from skillprobe.study.slices import items_per_task, rows_per_task
from skillprobe.tasks.world import load_world

FEW = {"relation": "at_most", "n": 3}
MANY = {"relation": "at_least", "n": 5}


def line(prompt="Name a river. Use at most 3 words.", task="word_count", params=FEW, **more):
    return {"task": task, "params": params, "prompt": prompt, **more}


def write(path, *lines):
    path.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    return path


RIVER = [
    line(unconstrained_prompt="Name a river.", subject="rivers"),
    line(
        "Name a river. Use at least 5 words.",
        params=MANY,
        unconstrained_prompt="Name a river.",
        subject="rivers",
    ),
    line("Describe a river as JSON.", "json_format", {}, subject="rivers"),
    line("Name a tree without the word oak.", "term_exclusion", {"terms": ["oak"]}),
]


def test_lines_become_items_numbered_as_they_come(tmp_path):
    found = own.read_own(write(tmp_path / "p.jsonl", *RIVER))
    assert found.lines == [1, 2, 3, 4]
    assert [item["item"] for item in found.items] == [
        "word_count/b000/0",
        "word_count/b000/1",
        "json_format/b001/0",
        "term_exclusion/b002/0",
    ]
    assert [item["group"] for item in found.items] == ["g000", "g000", "g000", "g001"]
    # By default a prompt is its own subject.
    assert [item["subject"] for item in found.items[2:]] == ["rivers", RIVER[3]["prompt"]]
    assert found.items[0]["unconstrained_prompt"] == "Name a river."
    assert found.items[3]["unconstrained_prompt"] is None
    assert found.of("word_count", [0, 1]) == found.items[:2] and found.of("word_count", [1, 3]) == []


def test_the_same_request_is_one_subject_unless_lines_say_otherwise(tmp_path):
    same = [
        line(unconstrained_prompt="Name a river."),
        line("Other words.", unconstrained_prompt="Name a river."),
    ]
    found = own.read_own(write(tmp_path / "p.jsonl", *same, line(), line()))
    # So is the same prompt.
    assert [item["group"] for item in found.items] == ["g000"] * 4
    found = own.read_own(write(tmp_path / "p.jsonl", line(subject="a"), line(), line("New.")))
    assert [item["subject"] for item in found.items] == ["a", "a", "New."]
    ids = [line(id="one"), line("Other.", id="two", group=7)]
    found = own.read_own(write(tmp_path / "p.jsonl", *ids))
    assert [item["item"] for item in found.items] == ["word_count/one", "word_count/two"]
    assert found.items[1]["subject"] == "7"


def test_appended_lines_leave_the_others_as_they_are(tmp_path):
    before = own.read_own(write(tmp_path / "p.jsonl", *RIVER)).items
    more = [
        line("A third. Use at most 3 words.", subject="rivers"),
        line("New."),
        RIVER[2] | {"prompt": "New JSON."},
    ]
    after = own.read_own(write(tmp_path / "p.jsonl", *RIVER, *more)).items
    assert after[:4] == before and len({item["item"] for item in after}) == 7
    # Blanks and the order of keys are no change to the jobs' hash.
    path = tmp_path / "q.jsonl"
    path.write_bytes(
        b"\xef\xbb\xbf\r\n"
        + b"\r\n".join(json.dumps(dict(reversed(each.items()))).encode() for each in RIVER)
    )
    again = own.read_own(path)
    assert own.items_hash(again.items) == own.items_hash(before) != own.items_hash(after)
    assert again.lines == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("{", "line 2: it is not valid JSON"),
        ("[1]", "line 2: it must be an object"),
        (b"\xff{}", "line 2: it is not UTF-8"),
        (line(task="word_cuont"), r"line 2: no task 'word_cuont' \(did you mean 'word_count'\?\)"),
        (line(task=3), "line 2: no task 3; the tasks are word_count"),
        (line(params={"n": 3}), "line 2: params can't be used .*'relation' is missing.*correct them"),
        (line(params=None), "line 2: params can't be used .*must be an object, not None"),
        (line(" "), "line 2: 'prompt' is empty"),
        (line(7), "line 2: 'prompt' must be a text, not 7"),
        (line(unconstrained_prompt=""), "line 2: 'unconstrained_prompt' is empty"),
        (
            line(unconstrained_prompt=line()["prompt"]),
            "line 2: 'unconstrained_prompt' is the same as 'prompt'",
        ),
        (line(promt="a"), r"line 2: unknown key 'promt' \(did you mean 'prompt'\?\)"),
        ({"task": "word_count", "params": FEW}, "line 2: 'prompt' is missing; add it"),
        (line(subject="a", group="a"), "line 2: it has a 'subject' and a 'group'"),
        (line(subject=""), "line 2: 'subject' must be a text that is not empty"),
        (line(id="a/b"), "line 2: 'id' must be of letters"),
        (line(id="first"), r"line 2: the id 'first' is there twice \(first in line 1\)"),
        (line(polarity="no"), "line 2: 'polarity' must be one of positive, negated, not 'no'"),
        (
            line("New.", phrasing="x"),
            r"line 2: it has a 'phrasing', unlike the first line of its task \(line 1\)",
        ),
        (
            line(subject="b"),
            "line 2: the prompt 'Name a river. .*' is of the subject 'b' here, but of 'a' in line 1",
        ),
        (
            line("New.", unconstrained_prompt="Name a river.", subject="c"),
            "line 2: the prompt 'Name a river.' is of the subject 'c' here, but of 'a' in line 1",
        ),
    ],
)
def test_a_line_that_cannot_be_used_is_named_with_what_to_do(tmp_path, wrong, sentence):
    first = line(id="first", subject="a", unconstrained_prompt="Name a river.")
    if isinstance(wrong, dict):
        wrong = json.dumps(wrong)
    wrong = wrong if isinstance(wrong, bytes) else wrong.encode()
    path = tmp_path / "p.jsonl"
    path.write_bytes(json.dumps(first).encode() + b"\n" + wrong + b"\n")
    with pytest.raises(UserError, match=f"p.jsonl, {sentence}"):
        own.read_own(path)


def test_files_without_prompts_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no file .*p.jsonl"):
        own.read_own(tmp_path / "p.jsonl")
    with pytest.raises(UserError, match="has no prompts"):
        own.read_own(write(tmp_path / "p.jsonl"))
    with pytest.raises(UserError, match="is a folder"):
        own.read_own(tmp_path)


def planted(root, *lines, n=60):
    """A file of n subjects, and the config of a study of it."""
    lines = lines or [
        each
        for number in range(n)
        for each in (
            line(f"Text {number}. Use at most 3 words.", unconstrained_prompt=f"Text {number}."),
            line(
                f"Text {number}. Use at least 5 words.", params=MANY, unconstrained_prompt=f"Text {number}."
            ),
            line(f"JSON {number}.", "json_format", {}),
        )
    ]
    write(root / "own.jsonl", *lines)
    return study(
        tasks=["word_count", "json_format"], prompts__file="own.jsonl", behaviour__bases=10, judges={}
    )


def test_a_study_takes_its_sizes_from_the_file(root):
    config = complete(planted(root), root)
    prompts = config["prompts"]
    assert prompts["bases"] == 120 and prompts["found"]["groups"] == 120
    assert items_per_task(config) == {"word_count": 120, "json_format": 60}
    rows, generation = rows_per_task(config), config["generation"]
    assert rows["constrained"] == 90 * generation["samples"]
    assert rows["unconstrained"] == 60 * generation["twin_samples"]
    # Of word_count alone: 60 requests with two params.
    assert prompts["found"]["crossed"] == {"word_count": 60, "json_format": 0}
    assert crossed_rows(config) == 30 * 4 * config["labels"]["crossings"] + 60 * 2
    sentences = not_computed(config)
    assert sentences[0].startswith("the prompts of json_format have no unconstrained_prompt")
    assert sentences[1].startswith(
        "the prompts of json_format have no subject whose request is asked under two"
    )
    assert sentences[2].startswith("the prompts have no phrasing")
    text = describe(config, root)
    assert all(f"not computed: {each}" in text for each in sentences)
    # Prompts of the study's own making have all of it.
    assert not_computed(complete(study(), root)) == []
    assert "twin_samples is 0" in not_computed(complete(study(generation__twin_samples=0), root))[0]


@pytest.mark.parametrize(
    ("lines", "changes", "sentence"),
    [
        (
            (),
            {"tasks": ["word_count", "term_exclusion"]},
            "no line of the task term_exclusion, which tasks lists",
        ),
        ((line("New."),), {"tasks": ["word_count"]}, "probes.folds is .* of the study's 1 subjects"),
        (
            (),
            {"guard__bases": 4},
            "guard.bases is above 0, but with prompts.file the study asks all subjects",
        ),
        ((), {"prompts__file": "none.jsonl"}, "prompts.file: there is no file .*none.jsonl"),
        (
            (line("Be glad.", "sentiment", {"label": "glad", "labels": ["glad", "sad"]}),),
            {"tasks": ["sentiment"], "judges": {"sentiment": "lexicon"}},
            "prompts.file: own.jsonl, line 1: params can't be used .the label 'glad' is not one ",
        ),
    ],
)
def test_files_that_do_not_fit_the_study_are_refused(root, lines, changes, sentence):
    config = planted(root, *lines)
    for key, value in changes.items():
        section, _, name = key.partition("__")
        config = config | {section: config.get(section, {}) | {name: value} if name else value}
    with pytest.raises(UserError, match=sentence):
        complete(config, root)


def answer(item, text, number=0, variant="constrained"):
    row = {key: item[key] for key in ("item", "base", "group")}
    row |= {"id": f"{item['item']}/{variant}/{number}", "variant": variant, "prompt": item["prompt"]}
    return row | {"response": text, "token_ids": [1], "truncated": False}


def test_params_are_crossed_with_the_prompts_that_they_are_given_in(tmp_path):
    items = own.read_own(write(tmp_path / "p.jsonl", *RIVER)).of("word_count")
    task, world = tasks.get("word_count"), load_world("general")
    short, long = "The Rhine", "The long river Rhine flows"
    answers = [
        answer(items[0], "The Po"),
        answer(items[1], "The very long river Rhine flows"),
        answer(items[0], short, 0, "unconstrained"),
        answer(items[0], long, 1, "unconstrained"),
    ]
    labels = label_rows(task, items, answers, None)
    settings = {"own": True, "crossings": 3}
    rows = make_crossings(task, world, items, labels, answers, None, settings, 0)
    crossed = [row for row in rows if row["variant"] == "counterfactual"]
    # The answers that were sampled under neither constraint.
    assert {row["response"] for row in crossed} == {short, long} and len(crossed) == 4
    prompts = {json.dumps(item["params"]): item["prompt"] for item in items}
    assert all(row["prompt"] == prompts[json.dumps(row["params"])] for row in crossed)
    assert [row["satisfied"] for row in crossed] == [row["asked"] == row["answered"] for row in crossed]
    # Two constraints in one prompt can't be told apart, and items without the request are left out.
    one = [item | {"prompt": "Both."} for item in items]
    assert len(own.crossable(items)) == 2 and len(own.crossable(one)) == 1
    alone = [item | {"unconstrained_prompt": None} for item in one]
    assert make_crossings(task, world, alone, labels, answers, None, settings, 0) == []
