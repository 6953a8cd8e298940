"""docs/definitions.md: references name its sections, and its keys, numbers and files are the code's."""

import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "definitions.md").read_text(encoding="utf-8")
GLOSSARY = (DOCS / "glossary.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (.+)$", PAGE, re.M)
KEY = re.compile(
    r"`((?:ablation|activations|behaviour|calibration|claims|controls|generation|guard|labels|probes|prompts|statistics)"
    r"\.[\w.]+)`(?:\s+\(([^)]+)\))?"
)


def texts(*folders):
    """{path: text, in one line} of Python files, rules and pages."""
    found = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".smk", ".md", ".rst") and "__pycache__" not in path.parts:
                # Comments and docstrings go on in the next line.
                found[path.relative_to(ROOT).as_posix()] = re.sub(
                    r"\s*\n\s*#?\s*", " ", path.read_text(encoding="utf-8")
                )
    return found


def default(key):
    """Of a key of the config, by its schema."""
    schema = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text(encoding="utf-8"))
    for part in key.split("."):
        schema = schema["properties"][part]
    return schema["default"]


def test_every_reference_names_a_section():
    referring = 0
    for path, text in texts("workflow", "tests").items():
        if path == "tests/unit/test_definitions.py" or path.endswith(".rst"):
            continue
        for start in re.finditer(r"docs/definitions\.md", text):
            after = text[start.end() : start.end() + 80]
            named = re.match(r', "([^"]+)"', after)
            if after.startswith(" and no others"):
                continue  # All of the page.
            assert named and named[1] in SECTIONS, (path, after)
            referring += 1
    assert referring > 30


def test_nothing_refers_to_pages_that_are_not_there():
    for path, text in texts("workflow", "tests", "docs").items():
        if path != "tests/unit/test_definitions.py":
            assert not re.search(r"ESTIMANDS|DESIGN (§|\d)|STYLE\.md|study\.md", text), path


def anchors(page):
    """Of the headings of a page, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", (DOCS / page).read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", ["definitions.md", "glossary.md", "findings.md"])
def test_links_to_its_sections_work(page):
    where = {**texts("docs"), "README.md": (ROOT / "README.md").read_text(encoding="utf-8")}
    for path, text in where.items():
        for link in re.findall(rf"\]\((?:docs/)?{re.escape(page)}#([\w-]+)\)", text):
            assert link in anchors(page), (path, link)


def test_it_has_every_threshold_of_the_claims_and_the_defaults_of_the_schema():
    stated = {}
    for key, value in KEY.findall(PAGE):
        found = default(key)
        number = value.split(",")[0]
        if value and not isinstance(found, list | bool | dict):
            assert (str(found) if isinstance(found, str) else f"{found:g}") == number, key
            stated[key] = number
    schema = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text(encoding="utf-8"))
    claims = schema["properties"]["claims"]["properties"]
    expected = {f"claims.{key}" for key in claims if key != "min_tasks"}
    expected |= {f"claims.min_tasks.{key}" for key in claims["min_tasks"]["properties"]}
    assert expected - stated.keys() == set()


def test_its_constants_are_those_of_the_files_of_their_section():
    found = {}
    for section in re.split(r"^## ", PAGE, flags=re.M)[1:]:
        constants = re.findall(r"`([A-Z][A-Z_]+)`\s+\(([\d.]+)\)", section)
        files = re.findall(r"`workflow/(skillprobe/[\w/]+)\.py`", section)
        modules = [importlib.import_module(file.replace("/", ".")) for file in files]
        for name, value in constants:
            values = [getattr(module, name) for module in modules if hasattr(module, name)]
            assert values and all(each == float(value) for each in values), name
            found[name] = value
    assert {"FIXED_PROBES", "PAIRED_FOLDS", "DIRECTIONS", "LITTLE", "WRONG", "RIGHT", "NULL"} <= found.keys()


def test_no_sentence_is_too_long_to_be_read_once():
    """Lists of files and keys apart."""
    text = re.sub(r"^Code:.*?(?=\n\n|\Z)|```.*?```|^#[^\n]*$", "", PAGE, flags=re.M | re.S)
    sentences = re.split(r"(?<=[.?;:])\s+", " ".join(re.sub(r"\n- ", ". ", text).split()))
    assert len(sentences) > 150
    longest = max(sentences, key=lambda sentence: len(sentence.split()))
    assert len(longest.split()) <= 32, longest


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_names_files_that_are_there(section):
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    files = re.findall(r"`(workflow/[\w./]+\.py)`", text)
    assert files and all((ROOT / file).is_file() for file in files), files


def test_the_glossary_is_alphabetical_one_line_a_word():
    lines = [line for line in GLOSSARY.splitlines() if line.startswith("- ")]
    words = [re.match(r"- \*\*([^*]+)\*\*", line)[1].casefold() for line in lines]
    assert words == sorted(words) and len(words) == len(set(words)) > 40
    # What it says of the config's keys is of keys that there are.
    for key, value in KEY.findall(GLOSSARY):
        assert default(key) is not None or value in ("", "null"), key


def test_the_page_of_the_follow_up_claims_no_result_of_models_that_are_not_these():
    """Until the study is run with the toy models of this repository."""
    page = (DOCS / "follow_up.md").read_text(encoding="utf-8")
    assert "There is no result yet" in page and not re.search(r"\d\.\d", page)
    claims = re.findall(r"^\| `(\w+)` \|", page, re.M)
    assert (
        len(claims) == 3 and set(claims) <= importlib.import_module("skillprobe.findings.rules").RULES.keys()
    )


def test_three_things_have_three_names():
    """No page, caption or message says "twin" but for the names of keys and columns."""
    names = r"twin_samples|twin_compliance|n_twin|twin_satisfied|twin_violated|twin_\*|row_space_twins"
    one_by_one = ("README.md", "config.yaml", "workflow/schemas/config.schema.json")
    single = {path: (ROOT / path).read_text(encoding="utf-8") for path in one_by_one}
    for path, text in {**texts("docs", "workflow"), **single}.items():
        if path != "docs/glossary.md":
            rest = re.sub(rf"{names}|[\"'`]twin_?s?[\"'`]", "", text)
            assert "twin" not in rest.casefold(), path
