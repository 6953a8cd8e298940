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
        ("snake_case 1,000", 2, 3, 2),
        # Emphasis is no part of a word, and alone no word; inside one it is a letter.
        ("_river_ __River__ ___a___ a__b", 4, 4, 4),
        ("____ _ a_ _b -_- a-_-b", 4, 8, 6),
        ("_well_-_known_ _don\u2019t_ _cafe\u0301_", 3, 6, 3),
        # Typographic forms count as plain ones, but by the rule "regex".
        ("isn\u2019t isn\u2018t isn\u02bct isn\uff07t", 4, 7, 4),
        ("well\u2010known well\u2011known well\uff0dknown 1990\u20132000", 5, 8, 4),
        ("New\u00a0York 10\u202fkm a\u2007b", 6, 6, 6),
        # Commas of thousands join, and no others.
        ("1,000 1,000,000 12,345.67 1,000th -1,000", 5, 12, 5),
        ("1,2,3 10,20 2019,2020 1000,000 1,0000 1, 000 a,000 1,abc", 17, 17, 9),
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
@example("1,111,111_,111.1")
def test_words_are_runs_joined_by_inner_marks(text):
    text = text.translate({0x2019: "'", 0x2011: "-", 0xA0: " "})
    text = "".join(
        run if run[0] != "_" or _letter(text, start - 1) and _letter(text, start + len(run)) else ""
        for start, run in ((found.start(), found[0]) for found in re.finditer(r"_+|[^_]+", text))
    )
    thousands = r"(?<=\d)(?<!\d{4}),(?=\d{3}(?!\d))"
    joined = re.findall(rf"\w+(?:(?:['-]|(?<=\d)\.(?=\d)|{thousands})\w+)*", text)
    assert count("word_count", text) == len(joined)


def _letter(text, place):
    return 0 <= place < len(text) and text[place].isalnum()


@given(any_text | knotty_text)
def test_the_rule_regex_is_that_of_re(text):
    assert count("word_count", text, words="regex") == len(re.findall(r"\w+", text))
    assert count("word_count", text, words="whitespace") == len(text.split())


@given(any_text, any_text)
def test_words_add_up_over_a_blank(left, right):
    whole = count("word_count", f"{left} {right}")
    # A mark that begins `right` can't join what a blank parts.
    assert whole == count("word_count", left) + count("word_count", right)
