"""Words are runs of letters and digits that inner marks join."""

import re

import pytest
from hypothesis import example
from made.tasks import any_text, count, given, knotty_text


@pytest.mark.parametrize(
    ("text", "joined", "regex", "whitespace"),
    [
        ("don't well-known 3.5", 3, 6, 3),
        ("the boys\u2019 dog isn\u2019t", 4, 5, 4),
        ("end.Start, v3.5 and 3. 5", 6, 7, 5),
        ("a--b - c 'd'", 4, 4, 4),
        ("state-of-the-art rock-'n'-roll", 4, 7, 2),
        ("snake_case 1,000", 3, 3, 2),
        ("nai\u0308ve cafe\u0301", 2, 3, 2),
        ("नमस्ते दुनिया", 2, 5, 2),
        ("\u0301-a", 1, 1, 1),
        (" \n\t", 0, 0, 0),
    ],
)
def test_words(text, joined, regex, whitespace):
    assert count("word_count", text) == joined
    assert count("word_count", text, words="regex") == regex == len(re.findall(r"\w+", text))
    assert count("word_count", text, words="whitespace") == whitespace


@given(knotty_text)
@example("1.1.1-a'b")
@example("a.1")
def test_words_are_runs_joined_by_inner_marks(text):
    joined = re.findall(r"\w+(?:(?:['’-]|(?<=\d)\.(?=\d))\w+)*", text)
    assert count("word_count", text) == len(joined)


@given(any_text, any_text)
def test_words_add_up_over_a_blank(left, right):
    whole = count("word_count", f"{left} {right}")
    # A mark that begins `right` can't join what a blank parts.
    assert whole == count("word_count", left) + count("word_count", right)
