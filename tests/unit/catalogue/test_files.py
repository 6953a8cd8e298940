"""The catalogue has the files that the rules make, and what is in them; docs/files.md is made of it."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from made.described import differences
from made.stored import HDF5, write_hdf5
from skillprobe.catalogue import files as catalogue
from skillprobe.catalogue.fields import HDF5 as FORM
from skillprobe.catalogue.files import FILES, PLACES, TOYS, by_names, by_place, lacks, place_in

ROOT = Path(__file__).resolve().parents[3]
# No rule makes them: Snakemake does, or what writes another file.
WITHOUT_RULE = ("logs/", "benchmarks/", "report.html", catalogue.SEALS)


def test_the_page_is_what_the_command_prints():
    page = runpy.run_path(str(ROOT / "docs/make_files_page.py"))["page"]()
    same = (ROOT / "docs/files.md").read_text(encoding="utf-8") == page
    assert same, "run `python docs/make_files_page.py > docs/files.md`"


def test_the_page_has_every_path_name_and_meaning():
    page = " ".join((ROOT / "docs/files.md").read_text(encoding="utf-8").split())
    for kind in (*FILES, *TOYS):
        assert " ".join(kind.what.split()) in page
        for field in kind.fields:
            assert f"`{field.name}`" in page and field.text in page
            assert all(f"`{case.name}`" in page and case.text in page for case in field.cases)
        if len(kind.paths) <= 3:
            assert all(f"`{path}`" in page for path in kind.paths)


def outputs():
    """Paths that the rules make below results/, as patterns."""
    drawing = runpy.run_path(str(ROOT / "docs/draw_architecture.py"))
    found = set()
    for text in drawing["rule_texts"]().values():
        plain = drawing["_plain"](text)
        for _, body in drawing["_rules"](plain):
            found |= set(drawing["_outputs"](body).values())
    toys = (ROOT / "workflow/rules/toy.smk").read_text()
    found |= set(re.findall(r'(?:corpus|card)="results/toy/([^"]+)"', toys))
    return {re.sub(r"\{(\w+)\}", r"<\1>", path) for path in found}


def test_every_output_of_a_rule_is_described_and_nothing_else():
    paths = outputs()
    assert len(paths) > 90
    # Of one table a rule makes the file for all analyses.
    made = {path for path in paths if path != "tables/<analysis>.csv"}
    unknown = [path for path in made if by_place(path) is None]
    assert unknown == []
    for kind in (*FILES, *TOYS):
        for pattern in kind.paths:
            if pattern.startswith(WITHOUT_RULE) or "safetensors" in pattern:
                continue
            merged = (
                re.fullmatch(r"tables/\w+\.csv", pattern) and pattern.replace(".csv", "/<model>.csv") in made
            )
            assert merged or any(place_in(replace(kind, paths=(pattern,)), path) for path in made), pattern


def test_places_are_told_apart():
    def path_of(place):
        kind = by_place(place)
        return kind and kind.paths[0]

    assert path_of("/x/results/s/pilot/labels/m/topic/0.jsonl").startswith("pilot/labels/")
    assert path_of("labels/m/topic/0.jsonl").startswith("labels/")
    assert path_of("behaviour/m/topic.jsonl") == "behaviour/<model>/<task>.jsonl"
    assert path_of("behaviour/m/topic.perplexity.jsonl").endswith("perplexity.jsonl")
    assert path_of("tables/.time.csv.sha256") == catalogue.SEALS
    assert path_of("tables/time/m.csv") == "tables/time.csv"
    assert path_of("results/s/logs/plot_time.log") == path_of("logs/a/b/c/0.log") == "logs/"
    assert path_of("results/toy/models/toy-llama/model.safetensors") == "models/<toy>/model.safetensors"
    assert path_of("models/my-model.json") == "models/<model>.json"
    assert path_of("notes.txt") is path_of("/x/y.h5") is path_of("tables/mine.csv") is None


def test_every_place_name_and_axis_is_explained():
    used = {
        name
        for kind in (*FILES, *TOYS)
        for path in (*kind.paths, *kind.groups)
        for name in re.findall(r"<(.+?)>", path)
    }
    assert used == set(PLACES)
    assert {axis for kind in FILES for field in kind.fields for axis in field.shape} == set(catalogue.AXES)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_hdf5(tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize("place", HDF5)
def test_hdf5_files_hold_what_is_described(written, place):
    kind = by_place(place)
    found = differences(kind, written[place])
    # Made-up ones lack a part of what a study has.
    assert [each for each in found if "there is no group" not in each] == []
    if place.endswith("0.h5"):
        assert differences(by_place("activations/m/topic/0.json"), written[place].with_suffix(".json")) == []


def test_every_kind_of_hdf5_file_was_tried():
    assert {by_place(place) for place in HDF5} == {kind for kind in FILES if kind.format == FORM}


def test_what_differs_is_found(written):
    kind = by_place("erasers/m/1.h5")
    fields = [replace(each, name="c") if each.name == "a" else each for each in kind.fields]
    found = differences(replace(kind, fields=tuple(fields)), written["erasers/m/1.h5"])
    assert {each.split(": ")[1] for each in found} == {"a is not described", "c is missing"}
    fields = [
        replace(each, dtype="float64", shape=("d",)) if each.name == "b" else each for each in kind.fields
    ]
    found = differences(replace(kind, fields=tuple(fields)), written["erasers/m/1.h5"])
    assert any("b has 2 axes" in each for each in found)
    found = differences(
        replace(kind, groups=("tasks/<source>/<fold>", "more/<fold>")), written["erasers/m/1.h5"]
    )
    assert any("random/0 is not described" in each for each in found) and any(
        "no group more" in each for each in found
    )
    probe = by_place("probes/specialist/m/topic/1.h5")
    narrow = [
        replace(each, values=replace(each.values, high=0)) if each.name == "labels" else each
        for each in probe.fields
    ]
    found = differences(replace(probe, fields=tuple(narrow)), written["probes/specialist/m/topic/1.h5"])
    assert any("labels goes up to 1" in each for each in found)


def test_kinds_are_known_by_what_they_hold():
    eraser = by_place("erasers/m/1.h5")
    assert by_names(FORM, ["a", "b", "mean"]) == [eraser] and by_names(FORM, ["a", "b"]) == []
    assert lacks(eraser, ["a", "x"]) == ({"x"}, {"b", "mean"})
    (table,) = by_names("CSV", [each.name for each in by_place("tables/time.csv").fields])
    assert table is by_place("tables/time/m.csv")


def test_each_probe_of_the_table_of_generality_says_how_it_is_made():
    """Of every name that the analysis gives a probe, which tasks it was trained on, or of what."""
    from skillprobe.analyses import generality
    from skillprobe.probes.general_probes import VARIANTS

    (table,) = [kind for kind in FILES if "tables/generality.csv" in kind.paths]
    (probe,) = [field for field in table.fields if field.name == "probe"]
    names = {case.name: case.text for case in probe.cases}
    general = {f"general_{variant}" for variant in VARIANTS}
    assert generality.GENERAL in general and {generality.SPECIALIST, *general} <= names.keys()
    assert "one for each task" in names[generality.SPECIALIST]
    for name in general:
        assert re.match(r"one for (all tasks|each task): trained on|as `general_all`, ", names[name]), name
    for name in names.keys() - general - {generality.SPECIALIST, "specialist_minus_<probe>"}:
        assert names[name].startswith("control: a "), name
