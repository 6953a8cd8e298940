"""Two studies side by side."""

import math

import pytest
from made.findings import N_DRAWS, TASKS, THRESHOLDS, noises, study
from skillprobe import cli
from skillprobe.findings import compare, rules
from skillprobe.storage import draws, files, tables
from skillprobe.storage.tables import DRAWS

# Of one model.
N_VERDICTS = sum(len(rule.scopes) for rule in rules.RULES.values())


def write_study(folder, difference, noise, counting=TASKS, **config):
    """A study's folder as the workflow leaves it, of what `compare` reads."""
    found = study(difference, noise, counting)
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
    assert [row["scope"] for row in rows if row["claim"] == "generality"] == ["within", "across"]
    row = next(row for row in rows if row["claim"] == "generality")
    assert tuple(row) == compare.COLUMNS and len(rows) == N_VERDICTS
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
    assert "better than one general probe (within prompts)" in text
    assert "better than one general probe (across prompts, secondary)" in text
    assert "insufficient" in text and "differ" in text
    assert len(tables.read_csv(tmp_path / "out.csv")) == N_VERDICTS
    rows = compare.compare(compare.read_results(a), compare.read_results(b))
    pooled = [row for row in rows if row["a"].endswith(rules.POOLED) and row["claim"] == "generality"]
    assert [row["difference"] for row in pooled] == [pytest.approx(0.05, abs=1e-6)] * 2
    assert pooled[0]["upper99"] - pooled[0]["lower99"] < 1e-6
    # What one study could not tell says why.
    c = write_study(tmp_path / "c", {"base": 0.1}, noise, counting=["topic"])
    rows = compare.compare(compare.read_results(a), compare.read_results(c))
    assert {row["b"] for row in rows} == {"c: base"} and "1 task counts; 3 are needed" in rows[0]["reason"]


def test_a_claim_that_one_study_does_not_have_yet_is_left_out(tmp_path):
    noise = noises("base", "chat")
    a, b = (write_study(tmp_path / name, {"base": 0.0, "chat": 0.1}, noise) for name in "ab")
    findings = files.read_json(a / "findings.json")
    for by_claim in findings.values():
        del by_claim["monitor_adds"]
    files.write_json(a / "findings.json", findings)
    rows = compare.compare(compare.read_results(a), compare.read_results(b))
    assert {row["claim"] for row in rows} == rules.CLAIMS.keys() - {"monitor_adds"}


def test_models_whose_names_look_like_numbers_are_compared(tmp_path):
    names = ("007", "1e5", "7")
    a = write_study(tmp_path / "a", dict.fromkeys(names, 0.05), noises(*names))
    rows = compare.compare(compare.read_results(a), compare.read_results(a))
    found = [row for row in rows if row["claim"] == "generality" and not row["a"].endswith(rules.POOLED)]
    assert len(found) == 6 and all(row["estimate_a"] == pytest.approx(0.05) for row in found)
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


def first_version(folder, **config):
    """A study of version 1 of the rules: no scopes, other keys, and tables that rules no longer read."""
    found = {"m": {}}
    for claim in rules.CLAIMS:
        made = {"verdict": "contradicted", "claim": "as it was", "estimate": 0.02, "interval": [0.01, 0.03]}
        made |= {"level": 0.99, "rule": "a rule", "reason": "", "tasks_with_signal": ["topic"]}
        found["m"][claim] = made | {"n": {"tasks": 1, "answers": 300, "requests": 81}, "rules_version": 1}
    files.write_json(folder / "findings.json", found)
    files.write_json(folder / "report/config.json", config)
    tables.write_csv(folder / "tables/generality/m.csv", [{"of": "another time"}])
    return folder


def test_of_two_versions_of_the_rules_only_estimates_are_compared(tmp_path, capsys):
    old = first_version(tmp_path / "old")
    new = write_study(tmp_path / "new", {"m": 0.1}, noises("m"))
    for first, second, sign in ((old, new, 1), (new, old, -1)):
        rows = compare.compare(compare.read_results(first), compare.read_results(second))
        assert {row["claim"] for row in rows} == rules.CLAIMS.keys() - set(compare.REDEFINED[2])
        # Version 1 compared across prompts.
        assert {row["scope"] for row in rows} == {"across"} and {row["verdict_a"] for row in rows} == {""}
        row = next(row for row in rows if row["claim"] == "generality")
        assert row["difference"] == pytest.approx(sign * 0.08) and math.isnan(row["lower99"])
    assert cli.main(["compare", str(old), str(new)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "The two studies were judged by versions 1 and 2 of the rules, so verdicts are not"
    )
    assert "0.020 -> 0.100, difference +0.080" in text
    assert "contradicted" not in text and "supported" not in text and "insufficient" not in text
    assert text.index("Not compared") < text.index(rules.CLAIMS["specificity"])


def test_two_studies_of_the_first_version_are_compared_without_intervals(tmp_path, capsys):
    same = {"seed": 0, "prompts": {}, "statistics": {}, "probes": {"calibration_fraction": 0.1}}
    old = first_version(tmp_path / "old", **same)
    assert cli.main(["compare", str(old), str(old)]) == 0
    text = capsys.readouterr().out
    assert f"Verdicts that are the same: {len(rules.CLAIMS)} of {len(rules.CLAIMS)}" in text
    assert "there are no intervals" in text and "[" not in text and "secondary" not in text
