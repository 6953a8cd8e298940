"""Whatever is written into a page is shown, and does nothing else."""

from made.pages import examples_settings, label_row, parse
from skillprobe.report import examples

NASTY = [
    "<script>alert(1)</script>",
    "\"quotes\" & 'apostrophes' &amp; </pre></article>",
    "abc \u202edesrever\u2066 \x00\x1b[31m\x85 \u2028",
    "lone \ud83d surrogate",
    "שלום, עולם",
    "",
    "x" * 5000,
]


def test_generated_text_is_escaped():
    rows = [label_row(k, text, k % 2 == 0) for k, text in enumerate(NASTY)]
    page = examples.examples_page({("a", "topic"): rows}, examples_settings(len(NASTY)))
    parser = parse(page)
    assert "<script>alert(1)</script>" in parser.text and "Say <b>0</b>" in parser.text
    assert NASTY[1] in parser.text and NASTY[4] in parser.text
    for code in ("U+202E", "U+2066", "U+0000", "U+001B", "U+0085", "U+2028", "U+D83D"):
        assert code in parser.text
    assert not set(page) & set("\u202e\u2066\x00\x1b\x85\u2028\ud83d")
    assert "3,500 more characters" in parser.text
