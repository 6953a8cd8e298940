"""Exclusion is the opposite of inclusion, and says where it found what."""

import unicodedata

from made.tasks import accented, any_text, given, satisfied
from skillprobe import tasks
from skillprobe.tasks import text as texts


@given(any_text | accented, any_text | accented)
def test_exclusion_is_the_opposite_of_inclusion(term, text):
    if term.strip():
        for match in ("word", "substring"):
            params = {"terms": [term], "match": match}
            assert satisfied("term_exclusion", text, params) != satisfied("term_inclusion", text, params)


@given(accented, accented.filter(str.strip), accented)
def test_spans_are_those_of_the_original_text(before, term, after):
    text = f"{before} {term} {after}"
    (found,) = tasks.get("term_exclusion").verify(text, {"terms": [term]}).evidence["found"]
    start, end = found["span"]
    assert texts.fold(term) in texts.fold(text[start:end])
    assert end - start <= len(unicodedata.normalize("NFD", text))


def test_span_beyond_a_block():
    text = "ŉ ß e\u0301 " * 3000 + "STRASSE!"
    (found,) = tasks.get("term_exclusion").verify(text, {"terms": ["straße"]}).evidence["found"]
    assert text[slice(*found["span"])] == "STRASSE"
