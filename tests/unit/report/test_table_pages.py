"""Pages of tables."""

from made.pages import parse
from made.tables import FEW, compliance_rows, generality_rows
from skillprobe.report import table_pages


def test_table_pages():
    tasks, settings = ["word_count", "topic", "toxicity"], {"tasks": ["word_count", "topic", "toxicity"]}
    settings |= {"models": ["a", "gone"], "claims.looks": 2}
    rows = generality_rows(["a"], tasks, insufficient=["topic"], constant=["toxicity"])
    text = parse(table_pages.generality_page(rows, settings)).text
    assert FEW in text and "constant scores" in text and "0.800 [0.750, 0.850]" in text and "no probe" in text
    assert "every layer and 99.5 % intervals" in " ".join(text.split())
    text = parse(table_pages.compliance_page(compliance_rows(["a"], tasks), settings)).text
    assert "60\u00a0%" in text and "no responses" in text


def test_the_page_has_what_is_found_within_prompts():
    tasks = ["word_count", "topic"]
    settings = {"tasks": tasks, "models": ["a"], "claims.looks": 1}
    rows = generality_rows(["a"], tasks)
    within = [row | {"scope": "within", "estimate": 0.71, "n_items": 64} for row in rows]
    text = parse(table_pages.generality_page([*rows, *within], settings)).text
    assert "0.710 [0.750, 0.850]" in text and "64" in text
    assert "0.710" not in parse(table_pages.generality_page(rows, settings)).text
