"""Answers of a user's own: which prompt and sample each is, and which lines are refused."""

import json

import pytest
from skillprobe.errors import UserError
from skillprobe.prompts.answers import answer_files, answers_hash, assigned, read_answers

SIZES = {"samples": 2, "twin_samples": 1}
ITEMS = [
    {"item": "word_count/b000/0", "prompt": "Name a river briefly.", "unconstrained_prompt": "Name a river."},
    {"item": "word_count/mine", "prompt": "Name a tree briefly.", "unconstrained_prompt": None},
]
FIRST, SECOND = (item["item"] for item in ITEMS)


def line(name, item=FIRST, response="The Po", **more):
    return {"id": name, "item": item, "response": response, **more}


WHOLE = [
    line("a", token_ids=[4, 5]),
    line("b", response="", finish_reason="length"),
    line("c", variant="unconstrained"),
    line(f"{SECOND}/constrained/1", SECOND, "Oak", truncated=False, finish_reason="stop"),
    line(f"{SECOND}/constrained/0", SECOND, "Fir", prompt="Name a tree briefly."),
]


def read(folder, *lines):
    (folder / "answers.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    return read_answers(answer_files(folder))


def found(folder, *lines, sizes=SIZES, items=ITEMS):
    return assigned(read(folder, *lines), items, ["word_count"], sizes, others=["word_count", "topic"])


def test_each_answer_is_a_sample_of_a_prompt(tmp_path):
    answers = found(tmp_path, *WHOLE)
    told = {place: answer.response for place, answer in answers.items()}
    assert told == {
        (FIRST, "constrained", 0): "The Po",
        (FIRST, "constrained", 1): "",
        (FIRST, "unconstrained", 0): "The Po",
        (SECOND, "constrained", 0): "Fir",
        (SECOND, "constrained", 1): "Oak",
    }
    assert [answer.response for answer in answers.values() if answer.truncated] == [""]
    # Those to tasks that are not studied are left out.
    assert found(tmp_path, *WHOLE, line("x", "topic/b000/0")) == answers
    # Several files, in folders of any names.
    (tmp_path / "more").mkdir()
    (tmp_path / "more/0.jsonl").write_text(json.dumps(WHOLE[4]) + "\n")
    assert found(tmp_path, *WHOLE[:4]).keys() == answers.keys()


def test_rows_of_responses_are_answers(tmp_path):
    rows = [
        line(
            f"{FIRST}/constrained/{n}", base="b000", group="g000", variant="constrained", sample=n, thinking=2
        )
        for n in range(2)
    ]
    rows.append(line(f"{FIRST}/unconstrained/0", prompt="Name a river.", token_ids=[1], truncated=True))
    assert len(found(tmp_path, *rows, items=ITEMS[:1])) == 3


def test_a_job_depends_on_its_answers_alone(tmp_path):
    answers = found(tmp_path, *WHOLE)
    first, second = (answers_hash(answers, [item]) for item in ITEMS)
    moved = found(tmp_path, *(WHOLE[3:] + WHOLE[:3]))
    assert [answers_hash(moved, [item]) for item in ITEMS] == [first, second]
    changed = found(tmp_path, *WHOLE[:3], WHOLE[3] | {"response": "Elm"}, WHOLE[4])
    assert answers_hash(changed, ITEMS[:1]) == first and answers_hash(changed, ITEMS[1:]) != second


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("[]", "it must be an object"),
        ({"id": "x", "item": FIRST}, "'response' is missing; add it"),
        (line("x", respons="a"), r"unknown key 'respons'.*; the keys are id, item, response"),
        (line("x", response=None), "'response' must be a text, not None"),
        (line("a"), r"the id 'a' is there twice \(first in .*answers.jsonl, line 1\)"),
        (line("x", variant="twin"), "'variant' must be one of constrained, unconstrained, not 'twin'"),
        (line("x", sample=-1), "'sample' must be a whole number from 0"),
        (line("x", token_ids=["a"]), "'token_ids' must be a list of whole numbers"),
        (line("x", truncated="no"), "'truncated' must be true or false"),
        (line("x", finish_reason="tool_calls"), "'finish_reason' is 'tool_calls'; it must be one of length"),
        (line("x", truncated=True, finish_reason="stop"), "'truncated' and 'finish_reason' contradict"),
        (line(f"{FIRST}/constrained/0", sample=1), "the id .* contradicts 'variant' or 'sample'"),
        (line("x", "word_count/b009/0"), "there is no prompt 'word_count/b009/0' in the study"),
        (line("x", "word_cuont/b000/0"), "there is no prompt 'word_cuont/b000/0' in the study"),
        (
            line("x", SECOND, variant="unconstrained"),
            "has no unconstrained_prompt to answer; remove the line",
        ),
        (
            line("x", prompt="Name a hill."),
            "it was given to the prompt 'Name a hill.', but .* asks 'Name a riv",
        ),
        (
            line("x"),
            "has 3 constrained answers, but generation.samples is 2; give so many to each prompt, or",
        ),
    ],
)
def test_a_line_that_cannot_be_used_is_named_with_what_to_do(tmp_path, wrong, sentence):
    path = tmp_path / "answers.jsonl"
    lines = [json.dumps(each) for each in WHOLE] + [wrong if isinstance(wrong, str) else json.dumps(wrong)]
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match=f"answers.jsonl, line 6: .*{sentence}"):
        assigned(
            read_answers(answer_files(tmp_path)), ITEMS, ["word_count"], SIZES, others=["word_count", "topic"]
        )


def test_samples_are_those_that_the_config_says(tmp_path):
    twice = [line("a", sample=0), line("b", sample=0), *WHOLE[2:]]
    with pytest.raises(UserError, match=r"line 2: sample 0 of the prompt .* is there twice .*line 1"):
        found(tmp_path, *twice)
    far = [line("a", sample=0), line("b", sample=2), *WHOLE[2:]]
    with pytest.raises(UserError, match="line 2: sample 2 of the prompt .* samples are numbered from 0"):
        found(tmp_path, *far)
    # One that doesn't say takes the next that is free.
    places = found(tmp_path, line("a"), line("b", sample=0), *WHOLE[2:])
    assert places[FIRST, "constrained", 1].id == "a"


def test_prompts_without_answers_are_named(tmp_path):
    with pytest.raises(
        UserError, match=r"1 prompts have no answers, such as word_count/mine \(constrained\)"
    ):
        found(tmp_path, *WHOLE[:3])
    with pytest.raises(UserError, match=r"b000/0 \(unconstrained\); .*or set generation.twin_samples to 0"):
        found(tmp_path, *WHOLE[:2], *WHOLE[3:])
    assert len(found(tmp_path, *WHOLE[:2], *WHOLE[3:], sizes={"samples": 2, "twin_samples": 0})) == 4


def test_folders_without_answers_are_refused(tmp_path):
    with pytest.raises(UserError, match="has no .*jsonl file"):
        answer_files(tmp_path)
    with pytest.raises(UserError, match="there is no folder"):
        answer_files(tmp_path / "none")
