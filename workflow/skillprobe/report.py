"""The report's own pages: self-contained HTML, without scripts or anything from outside.

Whatever comes from a model, a config or a table is escaped. Equal tables and settings give equal bytes at one
commit: no times (Snakemake's report around the pages has them).
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import subprocess
import unicodedata
from collections.abc import Mapping, Sequence
from html import escape
from importlib import metadata
from pathlib import Path
from statistics import fmean

from skillprobe.findings import (
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
from skillprobe.tables import task_words

LIBRARIES = ("h5py", "matplotlib", "numpy", "scikit-learn", "seaborn", "snakemake", "torch", "transformers")
PROBES = {
    "specialist": "specialist",
    "general_all": "general, all data",
    "general_centred": "general, centred in each task",
    "general_matched": "general, matched n",
    "general_leave_one_out": "general, other tasks only",
    "residualised": "control: specialist, confounds taken out",
    "shuffled": "control: specialist, shuffled labels",
    "random_weights": "control: random-weight twin",
    "surface_length": "surface: length of the answer",
    "surface_template": "surface: phrasing of the instruction",
    "surface_prompt_words": "surface: words of the prompt",
    "surface_response_words": "surface: words of the answer",
}
LONGEST = 1500


# --- pages


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
    source: str = "",
    identities: Mapping[str, Mapping] | None = None,
    commit: str = "",
) -> str:
    """The study in the form of an abstract, from its tables, findings.json and the completed config.

    transfer: rows of tables/transfer.csv, to stand beside the paper's; time: of time_summary.csv, where
    positions were probed; behaviour, agreement: of behaviour.csv and agreement_summary.csv, where answers
    were edited; source: of the paper's numbers; identities: {model: what decides its numbers}; commit: of the
    workflow ("": not known).
    """
    models, tasks = [entry["name"] for entry in config["models"]], config["tasks"]
    answers = sum(row["n"] for row in compliance if _is_number(row["n"]))
    body = [
        f"""<p class="lead">In the study <b>{escape(config["study"])}</b>,
{counted(len(models), "model")} answered {counted(config["prompts"]["bases"], "content request")} under
{counted(len(tasks), "constraint")}, in {answers:,} whole answers. Each was checked for whether it satisfies
its constraint, and linear probes read “satisfied” from the hidden states (position
<code>{escape(config["probes"]["position"])}</code>). If following instructions left one universal signal, a
general probe of all tasks would do as well as a specialist for each, and a probe of one task would serve the
others. What the study claims, and what these models say to it:</p>""",
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
        f"""<p class="small">AUROC: the chance that a satisfied answer scores above a violated one; 0.5 is no
signal. Brackets: 99 % intervals over content requests. The claims are those of
<a href="https://arxiv.org/abs/2604.06015">arXiv 2604.06015</a>; the rules that decide were fixed before any
result was seen:</p>
{_rules(findings[models[0]], config["claims"])}""",
        "<h2>Beside the paper</h2>",
        _beside_paper(findings[models[0]], generality, transfer, models, source),
        "<h2>Tasks left out</h2>",
        _left_out(generality, models, tasks),
        "<h2>Provenance</h2>",
        _provenance(config, identities or {}, commit),
    ]
    return html_page("One signal, or many skills?", body)


def commit() -> str:
    """The workflow's commit, "+" after it where files have changed since; "" outside of a git repository."""
    root = Path(__file__).parents[2]

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def compliance_page(rows: Sequence[Mapping], settings: Mapping) -> str:
    """tables/compliance.csv to read; settings: "tasks" and "models" (names)."""
    found = {(str(row["model"]), row["task"]): row for row in rows}
    body = [
        """<p class="lead">Share of whole answers that satisfy the constraint, with 95 % intervals over
content requests. “Uninstructed”: answers to the same request without the constraint, checked all
the same.</p>"""
    ]
    head = (
        "task",
        "category",
        "obeys",
        "95 %",
        "uninstructed",
        "answers",
        "requests",
        "truncated",
        "distinct",
    )
    for model in settings["models"]:
        cells = []
        for task in settings["tasks"]:
            row = found.get((model, task))
            if row is None:
                cells.append([task_words(task), "", "no answers", *[""] * 6])
                continue
            cells.append(
                [
                    task_words(task),
                    str(row["category"]),
                    _percent(row["compliance"]),
                    f"{_percent(row['lower95'])} – {_percent(row['upper95'])}",
                    _percent(row["twin_compliance"]),
                    str(row["n"]),
                    str(row["n_bases"]),
                    _percent(row["truncated"]),
                    str(row["distinct_responses"]),
                ]
            )
        body += [f"<h2>{escape(model)}</h2>", _table(head, cells, words=2)]
    return html_page("How often does each model obey?", body)


def generality_page(rows: Sequence[Mapping], settings: Mapping) -> str:
    """The part of tables/generality.csv at the selected layers; settings: "tasks" and "models" (names)."""
    body = [
        """<p class="lead">Each probe at the layer that inner folds chose for it, tested within one task on
requests that it was not trained on. Brackets: 95 % intervals. “Lost”: what the general probe lacks of the
specialist’s AUROC, paired. The table file has every layer and 99 % intervals too.</p>"""
    ]
    head = (
        "task",
        "probe",
        "AUROC",
        "lost",
        "balanced accuracy",
        "accuracy",
        "log-loss",
        "satisfied",
        "answers",
    )
    chosen = [row for row in rows if row["layer"] == SELECTED]
    probes = [p for p in dict.fromkeys(row["probe"] for row in chosen) if "_minus_" not in p]
    for model in settings["models"]:
        found = {
            (row["task"], row["probe"], row["metric"]): row for row in chosen if str(row["model"]) == model
        }
        cells = []
        for task in (*settings["tasks"], MEAN):
            shown = [probe for probe in probes if has_estimate(found.get((task, probe, "auroc")))]
            if not shown:
                row = found.get((task, "specialist", "auroc"))
                cells.append([task_words(task), "no probe" if row is None else str(row["status"])])
            for probe in shown:
                row = found[task, probe, "auroc"]
                metrics = (
                    _number(found.get((task, probe, metric), {}).get("estimate"))
                    for metric in ("balanced_accuracy", "accuracy", "log_loss")
                )
                lost = found.get((task, f"specialist_minus_{probe}", "auroc"))
                cells.append(
                    [
                        task_words(task) if probe == shown[0] else "",
                        PROBES.get(probe, probe),
                        _with_interval(row, 95) + (f" ({row['status']})" if row["status"] else ""),
                        _with_interval(lost, 95),
                        *metrics,
                        _percent(row["base_rate"]),
                        str(row["n"]),
                    ]
                )
        body += [f"<h2>{escape(model)}</h2>", _table(head, cells, words=2)]
    return html_page("Is one general probe as good as a specialist?", body)


def examples_page(labels: Mapping[tuple[str, str], Sequence[Mapping]], settings: Mapping) -> str:
    """Prompts and answers of each model and task, both satisfied and violated where there are such.

    labels: {(model, task): label rows}; settings: "tasks", "models" (names), "seed" (which answers are shown)
    and "report" with "examples", the number a model and task.
    """
    links = " · ".join(
        f'<a href="#{escape(task)}">{escape(task_words(task))}</a>' for task in settings["tasks"]
    )
    body = [
        f"""<p class="lead">Drawn at random with the study’s seed, satisfied and violated by turns: so no
measure of how often a model obeys.</p><p class="small">{links}</p>"""
    ]
    for task in settings["tasks"]:
        body.append(f'<h2 id="{escape(task)}">{escape(task_words(task))}</h2>')
        for model in settings["models"]:
            rows = labels.get((model, task), ())
            chosen = choose_examples(rows, settings["report"]["examples"], settings["seed"])
            cards = "".join(map(_card, chosen)) or '<p class="small">No answers to show.</p>'
            body.append(f'<h3>{escape(model)}</h3><div class="cards">{cards}</div>')
    return html_page("What was asked, and what was answered", body)


def choose_examples(rows: Sequence[Mapping], number: int, seed: int) -> list[Mapping]:
    """At most `number` constrained, whole answers, satisfied and violated by turns while there are both."""
    rows = [row for row in rows if row["variant"] == "constrained" and not row["truncated"]]
    # By a hash, so that a further answer moves no other.
    rows.sort(key=lambda row: hashlib.sha256(f"{seed}/{row['id']}".encode()).digest())
    place = {True: 0, False: 0}
    turns = []
    for row in rows:
        turns.append((place[row["satisfied"]], not row["satisfied"]))
        place[row["satisfied"]] += 1
    return [rows[k] for k in sorted(range(len(rows)), key=turns.__getitem__)[:number]]


def visible(text: str) -> str:
    """Text as HTML that shows it and does nothing else.

    Markup is escaped; control characters, lone surrogates and marks that turn the writing direction appear as
    their code points. Long text is cut.
    """
    cut = len(text) - LONGEST
    shown = "".join(_visible_character(character) for character in text[:LONGEST])
    return shown + (f'<span class="code">… {cut:,} more characters</span>' if cut > 0 else "")


_TURNING = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _visible_character(character: str) -> str:
    if character in "\n\t":
        return character
    if character in _TURNING or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return f'<span class="code">U+{ord(character):04X}</span>'
    return escape(character)


# --- parts of pages


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
            estimate = _with_interval(_cells(pooled), 99)
            parts.append(
                f"<b>{pooled['verdict']}</b> in the mean of {len(pooled['models'])} models, {estimate}"
            )
        lines.append(f"<li>{_sentence(meaning)}: {'; '.join(parts)}.</li>")
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
            _sentence(CLAIMS[claim]),
            finding["verdict"],
            _with_interval(_cells(finding), 99),
            finding["reason"],
        ]
        for claim, finding in found.items()
    ]
    return _table(("claim", "verdict", "estimate", "why not more"), rows, words=4)


def _pooled(found: Mapping[str, Mapping] | None) -> str:
    if found is None:
        return ""
    word = found["generality"]["verdict"]
    return f"""<section class="finding {word}"><h3>{_sentence(POOLED)}</h3>
<p>The same rules on the means over those models that have enough data. The models are taken as they are: the
intervals say nothing about others.</p>
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
        claim = _sentence(finding["claim"])
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
            shown = [_number(row["estimate"], 2) if has_estimate(row) else "–" for row in cells]
            lines.append([claim if number == 0 else "", what, _number(each["accuracy"], 2), *shown])
    if not lines:
        return "<p>No number is known.</p>"
    table = _table(("claim", "what", "paper", *models), lines, words=2)
    return f'<div class="wrapping">{table}</div>' + (
        f'<p class="small">Paper: {escape(source)}. Its prompts, labels and models are others: that single '
        "numbers are alike, or not, proves nothing.</p>"
    )


def _finding(
    model, found: Mapping[str, Mapping], compliance, generality, tasks, thresholds, more: str
) -> str:
    rates = [row["compliance"] for row in compliance if str(row["model"]) == model]
    rates = [rate for rate in rates if _is_number(rate)]
    obeys = "It has no whole answers."
    if rates:
        spread = f" (mean of tasks; {_percent(min(rates))} to {_percent(max(rates))})" if rates[1:] else ""
        obeys = f"It obeys in {_percent(fmean(rates))} of its answers{spread}."
    aurocs = _aurocs(generality, model)
    sufficient = [task for task in tasks if has_estimate(aurocs.get((task, "specialist")))]
    probes = "There was nothing to compare."
    if has_estimate(aurocs.get((MEAN, DIFFERENCE))):
        special, general = (aurocs.get((MEAN, probe)) for probe in ("specialist", GENERAL))
        probes = f"""Specialists reach a mean AUROC of {_with_interval(special, 99)}, the general probe
{_with_interval(general, 99)}."""
    signal = found["generality"]["tasks_with_signal"]
    kept = tasks_with_signal(generality, model, thresholds["signal"], "residualised")
    confounds = f" ({len(kept)} without what the confounds predict)" if kept or signal else ""
    n = found["generality"]["n"]
    word = found["generality"]["verdict"]
    return f"""<section class="finding {word}"><h3>{escape(model)}</h3>
<p>{obeys} {probes} {len(sufficient)} of {counted(len(tasks), "task")} had enough data
({counted(n["answers"], "tested answer")} to {counted(n["requests"], "request")}), {len(signal)} of them a
clear signal{confounds}.{more}</p>
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
    gain, prompt = (_with_interval(found[name], 99) for name in ("gain", "prompt"))
    text = f""" From the prompt's end to EOS its probes gain {gain} in AUROC; what the text
itself decides at EOS is {_number(-found["beyond_text"]["estimate"])} better than they are."""
    if {"surface", "ceiling"} <= found.keys():
        surface, ceiling = (_number(found[name]["estimate"]) for name in ("surface", "ceiling"))
        text += f""" At the prompt's end they reach {prompt}, the prompt's surface alone
{surface}, the other answers to the same prompt {ceiling}."""
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
            _with_interval({key: 100 * found[who][key] for key in ("estimate", "lower99", "upper99")}, 99, 1)
            for who in ("own", "others")
        )
        text += f""" While it writes, {word} a task's signal changes compliance with that task by {own}
percentage points beyond a random subspace, and with the other tasks by {others}."""
        for row in agreement:
            key = (str(row["model"]), row["edit"], row["quantity"])
            if key == (model, edit, "within") and has_estimate(row):
                text += f""" Which answers it changes goes with which activations need that signal by a rank
correlation of {_number(row["estimate"], 2)} (p = {row["p"]:.2g})."""
    return text


def _rules(found: Mapping[str, Mapping], thresholds: Mapping) -> str:
    common = gate(thresholds)
    lines = [
        f"<li><b>{_sentence(CLAIMS[claim])}.</b> {escape(finding['rule'].removesuffix(common))}</li>"
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
    return _table(("model", "task", "why"), cells, words=3) if cells else "<p>None.</p>"


def _provenance(config: Mapping, identities: Mapping[str, Mapping], commit: str) -> str:
    versions = {"python": platform.python_version()}
    for name in ("skillprobe", *LIBRARIES):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if "skillprobe" not in versions:
        from skillprobe import __version__

        versions["skillprobe"] = __version__
    listed = ", ".join(f"{escape(name)}&nbsp;{escape(version)}" for name, version in sorted(versions.items()))
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    rows = [
        [
            model,
            str(identity["source"]),
            str(identity.get("revision") or ""),
            str(identity["dtype"]),
            identity.get("sha256", "")[:16],
        ]
        for model, identity in identities.items()
    ]
    models = _table(("model", "source", "revision", "dtype", "sha256 of its files"), rows, words=5)
    at = f", workflow at commit {escape(commit)}" if commit else ""
    return f"""<p>Seed {config["seed"]}{at}. {listed}.</p>
{models if rows else ""}
<details><summary>The whole config, with defaults</summary><pre>{escape(text)}</pre></details>"""


def _card(row: Mapping) -> str:
    satisfied = row["satisfied"]
    kind = ", ".join(str(row[key]) for key in ("instruction_type", "polarity") if row.get(key))
    answer = visible(row["response"]) if row["response"] else '<span class="code">empty</span>'
    evidence = visible(json.dumps(row["evidence"], ensure_ascii=False))
    return f"""<article class="{"satisfied" if satisfied else "violated"}">
<p class="small"><span class="badge">{"✓ satisfied" if satisfied else "✗ violated"}</span> {escape(kind)}</p>
<pre class="asked" dir="auto">{visible(row["prompt"])}</pre>
<pre dir="auto">{answer}</pre>
<p class="small evidence">{evidence}</p></article>"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    """The first `words` columns hold words, the others numbers; a short row ends in a wide cell."""
    lines = []
    for row in rows:
        cells = [
            f"<td{' class=words' if k < words else ''}>{escape(cell)}</td>" for k, cell in enumerate(row)
        ]
        if len(row) < len(head):
            cells[-1] = f'<td class="words why" colspan="{len(head) - len(row) + 1}">{escape(row[-1])}</td>'
        lines.append(f"<tr{' class=first' if row[0] else ''}>{''.join(cells)}</tr>")
    names = "".join(
        f"<th{' class=words' if k < words else ''}>{escape(name)}</th>" for k, name in enumerate(head)
    )
    return f"""<div class="scroll"><table><thead><tr>{names}</tr></thead><tbody>
{"".join(lines)}
</tbody></table></div>"""


_CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 70rem; background: #fff; color: #222;
  font: 16px/1.5 "DejaVu Sans", Verdana, system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid #e6e6e6; }
h3 { font-size: 1rem; margin: 1rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; }
a { color: #0173b2; }
code, pre { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .85rem; }
pre { margin: .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.lead { max-width: 48rem; }
.small { font-size: .8rem; font-weight: normal; color: #555; }
.badge { display: inline-block; padding: 0 .5em; border-radius: 3px; border: 1px solid currentColor;
  font-size: .8rem; font-weight: bold; color: #444; }
.finding { margin: .8rem 0; padding: .1rem 0 .1rem .9rem; border-left: 4px solid #bbb; }
.finding.supported { border-color: #0173b2; } .supported .badge { color: #0173b2; }
.finding.contradicted { border-color: #b34d00; } .contradicted .badge { color: #b34d00; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; white-space: nowrap; vertical-align: top; }
th { border-bottom: 1px solid #999; white-space: normal; vertical-align: bottom; }
.words { text-align: left; }
tr.first td { border-top: 1px solid #e6e6e6; }
td.why, td.words:last-child { white-space: normal; min-width: 14rem; }
td.why { color: #666; font-style: italic; }
.wrapping td.words { white-space: normal; min-width: 9rem; }
@media (max-width: 40rem) {
  body { padding: 1rem .6rem 3rem; }
  .finding { padding-left: .5rem; }
  .finding td.words { white-space: normal; min-width: 5.5rem; }
}
details { margin: .6rem 0; } summary { cursor: pointer; }
details pre { padding: .8rem; background: #f7f7f7; }
.cards { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
article { min-width: 0; padding: .5rem .8rem; border: 1px solid #ddd; border-left-width: 4px;
  border-radius: 3px; }
article.satisfied { border-left-color: #0173b2; } .satisfied .badge { color: #0173b2; }
article.violated { border-left-color: #b34d00; } .violated .badge { color: #b34d00; }
.asked { color: #555; padding-bottom: .4rem; border-bottom: 1px dotted #bbb; }
.evidence { overflow-wrap: anywhere; font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: .7rem; }
.code { font-size: .7rem; padding: 0 .25em; border-radius: 3px; background: #eee; color: #555; }
"""


def html_page(title: str, body: Sequence[str]) -> str:
    joined = "\n".join(body)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{_CSS}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{joined}
</body>
</html>
"""


# --- rows and numbers


def _aurocs(rows: Sequence[Mapping], model: str) -> dict[tuple[str, str], Mapping]:
    """{(task, probe): row} of AUROC at the selected layer."""
    return {
        (row["task"], row["probe"]): row
        for row in rows
        if str(row["model"]) == model and row["layer"] == SELECTED and row["metric"] == "auroc"
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _number(value: object, digits: int = 3) -> str:
    return f"{value:.{digits}f}".replace("-", "−") if _is_number(value) else ""


def _with_interval(row: Mapping | None, level: int, digits: int = 3) -> str:
    if not has_estimate(row):
        return ""
    bounds = [_number(row[f"{end}{level}"], digits) for end in ("lower", "upper")]
    return _number(row["estimate"], digits) + (f" [{', '.join(bounds)}]" if all(bounds) else "")


def _percent(value: object) -> str:
    return f"{100 * value:.0f}\u00a0%" if _is_number(value) else "–"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def joined(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
