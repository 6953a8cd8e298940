"""Readers of report pages, and what they are made of."""

from html.parser import HTMLParser


class Strict(HTMLParser):
    """Collects tags and text, and checks that what is opened is closed."""

    VOID = ("meta", "br")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parse(page):
    page.encode("utf-8")
    parser = Strict()
    parser.feed(page)
    parser.close()
    assert not parser.open
    names = {tag for tag, _ in parser.tags}
    assert not names & {"script", "iframe", "img", "link", "object"}
    assert not any(key.startswith("on") or key == "src" for _, attrs in parser.tags for key in attrs)
    return parser


def label_row(k, response, satisfied, truncated=False, variant="constrained"):
    row = {"id": f"topic/b{k:03d}/0/{variant}/0", "variant": variant, "satisfied": satisfied}
    row |= {"truncated": truncated, "evidence": {"found": response[:20]}, "prompt": f"Say <b>{k}</b>"}
    return row | {"response": response, "instruction_type": "human", "polarity": "positive"}


def examples_settings(number):
    return {"tasks": ["topic"], "models": ["a"], "seed": 0, "report": {"examples": number}}
