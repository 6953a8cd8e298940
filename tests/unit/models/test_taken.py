"""Answers made elsewhere, in a model's tokens: the same rows as of its own."""

from dataclasses import replace

import pytest
from made.models import entry_of
from skillprobe.errors import UserError
from skillprobe.models.chat import chat_ids, end_of_turn
from skillprobe.models.generation import generate_task
from skillprobe.models.loading import load_outline
from skillprobe.models.taken import take_task, taken
from skillprobe.prompts.answers import Answer

PROMPT = "write a short text about the garden"
ITEMS = [
    {"item": f"word_count/b00{n}/0", "base": f"b00{n}", "group": f"g00{n}", "prompt": PROMPT, **more}
    for n, more in enumerate(({"unconstrained_prompt": "write a text"}, {"unconstrained_prompt": None}))
]
SETTINGS = {"samples": 3, "twin_samples": 2, "max_new_tokens": 6, "batch_size": 8, "temperature": 1.0}


def answer(response, ids=None, truncated=False):
    return Answer(
        "a.jsonl, line 7", "x", "word_count/b000/0", "constrained", 0, response, ids, truncated, None
    )


@pytest.fixture
def outline(model_folders):
    return load_outline(entry_of(model_folders, "llama"))


def test_the_models_own_answers_come_back_as_they_were(model_folders, loaded_models):
    rows = generate_task(loaded_models["llama"], ITEMS, SETTINGS, seed=3)
    assert len(rows) == 8 and {row["truncated"] for row in rows} == {True, False}
    given = {
        (row["item"], row["variant"], row["sample"]): answer(
            row["response"], row["token_ids"], row["truncated"]
        )
        for row in rows
    }
    assert take_task(entry_of(model_folders, "llama"), ITEMS, given, SETTINGS) == rows


def test_a_text_is_encoded_and_ends_with_an_eos_unless_it_was_cut(outline):
    made = taken(outline, PROMPT, answer("the garden was blue"))
    assert made.token_ids[-1] == 3 and made.text == "the garden was blue" and not made.truncated
    cut = taken(outline, PROMPT, answer("the garden was", truncated=True))
    assert cut.token_ids == made.token_ids[:3] and cut.truncated
    assert taken(outline, PROMPT, answer("")).token_ids == [3]
    # An engine may leave the EOS out, or not.
    for ids in (made.token_ids, made.token_ids[:-1]):
        assert taken(outline, PROMPT, answer(made.text, ids)) == made


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (answer("the gardens"), "the model's tokenizer takes it to another text, from character 3 on"),
        (answer("the  garden"), "takes it to another text, from character 4 on"),
        (answer("the garden", [6, 7]), "its token_ids decode to another text"),
        (answer("the", [600]), "token 600 is none of the model's"),
        (answer("", [3], truncated=True), "it is truncated, but its tokens end with an EOS"),
        (answer("", [3, 3]), "it goes on after an EOS token; cut it there"),
        (answer("<think> the"), "it ends within its thought"),
    ],
)
def test_what_the_tokens_do_not_say_is_refused(outline, given, sentence):
    with pytest.raises(UserError, match=sentence):
        taken(outline, PROMPT, given)


def test_an_answer_that_outgrows_the_context_window_is_refused(outline):
    given = answer("the garden was blue")
    length = len(chat_ids(outline.tokenizer, PROMPT)) + 5
    assert outline.positions > length and taken(replace(outline, positions=length), PROMPT, given)
    with pytest.raises(UserError, match=f"it is {length} tokens long, .* context window of {length - 1};"):
        taken(replace(outline, positions=length - 1), PROMPT, given)


def test_the_first_answer_that_is_wrong_is_named_and_how_many_more(model_folders):
    places = [(item["item"], "constrained", n) for item in ITEMS for n in range(2)]
    given = dict.fromkeys(places, answer("the gardens"))
    with pytest.raises(UserError, match=r"model 'llama': a.jsonl, line 7: .*\(and so are 3 more\)"):
        take_task(entry_of(model_folders, "llama"), ITEMS, given, {"samples": 2, "twin_samples": 0})


def test_the_end_of_an_answer_is_what_the_template_puts_there(outline):
    tokenizer = outline.tokenizer
    assert end_of_turn(tokenizer, (3,)) == 3
    # Of several end tokens the tokenizer's own, where the template doesn't tell.
    assert end_of_turn(tokenizer, (4, 3)) == 3
    before = tokenizer.chat_template
    try:
        tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} <user> {% endfor %}"
        assert end_of_turn(tokenizer, (3, tokenizer.convert_tokens_to_ids("<user>"))) == 4
    finally:
        tokenizer.chat_template = before
