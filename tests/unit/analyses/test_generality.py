"""Planted worlds: one direction for all tasks, or one each; and what the table says of them."""

import re
from dataclasses import replace

import numpy as np
import pytest
import yaml
from made.configs import ROOT
from made.scopes import SETTINGS as SCOPED
from made.scopes import probe_rows
from skillprobe.analyses import generality
from skillprobe.errors import UserError
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.general_probes import fit_general_scopes, general
from skillprobe.probes.refits import Refits
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.specialists import fit_scopes, specialist
from skillprobe.statistics import metrics
from skillprobe.statistics.bootstrap import draw_tested
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import FIXED_PROBES, Estimate, auroc_estimate, weighted
from skillprobe.storage import tables
from skillprobe.storage.tables import SCOPES, columns_of

SETTINGS = Settings(penalties=(1e-3, 1e-2, 1e-1), shuffles=5)
TASKS = [f"task{i}" for i in range(4)]
CATEGORIES = dict(zip(TASKS, ["structural", "structural", "lexical", "semantic"], strict=True))
D, N_BASES, PER_BASE = 32, 44, 6
DIFFERENCE = "specialist_minus_general_centred"


def planted(directions, seed=0, strengths=(1.0,)):
    """{layer: {task: x}}, {task: y}, {task: groups}; layer l carries the signal at strengths[l]."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"b{i:03d}" for i in range(N_BASES)], PER_BASE)
    y = {task: rng.integers(0, 2, len(groups)) for task in TASKS}
    layers = {
        layer: {
            task: rng.normal(size=(len(groups), D)) + strength * (2 * y[task] - 1)[:, None] * direction
            for task, direction in zip(TASKS, directions, strict=True)
        }
        for layer, strength in enumerate(strengths)
    }
    return layers, y, {task: groups for task in TASKS}


def table(layers, y, groups, **kwargs):
    specialists = {
        task: {
            layer: specialist(x[task], y[task], groups[task], SETTINGS, confounds=np.ones((len(y[task]), 1)))
            for layer, x in layers.items()
        }
        for task in TASKS
    }
    generals = {layer: general(x, y, groups, SETTINGS) for layer, x in layers.items()}
    # Layer 0 again as the random-weight model, and as a surface baseline.
    first = {task: by_layer[0] for task, by_layer in specialists.items()}
    kwargs |= {"random": {task: {0: result} for task, result in first.items()}}
    kwargs |= {"surface": {task: {"length": result} for task, result in first.items()}}
    rows = generality.generality_table(
        "toy", specialists, generals, CATEGORIES, signal=0.55, n_draws=500, **kwargs
    )
    return rows, specialists, generals


def find(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, wanted
    return found[0]


@pytest.fixture(scope="module")
def universal():
    return table(*planted([np.eye(D)[0]] * 4, strengths=(0.0, 0.8)))


@pytest.fixture(scope="module")
def compositional():
    return table(*planted(np.eye(D)[:4], strengths=(0.8,)))


@pytest.mark.parametrize("variant", ["all", "centred", "leave_one_out"])
def test_universal_world_general_is_as_good(universal, variant):
    row = find(universal[0], task="mean", layer=1, probe=f"specialist_minus_general_{variant}")
    assert row["upper99"] < 0.02


def test_controls_stand_beside_their_specialist(universal):
    rows, *_ = universal
    for layer in (1, "selected"):
        special = find(rows, task="mean", layer=layer, probe="specialist", metric="auroc")
        # Nothing but a constant was taken out.
        rest = find(rows, task="mean", layer=layer, probe="residualised")
        assert rest["estimate"] == pytest.approx(special["estimate"], abs=0.01)
        shuffled = find(rows, task="mean", layer=layer, probe="shuffled")
        assert shuffled["lower99"] < 0.5 < shuffled["upper99"]
        selectivity = find(rows, task="mean", layer=layer, probe="specialist_minus_shuffled")
        assert selectivity["estimate"] == pytest.approx(special["estimate"] - shuffled["estimate"])
        assert selectivity["lower99"] > 0.1


def test_baselines_are_paired_with_the_specialist_at_the_selected_layer(universal):
    rows, *_ = universal
    special = find(rows, task="task1", layer="selected", probe="specialist", metric="auroc")
    for name in ("random_weights", "surface_length"):
        row = find(rows, task="task1", layer="selected", probe=name, metric="auroc")
        noise = find(rows, task="task1", layer=0, probe="specialist", metric="auroc")
        assert row["estimate"] == noise["estimate"]
        difference = find(rows, task="task1", layer="selected", probe=f"specialist_minus_{name}")
        assert difference["estimate"] == pytest.approx(special["estimate"] - row["estimate"])
        assert difference["lower99"] > 0.05


def test_compositional_world_general_is_worse(compositional):
    for variant in ("all", "centred", "matched", "leave_one_out"):
        row = find(compositional[0], task="mean", layer=0, probe=f"specialist_minus_general_{variant}")
        assert row["lower99"] > 0.02
        assert row["lower99"] < row["lower95"] < row["estimate"] < row["upper95"] < row["upper99"]


def test_rows_tell_how_much_was_cut_short():
    layers, y, groups = planted(np.eye(D)[:4])
    cut = dict(zip(TASKS, (0.1, 0.02, 0.0, 0.0), strict=True))
    specialists = {
        task: {0: specialist(layers[0][task], y[task], groups[task], SETTINGS, truncated_fraction=cut[task])}
        for task in TASKS
    }
    rows = generality.generality_table("toy", specialists, {}, CATEGORIES, signal=0.55, n_draws=100)
    for layer in (0, "selected"):
        of = {row["task"]: row for row in rows if row["layer"] == layer and row["metric"] == "auroc"}
        assert {task: of[task]["truncated"] for task in cut} == cut
        assert of["mean"]["truncated"] == pytest.approx(0.03)


def test_columns_values_and_pairing(universal):
    rows, specialists, _ = universal
    assert all(columns_of(row) == generality.COLUMNS for row in rows)
    result = specialists["task2"][1]
    row = find(rows, task="task2", layer=1, probe="specialist", metric="auroc")
    by_seed = [
        metrics.auroc(s, result.labels, f).value for s, f in zip(result.scores, result.folds, strict=True)
    ]
    assert row["estimate"] == pytest.approx(np.mean(by_seed))
    used = result.folds[0] >= 0
    assert (row["n"], row["n_groups"], row["category"]) == (used.sum(), 40, "lexical")
    assert row["base_rate"] == pytest.approx(result.labels[used].mean())
    assert row["lower99"] <= row["lower95"] <= row["estimate"] <= row["upper95"] <= row["upper99"]
    accuracy = find(rows, task="task2", layer=1, probe="specialist", metric="accuracy")
    right = (result.scores[:, used] > 0) == result.labels[used]
    assert accuracy["estimate"] == pytest.approx(right.mean())
    loss = find(rows, task="task2", layer=1, probe="specialist", metric="log_loss")
    assert 0 < loss["estimate"] < np.log(2)
    # A difference is the difference of the table's own rows, for a task and for the mean.
    for task in ("task2", "mean"):
        both = [
            find(rows, task=task, layer=1, probe=p, metric="auroc")["estimate"]
            for p in ("specialist", "general_centred")
        ]
        row = find(rows, task=task, layer=1, probe="specialist_minus_general_centred")
        assert row["estimate"] == pytest.approx(both[0] - both[1])


def test_a_pair_of_equal_probes_has_no_difference_and_no_uncertainty(universal):
    _, specialists, _ = universal
    generals = {1: {"all": {task: specialists[task][1] for task in TASKS}}}
    at_one = {task: {1: specialists[task][1]} for task in TASKS}
    rows = generality.generality_table("toy", at_one, generals, CATEGORIES, signal=0.55, n_draws=100)
    row = find(rows, task="mean", layer=1, probe="specialist_minus_general_all")
    assert row["estimate"] == row["lower99"] == row["upper99"] == 0


def test_selected_layer_is_nested(universal):
    rows, specialists, _ = universal
    selected = find(rows, task="task0", layer="selected", probe="specialist", metric="auroc")
    signal = find(rows, task="task0", layer=1, probe="specialist", metric="auroc")
    assert selected["estimate"] == pytest.approx(signal["estimate"])  # layer 0 is noise
    by_layer = specialists["task0"]
    scored = generality.select_layer(by_layer)
    for s, f in [(0, 0), (1, 4)]:
        best = max(by_layer, key=lambda layer: by_layer[layer].inner_auroc[s, f])
        test = scored.folds[s] == f
        np.testing.assert_array_equal(scored.scores[s, test], by_layer[best].scores[s, test])


def test_insufficiency_and_constant_scores_flow_through(tmp_path):
    layers, y, groups = planted([np.eye(D)[0]] * 4)
    y["task3"] = np.ones_like(y["task3"])
    layers[0] = {task: np.ones_like(x) for task, x in layers[0].items()}
    rows, *_ = table(layers, y, groups)
    for probe in ("specialist", "general_all", "specialist_minus_general_all"):
        row = find(rows, task="task3", layer=0, probe=probe, metric="auroc")
        assert row["status"].startswith("insufficient: 0 violated") and np.isnan(row["estimate"])
        # None of the others has a signal: a mean over them would say nothing.
        mean = find(rows, task="mean", layer="selected", probe=probe)
        assert mean["status"] == "insufficient: no task's AUROC is clearly above 0.55"
        assert np.isnan(mean["estimate"]) and (mean["n_tasks"], mean["tasks"]) == (0, "")
    flagged = find(rows, task="task0", layer=0, probe="specialist", metric="auroc")
    assert flagged["status"] == "constant scores" and flagged["estimate"] == 0.5
    tables.write_csv(tmp_path / "generality.csv", rows)
    assert len(tables.read_csv(tmp_path / "generality.csv")) == len(rows)

    y = {task: np.ones_like(label) for task, label in y.items()}
    rows, *_ = table(layers, y, groups)
    assert all(row["status"].startswith("insufficient") and np.isnan(row["estimate"]) for row in rows)


def test_draws_are_the_studys(universal):
    """A table of fewer tasks or layers has the same intervals, given the study's groups."""
    rows, specialists, _ = universal
    part = generality.generality_table(
        "toy", {"task1": {1: specialists["task1"][1]}}, {}, CATEGORIES, signal=0.55, n_draws=500,
        study_groups=[f"b{i:03d}" for i in range(N_BASES)],
    )  # fmt: skip
    wanted = {"task": "task1", "layer": 1, "probe": "specialist", "metric": "auroc"}
    assert find(part, **wanted) == find(rows, **wanted)
    with pytest.raises(UserError, match="no probes"):
        generality.generality_table("toy", {}, {}, CATEGORIES, signal=0.55)


@pytest.fixture(scope="module")
def scoped():
    """{scope: {(layer, task, probe, metric): row}} of two tasks whose probes read the prompt at layer 0, and
    at layer 1 the response, in a direction of their own."""
    tasks_rows = {
        layer: {
            task: probe_rows(
                task=task, **{"prompt": 3.0} if layer == 0 else {"response": 0.8, "direction": d}
            )
            for d, task in enumerate(("topic", "register"), start=1)
        }
        for layer in (0, 1)
    }
    specialists = {
        task: {layer: fit_scopes(rows[task], SCOPED) for layer, rows in tasks_rows.items()}
        for task in ("topic", "register")
    }
    generals = {layer: fit_general_scopes(rows, SCOPED) for layer, rows in tasks_rows.items()}
    found = {}
    for scope in SCOPES:
        rows = generality.generality_table(
            "m",
            {t: {layer: each[scope] for layer, each in by.items()} for t, by in specialists.items()},
            {layer: each[scope] for layer, each in generals.items()},
            {"topic": "semantic", "register": "stylistic"},
            signal=0.55,
            scope=scope,
            n_draws=100,
        )
        assert all(columns_of(row) == generality.COLUMNS and row["scope"] == scope for row in rows)
        found[scope] = {(row["layer"], row["task"], row["probe"], row["metric"]): row for row in rows}
    return found


def test_within_prompts_what_the_prompt_says_is_no_signal(scoped):
    across, within = (scoped[scope][0, "mean", "specialist", "auroc"] for scope in SCOPES)
    assert across["lower99"] > 0.65 and abs(within["estimate"] - 0.5) < 0.06
    across, within = (scoped[scope][1, "mean", "specialist", "auroc"] for scope in SCOPES)
    assert across["lower99"] > 0.65 and within["lower99"] > 0.65
    difference = scoped["within"]["selected", "mean", "specialist_minus_general_leave_one_out", "auroc"]
    assert difference["lower99"] > 0.1


def test_within_prompts_there_are_aurocs_of_so_many_prompts(scoped):
    rows = scoped["within"].values()
    assert {row["metric"] for row in rows} == {"auroc"}
    assert {row["probe"] for row in rows if "minus" not in row["probe"]} == {
        "specialist",
        *(f"general_{variant}" for variant in ("centred", "matched", "leave_one_out")),
    }
    own, mean = (scoped["within"][1, task, "specialist", "auroc"] for task in ("topic", "mean"))
    assert 60 <= own["n_items"] < mean["n_items"] and own["n"] == 4 * own["n_items"]
    assert scoped["across"][1, "topic", "specialist", "auroc"]["n_items"] == ""


def test_what_could_be_detected_is_told_beside_an_auroc(scoped):
    row = scoped["within"][1, "topic", "specialist", "auroc"]
    # The interval is of the same standard error, on the logit scale.
    error = (row["upper95"] - row["lower95"]) / (2 * 1.96)
    assert row["detectable"] == pytest.approx(0.55 + 3.4 * error, abs=0.03)
    assert scoped["within"][1, "topic", "specialist_minus_general_centred", "auroc"]["detectable"] == ""


def test_within_prompts_a_general_probe_has_the_layer_of_each_task():
    """Two tasks whose one signal is at different layers: by its own inner AUROC each finds it."""

    def result(own, mean):
        made = specialist(*one, SETTINGS)
        nothing = np.zeros_like(made.scores)
        per_fold = np.ones_like(made.inner_auroc)
        return replace(
            made, scores=nothing + own, task_inner_auroc=own * per_fold, inner_auroc=mean * per_fold
        )

    layers, y, groups = planted(np.eye(D)[:4])
    one = layers[0]["task0"], y["task0"], groups["task0"]
    by_layer = {0: result(0.9, 0.6), 1: result(0.6, 0.8)}
    tested = by_layer[0].folds[0] != CALIBRATION
    for own, expected in ((False, 0.6), (True, 0.9)):
        scores = generality.select_layer(by_layer, own=own).scores[:, tested]
        assert (scores == np.float32(expected)).all()


def scored(effects, rng, n_groups=120, per_group=4):
    """A result for each effect, of the same responses: scores whose noise is half in common."""
    group = np.repeat(np.arange(n_groups), per_group)
    labels = rng.integers(0, 2, len(group)).astype(np.int8)
    folds = np.stack([group % 5, (group // 5) % 5]).astype(np.int8)
    common = rng.normal(size=len(group))
    nothing = np.ones((2, 5))
    results = []
    for effect in effects:
        noise = np.sqrt(0.5) * (common + rng.normal(size=len(group)))
        scores = np.stack([noise + effect * labels] * 2).astype(np.float32)
        about = (np.char.add("r", np.arange(len(group)).astype(str)), np.char.add("g", group.astype(str)))
        results.append(
            ProbeResult(
                *about, labels, folds, scores, *[nothing] * 3, np.zeros(1), 0.0, nothing[0], nothing[0]
            )
        )
    return results


def tabulated(special, general, **more):
    tasks = list(special)
    return generality.generality_table(
        "toy",
        {task: {0: special[task]} for task in tasks},
        {0: {"centred": {task: general[task] for task in tasks}}},
        dict.fromkeys(tasks, "lexical"),
        signal=0.55,
        n_draws=100,
        **more,
    )


def test_a_difference_at_the_margin_has_no_winners_curse():
    """Of weak tasks whose specialist is better by 0.02, those that count in a fold are not those that happen
    to be better there. Had the specialist alone and the measured folds the say, the difference would be too
    large."""
    # AUROCs Φ(effect / √2) of 0.66 and 0.64.
    rng = np.random.default_rng(0)
    honest, naive = [], []
    for _ in range(100):
        special, general = {}, {}
        for t in range(6):
            special[f"t{t}"], general[f"t{t}"] = scored([0.583, 0.507], rng)
        rows = tabulated(special, general)
        if np.isfinite(value := find(rows, task="mean", layer="selected", probe=DIFFERENCE)["estimate"]):
            honest.append(value)
        chosen = [
            find(rows, task=task, layer="selected", probe=DIFFERENCE)["estimate"]
            for task in special
            if find(rows, task=task, layer="selected", probe="specialist", metric="auroc")["lower99"] > 0.55
        ]
        naive += chosen
    error = np.std(honest) / np.sqrt(len(honest))
    assert len(honest) == 100 and error < 0.002
    assert abs(np.mean(honest) - 0.02) < 2 * error < np.mean(naive) - 0.02


def test_one_direction_at_several_depths_is_no_general_probes_fault():
    """Two tasks have their signal at layer 0, two at layer 1, all along one direction. With one layer for all
    tasks the general probe would seem worse than the specialists."""
    direction = np.eye(D)[0]
    layers, y, groups = planted([direction] * 4, strengths=(0.0, 0.0))
    for task, layer in zip(TASKS, (0, 0, 1, 1), strict=True):
        layers[layer][task] = layers[layer][task] + 1.2 * (2 * y[task] - 1)[:, None] * direction
    rows, specialists, generals = table(layers, y, groups)
    row = find(rows, task="mean", layer="selected", probe=DIFFERENCE)
    assert row["estimate"] < 0.02 and row["lower99"] < 0 and row["n_tasks"] == 4
    # As of version 1: the layer that is best for the mean of tasks.
    one_layer = []
    for task in TASKS:
        centred = {layer: generals[layer]["centred"][task] for layer in layers}
        results = [generality.select_layer(specialists[task]), generality.select_layer(centred)]
        draws = draw_tested([specialists[task][0]], n_draws=500)
        special, general = (auroc_estimate(each, draws) for each in results)
        one_layer.append(special - general)
    mean = weighted((each, 1 / len(TASKS)) for each in one_layer).cells()
    assert mean["lower99"] > 0.02 and mean["estimate"] > 0.1


def test_means_are_over_the_tasks_that_count_at_every_layer():
    rng = np.random.default_rng(1)
    special, general = {}, {}
    for task, effect in zip(TASKS, (1.5, 1.2, 0.0, 1.4), strict=True):
        special[task], general[task] = scored([effect, effect / 2], rng)
    special["task3"] = replace(special["task3"], status="few", scores=special["task3"].scores * np.nan)
    general["task3"] = replace(special["task3"])
    rows = tabulated(special, general)
    for layer in (0, "selected"):
        for probe in ("specialist", "general_centred", DIFFERENCE):
            mean = find(rows, task="mean", layer=layer, probe=probe, metric="auroc")
            assert (mean["n_tasks"], mean["tasks"], mean["status"]) == (2, "task0 task1", "")
            own = [find(rows, task=task, layer=layer, probe=probe, metric="auroc") for task in TASKS[:2]]
            # In each fold, not of all pairs at once.
            expected = np.mean([row["estimate"] for row in own])
            assert mean["estimate"] == pytest.approx(expected, abs=0.01)
            assert mean["n"] == sum(row["n"] for row in own)
            # A single task has its row, whether it counts or not.
            silent = find(rows, task="task2", layer=layer, probe=probe, metric="auroc")
            assert np.isfinite(silent["estimate"]) and silent["tasks"] == ""


def test_intervals_at_the_selected_layers_are_of_refits():
    rng = np.random.default_rng(2)
    special, general = {}, {}
    for task in TASKS[:3]:
        special[task], general[task] = scored([1.2, 1.0], rng)
    noise = rng.normal(0, 0.03, size=(3, 150, 5))
    pairs = np.full((3, 150, 5), 100.0)
    refits = Refits(
        tuple(TASKS[:3]),
        pairs,
        pairs * (0.8 + noise),
        # What is common to both is no uncertainty of the difference.
        pairs * (0.7 + noise + rng.normal(0, 0.005, noise.shape)),
        np.full((3, 3, 150, 5), np.nan),
    )
    fixed, rows = tabulated(special, general), tabulated(special, general, refits=refits)

    def find_both(**wanted):
        return (find(some, metric="auroc", **wanted) for some in (fixed, rows))

    for task in (*TASKS[:3], "mean"):
        for probe, kind in (("specialist", "specialist"), ("general_centred", "general")):
            before, after = find_both(task=task, layer="selected", probe=probe)
            assert before["estimate"] == after["estimate"] and before["lower99"] != after["lower99"]
            before, after = find_both(task=task, layer=0, probe=probe)
            assert before == after
            if task != "mean":
                # The draws' centre, 0.8, plays no part.
                row = find(rows, task=task, layer="selected", probe=probe, metric="auroc")
                by_seed = find(rows, task=task, layer=0, probe=probe, metric="auroc")["estimate"]
                expected = Estimate(np.full(1, by_seed), refits.pooled(kind, task), 1.0).cells((0, 1))
                assert row["lower95"] == pytest.approx(expected["lower95"], abs=3e-3)
    mean = find(rows, task="mean", layer="selected", probe=DIFFERENCE)
    assert mean["draws"].factor == 1.0 and mean["draws"].drawn.shape == (150,)
    assert mean["draws"].drawn.std() == pytest.approx(0.005 / np.sqrt(15), rel=0.2)
    assert find(fixed, task="mean", layer="selected", probe=DIFFERENCE)["draws"].factor == FIXED_PROBES


def test_the_readmes_rule_of_thumb_is_the_detectable_auroc_scaled_by_the_number_of_requests():
    """SE ~ 1/√requests in 0.55 + 3.4 · SE, from what the README says of the default study."""
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    requests, found = re.search(
        r"The (\d+) requests of the default study find (0\.\d+) with 80 % power", readme
    ).groups()
    bases = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["prompts"]["bases"]
    assert int(requests) == bases
    error = (float(found) - generality.detectable(Estimate(np.zeros(1), np.zeros(2)))) / 3.4
    said = re.search(r"requests: ((?:[\d,]+ for 0\.\d+(?:, )?)+)\.", readme)[1]
    numbers = re.findall(r"([\d,]+) for (0\.\d+)", said)
    assert len(numbers) == 3
    for needed, auroc in numbers:
        needed = int(needed.replace(",", ""))
        scaled = 0.55 + 3.4 * error * (bases / needed) ** 0.5
        assert scaled == pytest.approx(float(auroc), abs=1e-3)
    factor = f"take {bases} × ({float(found) - 0.55:.2f} / (a − 0.55))² requests"
    assert factor in readme
