"""HTML for the report's own pages: self-contained, without scripts or anything from outside.

Whatever comes from a model, a config or a table is escaped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from html import escape

from skillprobe.findings.rules import has_estimate
from skillprobe.storage.tables import is_number, rounded

LONGEST = 1500


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


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
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


def meanings(pairs: Mapping[str, str]) -> str:
    """What the heads of a table mean, {head: text}, folded; `words` between backticks are code."""
    items = "".join(f"<dt>{escape(head)}</dt><dd>{_coded(text)}</dd>" for head, text in pairs.items())
    return f"<details><summary>What the columns mean</summary><dl>{items}</dl></details>"


def _coded(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


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
.answers { padding-left: 0; list-style: none; } .answers > li { margin: .7rem 0; padding-left: 2.2rem; }
.answers > li > .marks { margin: 0 .45rem 0 -2.2rem; }
.answers ul { padding-left: 1.6rem; list-style: none; } .answers li li .marks { margin: 0 .35rem 0 -1.6rem; }
.answers li li { margin: .25rem 0; }
.marks { vertical-align: middle; font-family: "DejaVu Sans", Verdana, sans-serif; }
.scorecard { margin: 1rem 0; } .scorecard th, .scorecard td { padding: .1rem .2rem; vertical-align: middle; }
.scorecard tbody th { text-align: left; font-weight: normal; border-bottom: 0; min-width: 8.5rem;
  padding-right: .6rem; }
.scorecard thead th { vertical-align: bottom; text-align: center; border-bottom: 0; font-weight: normal; }
.scorecard thead span { display: inline-block; writing-mode: vertical-rl; transform: rotate(180deg);
  white-space: nowrap; max-height: 11rem; overflow: hidden; text-overflow: ellipsis; text-align: left; }
.scorecard tbody tr { border-top: 1px solid #e6e6e6; }
.key { display: inline-block; margin-right: .8rem; white-space: nowrap; }
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
.finding td.words { white-space: normal; min-width: 5.5rem; }
@media (max-width: 40rem) {
  body { padding: 1rem .6rem 3rem; }
  .finding { padding-left: .5rem; }
}
dt { margin-top: .4rem; font-weight: bold; font-size: .85rem; } dd { margin-left: 1.2rem; font-size: .85rem; }
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


def shown_number(value: object, digits: int = 3) -> str:
    return rounded(value, digits) if is_number(value) else ""


def with_interval(row: Mapping | None, level: int, digits: int = 3) -> str:
    if not has_estimate(row):
        return ""
    bounds = [shown_number(row[f"{end}{level}"], digits) for end in ("lower", "upper")]
    return shown_number(row["estimate"], digits) + (f" [{', '.join(bounds)}]" if all(bounds) else "")


def percent(value: object) -> str:
    return f"{100 * value:.0f}\u00a0%" if is_number(value) else "–"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def joined(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def sentence(text: str) -> str:
    return text[0].upper() + text[1:]
