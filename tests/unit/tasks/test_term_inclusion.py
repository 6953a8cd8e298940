"""Terms are literal and whole, in any case and encoding."""

import unicodedata

import pytest
from hypothesis import strategies as st
from made.tasks import accented, any_text, given, knotty_text, satisfied
from skillprobe import tasks


def occurs_by_definition(term, text):
    """Every place is tried: the literal term, and where it ends in a letter no more of a word beside it."""
    for start in range(len(text) - len(term) + 1):
        end = start + len(term)
        inside_left = term[0].isalnum() and continues(text, start - 1, -1)
        inside_right = term[-1].isalnum() and continues(text, end, 1)
        if text[start:end] == term and not inside_left and not inside_right:
            return True
    return False


def continues(text, place, step):
    """Whether a letter stands there, or behind underscores."""
    while 0 <= place < len(text) and text[place] == "_":
        place += step
    return 0 <= place < len(text) and text[place].isalnum()


@given(knotty_text.filter(str.strip), knotty_text)
def test_terms_are_literal_and_whole(term, text):
    included = [
        satisfied("term_inclusion", text, {"terms": [term], "match": m}) for m in ("word", "substring")
    ]
    term, text = (each.translate({0x2019: "'", 0x2011: "-", 0xA0: " "}) for each in (term, text))
    assert included == [occurs_by_definition(term, text), term in text]


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
        ("river", "the _river_ bank", True, True),
        ("river", "THE __River__", True, True),
        ("river bank", "_River bank_", True, True),
        ("river", "_river bank_", True, True),
        ("river", "_rivers_", False, True),
        ("river", "my_river", False, True),
        ("river", "river__bed", False, True),
        ("river", "_my_river_", False, True),
        ("river", "(_river_)", True, True),
        ("river", "____ river", True, True),
        ("caf\u00e9", "_cafe\u0301_", True, True),
        ("snake_case", "_snake_case_", True, True),
        ("__init__", "def __init__(self)", True, True),
        ("__init__", "init", False, False),
        ("_id", "user_id", True, True),
        ("don't", "Don\u2019t", True, True),
        ("don\u2019t", "don't", True, True),
        ("l'\u00e9t\u00e9", "L\u02bc\u00c9T\u00c9", True, True),
        ("well-known", "a well\u2011known well\u2010KNOWN man", True, True),
        ("well\u2010known", "well-known", True, True),
        ("well-known", "well\u2013known", False, False),
        ("New York", "New\u00a0York", True, True),
        ("New\u202fYork", "new york", True, True),
        ("New York", "New\u00a0Yorker", False, True),
        ("New York", "NewYork", False, False),
        ("wed", "well\u2011wed", True, True),
        ("1,000", "in 1,000 years", True, True),
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
