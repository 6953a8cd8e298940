"""Characters are raw, or as readers see them."""

import pytest
from made.tasks import any_text, count, given


@given(any_text)
def test_characters_are_raw(text):
    assert count("character_count", text) == count("character_count", text, unit="codepoint") == len(text)
    graphemes = count("character_count", text, unit="grapheme")
    assert (len(text) > 0) <= graphemes <= len(text)


@pytest.mark.parametrize(
    ("text", "graphemes"), [("👩‍👩‍👧", 1), ("e\u0301", 1), ("🇮🇹🇫🇷", 2), ("\r\n", 1), (" a ", 3), ("각", 1)]
)
def test_graphemes(text, graphemes):
    assert count("character_count", text, unit="grapheme") == graphemes
