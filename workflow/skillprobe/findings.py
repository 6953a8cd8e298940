"""What the analyses' tables say about each claim of the study, by the rules of ESTIMANDS and no others.

The rules were fixed before any result was seen. A change of one is a new VERSION.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from skillprobe.stats import enough_signal
from skillprobe.tables import MEAN, SELECTED

VERSION = 1
VERDICTS = ("supported", "contradicted", "inconclusive", "insufficient")
# In the order shown.
CLAIMS = {
    "generality": "a specialist probe is better than one general probe",
    "transfer_weak": "a probe of one task says little about another",
    "transfer_clustered": "transfer is stronger within the paper's groups of tasks",
    "ablation_sparse": "erasing one task's signal leaves most other tasks' alone",
    "ablation_asymmetric": "that one task needs another doesn't mean that the other needs it",
    "layers_stratified": "structural tasks emerge before lexical ones, and these before the others",
    "monitoring": "satisfaction is read off the text while it is written, not planned in the prompt",
    "specificity": "a probe reads the constraint, not what any such text shows",
}

# The primary general probe: all data, centred within task.
GENERAL = "general_centred"
DIFFERENCE = f"specialist_minus_{GENERAL}"


def judge(
    tables: Mapping[str, Sequence[Mapping]], models: Sequence[str], tasks: Sequence[str], thresholds: Mapping
) -> dict[str, dict[str, dict]]:
    """{model: {claim: finding}}, of every claim of CLAIMS; what findings.json holds.

    tables: rows of tables/generality.csv, transfer_summary.csv, ablation_summary.csv, layers.csv,
    specificity.csv and time_summary.csv by name (the last two may be left out); tasks: of the study;
    thresholds: the config's `claims`. A finding has "verdict" (one of VERDICTS), "estimate" and "interval"
    (99 %; each None where there is none), "rule" (the sentence that decides), "reason" (why it is
    insufficient, or what could not be tested, else ""), "tasks_with_signal" (names: sufficient, and the
    specialist's lower bound above the threshold), and "rules_version".
    """
    return {model: _judge_model(tables, model, tasks, thresholds) for model in models}


def gate(thresholds: Mapping) -> str:
    """What every claim about structure needs, as the last sentence of its rule."""
    return (
        "Insufficient unless two thirds of the tasks have enough data and a specialist AUROC with a lower "
        f"bound above {thresholds['signal']:g}."
    )


def tasks_with_signal(
    generality: Sequence[Mapping], model: str, threshold: float, probe: str = "specialist"
) -> list[str]:
    """Tasks whose probe, at its selected layer, has an AUROC with a lower 99 % bound above the threshold."""
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
    return row is not None and isinstance(row["estimate"], float | int) and math.isfinite(row["estimate"])


def _judge_model(tables, model: str, tasks: Sequence[str], thresholds: Mapping) -> dict[str, dict]:
    signal = tasks_with_signal(tables["generality"], model, thresholds["signal"])
    signal = [task for task in tasks if task in signal]
    few = (
        f"{len(signal)} of {len(tasks)} tasks have a signal"
        if not enough_signal(len(signal), len(tasks))
        else ""
    )

    def finding(
        claim: str,
        row: Mapping | None,
        rule: str,
        supported,
        contradicted,
        failed: str = "",
        untested: str = "",
    ) -> dict:
        known = has_estimate(row)
        interval = [row["lower99"], row["upper99"]] if known else None
        reason = few or ("" if known else _reason(row)) or failed
        if reason:
            verdict = "insufficient"
        elif supported(row):
            verdict = "supported"
        else:
            verdict = "contradicted" if contradicted(row) else "inconclusive"
        reason = reason or untested
        return {
            "verdict": verdict,
            "claim": CLAIMS[claim],
            "estimate": row["estimate"] if known else None,
            "interval": interval if known and all(map(math.isfinite, interval)) else None,
            "rule": f"{rule.rstrip()} {gate(thresholds)}",
            "reason": reason,
            "tasks_with_signal": signal,
            "rules_version": VERSION,
        }

    margin, weak, p = thresholds["margin"], thresholds["weak_ratio"], thresholds["cluster_p"]

    def ablation(quantity: str) -> Mapping | None:
        return _row(tables["ablation_summary"], model, layer=SELECTED, quantity=quantity, method="inlp")

    diagonal, dependent, independent = map(ablation, ("diagonal", "dependent", "independent"))
    asymmetry = ablation("asymmetry")
    erased = thresholds["erased"]
    erasure = f"Insufficient unless erasing takes more than {erased:g} (lower bound) off a task's own AUROC. "
    failed = ""
    if has_estimate(diagonal) and not diagonal["lower99"] > erased:
        failed = (
            f"erasure failed: it takes {diagonal['estimate']:.3f} off a task's own AUROC, lower bound "
            f"{diagonal['lower99']:.3f}"
        )
    gain, index = (
        _row(tables.get("time_summary", ()), model, layer=SELECTED, task=MEAN, quantity=quantity)
        for quantity in ("gain", "planning_index")
    )
    most, least = thresholds["sparse_dependent"], thresholds["sparse_independent"]
    symmetric = asymmetry["n_cells"] * margin**2 if asymmetry else 0.0
    return {
        "generality": finding(
            "generality",
            _row(tables["generality"], model, task=MEAN, layer=SELECTED, probe=DIFFERENCE),
            "Mean over tasks of the AUROC of specialist minus general probe (all data, centred within task), "
            f"paired: supported if its lower bound is above {margin:g}, contradicted if its upper bound is "
            f"below {margin:g}, else inconclusive.",
            lambda row: row["lower99"] > margin,
            lambda row: row["upper99"] < margin,
        ),
        "transfer_weak": finding(
            "transfer_weak",
            _row(tables["transfer_summary"], model, layer=SELECTED, quantity="mean_ratio"),
            "Mean over pairs of tasks of (AUROC of the other task's probe − ½) / (AUROC of the own − ½): "
            f"supported if its upper bound is below {weak:g}, contradicted if its lower bound is above "
            f"{weak:g}, else inconclusive.",
            lambda row: row["upper99"] < weak,
            lambda row: row["lower99"] > weak,
        ),
        "transfer_clustered": finding(
            "transfer_clustered",
            _row(tables["transfer_summary"], model, layer=SELECTED, quantity="block", grouping="paper"),
            "Mean transfer within the paper's groups of tasks minus that between them, row and column means "
            f"removed: supported if the permutation test's p is below {p:g}, contradicted if the upper bound "
            "is below 0, else inconclusive.",
            lambda row: row["p"] < p,
            lambda row: row["upper99"] < 0,
        ),
        "ablation_sparse": finding(
            "ablation_sparse",
            dependent,
            "Share of pairs of tasks (source erased, target retrained) that are dependent, by simultaneous "
            f"intervals: supported if it is at most {most:.0%} and at least {least:.0%} are independent, "
            f"contradicted if at least {thresholds['not_sparse']:.0%} are dependent, else inconclusive. "
            f"{erasure}",
            lambda row: row["estimate"] <= most and independent["estimate"] >= least,
            lambda row: row["estimate"] >= thresholds["not_sparse"],
            failed,
        ),
        "ablation_asymmetric": finding(
            "ablation_asymmetric",
            asymmetry,
            "Sum over pairs of tasks of the product, from two halves of the requests, of the differences "
            "between both ways: supported if its lower bound is above 0, contradicted if its upper bound is "
            f"below {margin:g}² a pair, else inconclusive. {erasure}",
            lambda row: row["lower99"] > 0,
            lambda row: row["upper99"] < symmetric,
            failed,
        ),
        "layers_stratified": finding(
            "layers_stratified",
            _row(tables["layers"], model, task="all", quantity="tau"),
            "Kendall's tau between a task's category (structural 1, lexical 2, semantic and stylistic 3) and "
            "the depth at which its signal emerges: supported if the lower bound is above 0, contradicted if "
            "the upper bound is below 0, else inconclusive.",
            lambda row: row["lower99"] > 0,
            lambda row: row["upper99"] < 0,
        ),
        "monitoring": finding(
            "monitoring",
            gain,
            "Mean over tasks of the AUROC at eos minus that at the prompt's last token, each of probes "
            "trained there; and of the planning index, (prompt − surface) / (ceiling − surface), where the "
            "ceiling is the satisfaction rate of a prompt's other samples and the surface its length, words, "
            "phrasing and params: supported if the gain's lower bound is above "
            f"{thresholds['gain']:g} and the index's upper bound below {thresholds['planning']:g} (or "
            f"planning can't be tested, the ceiling being less than {thresholds['headroom']:g} above the "
            f"surface), contradicted if the index's lower bound is above {thresholds['planning']:g} or the "
            f"gain's upper bound below {thresholds['gain']:g}, else inconclusive.",
            lambda row: (
                row["lower99"] > thresholds["gain"]
                and not (has_estimate(index) and index["upper99"] >= thresholds["planning"])
            ),
            lambda row: (
                row["upper99"] < thresholds["gain"]
                or (has_estimate(index) and index["lower99"] > thresholds["planning"])
            ),
            untested="" if has_estimate(index) else f"planning untested: {_reason(index)}",
        ),
        "specificity": finding(
            "specificity",
            _row(tables.get("specificity", ()), model, layer=SELECTED, task=MEAN, quantity="specificity"),
            "Mean over tasks of the AUROC of the task's probe on answers to the constraint minus that of the "
            "same probe on answers to the same requests without it, verified all the same: supported if the "
            f"lower bound is above {margin:g}, contradicted if the upper bound is below {margin:g}, else "
            "inconclusive.",
            lambda row: row["lower99"] > margin,
            lambda row: row["upper99"] < margin,
        ),
    }


def _row(rows: Sequence[Mapping], model: str, **values) -> Mapping | None:
    return next((row for row in rows if _is(row, model=model, **values)), None)


def _is(row: Mapping, **values) -> bool:
    # A model may be named by a number, which a CSV file doesn't tell from one.
    return all(str(row[key]) == value for key, value in values.items())


def _reason(row: Mapping | None) -> str:
    status = str(row["status"]).removeprefix("insufficient: ") if row else ""
    return status or "there is no estimate"
