"""docs/architecture.md agrees with the code: its picture, its table, and the files that its lists name."""

import importlib.util
import re
import runpy
from contextlib import suppress
from pathlib import Path

import pytest
from workdir import copy_repository

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
# Where a new thing is looked for.
SEARCHED = ("README.md", "Snakefile", "config.yaml", "docs", "workflow", "tests/workflow")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


drawing = load(ROOT / "docs/draw_architecture.py")


def lists():
    """[(example, files of its list, [(example, files) of the lists before it in its section])]."""
    found = []
    for section in re.split(r"^### ", PAGE, flags=re.M)[1:]:
        before = []
        for part in re.split(r"^Example: ", section, flags=re.M)[1:]:
            example = re.match(r"`([^`]+)`", part)[1]
            files = re.findall(r"^- `([^`]+)`: ", part, re.M)
            found.append((example, files, list(before)))
            before.append((example, files))
    return found


@pytest.fixture(scope="module")
def texts():
    """{path: text} of the repository's files that are texts, without this page and its picture."""
    found = {}
    for name in SEARCHED:
        for path in sorted((ROOT / name).rglob("*")) if (ROOT / name).is_dir() else [ROOT / name]:
            place = path.relative_to(ROOT).as_posix()
            # What Python and pip leave there; the latter's copy of the README would count twice.
            left = "__pycache__" in place or ".egg-info" in place
            if path.is_file() and not left and not place.startswith("docs/architecture."):
                with suppress(UnicodeDecodeError):
                    # Within an f-string quotes are single ones.
                    found[place] = path.read_bytes().decode("utf-8").replace("'", '"')
    return found


def mentions(texts, example):
    word = example.casefold()
    return {path for path, text in texts.items() if word in path.casefold() or word in text.casefold()}


def test_the_picture_is_what_the_command_draws():
    same = drawing.PICTURE.read_bytes() == drawing.picture().encode()
    assert same, "run `python docs/draw_architecture.py`"


def test_every_path_on_the_page_is_there():
    tops = {path.name for path in ROOT.iterdir()} - {"results"}
    named = re.findall(r"`([\w./-]+)`|\]\(([\w./-]+)\)|(?:python|pytest) ([\w./-]+)", PAGE)
    paths = [first or (f"docs/{link}" if link else command) for first, link, command in named]
    paths = [path for path in paths if path.split("/")[0] in tops]
    assert len(paths) > 70
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_table_has_the_folders_in_the_order_of_imports_and_who_imports_them():
    floors = runpy.run_path(str(next((ROOT / "tests/unit").rglob("test_floors.py"))))["FLOORS"]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", PAGE, re.M)
    assert [folder for folder, _, _ in rows] == floors
    files = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk")}
    imports = {name: drawing.folders_of(text) for name, text in files.items()}
    for folder, _, cell in rows:
        named = set(re.findall(r"`(\w+)`", cell))
        stated = files.keys() - named if cell.startswith("all but") else named
        assert stated == {name for name, folders in imports.items() if folder in folders}, folder


@pytest.mark.parametrize(("example", "files", "before"), lists(), ids=[example for example, *_ in lists()])
def test_a_list_has_the_files_that_mention_its_example_and_no_others(texts, example, files, before):
    assert files and len(files) == len(set(files))
    found = mentions(texts, example)
    assert [path for path in files if path not in found] == []
    # A second list goes on from the first: it needn't repeat the files that the first example has, too.
    known = {path.replace(other, example) for other, paths in before for path in paths}
    assert sorted(found - known - set(files)) == []


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    return copy_repository(tmp_path_factory.mktemp("copy")).listed(forked=False)


def test_the_picture_shows_what_snakemake_plans(jobs):
    stage_of = {
        rule: name
        for name, text in drawing.rule_texts().items()
        for rule in re.findall(r"^rule (\w+):", text, re.M)
    }
    prefix = "results/smoke/"
    maker = {
        path: stage_of[job["rule"]] for job in jobs for path in job.get("output", "").split(", ") if path
    }
    reads, makes = set(), set()
    for job in jobs:
        here = stage_of.get(job["rule"])  # None for the target `all`.
        for path in job.get("input", "").split(", "):
            if here and maker.get(path, here) != here:
                what = drawing.kind(path.removeprefix(prefix))
                reads.add((here, what))
                makes.add((maker[path], what))
    drawn = drawing.stages()
    # The toy models and their judges are not on the hub.
    assert reads == {(row.name, what) for row in drawn for what in row.reads - {drawing.HUB}}
    assert makes == {(row.name, what) for row in drawn for what in row.makes - {drawing.HUB}}
    files = {path.removeprefix(prefix) for path in maker}
    assert {path.split("/")[0] for path in files} == {
        path.split("/")[0]
        for row in drawn
        for path in row.files
        if row.name not in ("models", "pilot", "calibration")
    }
