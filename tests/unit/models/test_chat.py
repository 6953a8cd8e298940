"""Prompts as the tokenizer's chat template has them, with one BOS and no date."""

import shutil

import pytest
from made.models import TEMPLATE, make_tokenizer
from made.thinking import thinking_tokenizer
from skillprobe.errors import UserError
from skillprobe.models.chat import answer_of, chat_ids, split_thought, with_variables, without_thought
from skillprobe.models.loading import load

PROMPT = "write a text about the river"


def test_word_level_tokenizer_is_taken_as_declared(loaded):
    # AutoTokenizer turns Qwen's into an empty byte-level BPE, silently.
    ids = chat_ids(loaded.tokenizer, PROMPT)
    start = 0 if loaded.tokenizer.bos_token_id is None else 1
    expected = ["<user>", *PROMPT.split(), "<assistant>"]
    assert loaded.tokenizer.convert_ids_to_tokens(ids[start:]) == expected


def test_exactly_one_bos(loaded):
    ids, bos = chat_ids(loaded.tokenizer, PROMPT), loaded.tokenizer.bos_token_id
    assert ids.count(2) == (0 if bos is None else 1)
    assert bos is None or ids[0] == bos


def test_bos_is_added_for_a_template_that_leaves_it_to_the_tokenizer():
    from tokenizers import processors

    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace("{{ bos_token }}", "")
    assert 2 not in chat_ids(tokenizer, PROMPT)
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace("{{ bos_token }}", "")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 2)]
    )
    ids = chat_ids(tokenizer, PROMPT)
    assert ids[0] == 2 and ids.count(2) == 1


def test_doubled_and_injected_bos_are_refused():
    with pytest.raises(UserError, match="contains the BOS token"):
        chat_ids(make_tokenizer(), "write <bos> text")
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{{ bos_token }}" + TEMPLATE
    with pytest.raises(UserError, match="two BOS"):
        chat_ids(tokenizer, PROMPT)


def test_a_bos_that_begins_every_turn_is_no_mistake():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = (
        "<bos>system {% for m in messages %}<bos>user {{ m['content'] }}{% endfor %}<bos>"
    )
    assert chat_ids(tokenizer, PROMPT).count(2) == 3


def test_templates_do_not_tell_the_date():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = (
        "{% if date_string is defined %}blue{% else %}{{ strftime_now('%d %b %Y') }}{% endif %} " + TEMPLATE
    )
    assert chat_ids(tokenizer, PROMPT)[0] == tokenizer.convert_tokens_to_ids("blue")
    for form, day in (
        ("%Y-%m-%d", "2024-07-26"),
        ("%d %B %Y", "26 July 2024"),
        ("%A, %-d %b", "Friday, 26 Jul"),
    ):
        # Wherever it is asked for, and in a template that begins with an empty line.
        tokenizer = make_tokenizer()
        template = (
            "\n{% macro head() %}{{ strftime_now('FORM') }}{% endmacro %}"
            "{% if strftime_now('FORM') == head() == 'DAY' %}<user> {{ messages[0].content }}{% endif %}"
        )
        tokenizer.chat_template = template.replace("FORM", form).replace("DAY", day)
        ids = chat_ids(tokenizer, PROMPT)
        assert tokenizer.convert_ids_to_tokens(ids) == ["<user>", *PROMPT.split()]


@pytest.mark.parametrize(
    "content",
    [
        # Some know lists of parts alone, and some raise on a system's turn, which there is none of.
        "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}",
        "{{ raise_exception('no list') if m.content is not string else m.content }}",
        "{{ raise_exception('System role not supported') if m.role == 'system' else m.content }}",
    ],
)
def test_templates_of_text_and_of_parts_hold_the_prompt(content):
    tokenizer = make_tokenizer()
    plain = chat_ids(tokenizer, PROMPT)
    tokenizer.chat_template = TEMPLATE.replace("{{ m['content'] }}", content)
    assert chat_ids(tokenizer, PROMPT) == plain


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("<user> <assistant>", "it leaves the prompt out"),
        ("{{ raise_exception('only the system may speak') }}", "only the system may speak"),
        ("{{ messages[0].content + 1 }}", "can only concatenate"),
        ("{{ messages", "unexpected end of template"),
        ({"rag": "{{ messages }}", "tool_use": "{{ messages }}"}, "multiple chat templates"),
    ],
)
def test_templates_that_cannot_be_used_are_refused(template, why):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=f"the chat template of .* can't be used: .*{why}.*; correct it, or"):
        chat_ids(tokenizer, PROMPT)


def test_a_prompt_format_is_taken_to_the_letter(model_folders):
    entry = {
        "name": "m",
        "source": str(model_folders["llama"]),
        "prompt_format": "\U0001f600 'é' {{ {prompt} }}",
    }
    tokenizer = load(entry).tokenizer
    text = tokenizer.apply_chat_template([{"role": "user", "content": PROMPT}], tokenize=False)
    assert text == "\U0001f600 'é' {{ " + PROMPT + " }}"


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_base_models_have_a_plain_prompt_format(model_folders, tmp_path, architecture):
    folder = shutil.copytree(model_folders[architecture], tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    entry = {"name": "base", "source": str(folder), "dtype": "float32"}
    with pytest.raises(UserError, match="no chat template.*prompt_format"):
        load(entry)
    loaded = load(entry | {"prompt_format": 'text {prompt} "it\'s"\n'})
    words = loaded.tokenizer('text write a short "it\'s"', add_special_tokens=False)["input_ids"]
    assert chat_ids(loaded.tokenizer, "write a short") == words
    # In the place of a template that there is.
    chat = load(entry | {"source": str(model_folders[architecture]), "prompt_format": "{prompt}"})
    plain = chat.tokenizer("write", add_special_tokens=False)["input_ids"]
    assert chat_ids(chat.tokenizer, "write") == plain


# Thoughts


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("opened", [False, True])
def test_thoughts_are_told_from_answers(special, opened):
    tokenizer = thinking_tokenizer(special, opened)
    thought, rest = "write about words </think>", "the river is blue"
    text = thought + " " + rest if opened else "<think> " + thought + " " + rest
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    length = 4 if opened else 5
    assert len(ids) == length + 4
    assert split_thought(tokenizer, ids) == (length, rest)
    assert split_thought(tokenizer, ids[:length]) == (length, "")
    assert split_thought(tokenizer, ids[: length - 1]) == (length - 1, None)
    assert [answer_of(tokenizer, ids[:n]) for n in (length - 1, length, length + 2)] == [
        None,
        "",
        "the river",
    ]
    # Another prompt gets an empty one.
    moved, thinking = without_thought(tokenizer, ids, length)
    assert split_thought(tokenizer, moved) == (thinking, rest) and thinking == (1 if opened else 2)
    assert moved[thinking:] == ids[length:]
    # An answer without a thought is as it is, but where the prompt began one.
    plain = tokenizer(rest, add_special_tokens=False)["input_ids"]
    assert split_thought(tokenizer, plain) == ((4, None) if opened else (0, rest))


def test_tags_of_several_tokens_may_share_one_with_the_answer():
    """As in byte-level vocabularies that have no token for them; here a token is a character or two."""

    class Pairs:
        all_special_tokens = ()
        texts = [*"<think>ab</thin", "k", '>{"', "x", "}"]

        def decode(self, ids, **_):
            return "".join(self.texts[number] for number in ids)

    ids = list(range(len(Pairs.texts)))
    thinking, answer = split_thought(Pairs(), ids)
    assert answer == '{"x}' and Pairs.texts[thinking] == '>{"'


def test_variables_of_the_template_are_set(model_folders, tmp_path):
    folder = shutil.copytree(model_folders["llama"], tmp_path / "thinking")
    condition = "{% if enable_thinking is defined and enable_thinking is false %} good{% endif %}"
    template = "\n" + TEMPLATE + condition + " {{ level }}"
    (folder / "chat_template.jinja").write_text(template)
    entry = {"name": "m", "source": str(folder)}

    def text(**variables):
        tokenizer = load(entry | {"chat_template_kwargs": variables}).tokenizer
        return tokenizer.decode(chat_ids(tokenizer, "write"))

    assert text() == "<bos> <user> write <assistant>"
    assert text(enable_thinking=False) == "<bos> <user> write <assistant> good"
    assert text(enable_thinking=True, level="blue") == "<bos> <user> write <assistant> blue"
    assert text(level=5) == "<bos> <user> write <assistant> 5"
    # The template's own first line is still there, and quotes and brackets are to the letter.
    quoted = with_variables("\n{{ level }}", {"level": 'a "b" }} \\ é'})
    tokenizer = make_tokenizer()
    tokenizer.chat_template = quoted
    assert (
        tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False) == '\na "b" }} \\ é'
    )
    assert with_variables({"default": "a"}, {"level": 1}) == {"default": "{% set level = 1 +%}a"}
