"""Small made-up tables, and the figures of them."""

import itertools

from skillprobe.findings import rules
from skillprobe.report.figures.ablation import ablation
from skillprobe.report.figures.agreement import agreement as agreement_figure
from skillprobe.report.figures.behaviour import behaviour as behaviour_figure
from skillprobe.report.figures.guard import guard as guard_figure
from skillprobe.report.figures.monitors import monitor_quality
from skillprobe.report.figures.probes import layer_curves, specialist_against_general
from skillprobe.report.figures.responses import compliance as compliance_figure
from skillprobe.report.figures.robustness import robustness
from skillprobe.report.figures.scorecard import scorecard
from skillprobe.report.figures.similarity import similarity
from skillprobe.report.figures.specificity import specificity
from skillprobe.report.figures.time import time_courses
from skillprobe.report.figures.transfer import transfer as transfer_figure
from skillprobe.tasks import CATEGORIES

from made.findings import THRESHOLDS, made_findings

NAN = float("nan")
FEW = "insufficient: 12 violated responses from 6 groups to train on; probes need 20 from 10 of each class"
KINDS, POLES = ("human", "plm", "entailment"), ("positive", "negated")
BOUNDS = ("lower95", "upper95", "lower99", "upper99")


def draw_transfer(rows, settings):
    categories = {task: category_of(k) for k, task in enumerate(settings["tasks"])}
    return transfer_figure(rows, categories, settings)


def draw_layers(rows, settings):
    emergence = [
        {"model": model, "task": task, "quantity": quantity, "estimate": 0.5, "lower95": 0.25, "upper95": 0.5}
        for model in settings["models"]
        for task, quantity in ((settings["tasks"][0], "emergence"), ("all", "tau"), ("all", "tau_95"))
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
        | {"n_groups": 30, "n_tasks": 1, "status": ""}
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


def draw_monitors(rows, settings):
    """Of one model, as each figure is; the curves are told from the reliability by their columns."""
    rows = [row for row in rows if row["model"] == settings["models"][0]]
    parts = {kind: [row for row in rows if row["kind"] == kind] for kind in ("curves", "reliability")}
    return monitor_quality(*parts.values(), settings)


FIGURES = {
    "ablation": draw_ablation,
    "agreement": draw_agreement,
    "behaviour": draw_behaviour,
    "compliance": compliance_figure,
    "generality": specialist_against_general,
    "guard": guard_figure,
    "layers": draw_layers,
    "specificity": specificity,
    "robustness": draw_robustness,
    "scorecard": draw_scorecard,
    "similarity": draw_similarity,
    "time": time_courses,
    "transfer": draw_transfer,
    "monitors": draw_monitors,
}


def make_settings(models, tasks, palette="colorblind"):
    figures = {"palette": palette, "dpi": 60}
    return {"models": models, "tasks": tasks, "figures": figures, "claims.looks": 1}


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
            "n_groups": 0 if k == 1 else 40,
            "truncated": 1.0 if k == 1 else 0.01,
            "undecided": "" if k == 1 else 0.0,
            "twin_compliance": NAN if k == 2 else 0.3,
            "n_twin": 80,
            "distinct_responses": 77,
            "mixed": NAN if k == 1 else 0.4,
            "n_items": 0 if k == 1 else 30,
            "n_per_item": NAN if k == 1 else 4.0,
        }
        for model in models
        for k, task in enumerate(tasks)
    ]


def auroc_row(model, task, category, layer, probe, value, half=0.05, status=""):
    row = {"model": model, "task": task, "category": category, "layer": layer}
    row |= {"depth": "" if layer == "selected" else layer / 2, "probe": probe, "metric": "auroc"}
    row |= {"estimate": value}
    row |= {bound: value + (half if bound.startswith("upper") else -half) for bound in BOUNDS}
    row |= {"n": 120, "n_groups": 40, "truncated": 0.0, "base_rate": 0.6}
    return row | {"n_tasks": 1, "tasks": task, "status": status}


def generality_rows(models, tasks, insufficient=(), constant=(), difference=0.1, half=0.02):
    rows, counting = [], [task for task in tasks if task not in (*insufficient, *constant)]
    counting = {"n_tasks": len(counting), "tasks": " ".join(counting)}
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
                rows.append(auroc_row(model, "mean", "mean", layer, probe, value) | counting)
            name = "specialist_minus_general_centred"
            rows.append(auroc_row(model, "mean", "mean", layer, name, difference, half) | counting)
    return rows


def transfer_rows(models, tasks, insufficient=(), constant=()):
    return [
        {"model": model, "layer": layer, "source": source, "target": target}
        | {"estimate": NAN if {source, target} & set(insufficient) else 0.9 if source == target else 0.45}
        | {"lower_simultaneous95": 0.4, "upper_simultaneous95": 0.55, "ratio": 1.0, "n": 120, "n_groups": 40}
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
                    row |= {"n": 120, "n_groups": 40, "status": FEW if blank else ""}
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
    """Better with the constraint than without; the match is read beyond likelihood."""
    values = {"match": 0.8, "likelihood_match": 0.6, "match_beyond_likelihood": 0.2}
    values |= {"constrained": 0.8, "twins": 0.6, "specificity": 0.2, "row_space_twins": 0.01}
    values |= {"satisfied": 0.7, "violated": -0.9, "twin_satisfied": 0.2, "twin_violated": -0.1}
    return [
        {"model": model, "scope": "across", "layer": layer, "task": task, "quantity": quantity}
        | {"category": "mean" if task == "mean" else category_of(k), "n": 120, "n_groups": 40}
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
                    row |= {"lower99": value - 0.07, "upper99": value + 0.07, "n": 300, "n_groups": 80}
                    rows.append(row | {"valid": 0.9, "status": FEW if blank else ""})
    return rows


def monitor_rows(models, tasks, insufficient=(), constant=()):
    """The monitor knows early, the trivial one late. Rows of both tables, with the columns of both."""
    rows = []
    for model, (k, task), reader in itertools.product(models, enumerate(tasks), ("monitor", "trivial")):
        blank = task in insufficient
        about = {"model": model, "task": task, "category": category_of(k), "reader": reader, "n": 300}
        about |= {"status": FEW if blank else ""}
        for scope, (place, position) in itertools.product(
            ("across", "within"), enumerate(("prompt_100", "onset", "body_50", "eos", "tokens_1"))
        ):
            value = 0.5 if task in constant else 0.9 if reader == "monitor" else 0.5 + 0.1 * place
            value = NAN if blank else value
            row = {"kind": "curves", "scope": scope, "position": position, "quantity": "auroc"}
            row |= {"estimate": value, "lower95": value - 0.05, "upper95": value + 0.05}
            rows.append(about | row | {"bin": 0, "probability": NAN})
        for number in range(1 if blank else 5):
            value = NAN if blank else number / 4
            row = {"kind": "reliability", "scope": "", "position": "", "quantity": "", "bin": number + 1}
            row |= {"estimate": value, "lower95": value - 0.05, "upper95": value + 0.05}
            rows.append(about | row | {"probability": value})
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
                    row |= {"lower99": value - 0.07, "upper99": value + 0.07, "n": 100, "n_groups": 30}
                    n_tasks = len(tasks) - len(insufficient) if task == "mean" else int(value == value)
                    rows.append(row | {"n_tasks": n_tasks, "status": FEW if value != value else ""})
    return rows


def scorecard_rows(models, tasks=(), insufficient=(), constant=()):
    """Every verdict in turn, in both scopes; without tasks enough, nothing."""
    names = [*models, rules.POOLED]
    rows = rules.table(made_findings(names, list(tasks)))
    for number, row in enumerate(rows):
        row["lower99"] = NAN if number % 5 == 3 else row["lower99"]
        if set(tasks) <= set(insufficient):
            row["estimate"] = NAN
    return rows


def similarity_values(first, second, clear, blank):
    null = {"null": 0.2, "null_upper95": 0.3, "p": 0.01, "n": 90, "n_groups": 90, "rank": 10, "variance": 0.9}
    for measure, more in (("pwcca", 0), ("pwcca_first", 0.05), ("pwcca_second", -0.05), ("cka", 0.1)):
        value = NAN if blank else 0.7 + more if clear else 0.25
        row = {"first": first, "second": second, "measure": measure, "estimate": value}
        yield row | null | {"status": "insufficient: 8 groups" if blank else ""}


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
                    row |= {"lower99": value - 0.1, "upper99": value + 0.1, "n": 120, "n_groups": 40}
                    row |= {"truncated": "" if quantity == "perplexity_ratio" else 0.01}
                    rows.append(row | {"status": "insufficient: 0 pairs" if blank else ""})
    return rows


def guard_rows(models, tasks, insufficient=(), constant=()):
    """With more starts more tokens are spent and more answers satisfy; a monitor's are a little worse."""
    policies = [
        ("plain", "", 1, "", 0.5, 1.0),
        ("best_of", "", 4, "", 0.55, 4.0),
        ("steer", 0.5, 1, 2.0, 0.5, 1.1),
    ]
    for tries in range(1, 5):
        policies.append(("verify_again", "", tries, "", 0.4 + 0.1 * tries, 0.5 + 0.5 * tries))
        policies.append(("stop_on_prefix", "", tries, "", 0.4 + 0.1 * tries, 0.6 + 0.4 * tries))
    for threshold, tries in itertools.product((0.25, 0.5), (2, 4)):
        for policy in ("stop_early", "stop_early_verified"):
            policies.append((policy, threshold, tries, "", 0.4 + 0.05 * tries, 0.5 + 0.5 * tries * threshold))
    rows = []
    for model, task in itertools.product(models, [*tasks, "mean"] if tasks else ()):
        blank = task in insufficient or (task == "mean" and len(insufficient) == len(tasks))
        for policy, threshold, tries, strength, compliance, tokens in policies[:1] if blank else policies:
            row = {"model": model, "task": task, "policy": policy, "threshold": threshold, "tries": tries}
            row |= {"strength": strength, "n": 24, "n_groups": 24, "truncated": 0.01}
            values = {"compliance": NAN if blank else compliance, "tokens": tokens, "gain": compliance - 0.6}
            for quantity, value in values.items():
                if blank and quantity != "compliance":
                    continue
                bounds = (value - 0.1, value + 0.1, value - 0.15, value + 0.15)
                rows.append(
                    row
                    | {"quantity": quantity, "estimate": value}
                    | dict(zip(BOUNDS, bounds, strict=True))
                    | {"status": "insufficient: 12 violated responses" if blank else ""}
                )
    return rows


def texts_of(name, rows, settings):
    canvas = FIGURES[name](rows, settings).canvas
    return [text.get_text() for axes in canvas.axes for text in axes.texts]
