"""Pages of tables."""

from made.findings import finding, made_findings
from made.pages import parse
from made.tables import FEW, compliance_rows, generality_rows
from skillprobe.catalogue.tables import meanings
from skillprobe.findings import rules
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


def test_the_page_of_findings_has_both_scopes():
    found = made_findings(["<b>m", rules.POOLED])
    found["<b>m"]["generality"]["reason"] = "<i>why"
    page = table_pages.findings_page(found, {"tasks": ["topic", "sentiment", "register"], "claims.looks": 2})
    text = parse(page).text
    assert "<b>m" in text and "All models" in text and "<i>why" in text and "99.5 % intervals" in text
    rows = [row for row in page.split("<tr")[1:] if "<td" in row]
    assert len(rows) == 2 * sum(len(rule.scopes) for rule in rules.RULES.values())
    first, second = rows[:2]
    assert "A specialist probe is better than one general probe" in first and "within prompts" in first
    assert "0.081\u00a0[0.052,\u00a00.110]" in first and "3 of 3: topic, sentiment, register" in first
    assert "A specialist" not in second and "across prompts" in second
    assert found["<b>m"]["generality"]["secondary"]["verdict"] in second
    blank = {"m": {"generality": finding("generality", "insufficient", tasks=())}}
    assert "0 of 1" in parse(table_pages.findings_page(blank, {"tasks": ["topic"], "claims.looks": 1})).text


def test_columns_are_explained_as_in_the_catalogue():
    settings = {"models": ["a"], "tasks": ["topic"], "claims.looks": 1}
    pages = {
        "compliance": table_pages.compliance_page(compliance_rows(["a"], ["topic"]), settings),
        "generality": table_pages.generality_page(generality_rows(["a"], ["topic"]), settings),
        "findings": table_pages.findings_page(made_findings(["a"]), settings),
    }
    for name, heads in (
        ("compliance", table_pages.COMPLIANCE),
        ("generality", table_pages.GENERALITY),
        ("findings", table_pages.FINDINGS),
    ):
        known, text = meanings(name), parse(pages[name]).text
        for head, columns in heads.items():
            assert f"<dt>{head}</dt>" in pages[name] and f">{head}</th>" in pages[name]
            assert all(known[column].replace("`", "") in text for column in columns)
    assert "<code>compliance</code>" in pages["compliance"] and "`" not in pages["compliance"]
