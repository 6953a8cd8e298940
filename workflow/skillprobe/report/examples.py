"""The page of prompts and answers, satisfied and violated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

from skillprobe.labels.verdicts import by_turns
from skillprobe.report.html import html_page, visible
from skillprobe.storage.tables import task_words


def examples_page(labels: Mapping[tuple[str, str], Sequence[Mapping]], settings: Mapping) -> str:
    """Prompts and answers of each model and task, both satisfied and violated where there are such.

    labels: {(model, task): label rows}; settings: "tasks", "models" (names), "seed" (which answers are shown)
    and "report" with "examples", the number a model and task.
    """
    links = " · ".join(
        f'<a href="#{escape(task)}">{escape(task_words(task))}</a>' for task in settings["tasks"]
    )
    body = [
        f"""<p class="lead">Drawn at random with the study’s seed, alternately satisfied and violated.
They do not show how often a model complies.</p><p class="small">{links}</p>"""
    ]
    for task in settings["tasks"]:
        body.append(f'<h2 id="{escape(task)}">{escape(task_words(task))}</h2>')
        for model in settings["models"]:
            rows = labels.get((model, task), ())
            chosen = by_turns(rows, settings["report"]["examples"], settings["seed"])
            cards = "".join(map(_card, chosen)) or '<p class="small">No responses to show.</p>'
            body.append(f'<h3>{escape(model)}</h3><div class="cards">{cards}</div>')
    return html_page("Example prompts and responses", body)


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
