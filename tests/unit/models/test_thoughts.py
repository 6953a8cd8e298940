"""What is thought before an answer is no part of it."""

import pytest
from skillprobe.models.thoughts import after_thought, empty_thought, ends_within


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("  just an answer\n", "  just an answer\n"),
        ("", ""),
        ("a < b and <thinking> too", "a < b and <thinking> too"),
        ("<think>\nfive words\n</think>\n\nThe sun is up. ", "The sun is up. "),
        ("five words</think>The sun", "The sun"),
        ('<think></think>{"a": 1}', '{"a": 1}'),
        ("<think>a</think> <think>b</think>\nc", "c"),
        ("[THINK]five words[/THINK]The sun", "The sun"),
        ("<think>five words</think>", ""),
        ("<think>five words", None),
        (" \n<think>", None),
        ("<think>a</think><think>b", None),
    ],
)
def test_the_answer_is_what_follows(text, answer):
    assert after_thought(text) == answer


def test_a_thought_may_begin_in_the_prompt():
    prompt = "<user> write <assistant><think>\n"
    assert ends_within(prompt) and not ends_within(prompt + "</think>\n\n") and not ends_within("write")
    assert after_thought("five words", within=True) is None
    assert after_thought("five words</think>\nThe sun", within=True) == "The sun"
    assert empty_thought(prompt, "five words</think>\n") == "\n</think>\n\n"
    assert empty_thought("write", "<think>five words</think>\n") == "<think>\n\n</think>\n\n"
    assert empty_thought("write", "[THINK]five words[/THINK]") == "[THINK]\n\n[/THINK]\n\n"
    assert empty_thought("write", "The sun") == ""
