"""The picture of docs/architecture.md: `python docs/draw_architecture.py` writes docs/architecture.svg.

Everything in it is read from the rule files and their scripts, so the picture changes with the workflow.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from os.path import splitext
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/architecture.svg"
# Nearly every job reads files and settings with these, so the picture leaves them out.
EVERYWHERE = {"storage", "study"}
ONE_MODEL, ALL_MODELS, HUB = "tables of one model", "tables of all models", "hub models, judges"

# Neighbouring lanes differ for colour-blind readers too (Okabe and Ito); each has at least 3:1 on white.
COLOURS = ("#0072b2", "#d55e00", "#008a64", "#b4589a")
INK, FAINT, STRIPE = "#222222", "#5c5c5c", "#f2f4f6"
SANS = "Helvetica, Arial, sans-serif"
MONO = "Menlo, Consolas, 'DejaVu Sans Mono', monospace"
# Pixels. The widest of the fonts above takes 6.63 a character at size 11.
LINE, CHARACTER, LANE = 14, 6.7, 23
LANES_X, FOLDERS_WIDTH, TOP = 204, 30, 144


@dataclass
class Stage:
    """A rule file. makes, reads: kinds of files (`kind`) that go from one stage to another."""

    name: str
    folders: list[str]
    files: list[str]
    makes: set[str] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)


def rule_texts() -> dict[str, str]:
    """{rule file: its text}, in the order in which the Snakefile includes them."""
    names = re.findall(r'include: "workflow/rules/(\w+)\.smk"', (ROOT / "Snakefile").read_text("utf-8"))
    return {name: (ROOT / f"workflow/rules/{name}.smk").read_text("utf-8") for name in names}


def folders_of(text: str) -> set[str]:
    """Folders and modules of the package that a rule file and its scripts import themselves."""
    scripts = re.findall(r'"\.\./scripts/(\w+)\.py"', text)
    sources = [text, *((ROOT / f"workflow/scripts/{name}.py").read_text("utf-8") for name in scripts)]
    found = set()
    for package, members in re.findall(r"^from (skillprobe[\w.]*) import (.+)$", "\n".join(sources), re.M):
        found |= set(package.split(".")[1:2] or members.split(", "))
    return found


def stages() -> list[Stage]:
    """The rule files that make files under results/<study>/."""
    texts = {name: _plain(text) for name, text in rule_texts().items()}
    defined = _definitions("\n".join(texts.values()))
    rules = {name: dict(_rules(text)) for name, text in texts.items()}
    outputs = {rule: _outputs(body) for of_file in rules.values() for rule, body in of_file.items()}
    made, maker = {}, {}
    for name, of_file in rules.items():
        made[name] = [path for rule in of_file for path in outputs[rule].values()]
        maker |= dict.fromkeys(made[name], name)
    found = {
        name: Stage(name, sorted(folders_of(texts[name]) - EVERYWHERE), _grouped(paths))
        for name, paths in made.items()
        if paths
    }
    for name, of_file in rules.items():
        for rule, body in of_file.items():
            if not outputs[rule]:  # A target, which makes nothing itself.
                continue
            for path in _inputs(body, defined, outputs, maker):
                if maker[path] != name:
                    found[name].reads.add(kind(path))
                    found[maker[path]].makes.add(kind(path))
    return list(found.values())


def kind(path: str) -> str:
    """What a file below results/<study>/ is to the stage that reads it."""
    folder = path.split("/")[0]
    if path.startswith(("findings.", "tables/findings.")):
        return "findings"
    if folder == "tables":
        return ONE_MODEL if path.count("/") > 1 else ALL_MODELS
    return {
        "models": HUB,
        "converted": HUB,
        "judges": HUB,
        "heads": HUB,
        "random_activations": "activations",
    }.get(folder, folder)


def _plain(text: str) -> str:
    """The rule file's text with every path of a result in one form: "{RESULTS}/probes/<model>/<layer>.h5"."""
    for call, path in (
        ("merged", "tables/{}.csv"),
        ("shown_figure", "figures/{}.svg"),
        ("shown_page", "report/{}.html"),
    ):
        made = 'f"{RESULTS}/' + path.replace("{}", r"\1") + '"'
        text = re.sub(rf'{call}\(\s*"([^"]*)"[^)]*\)', made, text)
    text = text.replace("{CALIBRATION}/", "{RESULTS}/calibration/")
    return re.sub(
        r'(?<=\{RESULTS\}/)[^"]*', lambda path: re.sub(r"\{+(?:w\.)?(\w+)\}+", r"<\1>", path[0]), text
    )


def _definitions(text: str) -> dict[str, str]:
    """{name: text} of what a rule file defines and an input may name."""
    parts = re.findall(r"^(?:def )?(\w+)(?: = |\()(.*?)(?=^\S|\Z)", text, re.M | re.S)
    return dict(parts)


def _rules(text: str) -> Iterator[tuple[str, str]]:
    head = r"^(?:use rule \w+ as |rule )(\w+)(?: with)?:\n"
    yield from re.findall(head + r"(.*?)(?=^\S|\Z)", text, re.M | re.S)


def _block(body: str, name: str) -> str:
    found = re.search(rf"^    {name}:\n(.*?)(?=^    \w+:|\Z)", body, re.M | re.S)
    return found[1] if found else ""


def _outputs(body: str) -> dict[str, str]:
    """{name: path} of a rule's outputs below results/<study>/."""
    pattern = r'(\w+)=(?:(?:report|expand)\(\s*)?f"\{RESULTS\}/([^"]*)"'
    return dict(re.findall(pattern, _block(body, "output")))


def _inputs(body: str, defined: dict, outputs: dict, maker: dict) -> set[str]:
    """Outputs of other rules that a rule takes, also by way of names such as TIME or `fetched`."""
    text = waiting = _block(body, "input")
    known: set[str] = set()
    while waiting:
        names = {name for name in re.findall(r"\w+", waiting) if name in defined} - known
        known |= names
        waiting = "\n".join(defined[name] for name in sorted(names))
        text += waiting
    taken = set()
    for rule, name in re.findall(r"rules\.(\w+)\.output(?:\.(\w+))?", text):
        taken |= {outputs[rule][name]} if name else set(outputs[rule].values())
    for path in re.findall(r'\{RESULTS\}/([^"]*)"', text):
        # <analysis> of one rule stands for generality, transfer, … of others.
        taken |= {other for other in maker if _fits(path, other) or _fits(other, path)}
    return taken


def _fits(pattern: str, path: str) -> bool:
    return bool(re.fullmatch(re.sub(r"<\w+>", "[^/]+", pattern), path))


def _grouped(paths: list[str]) -> list[str]:
    """Paths that differ in their ending alone as one, and many that differ in a name alone as one."""
    endings: dict[str, list[str]] = {}
    for path in paths:
        stem, ending = splitext(path)
        endings.setdefault(stem, []).append(ending[1:])
    alike: dict[tuple, list[str]] = {}
    for stem, found in endings.items():
        ending = found[0] if len(found) == 1 else f"{{{','.join(found)}}}"
        folder, _, name = stem.rpartition("/")
        alike.setdefault((folder, "" if "<" in name else "plain", ending), []).append(f"{stem}.{ending}")
    lines = []
    for (folder, plain, ending), found in alike.items():
        lines += [f"{folder}/<name>.{ending}"] if plain and len(found) > 3 else found
    return lines


def picture() -> str:
    """The SVG: a row a stage; a lane a kind of file, from the stage that makes it down to its last reader."""
    rows = stages()
    last_made = {what: number for number, row in enumerate(rows) for what in sorted(row.makes)}
    lanes = sorted(last_made, key=last_made.__getitem__)
    at = {what: LANES_X + LANE * (number + 0.5) for number, what in enumerate(lanes)}
    files_x = LANES_X + LANE * len(lanes) + 14
    width = round(files_x + CHARACTER * max(len(file) for row in rows for file in row.files) + 10)

    back, marks, texts = [], [], []
    middle, y = {}, TOP
    for number, row in enumerate(rows):
        folders = textwrap.wrap(", ".join(row.folders), FOLDERS_WIDTH)
        height = LINE * max(1 + len(folders), len(row.files)) + 10
        if number % 2 == 0:
            back.append(f'<rect y="{y}" width="{width}" height="{height}" fill="{STRIPE}"/>')
        texts.append(_text(12, y + 17, row.name, size=13, weight="bold"))
        texts += [_text(12, y + 31 + LINE * k, line, fill=FAINT) for k, line in enumerate(folders)]
        above = (height - LINE * len(row.files)) / 2
        for k, file in enumerate(row.files):
            texts.append(_text(files_x, y + above + LINE * k + 10.5, file, family=MONO))
        middle[row.name] = y + height / 2
        y += height
    for number, what in enumerate(lanes):
        x, colour = at[what], COLOURS[number % len(COLOURS)]
        ends = [middle[row.name] for row in rows if what in row.makes | row.reads]
        back.append(f'<path d="M{x} {ends[0]}V{ends[-1]}" stroke="{colour}" stroke-width="3"/>')
        for row in rows:
            # Rings lie on discs, where a stage reads tables and makes others.
            if what in row.makes:
                marks.append(f'<circle cx="{x}" cy="{middle[row.name]}" r="7" fill="{colour}"/>')
            if what in row.reads:
                size = 3.5 if what in row.makes else 5.5
                marks.append(
                    f'<circle cx="{x}" cy="{middle[row.name]}" r="{size}" fill="white" stroke="{colour}" '
                    'stroke-width="2.5"/>'
                )
        texts.append(_text(x - 2, TOP - 8, what, fill=colour, size=12, turn=-60))
    texts += [
        _text(12, TOP - 40, "stage", size=13, weight="bold"),
        _text(12, TOP - 24, "= file of workflow/rules/", fill=FAINT),
        _text(12, TOP - 8, "folders of workflow/skillprobe/", fill=FAINT),
        _text(files_x, TOP - 24, "files that it makes", size=13, weight="bold"),
        _text(files_x, TOP - 8, "under results/<study>/", fill=FAINT),
        _text(32, 22, "made by the stage"),
        _text(32, 40, "read by the stage"),
    ]
    marks += [
        f'<circle cx="20" cy="18" r="7" fill="{INK}"/>',
        f'<circle cx="20" cy="36" r="5.5" fill="white" stroke="{INK}" stroke-width="2.5"/>',
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 6}" width="{width}" '
            f'height="{y + 6}" font-family="{SANS}" role="img">',
            "<title>The stages of skillprobe, the files that each makes, and who reads them</title>",
            f'<rect width="{width}" height="{y + 6}" fill="white"/>',
            *back,
            *marks,
            *texts,
            "</svg>\n",
        ]
    )


def _text(x, y, text, *, size=11, fill=INK, weight="", family="", turn=0) -> str:
    more = f' font-weight="{weight}"' if weight else ""
    more += f' font-family="{family}"' if family else ""
    more += f' transform="rotate({turn} {x} {y})"' if turn else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{fill}"{more}>{escape(text, quote=False)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
