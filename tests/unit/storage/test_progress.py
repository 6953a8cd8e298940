"""A bar on a terminal, lines in a log."""

import sys

import pytest
from skillprobe.storage import progress as module
from skillprobe.storage.progress import progress, silent


def test_a_short_loop_leaves_one_line_in_a_log(capsys):
    with progress("answers", 1200) as advance:
        for _ in range(3):
            advance(400)
    assert capsys.readouterr().err == "answers: 1,200 in 0 s\n"


def test_a_long_loop_says_now_and_then_how_long_it_takes(capsys, monkeypatch):
    seconds = iter(range(0, 1000, 20))
    monkeypatch.setattr(module, "SECONDS", 30.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(seconds)))
    with progress("answers", 10) as advance:
        for _ in range(5):
            advance(2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "answers: 4 of 10, 40 s so far, about 60 s to go"
    assert lines[1:] == ["answers: 8 of 10, 80 s so far, about 20 s to go", "answers: 10 in 120 s"]


def test_a_long_first_step_is_not_silent(capsys, monkeypatch):
    seconds = iter(range(0, 1000, 15))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(seconds)))
    with progress("answers", 1200) as advance:
        for _ in range(3):
            advance(0)
        advance(1200)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["answers: 0 of 1,200, 30 s so far", "answers: 1,200 in 75 s"]


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress("answers", 4) as advance:
        advance(4)
    assert "answers: 100%" in capsys.readouterr().err


def test_a_loop_that_breaks_off_claims_nothing(capsys):
    with pytest.raises(ValueError), progress("answers", 4) as advance:
        advance(1)
        raise ValueError
    assert capsys.readouterr().err == ""


def test_where_something_else_is_written_nothing_is_shown(capsys):
    with silent(), progress("answers", 4) as advance:
        advance(4)
    assert capsys.readouterr().err == ""
    with progress("answers", 4):
        pass
    assert capsys.readouterr().err
