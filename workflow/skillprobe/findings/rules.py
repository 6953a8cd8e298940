"""What the analyses' tables say about each claim of the study, by the rules of ESTIMANDS and no others.

The rules were fixed before any result was seen. A change of one is a new VERSION.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from skillprobe.analyses.blocks import joint_permutation_p, paper_groups
from skillprobe.statistics.intervals import both_intervals, enough_signal, level_of, weighted
from skillprobe.storage.tables import ACROSS, DRAWS, MEAN, SELECTED, is_number

VERSION = 1
VERDICTS = ("supported", "contradicted", "inconclusive", "insufficient")
# Beside the models, of which none can have this name.
POOLED = "all models"

# The primary general probe: all data, centred within task.
GENERAL = "general_centred"
DIFFERENCE = f"specialist_minus_{GENERAL}"

COLUMNS = (
    "model",
    "claim",
    "verdict",
    "estimate",
    "lower99",
    "upper99",
    "level",
    "n_tasks",
    "n_answers",
    "n_requests",
)
COLUMNS += ("reason", "rule", "paper")
# The rows that a claim is judged by, by name; None where a table has no such row.
Rows = Mapping[str, Mapping | None]


@dataclass(frozen=True)
class Rule:
    """How one claim is decided.

    evidence: {name: (table, cells that name its row)}, the first of them the estimate; sentence: the rule in
    words, with thresholds to fill in; supported, contradicted: of the rows and the thresholds, asked in this
    order; failed: why the rows say nothing, or ""; untested: what they leave out, or "".
    """

    claim: str
    sentence: str
    evidence: Mapping[str, tuple[str, Mapping[str, str]]]
    supported: Callable[[Rows, Mapping], bool]
    contradicted: Callable[[Rows, Mapping], bool]
    failed: Callable[[Rows, Mapping], str] = lambda rows, at: ""
    untested: Callable[[Rows], str] = lambda rows: ""


def _ablation(quantity: str) -> tuple[str, dict[str, str]]:
    return "ablation_summary", {"layer": SELECTED, "quantity": quantity, "method": "inlp"}


def _time(quantity: str) -> tuple[str, dict[str, str]]:
    return "time_summary", {"layer": SELECTED, "task": MEAN, "quantity": quantity}


def _erasure_failed(rows: Rows, at: Mapping) -> str:
    own = rows["diagonal"]
    if not has_estimate(own) or own["lower99"] > at["erased"]:
        return ""
    return (
        f"erasure failed: it lowers a task's own AUROC by {own['estimate']:.3f}, lower bound "
        f"{own['lower99']:.3f}"
    )


_ERASURE = "Insufficient unless erasing lowers a task's own AUROC by more than {erased:g} (lower bound)."
# In the order shown.
RULES = {
    "generality": Rule(
        "a specialist probe is better than one general probe",
        "Mean over tasks of the AUROC of specialist minus general probe (all data, centred within task), "
        "paired: supported if its lower bound is above {margin:g}, contradicted if its upper bound is "
        "below {margin:g}, else inconclusive.",
        {"estimate": ("generality", {"task": MEAN, "layer": SELECTED, "probe": DIFFERENCE})},
        lambda rows, at: rows["estimate"]["lower99"] > at["margin"],
        lambda rows, at: rows["estimate"]["upper99"] < at["margin"],
    ),
    "transfer_weak": Rule(
        "a probe of one task says little about another",
        "Mean over pairs of tasks of (AUROC of the other task's probe − ½) / (AUROC of the own − ½): "
        "supported if its upper bound is below {weak_ratio:g}, contradicted if its lower bound is above "
        "{weak_ratio:g}, else inconclusive.",
        {"estimate": ("transfer_summary", {"layer": SELECTED, "quantity": "mean_ratio"})},
        lambda rows, at: rows["estimate"]["upper99"] < at["weak_ratio"],
        lambda rows, at: rows["estimate"]["lower99"] > at["weak_ratio"],
    ),
    "transfer_clustered": Rule(
        "transfer is stronger within the paper's groups of tasks",
        "Mean transfer within the paper's groups of tasks minus that between them, row and column means "
        "removed: supported if the permutation test's p is below {cluster_p:g}, contradicted if the upper "
        "bound is below 0, else inconclusive.",
        {"estimate": ("transfer_summary", {"layer": SELECTED, "quantity": "block", "grouping": "paper"})},
        lambda rows, at: rows["estimate"]["p"] < at["cluster_p"],
        lambda rows, at: rows["estimate"]["upper99"] < 0,
    ),
    "ablation_sparse": Rule(
        "erasing one task's signal does not affect most other tasks",
        "Share of pairs of tasks (source erased, target retrained) that are dependent, by simultaneous "
        "intervals: supported if it is at most {sparse_dependent:.0%} and at least {sparse_independent:.0%} "
        "are independent, contradicted if at least {not_sparse:.0%} are dependent, else inconclusive. "
        + _ERASURE,
        {name: _ablation(name) for name in ("dependent", "independent", "diagonal")},
        lambda rows, at: (
            rows["dependent"]["estimate"] <= at["sparse_dependent"]
            and rows["independent"]["estimate"] >= at["sparse_independent"]
        ),
        lambda rows, at: rows["dependent"]["estimate"] >= at["not_sparse"],
        _erasure_failed,
    ),
    "ablation_asymmetric": Rule(
        "dependencies between tasks are asymmetric",
        "Sum over pairs of tasks of the product, from two halves of the requests, of the differences "
        "between the two directions: supported if its lower bound is above 0, contradicted if its "
        "upper bound is below {margin:g}² per pair, else inconclusive. " + _ERASURE,
        {name: _ablation(name) for name in ("asymmetry", "diagonal")},
        lambda rows, at: rows["asymmetry"]["lower99"] > 0,
        lambda rows, at: rows["asymmetry"]["upper99"] < rows["asymmetry"]["n_cells"] * at["margin"] ** 2,
        _erasure_failed,
    ),
    "layers_stratified": Rule(
        "structural tasks emerge before lexical ones, and lexical ones before the others",
        "Kendall's tau between a task's category (structural 1, lexical 2, semantic and stylistic 3) and "
        "the depth at which its signal emerges: supported if the lower bound is above 0, contradicted if "
        "the upper bound is below 0, else inconclusive.",
        {"estimate": ("layers", {"task": "all", "quantity": "tau"})},
        lambda rows, at: rows["estimate"]["lower99"] > 0,
        lambda rows, at: rows["estimate"]["upper99"] < 0,
    ),
    "monitoring": Rule(
        "satisfaction is monitored while the text is generated, not planned in the prompt",
        "Mean over tasks of the AUROC at eos minus that at the prompt's last token, each with probes "
        "trained at that position; and of the planning index, (prompt − surface) / (ceiling − "
        "surface), where the ceiling is the satisfaction rate of a prompt's other samples and the "
        "surface its length, words, phrasing and params: supported if the gain's lower bound is above "
        "{gain:g} and the index's upper bound below {planning:g} (or planning cannot be tested "
        "because the ceiling is less than {headroom:g} above the surface), contradicted if the "
        "index's lower bound is above {planning:g} or the gain's upper bound below {gain:g}, else "
        "inconclusive.",
        {"gain": _time("gain"), "index": _time("planning_index")},
        lambda rows, at: (
            rows["gain"]["lower99"] > at["gain"]
            and not (has_estimate(rows["index"]) and rows["index"]["upper99"] >= at["planning"])
        ),
        lambda rows, at: (
            rows["gain"]["upper99"] < at["gain"]
            or (has_estimate(rows["index"]) and rows["index"]["lower99"] > at["planning"])
        ),
        untested=lambda rows: (
            "" if has_estimate(rows["index"]) else f"planning untested: {_reason(rows['index'])}"
        ),
    ),
    "specificity": Rule(
        "a probe reads the constraint, not just properties of the text",
        "Mean over tasks of the AUROC of the task's probe on responses with the constraint minus that "
        "of the same probe on responses to the same requests without it, verified in the same way: "
        "supported if the lower bound is above {margin:g}, contradicted if the upper bound is below "
        "{margin:g}, else inconclusive.",
        {"estimate": ("specificity", {"layer": SELECTED, "task": MEAN, "quantity": "specificity"})},
        lambda rows, at: rows["estimate"]["lower99"] > at["margin"],
        lambda rows, at: rows["estimate"]["upper99"] < at["margin"],
    ),
}
CLAIMS = {name: rule.claim for name, rule in RULES.items()}


def judge(
    tables: Mapping[str, Sequence[Mapping]],
    models: Sequence[str],
    tasks: Sequence[str],
    thresholds: Mapping,
    reported: Mapping[str, Mapping] | None = None,
) -> dict[str, dict[str, dict]]:
    """{model: {claim: finding}}, of every claim of CLAIMS; of more than one model also those of POOLED.

    tables: rows of tables/generality.csv, transfer.csv, transfer_summary.csv, ablation_summary.csv,
    layers.csv, specificity.csv and time_summary.csv by name (what isn't there is insufficient), with their
    `draws`, without which what is pooled has no interval; tasks: of the study; thresholds: the config's
    `claims`; reported: {claim: what the paper "says", and the numbers "reported" of it}.

    A finding has "verdict" (one of VERDICTS), "estimate" and "interval" (each None where there is none), its
    "level" (0.99, or more where thresholds["looks"] is above 1; also that of the tables' bounds), "rule" (the
    sentence that decides), "reason" (why it is insufficient, or what could not be tested, else ""),
    "tasks_with_signal" (names: sufficient, and the specialist's lower bound above the threshold), "n"
    ("tasks" with a signal, tested "answers" and "requests"), "rules_version", for POOLED "models", and
    "paper" where there is something reported.

    Pooled: the same rule on means over the models that aren't insufficient, of which there must be two (if
    not, the numbers are means over all). The models are taken as they are, so an interval says nothing about
    others; the draws of bases are joint. The permutation test permutes the names of tasks in all models at
    once.
    """
    # As the level of the intervals: a p is looked at so often, too.
    thresholds = thresholds | {"cluster_p": thresholds["cluster_p"] / thresholds["looks"]}
    rows = {model: evidence(tables, model) for model in models}
    signal = {model: _signal(tables["generality"], model, tasks, thresholds["signal"]) for model in models}
    mean = {"task": MEAN, "layer": SELECTED, "probe": "specialist", "metric": "auroc"}
    sizes = {model: _row(tables["generality"], model, **mean) for model in models}
    found: dict[str, dict[str, dict]] = {}
    for model in models:
        few = ""
        if not enough_signal(len(signal[model]), len(tasks)):
            few = f"{len(signal[model])} of {len(tasks)} tasks have a signal"
        about = _about([model], tasks, signal, sizes)
        found[model] = {
            claim: _finding(rule, rows[model][claim], thresholds, few) | about
            for claim, rule in RULES.items()
        }
    if len(models) > 1:
        found[POOLED] = {}
        for claim, rule in RULES.items():
            of_each = {model: found[model][claim] for model in models}
            judged = [model for model in models if of_each[model]["verdict"] != "insufficient"]
            few = f"sufficient in {len(judged)} of {len(models)} models" if len(judged) < 2 else ""
            used = list(models) if few else judged
            pooled = pool(rows, claim, used)
            if claim == "transfer_clustered" and not few:
                pooled["estimate"]["p"] = _pooled_p(tables.get("transfer", ()), used, tasks)
            finding = _finding(rule, pooled, thresholds, few) | _about(used, tasks, signal, sizes)
            untested = [f"{model}: {of_each[model]['reason']}" for model in used if of_each[model]["reason"]]
            if untested and not few:
                finding["reason"] = "; ".join(untested)
            found[POOLED][claim] = finding | {"models": used}
    for by_claim in found.values() if reported else ():
        for claim, finding in by_claim.items():
            finding["paper"] = reported[claim]
    return found


def table(found: Mapping[str, Mapping[str, Mapping]]) -> list[dict]:
    """Rows with COLUMNS of what `judge` found; the paper's numbers in words."""
    rows = []
    for model, by_claim in found.items():
        for claim, finding in by_claim.items():
            lower, upper = finding["interval"] or (math.nan, math.nan)
            estimate = math.nan if finding["estimate"] is None else finding["estimate"]
            values = (model, claim, finding["verdict"], estimate, lower, upper, finding["level"])
            values += (*finding["n"].values(), finding["reason"], finding["rule"])
            values += (reported_words(finding.get("paper", {})),)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def reported_words(paper: Mapping) -> str:
    """The paper's numbers, or "not reported"."""
    cells = []
    for each in paper.get("reported", ()):
        about = each["task"] if "task" in each else f"{each['source']} -> {each['target']}"
        cells.append(f"{each.get('probe', 'transfer')} {about}: accuracy {each['accuracy']:.2f}")
    return "; ".join(cells).replace("_", " ") or "not reported"


def evidence(tables: Mapping[str, Sequence[Mapping]], model: str) -> dict[str, dict[str, Mapping | None]]:
    """{claim: the rows of the tables that it is judged by}, of one model."""
    return {
        claim: {
            name: _row(tables.get(table, ()), model, **cells)
            for name, (table, cells) in rule.evidence.items()
        }
        for claim, rule in RULES.items()
    }


def pool(rows: Mapping[str, Mapping[str, Rows]], claim: str, models: Sequence[str]) -> dict[str, dict | None]:
    """Rows as of `evidence`, for one claim, of the means over models, each of those that have a number.

    rows: {model: `evidence`}. The permutation test has no p here.
    """
    return {name: _pooled([rows[model][claim][name] for model in models]) for name in RULES[claim].evidence}


def gate(thresholds: Mapping) -> str:
    """What every claim about structure needs, as the last sentence of its rule."""
    return (
        "Insufficient unless two thirds of the tasks have enough data and a specialist AUROC with a lower "
        f"bound above {thresholds['signal']:g}."
    )


def tasks_with_signal(
    generality: Sequence[Mapping], model: str, threshold: float, probe: str = "specialist"
) -> list[str]:
    """Tasks whose probe, at its selected layer, has an AUROC with a lower bound above the threshold."""
    return [
        row["task"]
        for row in generality
        if _is(row, model=model, layer=SELECTED, probe=probe, metric="auroc")
        and row["task"] != MEAN
        and has_estimate(row)
        and row["lower99"] > threshold
    ]


def mean_auroc(generality: Sequence[Mapping], model: str, probe: str = "specialist") -> float:
    """Mean over sufficient tasks of a probe's AUROC at its selected layers; NaN where there are none."""
    row = _row(generality, model, task=MEAN, layer=SELECTED, probe=probe, metric="auroc")
    return row["estimate"] if row else float("nan")


def has_estimate(row: Mapping | None) -> bool:
    return row is not None and is_number(row["estimate"])


def _signal(generality, model: str, tasks: Sequence[str], threshold: float) -> list[str]:
    found = tasks_with_signal(generality, model, threshold)
    return [task for task in tasks if task in found]


def _finding(rule: Rule, rows: Rows, thresholds: Mapping, few: str) -> dict:
    """few: why there is too little to judge by, or ""."""
    row = next(iter(rows.values()))
    known = has_estimate(row)
    reason = few or (rule.failed(rows, thresholds) if known else _reason(row))
    if reason:
        verdict = "insufficient"
    elif rule.supported(rows, thresholds):
        verdict = "supported"
    else:
        verdict = "contradicted" if rule.contradicted(rows, thresholds) else "inconclusive"
    interval = [row["lower99"], row["upper99"]] if known else []
    return {
        "verdict": verdict,
        "claim": rule.claim,
        "estimate": row["estimate"] if known else None,
        "interval": interval if known and all(map(math.isfinite, interval)) else None,
        "level": level_of(thresholds["looks"]),
        "rule": f"{rule.sentence.format(**thresholds)} {gate(thresholds)}",
        "reason": reason or rule.untested(rows),
    }


def _about(models: Sequence[str], tasks: Sequence[str], signal: Mapping, sizes: Mapping) -> dict:
    """What a finding of these models was decided on."""
    known = [sizes[model] for model in models if sizes[model]]
    return {
        "tasks_with_signal": [task for task in tasks if all(task in signal[model] for model in models)],
        "n": {
            "tasks": len(set().union(*(signal[model] for model in models))),
            "answers": sum(row["n"] for row in known),
            "requests": max((row["n_groups"] for row in known), default=0),
        },
        "rules_version": VERSION,
    }


def _pooled(rows: Sequence[Mapping | None]) -> dict | None:
    known = [row for row in rows if has_estimate(row)]
    if not known:
        return dict(rows[0]) if rows and rows[0] else None
    row = both_intervals(None) | {"estimate": fmean(row["estimate"] for row in known), "status": ""}
    drawn = [row.get(DRAWS) for row in known]
    if all(each is not None for each in drawn):
        row[DRAWS] = weighted((each, 1 / len(drawn)) for each in drawn)
        row |= row[DRAWS].cells()
    if all("n_cells" in each for each in known):
        row["n_cells"] = fmean(each["n_cells"] for each in known)
    return row


def _pooled_p(transfer: Sequence[Mapping], models: Sequence[str], tasks: Sequence[str]) -> float:
    """Of the permutation test for all models' matrices of transfer at once; NaN without them."""
    matrices = []
    for model in models:
        cells = {
            (row["source"], row["target"]): row["ratio"]
            for row in transfer
            if _is(row, model=model, layer=SELECTED)
        }
        ratios = np.array([[cells.get((i, j), math.nan) for j in tasks] for i in tasks], float)
        matrices.append((ratios + ratios.T) / 2)
    groups = np.unique(paper_groups(tasks), return_inverse=True)[1]
    return joint_permutation_p(matrices, groups)[0] if matrices else math.nan


def _row(rows: Sequence[Mapping], model: str, **values) -> Mapping | None:
    return next((row for row in rows if _is(row, model=model, **values)), None)


def _is(row: Mapping, scope: str = ACROSS, **values) -> bool:
    if row.get("scope", ACROSS) != scope:
        return False
    # A model may be named by a number, which a CSV file doesn't tell from one.
    return all(str(row[key]) == value for key, value in values.items())


def _reason(row: Mapping | None) -> str:
    status = str(row["status"]).removeprefix("insufficient: ") if row else ""
    return status or "there is no estimate"
