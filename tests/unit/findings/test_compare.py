"""Two studies side by side."""

import math

import pytest
from made.findings import N_DRAWS, TASKS, THRESHOLDS, noises, study
from skillprobe import cli
from skillprobe.findings import compare, rules
from skillprobe.storage import draws, files, tables
from skillprobe.storage.tables import DRAWS


def write_study(folder, difference, noise, signal=TASKS, **config):
    """A study's folder as the workflow leaves it, of what `compare` reads."""
    found = study(difference, noise, signal)
    judged = rules.judge(found, list(difference), TASKS, THRESHOLDS)
    files.write_json(folder / "findings.json", judged)
    settings = {"seed": 0, "prompts": {"bases": 90}, "statistics": {"bootstrap_draws": N_DRAWS}}
    files.write_json(
        folder / "report/config.json", settings | {"probes": {"calibration_fraction": 0.1}} | config
    )
    for name, rows in found.items():
        for model in difference:
            of_model = [row for row in rows if row["model"] == model]
            columns = list(dict.fromkeys(key for row in of_model for key in row if key != DRAWS))
            whole = [{column: row.get(column, "") for column in columns} | row for row in of_model]
            tables.write_csv(folder / f"tables/{name}/{model}.csv", whole, columns)
            draws.write_draws(folder / f"tables/{name}/{model}.h5", whole)
    return folder


@pytest.mark.parametrize("same, width", [(True, 0.0), (False, math.sqrt(2))])
def test_differences_are_paired_where_the_requests_are_the_same(tmp_path, same, width):
    noise = noises("m")
    a = write_study(tmp_path / "a", {"m": 0.03}, noise)
    b = write_study(tmp_path / "b", {"m": 0.08}, noise, seed=0 if same else 1)
    rows = compare.compare(compare.read_results(a), compare.read_results(b))
    row = next(row for row in rows if row["claim"] == "generality")
    assert tuple(row) == compare.COLUMNS and len(rows) == len(rules.CLAIMS)
    assert (row["verdict_a"], row["verdict_b"], row["paired"]) == ("inconclusive", "supported", same)
    assert row["difference"] == pytest.approx(0.05, abs=1e-6)
    assert row["upper99"] - row["lower99"] == pytest.approx(2 * 2.576 * 0.01 * width, rel=0.08, abs=1e-9)


def test_models_of_one_study_and_pooled_findings(tmp_path, capsys):
    noise = noises("base", "chat", joint=True)
    a = write_study(tmp_path / "a", {"base": 0.0, "chat": 0.1}, noise)
    b = write_study(tmp_path / "b", {"base": 0.1, "chat": 0.1}, noise)
    assert cli.main(["compare", f"{a}:base", f"{a}:chat", "--csv", str(tmp_path / "out.csv")]) == 0
    text = capsys.readouterr().out
    assert "a: base, a: chat: inconclusive -> supported; 0.000 -> 0.100, difference +0.100" in text
    assert "insufficient" in text and "differ" in text
    assert len(tables.read_csv(tmp_path / "out.csv")) == len(rules.CLAIMS)
    rows = compare.compare(compare.read_results(a), compare.read_results(b))
    pooled = [row for row in rows if row["a"].endswith(rules.POOLED) and row["claim"] == "generality"]
    assert [row["difference"] for row in pooled] == [pytest.approx(0.05, abs=1e-6)]
    assert pooled[0]["upper99"] - pooled[0]["lower99"] < 1e-6
    # What one study could not tell says why.
    c = write_study(tmp_path / "c", {"base": 0.1}, noise, signal=["topic"])
    rows = compare.compare(compare.read_results(a), compare.read_results(c))
    assert {row["b"] for row in rows} == {"c: base"} and "1 of 3 tasks have a signal" in rows[0]["reason"]


def test_models_whose_names_look_like_numbers_are_compared(tmp_path):
    names = ("007", "1e5", "7")
    a = write_study(tmp_path / "a", dict.fromkeys(names, 0.05), noises(*names))
    rows = compare.compare(compare.read_results(a), compare.read_results(a))
    found = [row for row in rows if row["claim"] == "generality" and not row["a"].endswith(rules.POOLED)]
    assert len(found) == 3 and all(row["estimate_a"] == pytest.approx(0.05) for row in found)
    assert all(row["lower99"] == row["upper99"] == 0 for row in found)


def test_tables_of_models_that_left_a_study_are_left_alone(tmp_path):
    noise = noises("stays", "left")
    a = write_study(tmp_path / "a", {"stays": 0.0, "left": 0.1}, noise)
    expected = compare.read_results(write_study(tmp_path / "a", {"stays": 0.0}, noise)).found
    (a / "tables/generality/left.csv").write_bytes(b"\xff")
    assert compare.read_results(a).found == expected


def test_what_cannot_be_compared_is_refused(tmp_path, capsys):
    a = write_study(tmp_path / "a", {"m": 0.1}, noises("m"))
    b = write_study(tmp_path / "b", {"other": 0.1}, noises("other"))
    for arguments, words in (
        ([str(a), str(b)], "have no model in common; name one of each"),
        ([f"{a}:x", f"{b}:other"], "has no findings of model 'x'; it has m"),
        ([f"{a}:m", str(b)], "name a model of both folders, or of neither"),
        ([str(tmp_path / "gone"), str(b)], "there is no folder"),
        ([str(tmp_path), str(b)], "is not finished; finish it with snakemake"),
    ):
        assert cli.main(["compare", *arguments]) == 2
        assert words in capsys.readouterr().err
    (a / "tables/generality/m.h5").unlink()
    assert cli.main(["compare", str(a), str(a)]) == 2
    assert "m.h5" in (words := capsys.readouterr().err) and "can't be read" in words
