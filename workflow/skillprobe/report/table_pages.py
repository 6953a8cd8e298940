"""Tables of the study as pages to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from skillprobe.catalogue import tables as catalogue
from skillprobe.findings.rules import MEAN, POOLED, SELECTED, has_estimate
from skillprobe.report.claims import estimate_words, rules_list, tasks_words
from skillprobe.report.html import (
    html_page,
    html_table,
    meanings,
    percent,
    sentence,
    shown_number,
    with_interval,
)
from skillprobe.report.verdicts import SCOPE_WORDS
from skillprobe.statistics.intervals import level_words
from skillprobe.storage.tables import WITHIN, in_scope, task_words

PROBES = {
    "specialist": "specialist",
    "general_all": "general, all data",
    "general_centred": "general, centred in each task",
    "general_matched": "general, matched n",
    "general_leave_one_out": "general, other tasks only",
    "residualised": "control: specialist, confounds regressed out",
    "shuffled": "control: specialist, shuffled labels",
    "random_weights": "control: random-weight model",
    "surface_length": "surface: length of the response",
    "surface_template": "surface: phrasing of the instruction",
    "surface_prompt_words": "surface: words of the prompt",
    "surface_response_words": "surface: words of the response",
}

# Heads of tables, and what they show of the table files: columns, or what a column may say.
COMPLIANCE = {
    **{"task": ("task",), "category": ("category",), "complies": ("compliance",)},
    **{"95 %": ("lower95", "upper95"), "unconstrained": ("twin_compliance",), "responses": ("n",)},
    **{"subjects": ("n_groups",), "truncated": ("truncated",), "undecided": ("undecided",)},
    **{"distinct": ("distinct_responses",)},
}
GENERALITY = {
    **{"task": ("task",), "probe": ("probe",), "AUROC": ("metric.auroc",)},
    **{"lost": ("probe.specialist_minus_<probe>",), "within prompts": ("scope.within",)},
    **{"prompts": ("n_items",), "balanced accuracy": ("metric.balanced_accuracy",)},
    **{"accuracy": ("metric.accuracy",), "log-loss": ("metric.log_loss",)},
    **{"satisfied": ("base_rate",), "responses": ("n",)},
}
FINDINGS = {
    **{"claim": ("claim",), "scope": ("scope",), "verdict": ("verdict",), "estimate": ("estimate",)},
    **{
        "tasks": ("tasks",),
        "reason": ("reason",),
        "responses": ("n_responses",),
        "subjects": ("n_subjects",),
    },
}


def _meanings(name: str, heads: Mapping[str, Sequence[str]]) -> str:
    known = catalogue.meanings(name)
    return meanings({head: "; ".join(known[column] for column in columns) for head, columns in heads.items()})


def compliance_page(rows: Sequence[Mapping], settings: Mapping) -> str:
    """tables/compliance.csv to read; settings: "tasks" and "models" (names)."""
    found = {(str(row["model"]), row["task"]): row for row in rows}
    body = [
        """<p class="lead">Share of untruncated responses that satisfy the constraint, with 95 %
intervals over subjects. “Unconstrained”: responses to the same requests without the constraint,
checked in the same way.</p>"""
    ]
    body.append(_meanings("compliance", COMPLIANCE))
    for model in settings["models"]:
        cells = []
        for task in settings["tasks"]:
            row = found.get((model, task))
            if row is None:
                cells.append([task_words(task), "", "no responses", *[""] * 7])
                continue
            cells.append(
                [
                    task_words(task),
                    str(row["category"]),
                    percent(row["compliance"]),
                    f"{percent(row['lower95'])} – {percent(row['upper95'])}",
                    percent(row["twin_compliance"]),
                    str(row["n"]),
                    str(row["n_groups"]),
                    percent(row["truncated"]),
                    percent(row["undecided"]),
                    str(row["distinct_responses"]),
                ]
            )
        body += [f"<h2>{escape(model)}</h2>", html_table(tuple(COMPLIANCE), cells, words=2)]
    return html_page("How often does each model comply?", body)


def generality_page(rows: Sequence[Mapping], settings: Mapping) -> str:
    """The part of tables/generality.csv at the selected layers; settings: "tasks" and "models" (names), and
    "claims.looks"."""
    body = [
        f"""<p class="lead">Each probe is at the layer that the inner folds selected, and tested within
one task on held-out requests. Brackets: 95 % intervals. “Lost”: the specialist’s AUROC minus that of
the general probe, paired. The mean is over the tasks that count, whose AUROC is clearly above chance in
the other folds. “Within prompts”: the AUROC of responses to the same prompt, of so many prompts
that have both satisfied and violated responses. The table file also has every layer and
{level_words(settings["claims.looks"])} intervals.</p>"""
    ]
    body.append(_meanings("generality", GENERALITY))
    chosen = [row for row in in_scope(rows) if row["layer"] == SELECTED]
    within = {
        (str(row["model"]), row["task"], row["probe"]): row
        for row in in_scope(rows, WITHIN)
        if row["layer"] == SELECTED
    }
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
                    shown_number(found.get((task, probe, metric), {}).get("estimate"))
                    for metric in ("balanced_accuracy", "accuracy", "log_loss")
                )
                lost = found.get((task, f"specialist_minus_{probe}", "auroc"))
                one_prompt = within.get((model, task, probe))
                cells.append(
                    [
                        task_words(task) if probe == shown[0] else "",
                        PROBES.get(probe, probe),
                        with_interval(row, 95) + (f" ({row['status']})" if row["status"] else ""),
                        with_interval(lost, 95),
                        with_interval(one_prompt, 95),
                        str(one_prompt["n_items"]) if one_prompt else "",
                        *metrics,
                        percent(row["base_rate"]),
                        str(row["n"]),
                    ]
                )
        body += [f"<h2>{escape(model)}</h2>", html_table(tuple(GENERALITY), cells, words=2)]
    return html_page("Is one general probe as good as a specialist?", body)


def findings_page(findings: Mapping[str, Mapping[str, Mapping]], settings: Mapping) -> str:
    """tables/findings.csv to read, from findings.json: every verdict in both scopes. settings: "tasks"
    (names) and "claims.looks"."""
    body = [
        f"""<p class="lead">The verdict on each claim in the scope that decides, and below it in the other,
which is secondary. Brackets: {level_words(settings["claims.looks"])} intervals. “Tasks”: those that count for
the claim; of all models, those that count in every one are named, and each model’s own number is over all
that count in it. “Responses”: those of these tasks that probes were tested on, all models together; within
prompts, only responses to prompts that have both satisfied and violated ones. “Subjects”: what the responses
of the task with the most subjects are about. They are fewer than the study’s content requests: the subjects
that set the feature scale (probes.calibration_fraction) are never tested. The rules:</p>""",
        rules_list(next(iter(findings.values()))),
    ]
    body.append(_meanings("findings", FINDINGS))
    for model, by_claim in findings.items():
        cells = []
        for headline in by_claim.values():
            for finding in filter(None, (headline, headline["secondary"])):
                cells.append(
                    [
                        sentence(finding["claim"]) if finding is headline else "",
                        SCOPE_WORDS[finding["scope"]],
                        finding["verdict"],
                        estimate_words(finding),
                        _counting(finding, len(settings["tasks"])),
                        finding["reason"],
                        f"{finding['n']['responses']:,}",
                        f"{finding['n']['subjects']:,}",
                    ]
                )
        table = html_table(tuple(FINDINGS), cells, words=6)
        body += [
            f"<h2>{escape(sentence(model) if model == POOLED else model)}</h2>",
            f'<div class="wrapping">{table}</div>',
        ]
    return html_page("What decides each claim?", body)


def _counting(finding: Mapping, n_tasks: int) -> str:
    """How many tasks count, and which."""
    names = f": {', '.join(map(task_words, finding['tasks']))}" if finding["tasks"] else ""
    return f"{tasks_words(finding, str(n_tasks))}{names}"
