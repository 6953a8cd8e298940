"""Prompts in a model's chat template, and its answers as text."""

import functools
import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from skillprobe.errors import UserError, first_sentence
from skillprobe.models import thoughts

# Put before a chat template: Llama 3's, gpt-oss's and others' tell the model today's date, by this function
# or the variable date_string. All days see that of Llama 3's default.
_DATE = "26 Jul 2024"
_DAY = {"%d": "26", "%-d": "26", "%e": "26", "%b": "Jul", "%B": "July", "%m": "07", "%-m": "7", "%Y": "2024"}
_DAY |= {"%y": "24", "%a": "Fri", "%A": "Friday", "%j": "208", "%H": "00", "%I": "12", "%M": "00", "%S": "00"}
_NO_TODAY = "".join(
    [
        "{% macro strftime_now(form) %}{{ form",
        *(f" | replace({code!r}, {value!r})" for code, value in _DAY.items()),
        " }}{% endmacro +%}",
    ]
)


def decode(tokenizer, ids: Sequence[int]) -> str:
    """The text of these tokens as they were written: special ones left out, no blank tidied away."""
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def answer_of(tokenizer, ids: Sequence[int]) -> str | None:
    """The text of a response's tokens, as it was written, after its thought if it has one; None where they
    end within the thought."""
    return thoughts.after_thought(_visible(tokenizer, ids), _within_thought(tokenizer))


def split_thought(tokenizer, ids: Sequence[int]) -> tuple[int, str | None]:
    """How many of a response's tokens (without its EOS) come before its answer, and the answer: (0, the text)
    of one without a thought, and (all, None) of one that ends within it. Blanks after it are part of it."""
    text, within = _visible(tokenizer, ids), _within_thought(tokenizer)
    answer, ends = thoughts.after_thought(text, within), thoughts.number_of_ends(text)
    if answer is None:
        return len(ids), None
    if not ends:
        return 0, answer
    places = range(len(ids) + 1)
    over = bisect_left(places, ends, key=lambda n: thoughts.number_of_ends(_visible(tokenizer, ids[:n])))
    begun = next((n for n in places[over:] if answer_of(tokenizer, ids[:n])), len(ids) + 1)
    return begun - 1, answer


def without_thought(tokenizer, ids: Sequence[int], thinking: int) -> tuple[list[int], int]:
    """A response's tokens with an empty thought in the place of its own, of `thinking` tokens, and how many
    tokens that has. (What was thought is of the prompt that was asked, which another prompt doesn't say.)"""
    text = _visible(tokenizer, ids[:thinking])
    # One that shares a token with the answer ends after it.
    text = text if thoughts.number_of_ends(text) else _visible(tokenizer, ids)
    empty = thoughts.empty_thought(_template_text(tokenizer, "a"), text)
    own = tokenizer(empty, add_special_tokens=False)["input_ids"]
    return [*own, *ids[thinking:]], len(own)


def _visible(tokenizer, ids: Sequence[int]) -> str:
    """As `decode`, with what begins and ends thoughts also where that is a special token."""
    tags = _special_tags(tokenizer)
    text, start = "", 0
    for place, token in enumerate(ids if tags else ()):
        if token in tags:
            text += decode(tokenizer, ids[start:place]) + tags[token]
            start = place + 1
    return text + decode(tokenizer, ids[start:])


@functools.lru_cache(maxsize=8)
def _special_tags(tokenizer) -> dict[int, str]:
    """Special tokens, which `decode` leaves out, that begin or end a thought."""
    tags = {tag for pair in thoughts.THOUGHTS for tag in pair}
    special = tags.intersection(getattr(tokenizer, "all_special_tokens", ()))
    return {tokenizer.convert_tokens_to_ids(tag): tag for tag in special}


@functools.lru_cache(maxsize=8)
def _within_thought(tokenizer) -> bool:
    """Whether prompts end within a thought."""
    if not getattr(tokenizer, "chat_template", None):
        return False
    return thoughts.ends_within(_template_text(tokenizer, "a"))


def chat_ids(tokenizer, prompt: str) -> list[int]:
    """Token ids of `prompt` as the user's turn, up to where the answer begins, with exactly one BOS.

    Templates that write no BOS get it from the tokenizer if that adds one to plain text; where neither does
    (Qwen), the model was trained without. Raises UserError if the tokens begin with two, or if the prompt's
    own text contains one.
    """
    in_template, prepend = _bos_of_template(tokenizer)
    ids = _templated(tokenizer, prompt)
    bos = tokenizer.bos_token_id
    if bos is None:
        return ids
    if ids[:2] == [bos, bos]:
        raise UserError(
            f"the chat template of {tokenizer.name_or_path} begins with two BOS tokens; correct it"
        )
    if ids.count(bos) != in_template:
        raise UserError(
            f"the prompt {prompt[:60]!r} contains the BOS token {tokenizer.bos_token!r}; remove it"
        )
    return [bos, *ids] if prepend else ids


def end_of_turn(tokenizer, eos_ids: Sequence[int]) -> int:
    """Which of a model's end tokens ends its answers: the one that its chat template puts after them, else
    the tokenizer's own, else the first."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "0answer0"}]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    # A template is a program, which can fail in any way.
    except Exception:
        text = ""
    after = tokenizer(text.rpartition("0answer0")[2], add_special_tokens=False)["input_ids"]
    own = tokenizer.eos_token_id
    return next((token for token in after if token in eos_ids), own if own in eos_ids else eos_ids[0])


def plain_template(prompt_format: str) -> str:
    """A chat template that puts the user's turn into a text, for base models."""
    # Jinja knows no pairs of surrogates, as which json would write what is beyond 16 bits.
    before, after = (json.dumps(part, ensure_ascii=False) for part in prompt_format.split("{prompt}"))
    return "{{ " + before + " }}{{ messages[0]['content'] }}{{ " + after + " }}"


def with_variables(template, variables: Mapping):
    """A chat template, or several by name, with values for some of its variables, as `enable_thinking`.

    variables: name -> truth value, number or text.
    """
    if isinstance(template, Mapping):
        return {name: with_variables(each, variables) for name, each in template.items()}
    # The plus keeps a line's end after it, which is the template's.
    given = (
        f"{{% set {name} = {json.dumps(value, ensure_ascii=False)} +%}}" for name, value in variables.items()
    )
    return "".join(given) + template


def _templated(tokenizer, prompt: str) -> list[int]:
    return tokenizer(_template_text(tokenizer, prompt), add_special_tokens=False)["input_ids"]


def _template_text(tokenizer, prompt: str) -> str:
    said = "it leaves the prompt out"
    # Templates of models that see images too may know lists of parts alone, and leave out what is none.
    for content in (prompt, [{"type": "text", "text": prompt}]):
        try:
            text = tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=_NO_TODAY + tokenizer.get_chat_template(),
                tokenize=False,
                add_generation_prompt=True,
                date_string=_DATE,
            )
        # A template is a program, which can fail in any way.
        except Exception as error:
            said = first_sentence(error)
            continue
        if prompt.strip() in text:
            return text
    raise UserError(
        f"the chat template of {tokenizer.name_or_path} can't be used: {said}; correct it, or give the "
        "model's entry a prompt_format"
    )


@functools.lru_cache(maxsize=8)
def _bos_of_template(tokenizer) -> tuple[int, bool]:
    """(BOS tokens in the template of an ordinary prompt, whether one must be put before it).

    Counted rather than taken to be 1, since for some (SmolLM2) the BOS also begins every turn.
    """
    bos = tokenizer.bos_token_id
    if bos is None:
        return 0, False
    count = _templated(tokenizer, "a").count(bos)
    return count, count == 0 and tokenizer("a")["input_ids"][:1] == [bos]
