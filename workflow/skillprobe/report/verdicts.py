"""Verdicts as marks: their colours, shapes and signs, and the grid of all claims and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from skillprobe.findings.rules import CLAIMS, POOLED
from skillprobe.report.claims import SHOWN
from skillprobe.report.html import sentence, shown_number
from skillprobe.storage.tables import ACROSS, WITHIN


@dataclass(frozen=True)
class Look:
    """shape: "circle", "square" or "diamond"; sign: on it, in the colour `ink`. Shape and sign tell verdicts
    apart without colour."""

    fill: str
    edge: str
    shape: str
    sign: str
    ink: str = "#ffffff"
    dashed: bool = False


BLUE, BROWN, GREY, FAINT = "#0173b2", "#b34d00", "#777777", "#a8a8a8"
LOOKS = {
    "supported": Look(BLUE, BLUE, "circle", "+"),
    "supported, planning untested": Look("#b9dcf0", BLUE, "circle", "+?", "#00304d"),
    "supported, not beyond likelihood": Look("#b9dcf0", BLUE, "circle", "+≈", "#00304d"),
    "contradicted": Look(BROWN, BROWN, "square", "−"),
    "inconclusive": Look("#e4e4e4", GREY, "diamond", "?", "#222222"),
    "insufficient": Look("#ffffff", FAINT, "circle", "", dashed=True),
}
SCOPE_WORDS = {ACROSS: "across prompts", WITHIN: "within prompts"}


def mark(verdict: str, x: float, y: float, r: float, filled: bool = True) -> str:
    """SVG of a verdict; filled: as a headline has it, else an outline with the sign in its colour."""
    look = LOOKS[verdict]
    fill, ink = (look.fill, look.ink) if filled else ("#ffffff", look.edge)
    dash = ' stroke-dasharray="2.5 2"' if look.dashed else ""
    paint = f'fill="{fill}" stroke="{look.edge}" stroke-width="{1.6 if filled else 1.3}"{dash}'
    if look.shape == "circle":
        shape = f'<circle cx="{x:g}" cy="{y:g}" r="{r:g}" {paint}/>'
    elif look.shape == "square":
        a = 0.88 * r
        shape = f'<rect x="{x - a:g}" y="{y - a:g}" width="{2 * a:g}" height="{2 * a:g}" {paint}/>'
    else:
        a = 1.12 * r
        points = f"{x:g},{y - a:g} {x + a:g},{y:g} {x:g},{y + a:g} {x - a:g},{y:g}"
        shape = f'<polygon points="{points}" {paint}/>'
    if not look.sign:
        return shape
    size = r * (1.5 if len(look.sign) == 1 else 1.05)
    return (
        f'{shape}<text x="{x:g}" y="{y + 0.36 * size:g}" font-size="{size:.3g}" font-weight="bold" '
        f'text-anchor="middle" fill="{ink}">{look.sign}</text>'
    )


def glyph(verdict: str, size: int) -> str:
    """A mark that stands beside its word."""
    return picture(mark(verdict, size / 2, size / 2, 0.36 * size), size, size)


def picture(marks: str, width: int, height: int, label: str = "") -> str:
    """An SVG with a text alternative ("": it stands beside its words)."""
    told = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    title = f"<title>{escape(label)}</title>" if label else ""
    return (
        f'<svg class="marks" width="{width}" height="{height}" viewBox="0 0 {width} {height}" {told}>'
        f"{title}{marks}</svg>"
    )


def verdict_grid(findings: Mapping[str, Mapping[str, Mapping]], models: Sequence[str]) -> str:
    """The scorecard: a row a claim, a column a model, and of each the verdict of both scopes: the headline's
    large and filled, the other's small beside it. findings: findings.json."""
    columns = [*models, *([POOLED] if POOLED in findings else [])]
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in columns)
    lines = []
    for claim in CLAIMS:
        cells = "".join(f"<td>{_cell(claim, name, findings[name][claim])}</td>" for name in columns)
        scope = SCOPE_WORDS[findings[columns[0]][claim]["scope"]]
        lines.append(
            f'<tr><th scope="row">{sentence(SHOWN[claim].short)} '
            f'<span class="small">({scope})</span></th>{cells}</tr>'
        )
    return f"""<figure class="scorecard"><div class="scroll"><table><thead>
<tr><td></td>{head}</tr></thead><tbody>
{"".join(lines)}
</tbody></table></div>
<figcaption class="small"><p>{_legend()}</p>
<p>Large: the scope that decides (in brackets). Small, beside it: the other scope, which is secondary and
never replaces it.</p></figcaption></figure>"""


def _cell(claim: str, name: str, finding: Mapping) -> str:
    marks, label = (
        mark(finding["verdict"], 14, 14, 11),
        f"{name}, {SHOWN[claim].short}: {_verdict_words(finding)}",
    )
    if other := finding["secondary"]:
        marks += mark(other["verdict"], 36, 18, 6.5, filled=False)
        label += f"; secondary: {_verdict_words(other)}"
    return picture(marks, 46, 28, label)


def _verdict_words(finding: Mapping) -> str:
    text = f"{finding['verdict']} {SCOPE_WORDS[finding['scope']]}"
    return text if finding["estimate"] is None else f"{text} ({shown_number(finding['estimate'])})"


def _legend() -> str:
    return " ".join(f'<span class="key">{glyph(verdict, 28)}{verdict}</span>' for verdict in LOOKS)
