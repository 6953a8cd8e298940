"""What a model thinks before it answers, between <think> and </think>: no part of the answer.

Text alone: which tokens these are is found in `chat`.
"""

from __future__ import annotations

# Of Qwen 3, DeepSeek-R1, SmolLM3, GLM and most others; of Mistral's.
THOUGHTS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))


def after_thought(text: str, within: bool = False) -> str | None:
    """What follows the last thought in a response, without blanks before it; all of a text without thoughts,
    as it is; None for one that ends within a thought.

    within: whether the prompt ends within one, as templates that write <think> themselves leave it.
    """
    ends = [text.rfind(closing) + len(closing) for _, closing in THOUGHTS if closing in text]
    answer = text[max(ends) :].lstrip() if ends else text
    if _begins_one(answer) or (within and not ends):
        return None
    return answer


def ends_within(text: str) -> bool:
    """Whether a prompt ends within a thought."""
    return any(text.rfind(opening) > text.rfind(closing) for opening, closing in THOUGHTS)


def number_of_ends(text: str) -> int:
    return sum(text.count(closing) for _, closing in THOUGHTS)


def empty_thought(prompt: str, text: str) -> str:
    """A thought without content, as Qwen 3's template has it, of the kind of a response's; only the end of it
    where the prompt has begun one."""
    for opening, closing in THOUGHTS:
        if closing in text:
            return f"\n{closing}\n\n" if ends_within(prompt) else f"{opening}\n\n{closing}\n\n"
    return ""


def _begins_one(text: str) -> bool:
    return text.lstrip().startswith(tuple(opening for opening, _ in THOUGHTS))
