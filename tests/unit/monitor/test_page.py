"""The page of monitored answers: whole in itself, and safe whatever a model writes."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from made.answers import EVIL, made_answer
from skillprobe.monitor.page import write_page


class Page(HTMLParser):
    """tags: [(name, attributes)] in order; text: what is read, not of script and style; script: its text."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.text, self.script, self._open = [], "", "", ""
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        if self._open == "script":
            self.script += data
        elif self._open != "style":
            self.text += data

    def all(self, tag, **wanted):
        return [
            attrs
            for name, attrs in self.tags
            if name == tag and all(value in (attrs.get(key) or "").split() for key, value in wanted.items())
        ]


def page_of(tmp_path, *answers):
    path = tmp_path / "page.html"
    write_page(path, answers, "Study results/demo, model tiny.")
    return path.read_text(encoding="utf-8")


def test_every_token_has_its_probabilities(tmp_path):
    answers = [made_answer(), made_answer(tokens=("A",), truncated=True, seed=1)]
    page = Page(page_of(tmp_path, *answers))
    tokens = page.all("button", **{"class": "t"})
    assert len(tokens) == 4 + 2 and len(page.all("section")) == 2
    lines = [line for answer in answers for line in answer.probabilities]
    for token, line in zip(tokens, lines, strict=True):
        assert json.loads(token["data-p"]) == pytest.approx(line, abs=1e-4)
        assert "word count" in token["aria-label"] and f"{line[1]:.2f}" in token["aria-label"]
    assert len(page.all("path", **{"class": "line"})) == 4
    for text in ("The", " river", "violated", "(cut short)", "AUROC 0.70, Brier 0.200 (0.250)"):
        assert text in page.text


def test_keyboard_and_touch_reach_all_there_is(tmp_path):
    page = Page(page_of(tmp_path, made_answer()))
    # One stop for the tab key, from which arrows go on; and real buttons.
    assert [token["tabindex"] for token in page.all("button", **{"class": "t"})] == ["0", "-1", "-1", "-1"]
    assert len(page.all("button", **{"class": "row"})) == 2
    assert all(each.get("type") == "button" for each in page.all("button"))
    for key in ("ArrowLeft", "ArrowRight", "Home", "End"):
        assert key in page.script
    assert page.all("meta", name="viewport") and page.all("html", lang="en")


def test_nothing_is_loaded_and_only_its_own_script_runs(tmp_path):
    content = page_of(tmp_path, made_answer())
    page = Page(content)
    assert not re.search(r"https?:|src=|url\(|@import|<link", content)
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    allowed = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"


def test_texts_are_shown_and_do_nothing(tmp_path):
    answer = made_answer(tokens=(EVIL, "</script><script>alert(2)</script>", ""), prompt=EVIL)
    answer.watched[0].constraint.params["words"] = EVIL
    try:
        page = Page(page_of(tmp_path, answer))
    finally:
        del answer.watched[0].constraint.params["words"]
    assert [name for name, _ in page.tags].count("script") == 1 and not page.all("img")
    assert "alert" not in page.script and "<img src=x onerror=alert(1)>" in page.text
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert not set(page.text) & set("\x1b\u202e")


def test_long_answers_scroll_and_short_ones_fit_a_phone(tmp_path):
    widths = []
    for n in (1, 12, 200):
        page = Page(page_of(tmp_path, made_answer(tokens=["a"] * n)))
        chart = next(attrs for name, attrs in page.tags if name == "svg" and attrs.get("role") == "img")
        widths.append(int(chart["width"]))
    assert widths[0] < 370 and widths[1] < 370 and widths[2] > 1500
