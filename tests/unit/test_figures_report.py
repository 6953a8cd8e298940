"""Figures and report pages, from small made-up tables."""

import csv
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from skillprobe.findings import rules
from skillprobe.report import examples, methods, provenance, table_pages
from skillprobe.report.figures.ablation import ablation
from skillprobe.report.figures.agreement import agreement as agreement_figure
from skillprobe.report.figures.behaviour import behaviour as behaviour_figure
from skillprobe.report.figures.probes import layer_curves, specialist_against_general
from skillprobe.report.figures.responses import compliance as compliance_figure
from skillprobe.report.figures.robustness import robustness
from skillprobe.report.figures.scorecard import scorecard
from skillprobe.report.figures.similarity import similarity
from skillprobe.report.figures.specificity import specificity
from skillprobe.report.figures.style import OUTLINES, category_colours
from skillprobe.report.figures.time import time_courses
from skillprobe.report.figures.transfer import transfer as transfer_figure
from skillprobe.report.overview import overview_page
from skillprobe.storage.files import read_json
from skillprobe.storage.tables import read_csv, write_csv
from skillprobe.study.config import complete
from skillprobe.tasks import CATEGORIES

NAN = float("nan")
FEW = "insufficient: 12 violated responses from 6 bases to train on; probes need 20 from 10 of each class"
THRESHOLDS = {"signal": 0.55, "margin": 0.02, "weak_ratio": 0.5, "cluster_p": 0.01}
THRESHOLDS |= {"erased": 0.05, "sparse_dependent": 0.25, "sparse_independent": 0.5, "not_sparse": 0.5}
THRESHOLDS |= {"gain": 0.05, "planning": 0.5, "headroom": 0.05}
KINDS, POLES = ("human", "plm", "entailment"), ("positive", "negated")
BOUNDS = ("lower95", "upper95", "lower99", "upper99")


def draw_transfer(rows, settings):
    categories = {task: category_of(k) for k, task in enumerate(settings["tasks"])}
    return transfer_figure(rows, categories, settings)


def draw_layers(rows, settings):
    emergence = [
        {"model": model, "task": task, "estimate": 0.5, "lower95": 0.25, "upper95": 0.5}
        for model in settings["models"]
        for task in (*settings["tasks"][:1], "all")
    ]
    return layer_curves(rows, emergence, settings)


def draw_ablation(rows, settings):
    blank = {(row["source"], row["target"]) for row in rows if row["status"]}
    curves = [
        {"model": model, "layer": layer, "source": source, "target": target, "rank": rank}
        | {"estimate": (value := NAN if (source, target) in blank else 0.9 - 0.1 * rank * (source == target))}
        | {"lower95": value - 0.05, "upper95": value + 0.05, "status": FEW if value != value else ""}
        for model in settings["models"]
        for layer in (1, "selected")
        for source in settings["tasks"]
        for target in settings["tasks"]
        for rank in (2, 0, 1)
        if rows
    ]
    categories = {task: category_of(k) for k, task in enumerate(settings["tasks"])}
    return ablation(rows, curves, categories, settings)


def draw_behaviour(rows, settings):
    categories = {task: category_of(k) for k, task in enumerate(settings["tasks"])}
    return behaviour_figure(rows, categories, settings)


def draw_agreement(rows, settings):
    summary = [
        {"model": model, "edit": edit, "quantity": quantity, "estimate": -0.2 if len(rows) else NAN, "p": 0.7}
        for model in settings["models"]
        for edit in ("erase", "flip")
        for quantity in ("rank_correlation", "within")
    ]
    categories = {task: category_of(k) for k, task in enumerate(settings["tasks"])}
    return agreement_figure(rows, summary, categories, settings)


def draw_robustness(rows, settings):
    wording = [
        {"model": row["model"], "task": row["task"], "category": row["category"], "by": "any"}
        | {"wording": row["tested_on"], "estimate": 0.6, "lower95": 0.5, "upper95": 0.7, "n": 100}
        | {"n_bases": 30, "n_tasks": 1, "status": ""}
        for row in rows
        if row["tested_on"] == row["trained_on"] and row["layer"] == "selected"
    ]
    return robustness(rows, wording, settings)


def draw_similarity(rows, settings):
    categories = {task: category_of(k) for k, task in enumerate(settings["tasks"])}
    between = model_similarity_rows(settings["models"]) if rows else []
    return similarity(rows, between, categories, settings)


def draw_scorecard(rows, settings):
    return scorecard(rows, THRESHOLDS, settings)


FIGURES = {
    "ablation": draw_ablation,
    "agreement": draw_agreement,
    "behaviour": draw_behaviour,
    "compliance": compliance_figure,
    "generality": specialist_against_general,
    "layers": draw_layers,
    "specificity": specificity,
    "robustness": draw_robustness,
    "scorecard": draw_scorecard,
    "similarity": draw_similarity,
    "time": time_courses,
    "transfer": draw_transfer,
}


def make_settings(models, tasks, palette="colorblind"):
    return {"models": models, "tasks": tasks, "figures": {"palette": palette, "dpi": 60}}


def category_of(number):
    return CATEGORIES[number % len(CATEGORIES)]


def compliance_rows(models, tasks):
    return [
        {
            "model": model,
            "task": task,
            "category": category_of(k),
            "compliance": NAN if k == 1 else 0.6,
            "lower95": NAN if k == 1 else 0.55,
            "upper95": NAN if k == 1 else 0.66,
            "n": 0 if k == 1 else 120,
            "n_bases": 0 if k == 1 else 40,
            "truncated": 1.0 if k == 1 else 0.01,
            "twin_compliance": NAN if k == 2 else 0.3,
            "n_twin": 80,
            "distinct_responses": 77,
        }
        for model in models
        for k, task in enumerate(tasks)
    ]


def auroc_row(model, task, category, layer, probe, value, half=0.05, status=""):
    row = {"model": model, "task": task, "category": category, "layer": layer}
    row |= {"depth": "" if layer == "selected" else layer / 2, "probe": probe, "metric": "auroc"}
    row |= {"estimate": value}
    row |= {bound: value + (half if bound.startswith("upper") else -half) for bound in BOUNDS}
    return row | {"n": 120, "n_bases": 40, "base_rate": 0.6, "status": status}


def generality_rows(models, tasks, insufficient=(), constant=(), difference=0.1, half=0.02):
    rows = []
    for model in models:
        for layer in (0, 1, 2, "selected"):
            for probe, value in (
                ("specialist", 0.8),
                ("general_centred", 0.8 - difference),
                ("residualised", 0.75),
                ("shuffled", 0.5),
            ):
                for k, task in enumerate(tasks):
                    value_here, status = (NAN, FEW) if task in insufficient else (value, "")
                    if task in constant:
                        value_here, status = 0.5, "constant scores"
                    row = auroc_row(model, task, category_of(k), layer, probe, value_here, status=status)
                    rows += [row, row | {"metric": "accuracy"}, row | {"metric": "log_loss"}]
                rows.append(auroc_row(model, "mean", "mean", layer, probe, value))
            name = "specialist_minus_general_centred"
            rows.append(auroc_row(model, "mean", "mean", layer, name, difference, half))
    return rows


def transfer_rows(models, tasks, insufficient=(), constant=()):
    return [
        {"model": model, "layer": layer, "source": source, "target": target}
        | {"estimate": NAN if {source, target} & set(insufficient) else 0.9 if source == target else 0.45}
        | {"lower_simultaneous95": 0.4, "upper_simultaneous95": 0.55, "ratio": 1.0, "n": 120, "n_bases": 40}
        | {"source_place": len(tasks) - tasks.index(source), "target_place": len(tasks) - tasks.index(target)}
        | {"status": FEW if {source, target} & set(insufficient) else ""}
        for model in models
        for layer in (1, "selected")
        for source in tasks
        for target in tasks
    ]


def ablation_rows(models, tasks, insufficient=(), constant=(), dependent=True):
    """Constant tasks have no signal; of the others, each depends on the one before if any does."""
    words = {1: "dependent" if dependent else "undecided", 2: "undecided"}
    rows = []
    for model in models:
        for layer in (1, "selected"):
            for i, source in enumerate(tasks):
                for j, target in enumerate(tasks):
                    blank = bool({source, target} & set(insufficient))
                    tested = source != target and not blank and not {source, target} & set(constant)
                    net = NAN if blank else 0.3 if source == target else 0.1 if j - i == 1 else -0.004
                    row = {"model": model, "layer": layer, "source": source, "target": target}
                    row |= {"method": "inlp", "probe": "retrained", "before": 0.9, "after": 0.89 - net}
                    row |= {"null": 0.01, "net": net, "net_lower95": net - 0.02, "net_upper95": net + 0.02}
                    row |= {"lower_simultaneous99": net - 0.05, "upper_simultaneous99": net + 0.05}
                    row |= {"cell": words.get(j - i, "independent") if tested else ""}
                    row |= {"n": 120, "n_bases": 40, "status": FEW if blank else ""}
                    rows += [row, row | {"method": "leace", "net": NAN, "cell": ""}]
    return rows


def agreement_rows(models, tasks, insufficient=(), constant=()):
    """The first task depends on the last in the activations; answers to every task fall by its number."""
    return [
        {"model": model, "edit": edit, "source": source, "target": target, "fall_auroc": 0.1 * (i == j)}
        | {"fall_compliance": 0.01 * j, "lower99": 0.01 * j - 0.02, "upper99": 0.01 * j + 0.02}
        | {"dependent": int((i, j) == (len(tasks) - 1, 0)), "lost": int(j > 2)}
        for model in models
        for edit in ("erase", "flip")
        for i, source in enumerate(tasks)
        for j, target in enumerate(tasks)
        if not {source, target} & set(insufficient)
    ]


def specificity_rows(models, tasks, insufficient=(), constant=()):
    """Better with the constraint than without."""
    values = {"constrained": 0.8, "twins": 0.6, "specificity": 0.2, "row_space_twins": 0.01}
    values |= {"satisfied": 0.7, "violated": -0.9, "twin_satisfied": 0.2, "twin_violated": -0.1}
    return [
        {"model": model, "layer": layer, "task": task, "quantity": quantity}
        | {"category": "mean" if task == "mean" else category_of(k), "n": 120, "n_bases": 40}
        | {"estimate": value, "lower95": value - 0.05, "upper95": value + 0.05}
        | {"lower99": value - 0.07, "upper99": value + 0.07, "status": FEW if task in insufficient else ""}
        for model in models
        for layer in (2, "selected")
        for k, task in enumerate((*tasks, "mean"))
        for quantity, known in values.items()
        for value in [NAN if task in insufficient else known]
    ]


def time_rows(models, tasks, insufficient=(), constant=()):
    """Ever better to read, and what the text decides with it."""
    positions = ["prompt_50", "prompt_100", "onset", "body_50", "eos", "tokens_1", "tokens_3_4"]
    rows = []
    for model in models:
        for layer, probe in (
            *((layer, probe) for layer in (2, "selected") for probe in ("trained", "eos_back")),
            *(("selected", probe) for probe in ("text", "words", "length", "trained_minus_text", "surface")),
        ):
            for k, task in enumerate((*tasks, "mean")):
                for place, position in enumerate(positions):
                    blank = task in insufficient
                    value = NAN if blank else 0.5 if task in constant else 0.5 + 0.06 * place
                    row = {"model": model, "layer": layer, "task": task, "probe": probe}
                    row |= {"category": "mean" if task == "mean" else category_of(k), "position": position}
                    row |= {"estimate": value, "lower95": value - 0.05, "upper95": value + 0.05}
                    row |= {"lower99": value - 0.07, "upper99": value + 0.07, "n": 300, "n_bases": 80}
                    rows.append(row | {"valid": 0.9, "status": FEW if blank else ""})
    return rows


def robustness_rows(models, tasks, insufficient=(), constant=(), differences=True):
    """Probes are good on what they were trained on and bad elsewhere; of polarities nothing is known."""
    cells = [("type", a, b, "", 0.9 if a == b else 0.6) for a in KINDS for b in KINDS]
    cells += [("type", "other_types", b, "", 0.7) for b in KINDS]
    cells += [("polarity", a, b, "", NAN) for a in POLES for b in POLES]
    cells += [("held_out", a, "held_out", "", 0.7) for a in ("other_phrasings", "any_phrasing")]
    cells += [("diversity", "phrasings", "unseen", k, NAN if k == 1 else 0.5 + k / 10) for k in (1, 2, 4)]
    if differences:
        cells += [
            ("type", "within_minus_across", "", "", 0.3),
            ("held_out", "any_minus_other", "", "", -0.02),
        ]
    rows = []
    for model in models:
        for layer in (4, "selected"):
            for k, task in enumerate((*tasks, "mean")):
                for contrast, trained, tested, n_phrasings, value in cells:
                    value = NAN if task in insufficient else 0.5 if task in constant else value
                    row = {"model": model, "layer": layer, "task": task, "contrast": contrast}
                    row |= {"category": "mean" if task == "mean" else category_of(k)}
                    row |= {"trained_on": trained, "tested_on": tested, "n_phrasings": n_phrasings}
                    row |= {"estimate": value, "lower95": value - 0.05, "upper95": value + 0.05}
                    row |= {"lower99": value - 0.07, "upper99": value + 0.07, "n": 100, "n_bases": 30}
                    n_tasks = len(tasks) - len(insufficient) if task == "mean" else int(value == value)
                    rows.append(row | {"n_tasks": n_tasks, "status": FEW if value != value else ""})
    return rows


def scorecard_rows(models, tasks=(), insufficient=(), constant=()):
    """Every verdict in turn; without tasks enough, nothing."""
    rows = []
    for model in (*models, rules.POOLED):
        for number, claim in enumerate(rules.CLAIMS):
            verdict = rules.VERDICTS[(number + len(rows) // 8) % 4]
            row = {"model": model, "claim": claim, "verdict": verdict, "estimate": 0.04, "lower99": 0.01}
            row |= {"upper99": 0.08 if number != 3 else NAN, "n_tasks": 3, "n_answers": 300, "n_requests": 81}
            row |= {"reason": "", "rule": "a rule", "paper": "not reported"}
            rows.append(row | ({"estimate": NAN} if set(tasks) <= set(insufficient) else {}))
    return rows


def similarity_values(first, second, clear, blank):
    null = {"null": 0.2, "null_upper95": 0.3, "p": 0.01, "n": 90, "n_bases": 90, "rank": 10, "variance": 0.9}
    for measure, more in (("pwcca", 0), ("pwcca_first", 0.05), ("pwcca_second", -0.05), ("cka", 0.1)):
        value = NAN if blank else 0.7 + more if clear else 0.25
        row = {"first": first, "second": second, "measure": measure, "estimate": value}
        yield row | null | {"status": "insufficient: 8 bases" if blank else ""}


def similarity_rows(models, tasks, insufficient=(), constant=()):
    """Neighbouring layers and tasks are alike, others not; the embeddings don't vary."""
    rows = []
    for model in models:
        about = {"model": model, "kind": "layers", "layer": ""}
        for first, second in itertools.combinations(range(5), 2):
            values = similarity_values(first, second, second - first == 1, first == 0)
            rows += [about | row for row in values]
        for layer, (i, j) in itertools.product((1, 4), itertools.combinations(range(len(tasks)), 2)):
            blank = bool({tasks[i], tasks[j]} & set(insufficient))
            about = {"model": model, "kind": "tasks", "layer": layer}
            values = list(similarity_values(tasks[i], tasks[j], j - i == 1, blank))
            rows += [about | row for row in values]
            rows.append({**about, "kind": "subspaces", **values[0], "measure": "overlap", "n": ""})
    return rows


def model_similarity_rows(models):
    return [
        {"depth": depth, "first_layer": 2, "second_layer": 3} | row
        for depth in ("middle", "last")
        for first, second in itertools.combinations(models, 2)
        for row in similarity_values(first, second, True, False)
    ]


def behaviour_rows(models, tasks, insufficient=(), constant=(), texts=True):
    """Each signal's own task loses 0.4 where it is erased and the next one a little; steering helps and
    harms. Constant tasks are never obeyed."""
    conditions = ["identity", "random", "random_flip"]
    conditions += [
        f"{kind}:{task}" for kind in ("erase", "flip") for task in tasks if task not in insufficient
    ]
    conditions += ["steer:-2", "steer:2", "steer:-4", "steer:0.5"]
    rows = []
    for model in models:
        for condition in conditions:
            kind, _, source = condition.partition(":")
            for j, target in enumerate(tasks):
                unedited = 0.0 if target in constant else 0.6
                change = 0.08 * float(source) if kind == "steer" else -0.4 if source == target else -0.002
                change = 0.0 if kind == "identity" or target in constant else change
                found = {"compliance": unedited + change, "unedited": unedited, "change": change}
                if kind not in ("identity", "random", "random_flip"):
                    found["change_minus_random"] = change
                if texts and kind != "identity":
                    found["perplexity_ratio"] = (
                        1.0 + 0.01 * j + (float(source) ** 2 if kind == "steer" else 0)
                    )
                for quantity, value in found.items():
                    blank = target in insufficient
                    value = NAN if blank else value
                    row = {"model": model, "condition": condition, "task": target, "quantity": quantity}
                    row |= {"estimate": value, "lower95": value - 0.05, "upper95": value + 0.05}
                    row |= {"lower99": value - 0.1, "upper99": value + 0.1, "n": 120, "n_bases": 40}
                    row |= {"truncated": "" if quantity == "perplexity_ratio" else 0.01}
                    rows.append(row | {"status": "insufficient: 0 pairs" if blank else ""})
    return rows


def draw(name, rows, settings, folder):
    folder.mkdir(exist_ok=True)
    paths = {kind: folder / f"{name}.{kind}" for kind in ("svg", "png", "csv")}
    FIGURES[name](rows, settings).save(svg=paths["svg"], png=paths["png"], data=paths["csv"])
    return {kind: path.read_bytes() for kind, path in paths.items()}


def table_of(name, models, tasks, folder, **options):
    """As the workflow does: through a CSV file."""
    special = {
        "ablation": ablation_rows,
        "agreement": agreement_rows,
        "behaviour": behaviour_rows,
        "compliance": compliance_rows,
        "specificity": specificity_rows,
        "robustness": robustness_rows,
        "scorecard": scorecard_rows,
        "similarity": similarity_rows,
        "time": time_rows,
        "transfer": transfer_rows,
    }
    make = special.get(name, generality_rows)
    rows = make(models, tasks, **options)
    write_csv(folder / "table.csv", rows, None if rows else ["model"])
    return read_csv(folder / "table.csv")


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("n_tasks, n_models", [(1, 1), (5, 4), (40, 1)])
def test_figures_of_any_size(name, n_tasks, n_models, tmp_path):
    models, tasks = [f"model-{k}" for k in range(n_models)], [f"task_{k}" for k in range(n_tasks)]
    options = {"insufficient": tasks[1:2], "constant": tasks[2:3]}
    rows = table_of(name, models, tasks, tmp_path, **({} if name == "compliance" else options))
    files = draw(name, rows, make_settings(models, tasks), tmp_path / "out")
    assert files["svg"].startswith(b"<?xml") and files["svg"].rstrip().endswith(b"</svg>")
    assert files["png"].startswith(b"\x89PNG")
    listed = list(csv.DictReader(files["csv"].decode().splitlines()))
    if name == "scorecard":
        claims = {(model, claim) for model in (*models, rules.POOLED) for claim in rules.CLAIMS}
        assert {(row["model"], row["claim"]) for row in listed} == claims
        return
    # Insufficient tasks are listed too, but for those that no pair can be made of.
    named = {"similarity": "first"} | dict.fromkeys(("ablation", "agreement", "transfer"), "target")
    named = named.get(name, "task")
    # Of pairs without a direction, the last task is the first of none.
    missing = {"agreement": tasks[1:2], "similarity": tasks[-1:]}.get(name, [])
    listed = [row for row in listed if name != "similarity" or row["panel"] in ("tasks", "subspaces")]
    assert {(row["model"], row[named]) for row in listed if row[named] != "mean"} == {
        (model, task) for model in models for task in tasks if task not in missing
    }


@pytest.mark.parametrize("name", FIGURES)
def test_same_table_same_bytes(name, tmp_path):
    models, tasks = ["a", "b"], ["word_count", "topic"]
    rows = table_of(name, models, tasks, tmp_path)
    first = draw(name, rows, make_settings(models, tasks), tmp_path / "1")
    assert draw(name, rows, make_settings(models, tasks), tmp_path / "2") == first
    assert b"<dc:date>" not in first["svg"]
    other = draw(name, rows, make_settings(models, tasks, "Set2"), tmp_path / "3")
    # Categories' colours come from the palette, in the matrices those of the labels; verdicts have their own.
    assert (other["svg"] != first["svg"]) == (name != "scorecard") and other["csv"] == first["csv"]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_nothing(name, tmp_path):
    tasks = ["word_count", "topic"]
    rows = table_of(name, ["a"], tasks, tmp_path, **({} if name == "compliance" else {"insufficient": tasks}))
    assert draw(name, rows, make_settings(["a"], tasks), tmp_path / "out")
    assert draw(name, [], make_settings(["a"], tasks), tmp_path / "none")


def texts_of(name, rows, settings):
    canvas = FIGURES[name](rows, settings).canvas
    return [text.get_text() for axes in canvas.axes for text in axes.texts]


def test_agreement_marks_own_and_dependent_tasks(tmp_path):
    tasks = ["word_count", "topic", "toxicity"]
    settings = make_settings(["a"], tasks)
    axes = draw_agreement(agreement_rows(["a"], tasks), settings).canvas.axes[0]
    points = [line for line in axes.lines if line.get_marker() in ("o", "x")]
    assert sorted(line.get_marker() for line in points) == ["o"] * 6 + ["x"] * 3
    assert [line.get_markeredgewidth() for line in points if line.get_marker() == "o"].count(1.0) == 1
    assert "ρ −0.20, p 0.7\nρ within −0.20, p 0.7" in texts_of(
        "agreement", agreement_rows(["a"], tasks), settings
    )
    assert "insufficient" in texts_of("agreement", [], settings)


def test_the_plane_of_specificity_has_a_point_for_each_task():
    tasks = ["word_count", "topic", "toxicity"]
    rows = specificity_rows(["a"], tasks, insufficient=["topic"])
    plane, projections = specificity(rows, make_settings(["a"], tasks)).canvas.axes
    points = [line.get_xydata()[0] for line in plane.lines if line.get_marker() not in ("", "None")]
    assert [point.tolist() for point in points] == [[0.6, 0.8]] * 2
    text = " ".join(text.get_text() for text in plane.texts)
    assert "S +0.200 [+0.150, +0.250]" in text and "insufficient: topic" in text
    hollow = [
        line.get_markerfacecolor() == "white" for line in projections.lines if line.get_marker() in "oD"
    ]
    assert hollow == [False, True, False, True] * 2


def test_robustness_tells_cells_and_how_many_tasks_they_are_of():
    tasks = ["word_count", "topic", "toxicity"]
    settings = make_settings(["a"], tasks)
    figure = draw_robustness(robustness_rows(["a"], tasks, ["topic"]), settings)
    compliance, types, polarities, curve = figure.canvas.axes
    numbers = [text.get_text() for text in types.texts]
    assert numbers.count(".90") == 3 and numbers.count(".60") == 6 and numbers.count(".70") == 3
    assert numbers.count("2") == 12 and "own − other type +0.30 [+0.25, +0.35]" in numbers
    assert sum(bool(patch.get_hatch()) for patch in polarities.patches) == 4
    assert "own − other polarity: insufficient" in [text.get_text() for text in polarities.texts]
    assert "any − others −0.02 [−0.07, +0.03]" in [text.get_text() for text in curve.texts]
    mean = [line for line in curve.lines if line.get_zorder() == 5]
    assert [line.get_ydata().tolist() for line in mean] == [pytest.approx([0.7, 0.9]), [0.7, 0.7]]
    assert mean[0].get_xdata().tolist() == [1, 2]
    panels = [row["panel"] for row in figure.rows if row["task"] == "mean"]
    assert {name: panels.count(name) for name in dict.fromkeys(panels)} == {
        "type": 13,
        "polarity": 4,
        "held_out": 3,
        "diversity": 3,
        "compliance": 5,
    }
    assert [text.get_text() for text in curve.texts].count("insufficient") == 1
    assert "no answers" in texts_of("robustness", [], settings)


def test_the_scorecard_shows_verdicts_and_what_decides_them():
    rows = scorecard_rows(["a"], ["topic"])
    axes = draw_scorecard(rows, make_settings(["a"], ["topic"])).canvas.axes
    assert len(axes) == len(rules.CLAIMS)
    first = axes[0]
    marks = [line.get_marker() for line in first.lines if line.get_marker() not in ("None", "")]
    assert marks == ["o", "X"] and first.get_title(loc="left").startswith("A specialist probe")
    # Supported above the margin, contradicted below it.
    zones = [patch.get_corners()[:, 0] for patch in first.patches]
    assert [zone.max() > 0.03 for zone in zones] == [True, False]
    assert [zones[0].min(), zones[1].max()] == pytest.approx([0.02, 0.02])
    nothing = draw_scorecard([], make_settings(["a"], ["topic"])).canvas.axes[0]
    assert [text.get_text() for text in nothing.texts] == ["insufficient"]


def test_insufficient_tasks_are_labelled_blanks(tmp_path):
    tasks = ["word_count", "topic", "toxicity"]
    rows = generality_rows(["a"], tasks, insufficient=["topic"])
    settings = make_settings(["a"], tasks)
    assert "insufficient: few violated" in texts_of("generality", rows, settings)
    assert "insufficient: topic" in texts_of("layers", rows, settings)
    assert "no answers" in texts_of("compliance", compliance_rows(["a"], tasks), settings)
    # Of the matrix, a row and a column of three stay blank.
    assert len(texts_of("transfer", transfer_rows(["a"], tasks, ["topic"]), settings)) == 4
    rows = ablation_rows(["a"], tasks, ["topic"])
    assert "insufficient: topic" in texts_of("ablation", rows, settings)
    matrix, graph, _ = draw_ablation(rows, settings).canvas.axes[:3]
    assert sum(bool(patch.get_hatch()) for patch in matrix.patches) == 5 and len(matrix.texts) == 4
    assert [point.get_markerfacecolor() == "white" for point in graph.lines] == [False, True, False]


def test_similarity_has_the_weights_of_the_row_and_shows_what_is_above_its_null():
    tasks = ["word_count", "topic", "toxicity"]
    figure = draw_similarity(
        similarity_rows(["a", "b"], tasks, ["toxicity"]), make_settings(["a", "b"], tasks)
    )
    layers, of_tasks, subspaces = figure.canvas.axes[:3]
    assert [axes.get_title() for axes in (layers, of_tasks, subspaces)] == [
        *("layers", "tasks, layer 4", "erased subspaces, layer 4")
    ]
    # Without the embeddings, above and below the diagonal.
    numbers = [(text.get_text(), text.get_fontweight()) for text in layers.texts[:12]]
    assert numbers[:3] == [(".75", "bold"), (".25", "normal"), (".25", "normal")]
    assert numbers[3] == (".65", "bold")
    assert sum(bool(patch.get_hatch()) for patch in layers.patches) == 8
    assert [text.get_text() for text in of_tasks.texts] == [".75", ".65"]
    assert [text.get_text() for text in subspaces.texts] == [".70", ".70"]
    titles = [axes.get_title() for axes in figure.canvas.axes]
    assert titles.count("models, middle layer") == titles.count("models, last layer") == 1
    # The last layer alone, in both directions, and of models.
    panels = [row["panel"] for row in figure.rows]
    counts = {name: panels.count(name) for name in dict.fromkeys(panels)}
    assert counts == {"layers": 40, "tasks": 12, "subspaces": 6, "models_middle": 2, "models_last": 2}


def test_a_study_of_one_task_and_one_layer_has_no_pairs():
    figure = draw_similarity([], make_settings(["a"], ["topic"]))
    assert "nothing to compare" in [text.get_text() for axes in figure.canvas.axes for text in axes.texts]


def test_words_of_the_ablation_are_seen_without_colour():
    tasks = ["word_count", "topic", "toxicity", "register"]
    settings = make_settings(["a"], tasks)
    rows = ablation_rows(["a"], tasks, constant=["register"])
    matrix, graph, _ = draw_ablation(rows, settings).canvas.axes[:3]
    outlines = [patch.get_linewidth() for patch in matrix.patches if patch.get_facecolor()[3] == 0]
    assert sorted(outlines) == [OUTLINES[word] for word in ("undecided", "dependent", "dependent")]
    # Of the cells without a word, those of a task without signal have a cross, and only they no number.
    assert [line.get_marker() for line in matrix.lines] == ["x"] * 6
    numbers = [(text.get_text(), text.get_fontweight()) for text in matrix.texts]
    assert len(numbers) == 10 and numbers.count((".10", "bold")) == 2 and (".00", "normal") in numbers
    assert len(graph.patches) == 2


def test_a_graph_without_arrows_says_why():
    tasks = ["word_count", "topic"]
    settings = make_settings(["a"], tasks)
    assert "no dependent cell" in texts_of("ablation", ablation_rows(["a"], tasks, dependent=False), settings)
    assert "no cell tested" in texts_of("ablation", ablation_rows(["a"], tasks, constant=tasks), settings)


def test_numbers_of_the_ablation_stop_where_there_is_no_room():
    tasks = [f"task_{k}" for k in range(40)]
    figure = draw_ablation(ablation_rows(["a"], tasks), make_settings(["a"], tasks))
    assert not figure.canvas.axes[0].texts


def test_the_ablation_lists_what_its_curves_show():
    tasks = ["word_count", "topic", "toxicity"]
    rows = draw_ablation(ablation_rows(["a"], tasks, ["topic"]), make_settings(["a"], tasks)).rows
    curves = {(r["source"], r["target"], r["rank"]): r["estimate"] for r in rows if r["panel"] == "curves"}
    assert curves["toxicity", "toxicity", 2] == pytest.approx(0.7)
    # The mean of the others, without the insufficient one; and of an insufficient one there is none.
    assert curves["toxicity", "mean", 2] == pytest.approx(0.9)
    assert ("topic", "mean", 2) not in curves and ("toxicity", "word_count", 2) not in curves
    assert len(rows) == 9 + 9 + 6


def test_changes_of_behaviour_are_seen_without_colour():
    tasks = ["word_count", "topic", "toxicity"]
    rows = behaviour_rows(["a"], tasks, ["topic"])
    figure = draw_behaviour(rows, make_settings(["a"], tasks))
    erased, flipped, doses, text = figure.canvas.axes[:4]
    for matrix in (erased, flipped):
        assert sum(bool(patch.get_hatch()) for patch in matrix.patches) == 5
        assert sum(patch.get_facecolor()[3] == 0 for patch in matrix.patches) == 2
        numbers = [(text.get_text(), text.get_fontweight()) for text in matrix.texts]
        # Beside the cells, perplexities: of the insufficient one there is none.
        assert numbers == [
            *(("−40", "bold"), ("0", "normal"), ("0", "normal"), ("−40", "bold")),
            *(("1.01", "normal"), ("–", "normal"), ("1.01", "normal")),
        ]
    assert [note.get_text() for note in doses.texts] == ["insufficient: topic"]
    for line in doses.lines:
        np.testing.assert_allclose(line.get_xdata(), [-4, -2, 0, 0.5, 2])
        np.testing.assert_allclose(line.get_ydata(), [28, 44, 60, 64, 76])
    assert len(doses.lines) == 2 and doses.lines[0].get_marker() == "o"
    mean = next(line for line in text.lines if line.get_marker() == "o")
    assert mean.get_ydata()[2] == 1 and mean.get_ydata()[0] == pytest.approx(17, rel=0.01)


def test_behaviour_lists_what_it_shows():
    tasks = ["word_count", "topic"]
    settings = make_settings(["a"], tasks)
    rows = draw_behaviour(behaviour_rows(["a"], tasks), settings).rows
    panels = [row["panel"] for row in rows]
    assert {name: panels.count(name) for name in panels} == {"erase": 4, "flip": 4, "steer": 10, "text": 16}
    steered = [row for row in rows if row["panel"] == "steer" and row["task"] == "topic"]
    assert [row["strength"] for row in steered] == [-4, -2, 0, 0.5, 2]
    assert [row["condition"] for row in steered if row["strength"] == 0] == ["identity"]
    # Of perplexity there may be none.
    rows = draw_behaviour(behaviour_rows(["a"], tasks, texts=False), settings)
    assert "no text" in [text.get_text() for axes in rows.canvas.axes for text in axes.texts]


def test_a_category_has_one_colour_whatever_the_tasks():
    alone = generality_rows(["a"], ["x"])
    for row in alone:
        row["category"] = "stylistic"
    together = generality_rows(["a"], ["p", "q", "r", "x"])
    one = category_colours(alone, make_settings(["a"], ["x"]))
    assert one["stylistic"] == category_colours(together, make_settings(["a"], list("pqrx")))["stylistic"]


# --- pages

NASTY = [
    "<script>alert(1)</script>",
    "\"quotes\" & 'apostrophes' &amp; </pre></article>",
    "abc \u202edesrever\u2066 \x00\x1b[31m\x85 \u2028",
    "lone \ud83d surrogate",
    "שלום, עולם",
    "",
    "x" * 5000,
]


class Strict(HTMLParser):
    """Collects tags and text, and checks that what is opened is closed."""

    VOID = ("meta", "br")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parse(page):
    page.encode("utf-8")
    parser = Strict()
    parser.feed(page)
    parser.close()
    assert not parser.open
    names = {tag for tag, _ in parser.tags}
    assert not names & {"script", "iframe", "img", "link", "object"}
    assert not any(key.startswith("on") or key == "src" for _, attrs in parser.tags for key in attrs)
    return parser


def label_row(k, response, satisfied, truncated=False, variant="constrained"):
    row = {"id": f"topic/b{k:03d}/0/{variant}/0", "variant": variant, "satisfied": satisfied}
    row |= {"truncated": truncated, "evidence": {"found": response[:20]}, "prompt": f"Say <b>{k}</b>"}
    return row | {"response": response, "instruction_type": "human", "polarity": "positive"}


def examples_settings(number):
    return {"tasks": ["topic"], "models": ["a"], "seed": 0, "report": {"examples": number}}


def test_generated_text_is_escaped():
    rows = [label_row(k, text, k % 2 == 0) for k, text in enumerate(NASTY)]
    page = examples.examples_page({("a", "topic"): rows}, examples_settings(len(NASTY)))
    parser = parse(page)
    assert "<script>alert(1)</script>" in parser.text and "Say <b>0</b>" in parser.text
    assert NASTY[1] in parser.text and NASTY[4] in parser.text
    for code in ("U+202E", "U+2066", "U+0000", "U+001B", "U+0085", "U+2028", "U+D83D"):
        assert code in parser.text
    assert not set(page) & set("\u202e\u2066\x00\x1b\x85\u2028\ud83d")
    assert "3,500 more characters" in parser.text


def test_names_are_escaped():
    config = small_config() | {"study": "<i>s</i>"}
    config["models"] = [{"name": "<b>m"}]
    rows = generality_rows(["<b>m"], config["tasks"])
    text = parse(overview(compliance_rows(["<b>m"], config["tasks"]), rows, config)).text
    assert "<i>s</i>" in text and "<b>m" in text


def test_examples_alternate_while_there_are_both():
    rows = [label_row(k, "yes", True) for k in range(6)] + [label_row(9, "no", False)]
    rows += [
        label_row(10, "cut", False, truncated=True),
        label_row(11, "twin", False, variant="unconstrained"),
    ]
    chosen = examples.choose_examples(rows, 4, seed=0)
    assert [row["satisfied"] for row in chosen] == [True, False, True, True]
    assert examples.choose_examples(rows[::-1], 4, seed=0) == chosen
    assert examples.choose_examples(rows, 4, seed=1) != chosen
    assert examples.choose_examples(rows, 0, seed=0) == []
    assert len(examples.choose_examples(rows, 99, seed=0)) == 7
    assert "No answers to show" in examples.examples_page({}, examples_settings(3))


def small_config():
    return {
        "study": "demo",
        "seed": 7,
        "models": [{"name": "a"}, {"name": "b"}],
        "tasks": ["word_count", "topic", "toxicity"],
        "prompts": {"bases": 90},
        "probes": {"position": "eos"},
        "claims": THRESHOLDS,
    }


def overview(compliance, generality, config, **optional):
    tables = {"generality": generality, "transfer_summary": [], "ablation_summary": [], "layers": []}
    models = [entry["name"] for entry in config["models"]]
    found = rules.judge(tables, models, config["tasks"], config["claims"])
    return overview_page(compliance, generality, found, config, **optional)


def test_overview_has_the_numbers():
    config = small_config()
    rows = generality_rows(["a"], config["tasks"], insufficient=["topic"], difference=0.123)
    rows += generality_rows(["b"], config["tasks"], insufficient=["topic", "toxicity"])
    compliance = compliance_rows(["a", "b"], config["tasks"])
    page = overview(compliance, rows, config)
    text = " ".join(parse(page).text.split())
    assert "0.123 [0.103, 0.143]" in text and "2 of 3 tasks had enough data" in text
    assert "A specialist probe is better than one general probe: supported for a; insufficient for b" in text
    # A specialist of 0.80 [0.75, 0.85] with topic missing; 0.75 [0.70, 0.80] without the confounds.
    assert "2 of them a clear signal (2 without what the confounds predict)" in text
    assert "supported if its lower bound is above 0.02" in text
    assert "12 violated responses from 6 bases" in text
    assert "Seed 7" in text and '"study": "demo"' in text and "torch" in text
    assert page == overview(compliance, rows, config)


def test_overview_says_what_edits_did():
    config = small_config()
    about = {"model": "a", "condition": "flip", "quantity": "change_minus_random"}
    behaviour = [
        about | {"task": "own", "estimate": -0.2, "lower99": -0.3, "upper99": -0.1},
        about | {"task": "others", "estimate": 0.01, "lower99": -0.05, "upper99": 0.07},
    ]
    about = {"model": "a", "edit": "flip"}
    agreement = [
        about | {"quantity": "within", "estimate": 0.41, "p": 0.0312},
        about | {"quantity": "rank_correlation", "estimate": 0.9, "p": 0.001},
    ]
    page = parse(overview([], [], config, behaviour=behaviour, agreement=agreement)).text
    text = " ".join(page.split())
    assert (
        "reflecting a task's signal changes compliance with that task by −20.0 [−30.0, −10.0] percentage"
        in text
    )
    assert "the other tasks by 1.0 [−5.0, 7.0]." in text
    assert "a rank correlation of 0.41 (p = 0.031)" in text
    # The other model's answers were not edited.
    assert text.count("While it writes") == 1
    text = " ".join(parse(overview([], [], config, behaviour=behaviour)).text.split())
    assert "While it writes" in text and "rank correlation" not in text


def test_overview_says_what_is_known_when():
    values = {"gain": 0.1, "beyond_text": -0.3, "prompt": 0.6, "surface": 0.55, "ceiling": 0.65}
    about = {"model": "a", "layer": "selected", "task": "mean"}
    rows = [
        about | {"quantity": name, "estimate": value, "lower99": value - 0.05, "upper99": value + 0.05}
        for name, value in values.items()
    ]
    wrong = [row | {"estimate": 9.0} | change for row in rows for change in ({"task": "topic"}, {"layer": 2})]
    text = " ".join(parse(overview([], [], small_config(), time=wrong + rows)).text.split())
    assert "From the prompt's end to EOS its probes gain 0.100 [0.050, 0.150] in AUROC" in text
    assert "what the text itself decides at EOS is 0.300 better than they are" in text
    assert "they reach 0.600 [0.550, 0.650], the prompt's surface alone 0.550, the other" in text
    assert text.count("to EOS") == 1


def test_overview_has_the_papers_numbers_beside_ours():
    config = small_config() | {"tasks": ["topic", "sentiment", "json_format"]}
    rows = generality_rows(["a", "b"], config["tasks"], insufficient=["json_format"])
    rows += [row | {"probe": "general_all"} for row in rows if row["probe"] == "general_centred"]
    transfer = transfer_rows(["a"], config["tasks"])
    reported = read_json("workflow/resources/paper.json")
    tables = {"generality": rows, "transfer_summary": [], "ablation_summary": [], "layers": []}
    found = rules.judge(tables, ["a", "b"], config["tasks"], THRESHOLDS, reported["claims"])
    page = overview_page([], rows, found, config, transfer=transfer, source=reported["source"])
    text = " ".join(parse(page.replace("</td>", " </td>")).text.split())
    assert "specialist, topic: accuracy 0.66 0.80 0.80" in text
    assert "general, all data, json format: accuracy 0.68 – –" in text
    assert "probe of topic on sentiment: accuracy; here AUROC 0.78 0.45 –" in text
    assert "dependencies are sparse”; no number reported" in text and "2604.06015" in text
    assert "inconclusive in the mean of 2 models, 0.100" in text and "All models" in text


def test_overview_says_where_everything_comes_from():
    identities = {
        "a": {"source": "hub/<x>", "revision": "abc", "dtype": "float32", "sha256": "0123456789abcdef0"}
    }
    page = overview([], [], small_config(), identities=identities, commit="1234abcd+")
    text = " ".join(parse(page.replace("</td>", " </td>")).text.split())
    assert "workflow at commit 1234abcd+." in text and "a hub/<x> abc float32 0123456789abcdef" in text
    assert " at commit" not in parse(overview([], [], small_config())).text


def test_the_commit_is_known_in_a_repository_only(monkeypatch):
    assert re.fullmatch(r"([0-9a-f]{12}\+?)?", provenance.commit())

    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(provenance.subprocess, "run", missing)
    assert provenance.commit() == ""


def test_methods_have_the_studys_numbers():
    config = complete(yaml.safe_load(Path("config.yaml").read_text()), ".")
    page = methods.methods_page(config)
    text = " ".join(parse(page).text.split())
    assert (
        "90 content requests, the same for every task" in text and "INLP [arXiv 2004.07667] of rank 4" in text
    )
    assert "topic by lexicon" in text and "on 24 requests" in text
    # All that is cited is listed, and all that is listed is cited.
    assert all(page.count(f"abs/{number}") >= 2 for number in methods.REFERENCES)
    assert not re.search(r"\[\d{4}\.\d{5}\]", page)
    config["behaviour"]["bases"] = 0
    assert "No answers were edited" in methods.methods_page(config)


def test_overview_of_nothing():
    text = parse(overview([], [], small_config())).text
    assert "insufficient" in text and "no whole answers" in text and "there is no estimate" not in text
    assert "0 of 3 tasks have a signal" in text


def test_table_pages():
    tasks, settings = ["word_count", "topic", "toxicity"], {"tasks": ["word_count", "topic", "toxicity"]}
    settings["models"] = ["a", "gone"]
    rows = generality_rows(["a"], tasks, insufficient=["topic"], constant=["toxicity"])
    text = parse(table_pages.generality_page(rows, settings)).text
    assert FEW in text and "constant scores" in text and "0.800 [0.750, 0.850]" in text and "no probe" in text
    text = parse(table_pages.compliance_page(compliance_rows(["a"], tasks), settings)).text
    assert "60\u00a0%" in text and "no answers" in text
