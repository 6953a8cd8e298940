"""What the analyses' tables say about each claim, by the rules of docs/definitions.md and no others.

The rules were fixed before any result was seen. A change of one is a new VERSION.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

import numpy as np

from skillprobe import RULES_VERSION
from skillprobe.analyses.blocks import joint_permutation_p, paper_groups
from skillprobe.statistics.intervals import both_intervals, level_of, weighted
from skillprobe.storage.tables import (
    ACROSS,
    DRAWS,
    MEAN,
    N_UNTESTED,
    SELECTED,
    WITHIN,
    is_number,
    rounded,
    task_words,
)

VERSION = RULES_VERSION
SUPPORTED, CONTRADICTED = "supported", "contradicted"
INCONCLUSIVE, INSUFFICIENT = "inconclusive", "insufficient"
# Supported as far as the rest of the claim could be tested.
UNPLANNED, NOT_BEYOND = "supported, planning untested", "supported, not beyond likelihood"
VERDICTS = (SUPPORTED, UNPLANNED, NOT_BEYOND, CONTRADICTED, INCONCLUSIVE, INSUFFICIENT)
# Beside the models, of which none can have this name.
POOLED = "all models"

# The primary general probe: all data, centred within task.
GENERAL = "general_centred"
DIFFERENCE = f"specialist_minus_{GENERAL}"

COLUMNS = (
    *("model", "claim", "scope", "headline", "verdict", "estimate", "lower99", "upper99", "level"),
    *("n_tasks", "fewest_tasks", "tasks", "n_responses", "n_subjects", "reason", "rule", "paper"),
)
# The rows that a claim is judged by, by name; None where a table has no such row.
Rows = Mapping[str, Mapping | None]


@dataclass(frozen=True)
class Rule:
    """How one claim is decided.

    evidence: {name: (table, cells that name its row)}, the first of them the estimate; sentence: the rule in
    words, with thresholds to fill in; supported, contradicted: of the rows and the thresholds, asked in this
    order; opposite: what would have contradicted the claim, in plain words; failed: why the rows say nothing,
    or ""; beyond: of a supported claim, the verdict (if it isn't simply supported) and what was left open;
    note: what to say beside a verdict, or ""; scopes: the headline's first, then the other that has a verdict
    too; by_task: (table, cells but the task that name its rows), whose rows are evidence as well, by task.
    """

    claim: str
    sentence: str
    opposite: str
    evidence: Mapping[str, tuple[str, Mapping[str, str]]]
    supported: Callable[[Rows, Mapping], bool]
    contradicted: Callable[[Rows, Mapping], bool]
    failed: Callable[[Rows, Mapping], str] = lambda rows, at: ""
    beyond: Callable[[Rows, Mapping], tuple[str, str]] = lambda rows, at: (SUPPORTED, "")
    note: Callable[[Rows, Mapping], str] = lambda rows, at: ""
    scopes: tuple[str, ...] = (WITHIN, ACROSS)
    by_task: tuple[str, Mapping[str, str]] | None = None

    @property
    def tables(self) -> set[str]:
        """Names of those that have its evidence."""
        return {table for table, _ in (*self.evidence.values(), *([self.by_task] if self.by_task else []))}


def _ablation(quantity: str) -> tuple[str, dict[str, str]]:
    return "ablation_summary", {"layer": SELECTED, "quantity": quantity, "method": "inlp"}


def _time(quantity: str) -> tuple[str, dict[str, str]]:
    return "time_summary", {"layer": SELECTED, "task": MEAN, "quantity": quantity}


# Before the name of a task, in the names of a rule's evidence.
_OF = "of "
_MONITOR_GAIN = {"quantity": "auroc", "reader": "monitor_minus_trivial"}


def _tasks_of(rows: Rows) -> dict[str, Mapping]:
    """Those that have a gain, of a claim that looks at each task."""
    return {row["task"]: row for name, row in rows.items() if name.startswith(_OF) and has_estimate(row)}


def _adds(rows: Rows, at: Mapping) -> list[str]:
    """Tasks whose monitor adds."""
    return [task for task, row in _tasks_of(rows).items() if row["lower99"] > at["monitor_gain"]]


def _may_add(rows: Rows, at: Mapping) -> list[str]:
    """Tasks whose monitor adds, or may."""
    return [task for task, row in _tasks_of(rows).items() if not row["upper99"] < at["monitor_gain"]]


def _where_it_adds(rows: Rows, at: Mapping) -> str:
    adds, may = _adds(rows, at), _may_add(rows, at)
    open_in = [task for task in may if task not in adds]
    parts = {"adds in": adds, "open in": open_in, "does not in": [t for t in _tasks_of(rows) if t not in may]}
    return "; ".join(
        f"{words} {', '.join(map(task_words, tasks))}" for words, tasks in parts.items() if tasks
    )


def _match(quantity: str) -> tuple[str, dict[str, str]]:
    return "specificity", {"layer": SELECTED, "task": MEAN, "quantity": quantity}


def _erasure_failed(rows: Rows, at: Mapping) -> str:
    own = rows["diagonal"]
    if not has_estimate(own) or own["lower99"] > at["erased"]:
        return ""
    return (
        f"erasure failed: it lowers a task's own AUROC by {rounded(own['estimate'])}, lower bound "
        f"{rounded(own['lower99'])}"
    )


def _least_asymmetry(rows: Rows, at: Mapping) -> float:
    """q₀, in squared AUROCs."""
    return (at["asymmetry"] * rows["diagonal"]["estimate"]) ** 2


def _explained(rows: Rows, at: Mapping) -> str:
    whole = rows["whole"]
    if not has_estimate(whole) or not whole["lower99"] > _least_asymmetry(rows, at):
        return ""
    if rows["asymmetry"]["lower99"] > _least_asymmetry(rows, at):
        return ""
    return "the two directions differ, but as they do where sources are of unequal strength"


def _tested(row: Mapping | None, at: Mapping) -> bool:
    """Whether a quantity about planning is of as many tasks as the claim needs."""
    return has_estimate(row) and row["n_tasks"] >= at["min_tasks"]["monitoring"]


def _planned(rows: Rows, at: Mapping) -> bool:
    return _tested(rows["planned"], at) and rows["planned"]["lower99"] > at["planning"]


def _planning(rows: Rows, at: Mapping) -> tuple[str, str]:
    planned, recovered = rows["planned"], rows["recovered"]
    if not _tested(planned, at) or not _tested(recovered, at):
        untested = planned if not _tested(planned, at) else recovered
        if not has_estimate(untested):
            return UNPLANNED, f"planning untested: {_reason(untested)}"
        few = few_tasks(untested["n_tasks"], at["min_tasks"]["monitoring"])
        return UNPLANNED, f"planning untested: {few}"
    if not recovered["lower99"] > at["recovered"]:
        return UNPLANNED, (
            "planning untested: of labels that the prompt's state decides, only "
            f"{rounded(recovered['estimate'], 2)} would be recovered, lower bound "
            f"{rounded(recovered['lower99'], 2)}"
        )
    most = at["planning"] * recovered["estimate"]
    if not planned["upper99"] < most:
        return UNPLANNED, (
            f"planning is not excluded: its share is {rounded(planned['estimate'], 2)}, upper bound "
            f"{rounded(planned['upper99'], 2)}, which must be below {rounded(most, 2)}"
        )
    return SUPPORTED, ""


def _likelihood(rows: Rows, at: Mapping) -> tuple[str, str]:
    beyond = rows["beyond"]
    if has_estimate(beyond) and beyond["lower99"] > 0:
        return SUPPORTED, ""
    if not has_estimate(beyond):
        return NOT_BEYOND, f"beyond likelihood untested: {_reason(beyond)}"
    return NOT_BEYOND, (
        f"the response's log-probability tells as much: the probe's match minus that of the "
        f"log-probability is {rounded(beyond['estimate'])}, lower bound {rounded(beyond['lower99'])}"
    )


_ERASURE = "Insufficient unless erasing lowers a task's own AUROC by more than {erased:g} (lower bound)."
# In the order shown.
RULES = {
    "generality": Rule(
        "a specialist probe is better than one general probe",
        "Mean over tasks of the AUROC of specialist minus general probe (all data, centred within task, "
        "each task's own layer), paired: supported if its lower bound is above {margin:g}, contradicted if "
        "its upper bound is below {margin:g}, else inconclusive.",
        "one general probe of all tasks that reads each task within {margin:g} of its own probe's AUROC",
        {
            "estimate": (
                "generality",
                {"task": MEAN, "layer": SELECTED, "probe": DIFFERENCE, "metric": "auroc"},
            )
        },
        lambda rows, at: rows["estimate"]["lower99"] > at["margin"],
        lambda rows, at: rows["estimate"]["upper99"] < at["margin"],
    ),
    "transfer_weak": Rule(
        "a probe of one task says little about another",
        "Sum over pairs of tasks of the AUROC above ½ of another task's probe, divided by the same sum of "
        "the task's own: supported if its upper bound is below {weak_ratio:g}, contradicted if its lower "
        "bound is above {weak_ratio:g}, else inconclusive.",
        "probes that keep more than {weak_ratio:.0%} of their reading on other tasks",
        {"estimate": ("transfer_summary", {"layer": SELECTED, "quantity": "ratio"})},
        lambda rows, at: rows["estimate"]["upper99"] < at["weak_ratio"],
        lambda rows, at: rows["estimate"]["lower99"] > at["weak_ratio"],
    ),
    "transfer_clustered": Rule(
        "transfer is stronger within the paper's groups of tasks",
        "Mean transfer within the paper's groups of tasks minus that between them, row and column means "
        "removed: supported if the permutation test's p is below {cluster_p:g}, contradicted if the upper "
        "bound is below 0 and the p of the other side below {other_p:g}, else inconclusive.",
        "transfer that is weaker within the paper's groups than between them",
        {"estimate": ("transfer_summary", {"layer": SELECTED, "quantity": "block", "grouping": "paper"})},
        lambda rows, at: rows["estimate"]["p"] < at["cluster_p"],
        lambda rows, at: rows["estimate"]["upper99"] < 0 and rows["estimate"]["p_other"] < at["other_p"],
    ),
    "ablation_sparse": Rule(
        "erasing one task's signal does not affect most other tasks",
        "Share of pairs of tasks (source erased, target retrained) that are dependent, by simultaneous "
        "intervals: supported if it is at most {sparse_dependent:.0%} and at least {sparse_independent:.0%} "
        "are independent, contradicted if at least {not_sparse:.0%} are dependent, else inconclusive. "
        + _ERASURE,
        "erasing one task lowers the other in at least {not_sparse:.0%} of the pairs",
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
        "Mean over pairs of tasks of the squared difference between the two directions, beyond what the "
        "sources' strengths explain and beyond noise: supported if its lower bound is above q = "
        "({asymmetry:g} × the mean fall of a task's own AUROC)², contradicted if the upper bound of the "
        "same with the sources' strengths in it is below q, else inconclusive. " + _ERASURE,
        "differences between the two directions that are small beside what erasing a task does to itself",
        {
            "asymmetry": _ablation("asymmetry"),
            "whole": _ablation("asymmetry_whole"),
            "diagonal": _ablation("diagonal"),
        },
        lambda rows, at: rows["asymmetry"]["lower99"] > _least_asymmetry(rows, at),
        lambda rows, at: (
            has_estimate(rows["whole"]) and rows["whole"]["upper99"] < _least_asymmetry(rows, at)
        ),
        _erasure_failed,
        note=_explained,
    ),
    "layers_stratified": Rule(
        "structural tasks emerge before lexical ones, and lexical ones before the others",
        "Kendall's tau between a task's category (structural 1, lexical 2, semantic and stylistic 3) and "
        "the depth at which its signal emerges: supported if the lower bound is above 0, contradicted if "
        "the upper bound is below 0, else inconclusive.",
        "semantic and stylistic tasks that emerge before structural ones",
        {"estimate": ("layers", {"task": "all", "quantity": "tau"})},
        lambda rows, at: rows["estimate"]["lower99"] > 0,
        lambda rows, at: rows["estimate"]["upper99"] < 0,
    ),
    "monitoring": Rule(
        "satisfaction is monitored while the text is generated, not planned in the prompt",
        "Mean over tasks of the AUROC at eos minus that at the prompt's last token, each with probes "
        "trained at that position (gain); and the planning share: of what varies between prompts and "
        "their surface doesn't tell, the share that a probe at the prompt's end reads. Supported if the "
        "gain's lower bound is above {gain:g} and the share's upper bound below {planning:g} of what the "
        "power control recovers, with more than {recovered:g} recovered (lower bound); with the gain alone: "
        "supported, planning untested. Contradicted if the share's lower bound is above {planning:g} or the "
        "gain's upper bound below {gain:g}, else inconclusive.",
        "a probe at the prompt's end that reads as much as one at the response's end, or more than "
        "{planning:.0%} of what the prompt decides",
        {"gain": _time("gain"), "planned": _time("planning_share"), "recovered": _time("recovered")},
        lambda rows, at: rows["gain"]["lower99"] > at["gain"] and not _planned(rows, at),
        lambda rows, at: rows["gain"]["upper99"] < at["gain"] or _planned(rows, at),
        beyond=_planning,
        scopes=(ACROSS,),
    ),
    "specificity": Rule(
        "a probe reads whether response and constraint match, not just the response or the prompt",
        "Mean over tasks of the share of crossings (two constraints, two responses, each of which satisfies "
        "one of them) in which the probe tells who satisfies what: supported if the lower bound is above "
        "{match:g} and the share exceeds that of the response's log-probability (lower bound above 0); with "
        "the first alone: supported, not beyond likelihood. Contradicted if the upper bound is below "
        "{match:g}, else inconclusive.",
        "probes that score the same response alike whichever constraint it is read under",
        {"estimate": _match("match"), "beyond": _match("match_beyond_likelihood")},
        lambda rows, at: rows["estimate"]["lower99"] > at["match"],
        lambda rows, at: rows["estimate"]["upper99"] < at["match"],
        beyond=_likelihood,
    ),
    "monitor_adds": Rule(
        "the runtime monitor tells more than the text so far and the params do",
        "Of each task, the mean over the positions in the middle of the answer of the AUROC of its monitor "
        "minus that of the best trivial monitor (the verifier on the text so far, the params, or both): "
        "supported if the lower bound is above {monitor_gain:g} in at least {min_tasks[monitor_adds]} tasks, "
        "contradicted if the upper bound is below {monitor_gain:g} in so many that fewer than "
        "{min_tasks[monitor_adds]} are left, else inconclusive. The estimate shown is the mean over tasks.",
        "a verifier on the text so far, or the params, that tells as much (within {monitor_gain:g} of AUROC) "
        "in the middle of the answer, in all but fewer than {min_tasks[monitor_adds]} tasks",
        {"estimate": ("monitors_summary", {"task": MEAN} | _MONITOR_GAIN)},
        lambda rows, at: len(_adds(rows, at)) >= at["min_tasks"]["monitor_adds"],
        lambda rows, at: len(_may_add(rows, at)) < at["min_tasks"]["monitor_adds"],
        note=_where_it_adds,
        scopes=(ACROSS,),
        by_task=("monitors_summary", _MONITOR_GAIN),
    ),
}
CLAIMS = {name: rule.claim for name, rule in RULES.items()}


def judge(
    tables: Mapping[str, Sequence[Mapping]],
    models: Sequence[str],
    tasks: Sequence[str],
    thresholds: Mapping,
    reported: Mapping[str, Mapping] | None = None,
    joined: Mapping[str, str] | None = None,
) -> dict[str, dict[str, dict]]:
    """{model: {claim: finding}}, of every claim of CLAIMS; of more than one model also those of POOLED.

    tables: rows of tables/generality.csv, transfer.csv, transfer_summary.csv, ablation_summary.csv,
    layers.csv, specificity.csv, time_summary.csv and monitors_summary.csv by name (what isn't there is
    insufficient), with their `draws`, without which what is pooled has no interval; tasks: of the study;
    thresholds: the config's `claims`; reported: {claim: what the paper "says", and the numbers "reported" of
    it}; joined: as of `blocks.paper_groups`.

    A finding has "verdict" (one of VERDICTS), its "scope" (the headline's), "estimate" and "interval" (each
    None where there is none), its "level" (0.99, or more where thresholds["looks"] is above 1; also that of
    the tables' bounds), "rule" (the sentence that decides), "reason" (why it is insufficient, or what was
    left open, else ""), "tasks" (names of those that count; for POOLED, in every one of its models), "n"
    (`_finding`, `_size`), "secondary" (a finding of the claim's other scope, without a secondary of its own,
    or None: it never replaces the headline), "rules_version", for POOLED "models" and "counted"
    (`_counted`), and "paper" where there is something reported.

    Pooled: the same rule on means over the models that aren't insufficient, of which there must be two (if
    not, the numbers are means over all). The models are taken as they are, so an interval says nothing about
    others; the draws of groups are joint. The permutation test permutes the names of tasks in all models at
    once.
    """
    # As the level of the intervals: a p is looked at so often, too.
    looked = {name: thresholds[name] / thresholds["looks"] for name in ("cluster_p", "other_p")}
    thresholds = thresholds | looked
    found: dict[str, dict[str, dict]] = {model: {} for model in models}
    if len(models) > 1:
        found[POOLED] = {}
    for claim, rule in RULES.items():
        in_scopes = [
            _judge_scope(tables, models, tasks, thresholds, claim, scope, joined) for scope in rule.scopes
        ]
        for model, by_claim in found.items():
            by_claim[claim] = in_scopes[0][model]
            by_claim[claim]["secondary"] = in_scopes[1][model] if len(in_scopes) > 1 else None
            if reported:
                by_claim[claim]["paper"] = reported[claim]
    return found


def _judge_scope(
    tables: Mapping[str, Sequence[Mapping]],
    models: Sequence[str],
    tasks: Sequence[str],
    thresholds: Mapping,
    claim: str,
    scope: str,
    joined: Mapping[str, str] | None,
) -> dict[str, dict]:
    """Findings of one claim in one scope, by model."""
    rows = {model: evidence(tables, model, claim, scope) for model in models}
    found = {}
    for model in models:
        found[model] = _finding(claim, scope, rows[model], tasks, thresholds)
        found[model]["n"] |= _size(tables, {model: found[model]["tasks"]}, scope)
        if claim == "specificity" and found[model]["verdict"] != INSUFFICIENT:
            untested = _n_untested(tables, model, scope, found[model]["tasks"])
            found[model]["reason"] = "; ".join(filter(None, (found[model]["reason"], untested)))
    if len(models) > 1:
        judged = [model for model in models if found[model]["verdict"] != INSUFFICIENT]
        few = f"sufficient in {len(judged)} of {len(models)} models" if len(judged) < 2 else ""
        used = list(models) if few else judged
        pooled = pool({model: rows[model] for model in used})
        if claim == "transfer_clustered" and not few:
            pooled["estimate"] |= _pooled_p(tables.get("transfer", ()), rows, used, tasks, scope, joined)
        finding = _finding(claim, scope, pooled, tasks, thresholds, few)
        shown = [model for model in used if found[model]["estimate"] is not None]
        finding["n"] |= _size(tables, {model: found[model]["tasks"] for model in shown}, scope)
        open_in = [f"{model}: {found[model]['reason']}" for model in used if found[model]["reason"]]
        # What is said of each task is said of the models' mean, too.
        if open_in and not few and not RULES[claim].by_task:
            finding["reason"] = "; ".join(open_in)
        counted = _counted({model: rows[model] for model in models}, claim, scope, tasks, thresholds)
        found[POOLED] = finding | {"models": used, "counted": counted}
    return found


def table(found: Mapping[str, Mapping[str, Mapping]]) -> list[dict]:
    """Rows with COLUMNS of what `judge` found, a row a scope; the paper's numbers in words."""
    rows = []
    for model, by_claim in found.items():
        for claim, headline in by_claim.items():
            for finding in filter(None, (headline, headline["secondary"])):
                lower, upper = finding["interval"] or (math.nan, math.nan)
                rows.append(
                    {
                        "model": model,
                        "claim": claim,
                        "scope": finding["scope"],
                        "headline": "yes" if finding is headline else "no",
                        "verdict": finding["verdict"],
                        "estimate": math.nan if finding["estimate"] is None else finding["estimate"],
                        "lower99": lower,
                        "upper99": upper,
                        "level": finding["level"],
                        "n_tasks": finding["n"]["tasks"],
                        "fewest_tasks": finding["n"]["fewest_tasks"],
                        "tasks": " ".join(finding["tasks"]),
                        "n_responses": finding["n"]["responses"],
                        "n_subjects": finding["n"]["subjects"],
                        "reason": finding["reason"],
                        "rule": finding["rule"],
                        "paper": reported_words(headline.get("paper", {})),
                    }
                )
    return rows


def reported_words(paper: Mapping) -> str:
    """The paper's numbers, or "not reported"."""
    cells = []
    for each in paper.get("reported", ()):
        about = each["task"] if "task" in each else f"{each['source']} -> {each['target']}"
        cells.append(f"{each.get('probe', 'transfer')} {about}: accuracy {each['accuracy']:.2f}")
    return "; ".join(cells).replace("_", " ") or "not reported"


def evidence(
    tables: Mapping[str, Sequence[Mapping]], model: str, claim: str, scope: str
) -> dict[str, Mapping | None]:
    """The rows of the tables that a claim is judged by, of one model and scope, by name; of a rule that looks
    at each task, also those of the tasks."""
    rule = RULES[claim]
    found = {
        name: _row(tables.get(table, ()), model, scope, **cells)
        for name, (table, cells) in rule.evidence.items()
    }
    if rule.by_task:
        table, cells = rule.by_task
        rows = [row for row in tables.get(table, ()) if _is(row, model=model, scope=scope, **cells)]
        found |= {_OF + row["task"]: row for row in rows if row["task"] != MEAN}
    return found


def pool(rows: Mapping[str, Rows]) -> dict[str, dict | None]:
    """Rows as of `evidence`, of the means over models, each of those that have a number.

    rows: {model: `evidence`}. The permutation test has no p here.
    """
    names = dict.fromkeys(name for of_model in rows.values() for name in of_model)
    return {name: _pooled([of_model.get(name) for of_model in rows.values()]) for name in names}


def needs(claim: str, thresholds: Mapping) -> str:
    """What a claim needs to be judged, as the last sentence of its rule."""
    counts = (
        "A task counts in a test fold if its probes' AUROC in the other folds has a lower bound above "
        f"{thresholds['signal']:g}."
    )
    if RULES[claim].by_task:
        return f"Insufficient unless at least {thresholds['min_tasks'][claim]} tasks have a monitor."
    if claim == "transfer_clustered":
        least = f"so many tasks count that their names can be permuted in {thresholds['min_partitions']} ways"
    else:
        least = f"at least {thresholds['min_tasks'][claim]} tasks count"
    return f"Insufficient unless {least}. {counts}"


def opposite(claim: str, thresholds: Mapping) -> str:
    """What would have contradicted a claim, in plain words."""
    return RULES[claim].opposite.format(**thresholds)


def is_supported(verdict: str) -> bool:
    """Also as far as could be tested."""
    return verdict.startswith(SUPPORTED)


def few_tasks(n: int, least: int) -> str:
    return f"{n} task{'s' * (n != 1)} count{'s' * (n == 1)}; {least} are needed"


def tasks_with_signal(
    generality: Sequence[Mapping],
    model: str,
    threshold: float,
    probe: str = "specialist",
    scope: str = ACROSS,
) -> list[str]:
    """Tasks whose probe, at its selected layer, has an AUROC with a lower bound above the threshold."""
    return [
        row["task"]
        for row in generality
        if _is(row, model=model, scope=scope, layer=SELECTED, probe=probe, metric="auroc")
        and row["task"] != MEAN
        and has_estimate(row)
        and row["lower99"] > threshold
    ]


def has_estimate(row: Mapping | None) -> bool:
    return row is not None and is_number(row["estimate"])


def _finding(
    claim: str, scope: str, rows: Rows, tasks: Sequence[str], thresholds: Mapping, few: str = ""
) -> dict:
    """few: why there is too little to judge by, or "". Its "n": "tasks", how many "tasks" names; and
    "fewest_tasks", how many count in the model that has the fewest, which must be as many as the claim needs
    (of one model, the same number)."""
    rule, row = RULES[claim], next(iter(rows.values()))
    known = has_estimate(row)
    few = few or _too_few(claim, row, thresholds)
    reason = few or (rule.failed(rows, thresholds) if known else _reason(row))
    if reason:
        verdict = INSUFFICIENT
    elif rule.supported(rows, thresholds):
        verdict, reason = rule.beyond(rows, thresholds)
    else:
        verdict = CONTRADICTED if rule.contradicted(rows, thresholds) else INCONCLUSIVE
    if not reason:
        reason = rule.note(rows, thresholds)
    interval = [row["lower99"], row["upper99"]] if known else []
    counting = str((row or {}).get("tasks", "")).split()
    named = [task for task in tasks if task in counting]
    return {
        "verdict": verdict,
        "claim": rule.claim,
        "scope": scope,
        "estimate": row["estimate"] if known else None,
        "interval": interval if known and all(map(math.isfinite, interval)) else None,
        "level": level_of(thresholds["looks"]),
        "rule": f"{rule.sentence.format(**thresholds)} {needs(claim, thresholds)}",
        "reason": reason,
        "tasks": named,
        "n": {"tasks": len(named), "fewest_tasks": row["n_tasks"] if row else 0},
        "rules_version": VERSION,
    }


def _too_few(claim: str, row: Mapping | None, thresholds: Mapping) -> str:
    """ "" or why there are too few tasks to judge a claim by."""
    if row is None:
        return ""
    if claim == "transfer_clustered":
        n, least = row["n_permutations"], thresholds["min_partitions"]
        if has_estimate(row) and n < least:
            return f"the names of the tasks that count can be permuted in {n} ways; {least} are needed"
        return ""
    least = thresholds["min_tasks"][claim]
    if row["n_tasks"] >= least:
        return ""
    if RULES[claim].by_task:
        n = row["n_tasks"]
        return f"{n} task{'s' * (n != 1)} {'has' if n == 1 else 'have'} a monitor; {least} are needed"
    return few_tasks(row["n_tasks"], least)


def _size(
    tables: Mapping[str, Sequence[Mapping]], counting: Mapping[str, Sequence[str]], scope: str
) -> dict[str, int]:
    """On how many "responses" of the tasks that count ({model: names}) specialists were tested, in all tasks
    and models together; and how many "subjects" they are about, in the task that has the most.

    Within prompts these are the responses to prompts that have both satisfied and violated ones. Calibration
    subjects are never tested.
    """
    cells = {"layer": SELECTED, "probe": "specialist", "metric": "auroc"}
    rows = [
        _row(tables["generality"], model, scope, task=task, **cells)
        for model, tasks in counting.items()
        for task in tasks
    ]
    known = [row for row in rows if row is not None]
    return {
        "responses": sum(row["n"] for row in known),
        "subjects": max((row["n_groups"] for row in known), default=0),
    }


def _n_untested(tables: Mapping[str, Sequence[Mapping]], model: str, scope: str, tasks: Sequence[str]) -> str:
    """Which counts a probe may know by their relation alone, or ""."""
    cells = {"layer": SELECTED, "quantity": "match_n"}
    rows = {task: _row(tables.get("specificity", ()), model, scope, task=task, **cells) for task in tasks}
    untested = [task_words(task) for task, row in rows.items() if row and N_UNTESTED in str(row["status"])]
    return f"{', '.join(untested)}: {N_UNTESTED}" if untested else ""


def _counted(
    rows: Mapping[str, Rows], claim: str, scope: str, tasks: Sequence[str], thresholds: Mapping
) -> dict[str, list[str]]:
    """Models by verdict at a level that holds for all of them at once, for sentences that count models: 1 −
    0.01 / models (docs/definitions.md, "Intervals"). Shares of cells, whose intervals are simultaneous ones,
    stay as they are."""
    looks = thresholds["looks"]
    z = [NormalDist().inv_cdf((1 + level_of(n)) / 2) for n in (looks, looks * len(rows))]
    counted: dict[str, list[str]] = {}
    for model, by_name in rows.items():
        wider = {name: _widened(row, z[1] / z[0]) for name, row in by_name.items()}
        verdict = _finding(claim, scope, wider, tasks, thresholds)["verdict"]
        counted.setdefault(verdict, []).append(model)
    return counted


def _widened(row: Mapping | None, factor: float) -> dict | None:
    if not has_estimate(row):
        return row and dict(row)
    value = row["estimate"]
    ends = {end: value + factor * (row[end] - value) for end in ("lower99", "upper99")}
    return {**row, **ends}


def _pooled(rows: Sequence[Mapping | None]) -> dict | None:
    known = [row for row in rows if has_estimate(row)]
    if not known:
        given = [row for row in rows if row]
        return {**given[0], **_counting_of(given)} if given else None
    row = both_intervals(None) | {"estimate": fmean(row["estimate"] for row in known), "status": ""}
    row |= {"task": known[0]["task"]} if "task" in known[0] else {}
    drawn = [row.get(DRAWS) for row in known]
    if all(each is not None for each in drawn):
        row[DRAWS] = weighted((each, 1 / len(drawn)) for each in drawn)
        row |= row[DRAWS].cells()
    row |= _counting_of(known)
    if all("n_permutations" in each for each in known):
        row["n_permutations"] = min(each["n_permutations"] for each in known)
    return row


def _counting_of(rows: Sequence[Mapping]) -> dict:
    """n_tasks: the fewest of any model; tasks: those that count in all of them."""
    counting = [str(each["tasks"]).split() for each in rows]
    in_all = [task for task in counting[0] if all(task in names for names in counting)]
    return {"n_tasks": min(each["n_tasks"] for each in rows), "tasks": " ".join(in_all)}


def _pooled_p(
    transfer: Sequence[Mapping],
    rows: Mapping[str, Rows],
    models: Sequence[str],
    tasks: Sequence[str],
    scope: str,
    joined: Mapping[str, str] | None,
) -> dict[str, float]:
    """Of the permutation test for all models' matrices of transfer at once, each of the tasks that count."""
    matrices = []
    for model in models:
        counting = str(rows[model]["estimate"]["tasks"]).split()
        cells = {
            (row["source"], row["target"]): row["ratio"]
            for row in transfer
            if _is(row, model=model, scope=scope, layer=SELECTED)
            and row["source"] in counting
            and row["target"] in counting
        }
        ratios = np.array([[cells.get((i, j), math.nan) for j in tasks] for i in tasks], float)
        matrices.append((ratios + ratios.T) / 2)
    groups = np.unique(paper_groups(tasks, joined), return_inverse=True)[1]
    found = joint_permutation_p(matrices, groups)
    return {"p": found.p, "p_other": found.p_other}


def _row(rows: Sequence[Mapping], model: str, scope: str, **values) -> Mapping | None:
    return next((row for row in rows if _is(row, model=model, scope=scope, **values)), None)


def _is(row: Mapping, scope: str = ACROSS, **values) -> bool:
    if row.get("scope", ACROSS) != scope:
        return False
    # A model may be named by a number, which a CSV file doesn't tell from one.
    return all(str(row[key]) == value for key, value in values.items())


def _reason(row: Mapping | None) -> str:
    status = str(row["status"]).removeprefix("insufficient: ") if row else ""
    return status or "there is no estimate"
