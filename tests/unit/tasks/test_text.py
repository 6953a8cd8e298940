"""Words, characters and JSON of any text."""

import json
import unicodedata

import pytest
from hypothesis import example
from hypothesis import strategies as st
from made.tasks import any_text, count, given, json_values, knotty_text
from skillprobe.tasks import text as texts
from skillprobe.tasks.text import count_words, words


@given(any_text)
def test_counts_do_not_depend_on_how_letters_are_encoded(text):
    composed, decomposed = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    assert count("word_count", composed) == count("word_count", decomposed)
    assert count("character_count", composed, unit="grapheme") == count(
        "character_count", decomposed, unit="grapheme"
    )


@given(st.text("a\r\n\0 ", max_size=10))
def test_graphemes_of_ascii_text(text):
    assert texts.count_characters(text, "grapheme") == texts.count_characters(text + "é", "grapheme") - 1


@given(st.text('[]{}",:1.-e0tnul\\ \n', max_size=12) | json_values.map(json.dumps))
@example('{"a":[]}]')
@example("[[]]]")
@example("[]],[[]")
@example("[{}}")
def test_the_walk_agrees_with_the_parser(text):
    def outcome(check):
        try:
            return check(text)
        except texts.JSONError as error:
            assert 0 <= error.offset <= len(text)
            return "refused"

    assert outcome(texts._check_nested_json) == outcome(texts.check_json)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", []),
        (" … — !\n", []),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("cafe\N{COMBINING ACUTE ACCENT} CAF\N{LATIN CAPITAL LETTER E WITH ACUTE}", ["café", "café"]),
        ("हिन्दी-भाषा हिन्दी", ["हिन्दी-भाषा", "हिन्दी"]),
        ("well-known don't 3.5 a.b -x- 'y'", ["well-known", "don't", "3.5", "a", "b", "x", "y"]),
        ("Привет, МИР! 世界", ["привет", "мир", "世界"]),
        ("\N{COMBINING ACUTE ACCENT} a", ["a"]),
        ("__Init__ snake_case_ ___ 1,000.5 1,2", ["init", "snake_case", "1,000.5", "1", "2"]),
        ("Don\u2019t well\u2011known", ["don't", "well-known"]),
        ("_cafe\u0301_-_bar_", ["café-bar"]),
    ],
)
def test_words_are_those_that_the_verifiers_count(text, expected):
    assert words(text) == expected
    assert len(expected) == count_words(text)


@given(any_text | knotty_text | st.text("a_3,-.\u0301\u0345ŉ’", max_size=12))
def test_there_are_as_many_words_as_are_counted(text):
    assert len(words(text)) == count_words(text)


@given(any_text | knotty_text)
def test_plain_forms_keep_their_places(text):
    plain = texts.plain(text)
    assert len(plain) == len(text) and texts.plain(plain) == plain
    assert all(a == b or b in "'- " for a, b in zip(text, plain, strict=True))
    assert words(plain) == words(text)


def test_runs_of_underscores_are_read_once():
    run = "_" * 300_000
    assert words(f"a{run}b{run} {run}c") == [f"a{run}b", "c"]
    assert texts.Folded(f"a{run}b a{run} {run}a").count("a") == 2


def test_long_texts_cost_no_memory_of_the_pattern():
    assert len(words("a-" * 300_000)) == 1
    assert len(words("-" * 300_000)) == 0
