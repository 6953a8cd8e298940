"""Terms are literal and whole, in any case and encoding."""

import re
import unicodedata

import pytest
from hypothesis import strategies as st
from made.tasks import accented, any_text, given, knotty_text, satisfied
from skillprobe import tasks


def occurs_by_definition(term, text):
    """Every place is tried: the literal term, with no \\w on both sides of either end."""
    for start in range(len(text) - len(term) + 1):
        end = start + len(term)
        inside_left = start > 0 and re.match(r"\w\w", text[start - 1 : start + 1])
        inside_right = end < len(text) and re.match(r"\w\w", text[end - 1 : end + 1])
        if text[start:end] == term and not inside_left and not inside_right:
            return True
    return False


@given(knotty_text.filter(str.strip), knotty_text)
def test_terms_are_literal_and_whole(term, text):
    assert satisfied("term_inclusion", text, {"terms": [term]}) == occurs_by_definition(term, text)
    assert satisfied("term_inclusion", text, {"terms": [term], "match": "substring"}) == (term in text)


@given(any_text.filter(str.strip), any_text, st.sampled_from(["word", "substring"]))
def test_a_term_between_blanks_always_occurs(term, text, match):
    params = {"terms": [term], "match": match}
    assert satisfied("term_inclusion", f"{text} {term} {text}", params)
    found = tasks.get("term_exclusion").verify(f"{text} {term} {text}", params)
    assert not found.satisfied and found.evidence["found"][0]["term"]


@given(accented.filter(str.strip), accented)
def test_case_and_encoding_do_not_matter(term, text):
    def included(term, text):
        return satisfied("term_inclusion", text, {"terms": [term]})

    expected = included(term, text)
    for change in (
        str.casefold,
        lambda s: unicodedata.normalize("NFD", s),
        lambda s: unicodedata.normalize("NFC", s),
    ):
        assert included(change(term), text) == included(term, change(text)) == expected


@pytest.mark.parametrize(
    ("term", "text", "word", "substring"),
    [
        ("art", "state-of-the-art", True, True),
        ("art", "start party", False, True),
        ("art", "ART.", True, True),
        ("art", "art_1", False, True),
        ("don", "don't", True, True),
        ("C++", "I like C++.", True, True),
        ("C++", "ObjC++", False, True),
        (".NET", "use .net or ASP.NET", True, True),
        ("$5", "$50", False, True),
        ("$5", "US$5", True, True),
        ("a.c", "abc", False, False),
        ("New York", "in new york,", True, True),
        ("New York", "New Yorker", False, True),
        ("straße", "STRASSE", True, True),
        ("STRAẞE", "straße", True, True),
        ("café", "cafe\u0301s", False, True),
        ("cafe", "cafe\u0301", False, False),
        ("ΣΊΣΥΦΟΣ", "σίσυφος", True, True),
        ("नमस", "नमस्ते", False, True),
        ("ᾴ", "Α\u0345\u0301", True, True),  # marks in another order, one of which folds to a letter
        ("(?:", "a (?: b", True, True),
    ],
)
def test_occurrence(term, text, word, substring):
    assert satisfied("term_inclusion", text, {"terms": [term]}) is word
    assert satisfied("term_inclusion", text, {"terms": [term], "match": "substring"}) is substring


@given(st.integers(1, 5), st.integers(0, 6))
def test_min_count(least, times):
    text = "no " + "Art. " * times + "start"
    assert satisfied("term_inclusion", text, {"terms": ["art"], "min_count": least}) == (times >= least)
    # With "start" there is one more, as a part of a word.
    params = {"terms": ["art"], "min_count": least, "match": "substring"}
    assert satisfied("term_inclusion", text, params) == (times + 1 >= least)


def test_every_term_counts():
    assert satisfied("term_inclusion", "a river of art", {"terms": ["river", "art"]})
    assert not satisfied("term_inclusion", "a river", {"terms": ["river", "art"]})
    assert not satisfied("term_exclusion", "a river", {"terms": ["art", "river"]})
