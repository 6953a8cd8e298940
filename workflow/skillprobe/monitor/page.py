"""Monitored answers as one page that needs nothing else: for mouse, keyboard and touch, and to be printed."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from skillprobe.monitor.answers import Answer
from skillprobe.monitor.constraints import Watched
from skillprobe.report.html import visible
from skillprobe.storage.files import write_text
from skillprobe.storage.tables import task_words

# Of lines: told apart by colour-blind readers, by their dashes, and by the table's order too.
_LINES = ("#0173b2", "#b34d00", "#00795a", "#a0306f", "#6a5c00", "#444444", "#5f43b2", "#8a1c1c", "#006b75")
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 2", "6 2 1 2", "3 5")
# Pixels. _WIDTH: of the plot, which fits on a phone; longer responses scroll.
_WIDTH, _HEIGHT, _STEP, _LEFT, _RIGHT, _TOP, _BOTTOM = 310, 160, 8, 34, 10, 8, 22

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 62rem; background: #fff; color: #222;
  font: 16px/1.5 "DejaVu Sans", Verdana, system-ui, sans-serif; }
h1 { font-size: 1.4rem; line-height: 1.25; margin: 0 0 .4rem; }
h2 { font-size: 1rem; margin: 2rem 0 .3rem; padding-top: .8rem; border-top: 1px solid #ddd; }
p { margin: .4rem 0; overflow-wrap: anywhere; }
.small { font-size: .82rem; color: #555; }
.prompt { padding-left: .8rem; border-left: 4px solid #bbb; white-space: pre-wrap; }
.text { margin: .8rem 0; line-height: 2.3; overflow-wrap: anywhere; }
.t { font: inherit; white-space: pre-wrap; color: #222; margin: 0; padding: .3rem .1rem; border: 0;
  border-bottom: 3px solid transparent; border-radius: 3px; cursor: pointer; min-width: 1.1rem;
  min-height: 2.2rem; text-align: left; vertical-align: middle; }
.t.mark { color: #333; font-size: .8rem; }
.t[aria-pressed=true] { outline: 2px solid #222; }
.t:focus-visible, .row:focus-visible { outline: 3px solid #222; outline-offset: 1px; }
.both { display: flex; flex-wrap: wrap; gap: .6rem 2rem; align-items: flex-start; }
.both > table { flex: 1 1 24rem; width: auto; }
.scroll { overflow-x: auto; max-width: 100%; }
svg { display: block; max-width: none; }
svg text { font-size: 11px; fill: #555; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .3rem .5rem; text-align: right; vertical-align: middle;
  border-bottom: 1px solid #e6e6e6; }
th { font-weight: normal; color: #555; border-bottom: 1px solid #999; vertical-align: bottom; }
td:first-child, th:first-child { text-align: left; }
.row { font: inherit; text-align: left; background: none; border: 0; padding: .25rem 0; cursor: pointer;
  color: #222; overflow-wrap: anywhere; min-height: 2rem; }
.row[aria-pressed=true] .name { font-weight: bold; text-decoration: underline; }
.params { display: block; font-weight: normal; font-size: .75rem; color: #555; }
.yes { color: #0173b2; } .no { color: #b34d00; }
.now { font-weight: bold; }
.narrow { display: none; }
.wide { white-space: nowrap; }
.code { font-size: .7rem; padding: 0 .25em; border-radius: 3px; background: #eee; color: #555; }
@media (max-width: 40rem) {
  body { padding: .9rem .6rem 3rem; font-size: 15px; }
  th, td { padding: .3rem .25rem; }
  .wide { display: none; }
  .narrow { display: block; }
}
"""

# Reads what the page's elements say (data-p: a probability of each constraint) and adds no text but numbers.
_SCRIPT = """
document.querySelectorAll('section').forEach(function (section) {
  var tokens = Array.from(section.querySelectorAll('.t'));
  var rows = Array.from(section.querySelectorAll('.row'));
  var lines = Array.from(section.querySelectorAll('.line'));
  var now = Array.from(section.querySelectorAll('.now')), cursor = section.querySelector('.cursor');
  var where = section.querySelector('.where'), at = tokens.length - 1, shown = 0;
  function values(token) { return JSON.parse(token.dataset.p); }
  function colour(p) {
    var d = Math.min(1, Math.abs(p - 0.5) * 2) * 0.75;
    var to = p < 0.5 ? [230, 130, 50] : [70, 150, 215];
    return 'rgb(' + to.map(function (c) { return Math.round(255 + (c - 255) * d); }).join(',') + ')';
  }
  function paint() {
    tokens.forEach(function (token) { token.style.background = colour(values(token)[shown]); });
    rows.forEach(function (row, k) { row.setAttribute('aria-pressed', k === shown); });
    lines.forEach(function (line, k) { line.setAttribute('opacity', k === shown ? 1 : 0.3); });
  }
  function select(k, focus) {
    at = Math.max(0, Math.min(tokens.length - 1, k));
    tokens.forEach(function (token, n) {
      token.tabIndex = n === at ? 0 : -1;
      token.setAttribute('aria-pressed', n === at);
    });
    values(tokens[at]).forEach(function (p, n) { now[n].textContent = p.toFixed(2); });
    where.textContent = at;
    cursor.setAttribute('transform', 'translate(' + at * Number(cursor.dataset.step) + ',0)');
    if (focus) { tokens[at].focus(); }
  }
  tokens.forEach(function (token, k) {
    token.addEventListener('click', function () { select(k, true); });
    token.addEventListener('keydown', function (event) {
      var to = { ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1,
        Home: 0, End: tokens.length - 1 }[event.key];
      if (to !== undefined) { event.preventDefault(); select(to, true); }
    });
  });
  rows.forEach(function (row, k) { row.addEventListener('click', function () { shown = k; paint(); }); });
  paint();
  select(at, false);
});
"""


def write_page(path: str | Path, answers: Sequence[Answer], about: str) -> None:
    """Write the page of these answers. about: one sentence, which study and model this is. Texts of the
    model, the prompts and the params are escaped; nothing is loaded from anywhere."""
    allowed = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    sections = "\n".join(_section(number, answer) for number, answer in enumerate(answers, start=1))
    write_text(
        path,
        f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>Will the response satisfy its constraints?</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Will the response satisfy its constraints?</h1>
<p class="small">{escape(about)} Each probability is what the monitor says when it has read so much of the
response. Choose a token (click, tap, or the arrow keys) to see its numbers, and a constraint to colour the
text by: orange is unlikely, blue likely. Held out: how well the monitor does on subjects that it never saw,
and in brackets the Brier score of always saying the base rate, which is to be beaten.</p>
{sections}
<script>{_SCRIPT}</script>
</body>
</html>
""",
    )


def _section(number: int, answer: Answer) -> str:
    texts = [("prompt’s end", True), *((text, False) for text in answer.tokens)]
    if not answer.truncated:
        texts[-1] = ("end", True)
    buttons = []
    for k, ((text, mark), line) in enumerate(zip(texts, answer.probabilities, strict=True)):
        values = json.dumps([round(float(p), 4) for p in line])
        kind = "t mark" if mark else "t"
        body = visible(text) if mark or text.strip() else visible(text) + '<span class="code">␣</span>'
        label = f"{text if mark else f'token {k}: {text.strip()}'}; " + ", ".join(
            f"{task_words(each.constraint.task)} {p:.2f}"
            for each, p in zip(answer.watched, line, strict=True)
        )
        buttons.append(
            f'<button type="button" class="{kind}" tabindex="{0 if not k else -1}" aria-pressed="false" '
            f'aria-label="{_attribute(label)}" data-p="{values}">{body}</button>'
        )
    rows = "\n".join(_row(k, answer, each) for k, each in enumerate(answer.watched))
    cut = ' <span class="small">(cut short)</span>' if answer.truncated else ""
    return f"""<section aria-label="Response {number}">
<h2>Response {number}{cut}</h2>
<p class="prompt">{visible(answer.prompt)}</p>
<div class="text">{"".join(buttons)}</div>
<div class="both"><div class="scroll">{_chart(answer)}</div>
<table><thead><tr><th>constraint</th><th>after token <span class="where">{len(texts) - 1}</span></th>
<th>at the end</th><th>verifier</th><th class="wide">held out, at EOS</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>
</section>"""


def _attribute(text: str) -> str:
    return escape("".join(each if each.isprintable() else " " for each in text))


def _row(k: int, answer: Answer, watched: Watched) -> str:
    p, verdict = float(answer.probabilities[-1][k]), answer.verdicts[k]
    said = "–"
    if verdict is not None:
        yes = verdict["satisfied"]
        said = f'<span class="{"yes" if yes else "no"}">{"satisfied" if yes else "violated"}</span>'
    params = watched.constraint.params
    shown = f'<span class="params">{visible(json.dumps(params, ensure_ascii=False))}</span>' if params else ""
    card = watched.stored.card["stages"][-1]
    held_out = f"AUROC {card['auroc']:.2f}, Brier {card['brier']:.3f} ({card['brier_of_base_rate']:.3f})"
    key = (
        f'<svg width="26" height="10" aria-hidden="true" style="display:inline-block">'
        f'<path d="M0 5H26" {_stroke(k)}/></svg> '
    )
    return (
        f'<tr><td><button type="button" class="row" aria-pressed="false">{key}'
        f'<span class="name">{escape(task_words(watched.constraint.task))}</span>{shown}'
        f'<span class="params narrow">{held_out}</span></button></td>'
        f'<td class="now">{p:.2f}</td><td>{p:.2f}</td><td>{said}</td>'
        f'<td class="wide">{held_out}</td></tr>'
    )


def _stroke(k: int) -> str:
    dashes = _DASHES[k % len(_DASHES)]
    return f'fill="none" stroke="{_LINES[k % len(_LINES)]}" stroke-width="2"' + (
        f' stroke-dasharray="{dashes}"' if dashes else ""
    )


def _chart(answer: Answer) -> str:
    n = len(answer.probabilities)
    step = max(_STEP, _WIDTH / max(n - 1, 1))
    width, inner = _LEFT + step * max(n - 1, 1) + _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def y(p: float) -> float:
        return _TOP + (1 - p) * inner

    grid = "".join(
        f'<path d="M{_LEFT} {y(p):.1f}H{width - _RIGHT:.1f}" stroke="{"#999" if p == 0.5 else "#e3e3e3"}"/>'
        f'<text x="{_LEFT - 5}" y="{y(p) + 4:.1f}" text-anchor="end">{p:g}</text>'
        for p in (0, 0.5, 1)
    )
    every = max(1, round(45 / step))
    numbers = "".join(
        f'<text x="{_LEFT + k * step:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{k}</text>'
        for k in range(0, n, every)
    )
    lines = "".join(
        f'<path d="M{" ".join(f"{_LEFT + k * step:.1f},{y(float(p)):.1f}" for k, p in enumerate(column))}" '
        f'class="line" {_stroke(k_line)}/>'
        for k_line, column in enumerate(answer.probabilities.T)
    )
    return (
        f'<svg width="{width:.0f}" height="{_HEIGHT}" role="img" '
        f'aria-label="Probability of satisfaction by number of tokens read">{grid}{numbers}{lines}'
        f'<path class="cursor" data-step="{step:.3f}" transform="translate({(n - 1) * step:.1f},0)" '
        f'd="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#222" stroke-width="1"/></svg>'
    )
