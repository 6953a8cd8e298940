"""docs/files.md and `skillprobe inspect` on what a study leaves: all of it is described, nothing else is."""

import contextlib
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from made.described import differences
from skillprobe import auroc, auroc_within, cli, load_probe
from skillprobe.catalogue.files import FILES, by_place, place_in
from skillprobe.storage import tables
from workdir import ROOT

# Of targets that the smoke study doesn't have run, and of models and judges on the hub.
ABSENT = (
    "models/",
    "converted/",
    "judges/",
    "heads/",
    "tables/judges.",
    "pilot/",
    "calibration",
    "tables/calibration.",
    "tables/power.",
    "tables/coverage.",
)
ABSENT += ("report.html",)


@pytest.fixture(scope="module")
def found(smoke):
    root = smoke.path / "results/smoke"
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}


def test_every_file_is_at_a_place_of_the_catalogue(found):
    assert len(found) > 400
    assert [place for place in found if by_place(place) is None] == []
    # Nothing else leads there.
    assert [
        place for place in found if place_in(by_place(place), place) not in (place, place.split("/")[-1])
    ] == []


def test_every_place_of_the_catalogue_has_a_file(found):
    unused = [
        pattern
        for kind in FILES
        for pattern in kind.paths
        if not pattern.startswith(ABSENT)
        and not any(place_in(replace(kind, paths=(pattern,)), place) for place in found)
    ]
    assert unused == []


def test_every_file_holds_what_is_described_and_nothing_else(found):
    wrong = [each for place, path in found.items() for each in differences(by_place(place), path)]
    assert wrong == []


def test_inspect_reads_one_file_of_every_kind(found, capsys):
    kinds = {}
    for place, path in found.items():
        kinds.setdefault((by_place(place), path.suffix), path)
    assert len(kinds) > 60
    for (kind, _), path in kinds.items():
        assert cli.main(["inspect", str(path)]) == 0, path
        text = " ".join(capsys.readouterr().out.split())
        assert (
            " ".join(kind.what.split()) in text and "not described" not in text and "missing" not in text
        ), path


def test_the_nine_lines_give_the_number_of_the_table(smoke, monkeypatch):
    page = (ROOT / "docs/files.md").read_text(encoding="utf-8")
    lines = re.search(r"```python\n(.*?)```", page, re.S)[1].replace("results/demo", "results/smoke")
    assert len(lines.split("\n\n")) == 2 and sum(map(bool, lines.splitlines())) == 9
    monkeypatch.chdir(smoke.path)
    names: dict = {}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(lines, names)
    model, task, layer, rows, probe = (names[name] for name in ("model", "task", "layer", "rows", "probe"))

    def estimate(scope):
        about = {"model": model, "scope": scope, "task": task, "layer": layer}
        about |= {"probe": "specialist", "metric": "auroc"}
        table = tables.read_csv("results/smoke/tables/generality.csv")
        (row,) = [row for row in table if about.items() <= row.items()]
        return row["estimate"]

    # The table has six digits.
    assert float(out.getvalue()) == pytest.approx(estimate("across"), rel=2e-6)
    # What the page warns of: calibration rows, and a probe that has seen the rows.
    assert (probe.folds == -1).any() and np.isnan(probe.scores[probe.folds == -1]).all()
    seen = names["x"] @ probe.weights + probe.intercept
    assert auroc(seen, probe.labels, np.zeros(len(seen))).value > estimate("across") + 0.02
    within = load_probe(f"results/smoke/probes/specialist/{model}/{task}/{layer}.h5")["within"]
    rows = rows.within()
    x = rows.x[[rows.ids.tolist().index(name) for name in within.ids]]
    scores = zip(within.score(x, within.folds), within.folds, strict=True)
    found = np.mean([auroc_within(line, within.labels, within.items, fold).value for line, fold in scores])
    assert found == pytest.approx(estimate("within"), rel=2e-6)
