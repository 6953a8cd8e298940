"""The report's first page: the study in the form of an abstract.

Equal tables and settings give equal bytes at one commit: no times (Snakemake's report around it has them).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean

from skillprobe.findings.rules import (
    CLAIMS,
    DIFFERENCE,
    GENERAL,
    INCONCLUSIVE,
    INSUFFICIENT,
    MEAN,
    POOLED,
    RULES,
    SELECTED,
    has_estimate,
    opposite,
    tasks_with_signal,
)
from skillprobe.report.claims import (
    also_words,
    estimate_words,
    number_words,
    rules_list,
    tasks_words,
    width_words,
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
from skillprobe.report.missing import Missing, missing_tasks
from skillprobe.report.provenance import provenance
from skillprobe.report.table_pages import PROBES
from skillprobe.report.verdicts import SCOPE_WORDS, glyph, verdict_grid
from skillprobe.statistics.intervals import level_words
from skillprobe.storage.tables import ACROSS, SCOPES, WITHIN, in_scope, is_number, task_words
from skillprobe.study.plan import not_computed
from skillprobe.study.slices import on_given_activations

# So many tasks that don't count are named in a claim's sentence.
FEW_GAPS = 2
# Where a sentence says whom it is about.
_WHO = "\0"
# Where it says on which tasks.
_ON = re.compile("<span>on .*?</span>")


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
    sampled: str = "",
    source: str = "",
    identities: Mapping[str, Mapping] | None = None,
    commit: str = "",
) -> str:
    """The answers, and the study in the form of an abstract, from its tables, findings.json and the completed
    config.

    compliance, generality, transfer: rows of these tables, in all scopes; time: of time_summary.csv, where
    positions were probed; behaviour, agreement: of behaviour.csv and agreement_summary.csv, where answers
    were edited; warnings: of `analyses.pilot.warnings`; sampled: how, of `study.sampling.described`; source:
    of the paper's numbers; identities: {model: what decides its numbers}; commit: of the workflow ("": not
    known).
    """
    models, tasks = [entry["name"] for entry in config["models"]], config["tasks"]
    answers = sum(row["n"] for row in compliance if is_number(row["n"]))
    body = [
        _answers(findings, models, compliance, generality, config),
        "<h2>All verdicts</h2>",
        verdict_grid(findings, models),
        "<h2>What would have shown the opposite</h2>",
        _opposites(config["claims"]),
        "<h2>The study</h2>",
        f"""<p class="lead">In the study <b>{escape(config["study"])}</b>,
{counted(len(models), "model")} responded to {counted(config["prompts"]["bases"], "content request")}
under {counted(len(tasks), "constraint")}, with {answers:,} untruncated responses. {_labelled(config)},
and linear probes read “satisfied” from the hidden states (position
<code>{escape(config["probes"]["position"])}</code>). If following instructions left one universal
signal, a general probe of all tasks would be as good as a specialist for each, and a probe of one task
would work on the others.</p>
<p class="small">Compliance is counted over all content requests. Probes are tested on fewer:
{percent(config["probes"]["calibration_fraction"])} of the subjects that requests are about set the scale of
the features (<code>probes.calibration_fraction</code>) and are never tested. Within prompts, only prompts
that have both satisfied and violated responses are used. So the numbers of responses and subjects below are
smaller than the study’s.{_below_chance(compliance, models, tasks)}</p>""",
        f"<p class=small>Sampling: {escape(sampled)}.</p>" if sampled else "",
        _own_prompts(config),
        "<h2>What was found</h2>",
        _pooled(findings.get(POOLED), len(tasks)),
        *(
            _finding(
                model,
                findings[model],
                compliance,
                generality,
                tasks,
                config["claims"],
                _reversed(model, transfer) + _over_time(model, time) + _edits(model, behaviour, agreement),
            )
            for model in models
        ),
        f"""<p class="small">AUROC: the probability that a satisfied response scores above a violated
one; 0.5 means no signal. Brackets: {level_words(config["claims"]["looks"])} intervals over the subjects of
content requests. The claims are those of
<a href="https://arxiv.org/abs/2604.06015">arXiv 2604.06015</a>; the rules that decide them were fixed
before any result was seen:</p>
{rules_list(findings[models[0]])}""",
        "<h2>Comparison with the paper</h2>",
        _beside_paper(findings[models[0]], generality, transfer, models, source),
        "<h2 id=left-out>Tasks that do not count</h2>",
        _left_out(generality, compliance, models, config),
        "<h2>What to change for the next study</h2>",
        _warnings(warnings),
        "<h2>Provenance</h2>",
        provenance(config, identities or {}, commit),
    ]
    return html_page("One signal, or many skills?", body)


def _labelled(config: Mapping) -> str:
    if on_given_activations(config):
        return "The labels of the responses came with their activations"
    return "Each response was checked against its constraint"


def _own_prompts(config: Mapping) -> str:
    """Where the prompts are from if they are the user's own, and what can't be computed."""
    file, lacking = config["prompts"].get("file"), not_computed(config)
    whose = f" The prompts are those of <code>{escape(file)}</code>." if file else ""
    items = "".join(f"<li>{escape(sentence(text))}.</li>" for text in lacking)
    more = f" Not computed:</p><ul class=small>{items}</ul>" if lacking else "</p>"
    return f"<p class=small>{whose}{more}" if file or lacking else ""


def _answers(
    findings: Mapping[str, Mapping[str, Mapping]],
    models: Sequence[str],
    compliance: Sequence[Mapping],
    generality: Sequence[Mapping],
    config: Mapping,
) -> str:
    """A sentence a claim, in its headline scope: of all models together where they agree, else of each."""
    gaps = {
        (model, scope): missing_tasks(model, scope, compliance, generality, config)
        for model in models
        for scope in SCOPES
    }
    lines, told = [], set()
    for claim, meaning in CLAIMS.items():
        parts = []
        pooled = findings[POOLED][claim] if POOLED in findings else None
        decided = pooled is not None and pooled["verdict"] != INSUFFICIENT
        # At a level that holds for all models at once: this sentence counts them.
        if decided and set(pooled["counted"]) == {pooled["verdict"]}:
            parts.append((pooled["verdict"], _said(claim, f"for {_all(models)}", pooled, "", config)))
        else:
            alike: dict[tuple[str, str], list[str]] = {}
            for model in models:
                finding = findings[model][claim]
                where = model, finding["scope"]
                missing = ""
                if _lacks_tasks(claim, finding, config):
                    missing = _gaps(finding, gaps[where])
                    # Said at the first claim that it leaves open.
                    repeated = missing and where in told
                    missing = " The same tasks are missing as above." if repeated else missing
                    told.add(where)
                    more = _few_at_all(claim, config) or escape(also_words(claim, config))
                    missing += f" {more}".rstrip()
                    if claim == "generality":
                        missing += _read_all_the_same(model, generality, config)
                text = _said(claim, _WHO, finding, missing, config)
                alike.setdefault((finding["verdict"], text), []).append(model)
            for (verdict, text), names in alike.items():
                who = f"for {escape(joined(names))} " if len(models) > 1 else ""
                parts.append((verdict, text.replace(f"{_WHO} ", who)))
            if decided:
                who = f"in the mean of {counted(len(pooled['models']), 'model')}"
                parts.append((pooled["verdict"], _said(claim, who, pooled, "", config)))
        lines.append(f"<li>{_sentence_of(meaning, _without_repeats(parts))}</li>")
    level = level_words(config["claims"]["looks"])
    return f"""<ul class="lead answers">{"".join(lines)}</ul>
<p class="small">Each claim has one scope that decides. <i>Within prompts</i>: responses to the same prompt
are compared, so what the prompt says plays no part. <i>Across prompts</i>: responses to all prompts. A task
counts for a claim if its probes clearly separate satisfied from violated responses (lower {level} bound of
the AUROC above {config["claims"]["signal"]:g}, found on other requests than the effect).
<i>Insufficient</i> is no failure of the study and says nothing against a claim: there is too little to judge
it by. What is missing, and what may mend it, stands beside it.</p>"""


def _below_chance(compliance: Sequence[Mapping], models: Sequence[str], tasks: Sequence[str]) -> str:
    """HTML on the tasks that a model obeys less often than it happens to without the constraint, or ""."""
    rows = {(str(row["model"]), row["task"]): row for row in compliance}
    cells = []
    for task in tasks:
        found = [
            f"{escape(model)} {percent(row['compliance'])} against {percent(row['twin_compliance'])}"
            for model in models
            if (row := rows.get((model, task)))
            and is_number(row["twin_compliance"])
            and is_number(row["upper95"])
            and row["upper95"] < row["twin_compliance"]
        ]
        if found:
            cells.append(f"{task_words(task)} ({joined(found)})")
    if not cells:
        return ""
    return f""" With the constraint, responses satisfy it less often than those to the same requests
<i>without</i> it in {"; ".join(cells)}. This is no error: a constraint puts its words into the prompt, and a
prompt can call up what it names, such as a forbidden word."""


def _sentence_of(meaning: str, parts: Sequence[tuple[str, str]]) -> str:
    """A claim and what is said of it: HTML by verdict, in one sentence or as a list."""
    verdicts = {verdict for verdict, _ in parts}
    sign = glyph(*verdicts, 28) if len(verdicts) == 1 else ""
    shown = f" {parts[0][1]}"
    if len(parts) > 1:
        shown = f"<ul>{''.join(f'<li>{glyph(verdict, 20)}{text}</li>' for verdict, text in parts)}</ul>"
    return f"{sign}<b>{escape(sentence(meaning))}:</b>{shown}"


def _said(claim: str, who: str, finding: Mapping, missing: str, config: Mapping) -> str:
    """HTML of a verdict, the tasks and the number that it rests on, and what is missing."""
    verdict, thresholds = finding["verdict"], config["claims"]
    head = f"<b>{verdict}</b> {who} {SCOPE_WORDS[finding['scope']]}"
    if verdict == INSUFFICIENT:
        return f"{head}: {escape(finding['reason'])}.{missing}"
    names = ", ".join(map(task_words, finding["tasks"]))
    text = f"{head}, <span>on {tasks_words(finding, counted(len(config['tasks']), 'task'))}"
    text += (f" ({escape(names)})" if names else "") + "</span>"
    if number := number_words(claim, finding, thresholds["looks"]):
        text += f": {escape(number)}"
    if finding["reason"]:
        text += f"; {escape(finding['reason'])}"
    # Where a claim is decided task by task, the reason names those that are open, and not what to do.
    if verdict == INCONCLUSIVE and (not finding["reason"] or RULES[claim].by_task):
        text += f"; {escape(width_words(claim, finding, thresholds))}"
    return f"{text}."


def _without_repeats(parts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The parts of a sentence, with each list of tasks said once."""
    said, kept = "", []
    for verdict, text in parts:
        on = _ON.search(text)
        kept.append((verdict, text.replace(said, "on the same tasks") if on and on[0] == said else text))
        said = on[0] if on else said
    return kept


def _lacks_tasks(claim: str, finding: Mapping, config: Mapping) -> bool:
    """Whether a finding is insufficient because too few tasks count."""
    least = config["claims"]["min_tasks"].get(claim)
    return finding["verdict"] == INSUFFICIENT and (not least or len(finding["tasks"]) < least)


def _read_all_the_same(model: str, generality: Sequence[Mapping], config: Mapping) -> str:
    """What the probes of the tasks with a signal reach, where these are too few for a verdict; "" if none."""
    beside = ((GENERAL, "general probe"), ("surface_response_words", "words of the response alone"))
    parts = []
    for scope in SCOPES:
        aurocs, threshold = _aurocs(generality, model, scope), config["claims"]["signal"]
        said = []
        for task in tasks_with_signal(generality, model, threshold, scope=scope):
            own, *others = (
                f"{words} {shown_number(row['estimate'], 2)}"
                for probe, words in (("specialist", task_words(task)), *beside)
                if has_estimate(row := aurocs.get((task, probe)))
            )
            said.append(own + (f" ({', '.join(others)})" if others else ""))
        if said:
            parts.append(f"{SCOPE_WORDS[scope]} {joined(said)}")
    return f" Probes have a signal all the same, in AUROC: {escape('; '.join(parts))}." if parts else ""


def _few_at_all(claim: str, config: Mapping) -> str:
    """Where a study has fewer tasks than a claim needs, a sentence on that, else ""."""
    n, least = len(config["tasks"]), config["claims"]["min_tasks"].get(claim, 0)
    return f"The study has only {counted(n, 'task')}." if n < least else ""


def _gaps(finding: Mapping, gaps: Sequence[Missing]) -> str:
    """HTML on the first tasks that don't count though they might, "" where there are none."""
    gaps = [gap for gap in gaps if gap.task not in finding["tasks"]]
    if not gaps:
        return ""
    by_change: dict[str, list[str]] = {}
    first = sorted(gaps, key=lambda gap: not gap.change)[:FEW_GAPS]
    for gap in first:
        by_change.setdefault(gap.change, []).append(f"{task_words(gap.task)} {gap.why}")
    words = (" and ".join(whys) + (f": {change}" if change else "") for change, whys in by_change.items())
    more = ""
    if len(gaps) > len(first):
        more = f" {counted(len(gaps) - len(first), 'more task')}: see <a href=#left-out>below</a>."
    return f" {_code(escape(sentence('; '.join(words))))}.{more}"


def _code(text: str) -> str:
    """Commands in backticks."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", text)


def _opposites(thresholds: Mapping) -> str:
    """Of each claim, what would have contradicted it."""
    lines = (
        f"<li><b>{escape(sentence(CLAIMS[claim]))}</b>: contradicted by "
        f"{escape(opposite(claim, thresholds))}.</li>"
        for claim in CLAIMS
    )
    return f"<ul class=lead>{''.join(lines)}</ul>"


def _all(models: Sequence[str]) -> str:
    return f"all {len(models)} models" if len(models) > 2 else escape(joined(models))


def _table_of(found: Mapping[str, Mapping], n_tasks: int) -> str:
    rows = [
        [
            sentence(CLAIMS[claim]),
            finding["verdict"],
            estimate_words(finding),
            tasks_words(finding, str(n_tasks)),
            _other_scope(finding["secondary"]),
            finding["reason"],
        ]
        for claim, finding in found.items()
    ]
    return html_table(("claim", "verdict", "estimate", "tasks", "other scope", "reason"), rows, words=6)


def _other_scope(finding: Mapping | None) -> str:
    if finding is None:
        return "none"
    return f"{finding['verdict']} {SCOPE_WORDS[finding['scope']]} {estimate_words(finding)}".rstrip()


def _pooled(found: Mapping[str, Mapping] | None, n_tasks: int) -> str:
    if found is None:
        return ""
    return f"""<section class="finding {_colour_of(found)}"><h3>{sentence(POOLED)}</h3>
<p>The same rules, applied to the means over the models that have enough data, each of them over the tasks
that count in it. The intervals say nothing about other models.</p>
{_table_of(found, n_tasks)}</section>"""


def _beside_paper(
    found: Mapping[str, Mapping], generality, transfer, models: Sequence[str], source: str
) -> str:
    """What the paper reports, where a number of it is known, and the same of these models."""
    ours = {}
    for row in in_scope(generality):
        if row["layer"] == SELECTED and row["metric"] == "accuracy":
            ours[str(row["model"]), row["task"], row["probe"]] = row
    for row in in_scope(transfer):
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
    probes = f"{_reached(generality, model, WITHIN)} {_reached(generality, model, ACROSS)}"
    known, clear = {}, {}
    for scope in SCOPES:
        aurocs = _aurocs(generality, model, scope)
        rows = [aurocs.get((task, "specialist")) for task in tasks]
        known[scope] = [row for row in rows if has_estimate(row)]
        clear[scope] = len(tasks_with_signal(generality, model, thresholds["signal"], scope=scope))
    kept = len(tasks_with_signal(generality, model, thresholds["signal"], "residualised"))
    confounds = f" ({kept} after the confounds are regressed out)" if kept or clear[ACROSS] else ""
    responses = sum(row["n"] for row in known[ACROSS])
    subjects = max((row["n_groups"] for row in known[ACROSS]), default=0)
    return f"""<section class="finding {_colour_of(found)}"><h3>{escape(model)}</h3>
<p>{obeys} {probes} Across prompts, {len(known[ACROSS])} of {counted(len(tasks), "task")} had enough data
({counted(responses, "tested response")} about {counted(subjects, "subject")}), and {clear[ACROSS]} of them a
clear signal{confounds}; within prompts, {len(known[WITHIN])} and {clear[WITHIN]}.{more}</p>
{_table_of(found, len(tasks))}</section>"""


def _colour_of(found: Mapping[str, Mapping]) -> str:
    """The first word of the verdict on generality, a class of the style sheet."""
    return found["generality"]["verdict"].partition(",")[0]


def _reached(generality: Sequence[Mapping], model: str, scope: str) -> str:
    aurocs, where = _aurocs(generality, model, scope), sentence(SCOPE_WORDS[scope])
    if not has_estimate(aurocs.get((MEAN, DIFFERENCE))):
        return f"{where}, specialists and the general probe could not be compared."
    special, general = (with_interval(aurocs.get((MEAN, probe)), 99) for probe in ("specialist", GENERAL))
    return f"{where}, specialists reach a mean AUROC of {special} and the general probe {general}."


def _reversed(model: str, transfer: Sequence[Mapping]) -> str:
    """Sentences on the probes that say the opposite of another task's labels, "" where none does.

    Weak transfer can be that: its measure is a mean, in which these cells have a minus.
    """
    text = ""
    for scope in SCOPES:
        found = [
            row
            for row in in_scope(transfer, scope)
            if (str(row["model"]), row["layer"]) == (model, SELECTED) and row["source"] != row["target"]
        ]
        away = [row for row in found if is_number(end := row["upper_simultaneous95"]) and end < 0.5]
        if away:
            most = min(away, key=lambda row: row["estimate"])
            verb, that = ("is", ":") if len(away) == 1 else ("are", ", most")
            text += f""" {sentence(SCOPE_WORDS[scope])}, {len(away)} of {len(found)} transfers {verb} reversed
(simultaneous 95 % intervals below 0.5){that} that of the probe of {escape(task_words(most["source"]))} to
{escape(task_words(most["target"]))}, with an AUROC of {shown_number(most["estimate"], 2)}."""
    if text:
        text += """ What reads as satisfied in the one task reads as violated in the other there, so these
probes read something else than satisfaction."""
    return text


def _over_time(model: str, rows: Sequence[Mapping]) -> str:
    """Sentences on what is known when, "" where only one position was probed."""
    found = {
        row["quantity"]: row
        for row in in_scope(rows)
        if (str(row["model"]), row["task"], row["layer"]) == (model, MEAN, SELECTED) and has_estimate(row)
    }
    if not {"gain", "beyond_text", "prompt"} <= found.keys():
        return ""
    gain, prompt = (with_interval(found[name], 99) for name in ("gain", "prompt"))
    text = f""" From the prompt's end to EOS its probes gain {gain} in AUROC; at EOS, the verifier's
verdict on the text is {shown_number(-found["beyond_text"]["estimate"])} better than the probes."""
    if "surface" in found:
        surface = shown_number(found["surface"]["estimate"])
        text += f" At the prompt's end the probes reach {prompt}, and the prompt's surface alone {surface}."
    if "planning_share" in found:
        text += f""" Of what varies between prompts and their surface does not tell, the state at the prompt's
end tells a share of {with_interval(found["planning_share"], 99, 2)}."""
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


def _left_out(rows, compliance, models: Sequence[str], config: Mapping) -> str:
    cells = [
        [model, task_words(gap.task), SCOPE_WORDS[scope], gap.whole, gap.change.replace("`", "")]
        for model in models
        for scope in SCOPES
        for gap in missing_tasks(model, scope, compliance, rows, config)
    ]
    if not cells:
        return "<p>None.</p>"
    table = html_table(("model", "task", "scope", "it", "what to change"), cells, words=5)
    return f'<div class="wrapping">{table}</div>'


def _warnings(found: Sequence[str]) -> str:
    if not found:
        return """<p>Nothing: every task has responses of both kinds and, as far as their shares tell,
enough of them in both scopes.</p>"""
    lines = "".join(f"<li>{escape(warning)}</li>" for warning in found)
    return f"""<p>Judged by the labels alone, as <code>snakemake pilot</code> does beforehand; it also prints
lines for the config. Numbers of items and subjects are expected ones.</p>
<ul>{lines}</ul>"""


def _aurocs(rows: Sequence[Mapping], model: str, scope: str) -> dict[tuple[str, str], Mapping]:
    """{(task, probe): row} of AUROC at the selected layer."""
    return {
        (row["task"], row["probe"]): row
        for row in in_scope(rows, scope)
        if str(row["model"]) == model and row["layer"] == SELECTED and row["metric"] == "auroc"
    }
