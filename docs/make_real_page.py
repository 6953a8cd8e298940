"""Put the numbers of a finished study into docs/real_models.md: `python docs/make_real_page.py results/real`.

The page has two marks for each study, "<!-- numbers of NAME -->" and "<!-- end of NAME -->"; what is between
them is written anew from the study's tables, so that nobody copies a number by hand. What the numbers mean
stands outside of the marks, and is written by a person.
"""

import csv
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/real_models.md"
SCOPES = ("within", "across")
# Of tables/generality.csv: what a task's specialist is put beside.
BESIDE = {
    "specialist": "specialist",
    "general_centred": "general probe",
    "residualised": "confounds out",
    "shuffled": "shuffled labels",
    "surface_response_words": "words of the response",
    "surface_length": "its length",
}
# Of tables/time_summary.csv.
COURSE = {
    "prompt": "at the prompt's end",
    "surface": "surface of the prompt",
    "gain": "EOS − prompt's end",
    "beyond_text": "EOS − the text alone",
}


def rows_of(folder: Path, table: str) -> list[dict]:
    with (folder / "tables" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> Iterator[str]:
    """texts: so many columns, the first, are of words."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "|".join("---" if column < texts else "---:" for column in range(len(head))) + "|"
    yield from ("| " + " | ".join(row) + " |" for row in rows)
    yield ""


def number(text: str, digits: int = 2) -> str:
    value = float(text or "nan")
    # Not −0.00.
    return "–" if value != value else f"{round(value, digits) + 0:.{digits}f}".replace("-", "−")


def interval(row: dict, level: int = 99) -> str:
    low, high = row[f"lower{level}"], row[f"upper{level}"]
    # Of what is far below 0.01, two digits say nothing.
    digits = 4 if float(high or "nan") - float(low or "nan") < 0.02 else 2
    estimate, *ends = (number(text, digits) for text in (row["estimate"], low, high))
    return estimate if "–" in (estimate, ends[0]) else f"{estimate} [{ends[0]}, {ends[1]}]"


def share(text: str) -> str:
    return "–" if text in ("", "nan") else f"{float(text):.0%}".replace("%", " %")


def words(task: str) -> str:
    return task.replace("_", " ")


def compliance(folder: Path) -> Iterator[str]:
    yield "Responses:"
    yield ""
    head = ("task", "satisfied", "without the constraint", "truncated", "responses", "mixed prompts")
    found = rows_of(folder, "compliance")
    columns = ("compliance", "twin_compliance", "truncated")
    yield from table(
        head,
        [
            (words(row["task"]), *(share(row[name]) for name in columns), row["n"], share(row["mixed"]))
            for row in found
        ],
    )


def probes(folder: Path) -> Iterator[str]:
    found = {
        (row["scope"], row["task"], row["probe"]): row
        for row in rows_of(folder, "generality")
        if row["layer"] == "selected" and row["metric"] == "auroc"
    }
    tasks = list(dict.fromkeys(task for _, task, _ in found))
    for scope in SCOPES:
        shown = [name for name in BESIDE if any((scope, task, name) in found for task in tasks)]
        lines = []
        for task in tasks:
            cells = [found.get((scope, task, name)) for name in shown]
            if cells[0] is None:
                continue
            first = interval(cells[0], 95) if number(cells[0]["estimate"]) != "–" else cells[0]["status"]
            lines.append(
                (words(task), first, *(number(cell["estimate"]) if cell else "–" for cell in cells[1:]))
            )
        yield f"AUROC at EOS, {scope} prompts, at the selected layer (specialist: 95 % interval):"
        yield ""
        yield from table(("task", *(BESIDE[name] for name in shown)), lines)


def transfer(folder: Path) -> Iterator[str]:
    found = {
        (row["source"], row["target"]): row
        for row in rows_of(folder, "transfer")
        if row["layer"] == "selected" and row["scope"] == "across"
    }
    tasks = list(dict.fromkeys(source for source, _ in found))
    yield "Transfer across prompts, AUROC of each task's probe (lines) on each task (columns), at one layer:"
    yield ""
    yield from table(
        ("probe of", *map(words, tasks)),
        [(words(source), *(number(found[source, task]["estimate"]) for task in tasks)) for source in tasks],
    )


def course(folder: Path) -> Iterator[str]:
    found = {
        (row["task"], row["quantity"]): row
        for row in rows_of(folder, "time_summary")
        if row["layer"] == "selected" and row["scope"] == "across" and row["quantity"] in COURSE
    }
    shown = [name for name in COURSE if any(quantity == name for _, quantity in found)]
    tasks = list(dict.fromkeys(task for task, _ in found))
    if not shown:
        return
    yield "In the course of the response, across prompts, AUROC (95 % interval):"
    yield ""
    lines = [
        (words(task), *(interval(row, 95) if (row := found.get((task, name))) else "–" for name in shown))
        for task in tasks
    ]
    yield from table(("task", *(COURSE[name] for name in shown)), lines)


def verdicts(folder: Path) -> Iterator[str]:
    findings = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    for model, by_claim in findings.items():
        yield f"Verdicts for {model} (99 % intervals; the scope that decides is first):"
        yield ""
        lines = []
        for headline in by_claim.values():
            for finding in filter(None, (headline, headline.get("secondary"))):
                low_high = finding["interval"] or ("nan", "nan")
                row = {"estimate": finding["estimate"], "lower99": low_high[0], "upper99": low_high[1]}
                shown = interval({key: "nan" if value is None else str(value) for key, value in row.items()})
                lines.append(
                    (
                        finding["claim"] if finding is headline else "",
                        finding["scope"],
                        finding["verdict"],
                        shown,
                        ", ".join(map(words, finding["tasks"])) or "–",
                        finding["reason"],
                    )
                )
        yield from table(("claim", "scope", "verdict", "estimate", "tasks that count", "reason"), lines, 6)


def numbers(folder: Path) -> str:
    parts = (part(folder) for part in (compliance, probes, transfer, course, verdicts))
    return "\n".join(line for part in parts for line in part).strip()


def filled(page: str, folder: Path) -> str:
    """The page with the numbers of the study in `folder` between its marks."""
    name = re.escape(folder.name)
    marks = re.compile(rf"(<!-- numbers of {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if not marks.search(page):
        raise SystemExit(f"{PAGE.name} has no place for the numbers of {folder.name}")
    return marks.sub(lambda found: f"{found[1]}\n{numbers(folder)}\n\n{found[2]}", page)


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    for folder in map(Path, sys.argv[1:]):
        page = filled(page, folder)
    PAGE.write_text(page, encoding="utf-8")
