"""Draws beside tables, what is pooled over models, and two studies side by side."""

import json
import math

import h5py
import numpy as np
import pytest
from skillprobe import cli
from skillprobe.analyses.blocks import PAPER_GROUPS, joint_permutation_p, permutation_p
from skillprobe.errors import UserError
from skillprobe.findings import compare, rules
from skillprobe.statistics.intervals import Estimate
from skillprobe.storage import draws, files, tables
from skillprobe.storage.tables import DRAWS

TASKS = ["topic", "sentiment", "register"]
THRESHOLDS = {"signal": 0.55, "margin": 0.02, "weak_ratio": 0.5, "cluster_p": 0.01}
THRESHOLDS |= {"erased": 0.05, "sparse_dependent": 0.25, "sparse_independent": 0.5, "not_sparse": 0.5}
THRESHOLDS |= {"gain": 0.05, "planning": 0.5, "headroom": 0.05}
N_DRAWS = 4000


def estimate(value, noise, n_seeds=3):
    """noise: [n_draws]."""
    return Estimate(np.full(n_seeds, value), value + noise)


def row_of(model, found, **cells):
    return {"model": model, "layer": "selected", **cells, **found.cells(), "status": "", DRAWS: found}


def study(difference, noise, signal=TASKS):
    """Tables of each model: {model: its mean difference}, {model: noise}."""
    generality, time = [], []
    for model, value in difference.items():
        about = {"model": model, "layer": "selected", "metric": "auroc", "probe": "specialist", "status": ""}
        for task in TASKS:
            lower = 0.7 if task in signal else 0.5
            generality.append(about | {"task": task, "estimate": 0.8, "lower99": lower, "upper99": 0.9})
        generality.append(
            about | {"task": "mean", "estimate": 0.8, "lower99": 0.7, "upper99": 0.9, "n": 300, "n_bases": 81}
        )
        found = estimate(value, noise[model])
        cells = {"task": "mean", "metric": "auroc", "n": 300, "n_bases": 81}
        generality.append(row_of(model, found, probe="specialist_minus_general_centred", **cells))
        time.append(row_of(model, found, task="mean", quantity="gain"))
    return {"generality": generality, "time_summary": time}


def noises(*names, joint=False, spread=0.01):
    rng = np.random.default_rng(0)
    shared = rng.normal(0, spread, N_DRAWS)
    return {name: shared if joint else rng.normal(0, spread, N_DRAWS) for name in names}


def test_a_table_gets_its_draws_back(tmp_path):
    rows = [
        {"task": "topic", "estimate": 0.1, DRAWS: None},
        {"task": "mean", "layer": "selected", "estimate": 0.2, DRAWS: estimate(0.2, noises("a")["a"])},
        {"task": "mean", "layer": 3, "estimate": 0.4, DRAWS: estimate(0.4, noises("a")["a"])},
        {"task": "all", "estimate": -1.0, DRAWS: estimate(-1.0, np.zeros(N_DRAWS), n_seeds=1)},
    ]
    columns = ["task", "layer", "estimate"]
    tables.write_csv(tmp_path / "t.csv", [{"layer": "", **row} for row in rows], columns)
    draws.write_draws(tmp_path / "t.h5", rows)
    found = draws.with_draws(tables.read_csv(tmp_path / "t.csv"), tmp_path / "t.h5")
    # Of other layers than the selected one nothing is kept.
    assert [row.get(DRAWS) for row in found] == [None, rows[1][DRAWS], None, rows[3][DRAWS]]
    again = tmp_path / "again.h5"
    draws.write_draws(again, rows)
    assert again.read_bytes() == (tmp_path / "t.h5").read_bytes()
    draws.write_draws(again, rows[:1])
    assert DRAWS not in draws.with_draws(rows[:0], again)


def test_draws_of_another_table_are_refused(tmp_path):
    path = tmp_path / "t.h5"
    draws.write_draws(path, [{"estimate": 0.2, DRAWS: estimate(0.2, np.zeros(5))}])
    for rows in ([], [{"estimate": 0.3}]):
        with pytest.raises(UserError, match=r"t\.h5 is not of the table beside it"):
            draws.with_draws(rows, path)
    with h5py.File(path) as file:
        assert set(file) == {"row", "by_seed", "n_seeds", "drawn"}


@pytest.mark.parametrize("joint, width", [(True, 1.0), (False, 1 / math.sqrt(3))])
def test_pooled_intervals_are_of_joint_draws(joint, width):
    """Models that answered the same requests err together: their mean is then no surer than each of them."""
    models = ["a", "b", "c"]
    found = study({"a": 0.02, "b": 0.05, "c": 0.08}, noises(*models, joint=joint))
    judged = rules.judge(found, models, TASKS, THRESHOLDS)
    pooled = judged[rules.POOLED]["generality"]
    assert pooled["estimate"] == pytest.approx(0.05, abs=1e-9)
    lower, upper = pooled["interval"]
    assert upper - lower == pytest.approx(2 * 2.576 * 0.01 * width, rel=0.06)
    assert (pooled["verdict"], pooled["models"]) == ("supported", models)
    assert judged["a"]["generality"]["verdict"] == "inconclusive"
    assert pooled["n"] == {"tasks": 3, "answers": 900, "requests": 81}
    assert judged["a"]["generality"]["n"] == {"tasks": 3, "answers": 300, "requests": 81}


def test_pooled_are_those_that_are_sufficient():
    found = study({"a": 0.1, "b": 0.1, "c": -0.5}, noises("a", "b", "c"))
    for row in found["generality"]:
        if row["model"] == "c" and row["task"] in TASKS:
            row["lower99"] = 0.5
    judged = rules.judge(found, ["a", "b", "c"], TASKS, THRESHOLDS)[rules.POOLED]
    assert judged["generality"]["models"] == ["a", "b"]
    assert judged["generality"]["estimate"] == pytest.approx(0.1)
    # The index can't be tested in either: said of each.
    assert judged["monitoring"]["verdict"] == "supported"
    assert judged["monitoring"]["reason"].startswith("a: planning untested")
    one = rules.judge(study({"a": 0.1, "b": 0.3}, noises("a", "b"), ["topic"]), ["a", "b"], TASKS, THRESHOLDS)
    alone = one[rules.POOLED]["generality"]
    assert (alone["verdict"], alone["reason"]) == ("insufficient", "sufficient in 0 of 2 models")
    assert alone["estimate"] == pytest.approx(0.2)  # The number is shown all the same.
    assert rules.POOLED not in rules.judge(study({"a": 0.1}, noises("a")), ["a"], TASKS, THRESHOLDS)
    json.dumps(one, allow_nan=False)


def planted_matrix(rng, groups, strength):
    same = groups[:, None] == groups
    noise = rng.normal(0, 1, same.shape)
    return strength * same + (noise + noise.T) / 2


def test_names_are_permuted_in_all_models_at_once():
    rng = np.random.default_rng(1)
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 3, 4])
    matrices = [planted_matrix(rng, groups, 0.7) for _ in range(3)]
    alone = [permutation_p(each, groups)[0] for each in matrices]
    together, n = joint_permutation_p(matrices, groups)
    assert together < np.median(alone) and n == 3780
    assert joint_permutation_p(matrices[:1], groups) == permutation_p(matrices[0], groups)
    # A task without signal in one model takes no part there.
    missing = matrices[0].copy()
    missing[:, 8] = missing[8] = np.nan
    kept = permutation_p(matrices[0][:8, :8], groups[:8])[0]
    assert joint_permutation_p([missing], groups)[0] == pytest.approx(kept, abs=0.02)
    # Under the null p is uniform.
    nulls = [
        joint_permutation_p([planted_matrix(rng, groups, 0.0) for _ in range(2)], groups)[0]
        for _ in range(60)
    ]
    assert 0.35 < np.mean(nulls) < 0.65 and np.mean(np.array(nulls) < 0.1) < 0.25


def test_clusters_are_pooled_by_the_permutation_test():
    tasks = [task for group in PAPER_GROUPS for task in group]
    groups = np.repeat(range(len(PAPER_GROUPS)), [len(group) for group in PAPER_GROUPS])
    rng = np.random.default_rng(2)
    found = {"generality": [], "transfer_summary": [], "transfer": []}
    for model in ("a", "b"):
        about = {"model": model, "layer": "selected", "metric": "auroc", "probe": "specialist", "status": ""}
        about |= {"estimate": 0.8, "lower99": 0.7, "upper99": 0.9, "n": 300, "n_bases": 81}
        found["generality"] += [about | {"task": task} for task in (*tasks, "mean")]
        matrix = planted_matrix(rng, groups, 2.0)
        found["transfer"] += [
            {"model": model, "layer": "selected", "source": a, "target": b, "ratio": matrix[i, j]}
            for i, a in enumerate(tasks)
            for j, b in enumerate(tasks)
        ]
        block = row_of(model, estimate(0.5, noises(model)[model]), quantity="block", grouping="paper", p=0.02)
        found["transfer_summary"].append(block)
    judged = rules.judge(found, ["a", "b"], tasks, THRESHOLDS)
    assert judged["a"]["transfer_clustered"]["verdict"] == "inconclusive"
    assert judged[rules.POOLED]["transfer_clustered"]["verdict"] == "supported"


def test_findings_as_a_table():
    reported = files.read_json("workflow/resources/paper.json")["claims"]
    judged = rules.judge(
        study({"a": 0.1, "b": 0.1}, noises("a", "b")), ["a", "b"], TASKS, THRESHOLDS, reported
    )
    rows = rules.table(judged)
    assert all(tuple(row) == rules.COLUMNS for row in rows)
    assert len(rows) == 3 * len(rules.CLAIMS)
    first = rows[0]
    assert (first["model"], first["claim"], first["n_answers"]) == ("a", "generality", 300)
    assert (
        "specialist character count: accuracy 0.84; general all character count: accuracy 0.68"
        in first["paper"]
    )
    by_claim = {row["claim"]: row["paper"] for row in rows}
    assert "transfer topic -> sentiment: accuracy 0.78" in by_claim["transfer_weak"]
    # What the paper gives no number for is never filled in.
    assert [claim for claim, words in by_claim.items() if words != "not reported"] == [
        "generality",
        "transfer_weak",
    ]


# --- two studies


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
        ([str(tmp_path), str(b)], "holds no study that ran to its end"),
    ):
        assert cli.main(["compare", *arguments]) == 2
        assert words in capsys.readouterr().err
    (a / "tables/generality/m.h5").unlink()
    assert cli.main(["compare", str(a), str(a)]) == 2
    assert "m.h5" in (words := capsys.readouterr().err) and "can't be read" in words
