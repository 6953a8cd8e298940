"""The report's first page: the study in the form of an abstract.

Equal tables and settings give equal bytes at one commit: no times (Snakemake's report around it has them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean

from skillprobe.findings.rules import (
    CLAIMS,
    DIFFERENCE,
    GENERAL,
    MEAN,
    POOLED,
    SELECTED,
    gate,
    has_estimate,
    tasks_with_signal,
)
from skillprobe.report.html import (
    counted,
    html_page,
    html_table,
    joined,
    percent,
    sentence,
    shown_number,
    with_interval,
)
from skillprobe.report.provenance import provenance
from skillprobe.report.table_pages import PROBES
from skillprobe.statistics.intervals import level_words
from skillprobe.storage.tables import is_number, task_words


def overview_page(
    compliance: Sequence[Mapping],
    generality: Sequence[Mapping],
    findings: Mapping[str, Mapping[str, Mapping]],
    config: Mapping,
    *,
    transfer: Sequence[Mapping] = (),
    time: Sequence[Mapping] = (),
    behaviour: Sequence[Mapping] = (),
    agreement: Sequence[Mapping] = (),
    warnings: Sequence[str] = (),
    source: str = "",
    identities: Mapping[str, Mapping] | None = None,
    commit: str = "",
) -> str:
    """The study in the form of an abstract, from its tables, findings.json and the completed config.

    transfer: rows of tables/transfer.csv, to stand beside the paper's; time: of time_summary.csv, where
    positions were probed; behaviour, agreement: of behaviour.csv and agreement_summary.csv, where answers
    were edited; warnings: of `analyses.pilot.warnings`; source: of the paper's numbers; identities: {model:
    what decides its numbers}; commit: of the workflow ("": not known).
    """
    models, tasks = [entry["name"] for entry in config["models"]], config["tasks"]
    answers = sum(row["n"] for row in compliance if is_number(row["n"]))
    body = [
        f"""<p class="lead">In the study <b>{escape(config["study"])}</b>,
{counted(len(models), "model")} responded to {counted(config["prompts"]["bases"], "content request")}
under {counted(len(tasks), "constraint")}, with {answers:,} untruncated responses. Each response was
checked against its constraint, and linear probes read “satisfied” from the hidden states (position
<code>{escape(config["probes"]["position"])}</code>). If following instructions left one universal
signal, a general probe of all tasks would be as good as a specialist for each, and a probe of one task
would work on the others. The claims, and the verdicts for these models:</p>""",
        _verdicts(findings),
        "<h2>What was found</h2>",
        _pooled(findings.get(POOLED)),
        *(
            _finding(
                model,
                findings[model],
                compliance,
                generality,
                tasks,
                config["claims"],
                _over_time(model, time) + _edits(model, behaviour, agreement),
            )
            for model in models
        ),
        f"""<p class="small">AUROC: the probability that a satisfied response scores above a violated
one; 0.5 means no signal. Brackets: {level_words(config["claims"]["looks"])} intervals over content
requests. The claims are those of
<a href="https://arxiv.org/abs/2604.06015">arXiv 2604.06015</a>; the rules that decide them were fixed
before any result was seen:</p>
{_rules(findings[models[0]], config["claims"])}""",
        "<h2>Comparison with the paper</h2>",
        _beside_paper(findings[models[0]], generality, transfer, models, source),
        "<h2>Tasks left out</h2>",
        _left_out(generality, models, tasks),
        "<h2>What to change for the next study</h2>",
        _warnings(warnings),
        "<h2>Provenance</h2>",
        provenance(config, identities or {}, commit),
    ]
    return html_page("One signal, or many skills?", body)


def _verdicts(findings: Mapping[str, Mapping[str, Mapping]]) -> str:
    """Each claim with the models by verdict."""
    lines = []
    for claim, meaning in CLAIMS.items():
        by_verdict: dict[str, list[str]] = {}
        for model, found in findings.items():
            if model != POOLED:
                by_verdict.setdefault(found[claim]["verdict"], []).append(escape(model))
        parts = [
            f"<b>{verdict}</b> for {joined(names) if by_verdict.keys() > {verdict} else _all(names)}"
            for verdict, names in by_verdict.items()
        ]
        if POOLED in findings and findings[POOLED][claim]["verdict"] != "insufficient":
            pooled = findings[POOLED][claim]
            estimate = with_interval(_cells(pooled), 99)
            parts.append(
                f"<b>{pooled['verdict']}</b> in the mean of {len(pooled['models'])} models, {estimate}"
            )
        lines.append(f"<li>{sentence(meaning)}: {'; '.join(parts)}.</li>")
    return f"<ul class=lead>{''.join(lines)}</ul>"


def _all(models: Sequence[str]) -> str:
    return f"all {len(models)} models" if len(models) > 2 else joined(models)


def _cells(finding: Mapping) -> dict:
    """A finding's estimate and interval as a table's row has them."""
    lower, upper = finding["interval"] or (None, None)
    return {"estimate": finding["estimate"], "lower99": lower, "upper99": upper}


def _table_of(found: Mapping[str, Mapping]) -> str:
    rows = [
        [
            sentence(CLAIMS[claim]),
            finding["verdict"],
            with_interval(_cells(finding), 99),
            finding["reason"],
        ]
        for claim, finding in found.items()
    ]
    return html_table(("claim", "verdict", "estimate", "reason"), rows, words=4)


def _pooled(found: Mapping[str, Mapping] | None) -> str:
    if found is None:
        return ""
    word = found["generality"]["verdict"]
    return f"""<section class="finding {word}"><h3>{sentence(POOLED)}</h3>
<p>The same rules, applied to the means over the models that have enough data. The intervals say nothing
about other models.</p>
{_table_of(found)}</section>"""


def _beside_paper(
    found: Mapping[str, Mapping], generality, transfer, models: Sequence[str], source: str
) -> str:
    """What the paper reports, where a number of it is known, and the same of these models."""
    ours = {}
    for row in generality:
        if row["layer"] == SELECTED and row["metric"] == "accuracy":
            ours[str(row["model"]), row["task"], row["probe"]] = row
    for row in transfer:
        if row["layer"] == SELECTED:
            ours[str(row["model"]), row["source"], row["target"]] = row
    lines = []
    for finding in found.values():
        paper = finding.get("paper")
        if not paper:
            continue
        claim = sentence(finding["claim"])
        if not paper["reported"]:
            lines.append([claim, f"“{paper['says']}”; no number reported"])
        for number, each in enumerate(paper["reported"]):
            if "task" in each:
                what, keys = (
                    f"{PROBES[each['probe']]}, {task_words(each['task'])}: accuracy",
                    ("task", "probe"),
                )
            else:
                source_task, target = task_words(each["source"]), task_words(each["target"])
                what = f"probe of {source_task} on {target}: accuracy; here AUROC"
                keys = ("source", "target")
            cells = [ours.get((model, *(each[key] for key in keys))) for model in models]
            shown = [shown_number(row["estimate"], 2) if has_estimate(row) else "–" for row in cells]
            lines.append([claim if number == 0 else "", what, shown_number(each["accuracy"], 2), *shown])
    if not lines:
        return "<p>No number of the paper is known.</p>"
    table = html_table(("claim", "what", "paper", *models), lines, words=2)
    return f'<div class="wrapping">{table}</div>' + (
        f'<p class="small">Paper: {escape(source)}. Its prompts, labels and models differ from these, so '
        "similar or different numbers prove nothing.</p>"
    )


def _finding(
    model, found: Mapping[str, Mapping], compliance, generality, tasks, thresholds, more: str
) -> str:
    rates = [row["compliance"] for row in compliance if str(row["model"]) == model]
    rates = [rate for rate in rates if is_number(rate)]
    obeys = "It has no untruncated responses."
    if rates:
        spread = f" (mean of tasks; {percent(min(rates))} to {percent(max(rates))})" if rates[1:] else ""
        obeys = f"It complies in {percent(fmean(rates))} of its responses{spread}."
    aurocs = _aurocs(generality, model)
    sufficient = [task for task in tasks if has_estimate(aurocs.get((task, "specialist")))]
    probes = "Specialists and the general probe could not be compared."
    if has_estimate(aurocs.get((MEAN, DIFFERENCE))):
        special, general = (aurocs.get((MEAN, probe)) for probe in ("specialist", GENERAL))
        probes = f"""Specialists reach a mean AUROC of {with_interval(special, 99)} and the general
probe {with_interval(general, 99)}."""
    signal = found["generality"]["tasks_with_signal"]
    kept = tasks_with_signal(generality, model, thresholds["signal"], "residualised")
    confounds = f" ({len(kept)} after the confounds are regressed out)" if kept or signal else ""
    n = found["generality"]["n"]
    word = found["generality"]["verdict"]
    return f"""<section class="finding {word}"><h3>{escape(model)}</h3>
<p>{obeys} {probes} {len(sufficient)} of {counted(len(tasks), "task")} had enough data
({counted(n["answers"], "tested response")} to {counted(n["requests"], "request")}); {len(signal)} of
them had a clear signal{confounds}.{more}</p>
{_table_of(found)}</section>"""


def _over_time(model: str, rows: Sequence[Mapping]) -> str:
    """Sentences on what is known when, "" where only one position was probed."""
    found = {
        row["quantity"]: row
        for row in rows
        if (str(row["model"]), row["task"], row["layer"]) == (model, MEAN, SELECTED) and has_estimate(row)
    }
    if not {"gain", "beyond_text", "prompt"} <= found.keys():
        return ""
    gain, prompt = (with_interval(found[name], 99) for name in ("gain", "prompt"))
    text = f""" From the prompt's end to EOS its probes gain {gain} in AUROC; at EOS, the verifier's
verdict on the text is {shown_number(-found["beyond_text"]["estimate"])} better than the probes."""
    if {"surface", "ceiling"} <= found.keys():
        surface, ceiling = (shown_number(found[name]["estimate"]) for name in ("surface", "ceiling"))
        text += f""" At the prompt's end the probes reach {prompt}, the prompt's surface alone
{surface}, and the other responses to the same prompt {ceiling}."""
    return text


def _edits(model: str, behaviour: Sequence[Mapping], agreement: Sequence[Mapping]) -> str:
    """Sentences on what editing the signals does to the answers, "" where none were edited."""
    text = ""
    for edit, word in (("erase", "erasing"), ("flip", "reflecting")):
        found = {
            row["task"]: row
            for row in behaviour
            if (str(row["model"]), row["condition"]) == (model, edit) and has_estimate(row)
        }
        if not {"own", "others"} <= found.keys():
            continue
        own, others = (
            with_interval({key: 100 * found[who][key] for key in ("estimate", "lower99", "upper99")}, 99, 1)
            for who in ("own", "others")
        )
        text += f""" During generation, {word} a task's signal changes compliance with that task by
{own} percentage points more than a random subspace does, and with the other tasks by {others}."""
        for row in agreement:
            key = (str(row["model"]), row["edit"], row["quantity"])
            if key == (model, edit, "within") and has_estimate(row):
                text += f""" The effects on compliance and on activations have a rank correlation of
{shown_number(row["estimate"], 2)} (p = {row["p"]:.2g})."""
    return text


def _rules(found: Mapping[str, Mapping], thresholds: Mapping) -> str:
    common = gate(thresholds)
    lines = [
        f"<li><b>{sentence(CLAIMS[claim])}.</b> {escape(finding['rule'].removesuffix(common))}</li>"
        for claim, finding in found.items()
    ]
    return f"<ul class=small>{''.join(lines)}<li>{escape(common)}</li></ul>"


def _left_out(rows: Sequence[Mapping], models: Sequence[str], tasks: Sequence[str]) -> str:
    cells = []
    for model in models:
        found = _aurocs(rows, model)
        for task in tasks:
            row = found.get((task, "specialist"))
            if not has_estimate(row):
                reason = "no probe" if row is None else str(row["status"]).removeprefix("insufficient: ")
                cells.append([model, task_words(task), reason])
    return html_table(("model", "task", "reason"), cells, words=3) if cells else "<p>None.</p>"


def _warnings(found: Sequence[str]) -> str:
    if not found:
        return """<p>Nothing: every task has responses of both kinds and, as far as their shares tell,
enough of them in both scopes.</p>"""
    lines = "".join(f"<li>{escape(warning)}</li>" for warning in found)
    return f"""<p>Judged by the labels alone, as <code>snakemake pilot</code> does beforehand; it also prints
lines for the config. Numbers of items and subjects are expected ones.</p>
<ul>{lines}</ul>"""


def _aurocs(rows: Sequence[Mapping], model: str) -> dict[tuple[str, str], Mapping]:
    """{(task, probe): row} of AUROC at the selected layer."""
    return {
        (row["task"], row["probe"]): row
        for row in rows
        if str(row["model"]) == model and row["layer"] == SELECTED and row["metric"] == "auroc"
    }
