"""Prompts in a model's chat template, and its answers as text."""

import functools
import json
from collections.abc import Sequence

from skillprobe.errors import UserError, first_sentence

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


def plain_template(prompt_format: str) -> str:
    """A chat template that puts the user's turn into a text, for base models."""
    # Jinja knows no pairs of surrogates, as which json would write what is beyond 16 bits.
    before, after = (json.dumps(part, ensure_ascii=False) for part in prompt_format.split("{prompt}"))
    return "{{ " + before + " }}{{ messages[0]['content'] }}{{ " + after + " }}"


def _templated(tokenizer, prompt: str) -> list[int]:
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
            return tokenizer(text, add_special_tokens=False)["input_ids"]
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
