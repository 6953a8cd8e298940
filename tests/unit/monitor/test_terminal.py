"""Lines for each token, in colours where a terminal has them."""

import io
import re

import numpy as np
import pytest
from made.answers import EVIL, made_answer
from skillprobe.monitor.terminal import Table, fitted, in_colour, plain


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(answer, stream):
    table = Table(answer.watched, stream)
    table.head()
    last = len(answer.tokens)
    for k, (text, line) in enumerate(zip(["", *answer.tokens], answer.probabilities, strict=True)):
        table.token(text, line, end=k == last)
    table.summary(answer)
    return stream.getvalue()


def test_a_line_for_each_token_and_one_for_each_constraint():
    answer = made_answer()
    lines = shown(answer, io.StringIO()).splitlines()
    assert lines[0].split() == ["word_count", "toxicity"]
    assert [line.split()[0] for line in lines[1:5]] == ["(prompt)", "1", "2", "(end)"]
    numbers = [[float(each) for each in re.findall(r"\d\.\d\d", line)] for line in lines[1:5]]
    np.testing.assert_allclose(numbers, answer.probabilities, atol=0.006)
    assert "The river" in lines
    assert lines[-2].startswith('word_count {"relation": "exactly", "n": 7}: ')
    assert "the verifier says violated" in lines[-2] and "verifier" not in lines[-1]
    assert "held out: AUROC 0.70, Brier 0.200, base rate's 0.250" in lines[-1]
    # Columns line up.
    assert len({line.rindex(".") for line in lines[1:5]}) == 1


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert in_colour(Terminal()) and not in_colour(io.StringIO())
    coloured = shown(made_answer(), Terminal())
    assert "\x1b[1;38;5;" in coloured
    # The same words without them.
    without = [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", coloured).splitlines()]
    assert without == shown(made_answer(), io.StringIO()).splitlines()
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, value)
            assert "\x1b" not in shown(made_answer(), Terminal())


def test_likely_and_unlikely_have_other_colours(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    table = Table(made_answer().watched, Terminal())
    colours = [re.search(r"5;(\d+)m", table._painted("x", p))[1] for p in (0.0, 0.5, 1.0)]
    assert len(set(colours)) == 3


def test_what_a_model_writes_does_nothing_to_the_terminal():
    text = shown(made_answer(tokens=(EVIL, "\n", "\x07", ""), response=EVIL, prompt=EVIL), Terminal())
    assert not set(re.sub(r"\x1b\[(1;38;5;\d+|0)m", "", text)) & set("\x1b\x07\u202e")
    assert plain("a\x1b[2Jé\u202e\n") == r"a\x1b[2Jé\u202e\n" and plain("a\nb", keep="\n") == "a\nb"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", "abc  "),
        ("abcde", "abcde"),
        ("abcdef", "abcd…"),
        ("日本", "日本 "),
        ("日本語", "日本…"),
        ("", "     "),
        (" ", "·    "),
    ],
)
def test_texts_take_so_many_columns(text, expected):
    assert fitted(text, 5) == expected


def test_a_response_that_is_cut_short_is_said_to_be():
    assert "cut short" in shown(made_answer(truncated=True), io.StringIO())
