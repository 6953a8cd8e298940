"""How often verdicts on planted worlds are right: tables, and the page that shows them.

See docs/definitions.md, "Calibration".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from skillprobe.findings import rules
from skillprobe.findings.worlds import BEYOND, NONE, WORLDS

# Of the verdicts of a claim in a world, at most; at least; and of the seeds of a world without any signal, at
# most.
WRONG, RIGHT, NULL = 0.05, 0.80, 0.10
# A rate is refuted by a count that has less than this chance where the rate just holds.
DOUBT = 0.01
# Of simulated studies, whose intervals of each level miss, at most.
MISSES = {95: 0.07, 99: 0.025}
ANY = "any claim supported"
# Of the row ANY, whose verdicts are those of the scope that decides a claim.
HEADLINE = "headline"
TABLE_COLUMNS = (
    *("world", "auroc", "bases", "scope", "specialist", "claim", "truth", "n_seeds", *rules.VERDICTS),
    *("right", "wrong", "met"),
)
POWER_COLUMNS = ("claim", "scope", "world", "truth", "auroc", "specialist", "bases", "n_seeds", "right")
POWER_COLUMNS += ("needed",)


def calibration_table(verdicts: Sequence[Mapping]) -> list[dict]:
    """Rows with TABLE_COLUMNS: by world, effect, size, scope and claim, how often each verdict was given, and
    the shares that were right and wrong.

    verdicts: of `calibration.judge_world`. met: "yes" if wrong ≤ WRONG and right ≥ RIGHT (in the row ANY of
    worlds without any signal, which counts the seeds with a supported claim, in its headline scope: wrong ≤
    NULL); "no" if the counts refute that (a chance below DOUBT); else "unsure".
    """
    table = []
    for (*kind, scope, claim), rows in grouped(verdicts, "world", "auroc", "bases", "scope", "claim"):
        outcomes = Counter(row["outcome"] for row in rows)
        counts = Counter(row["verdict"] for row in rows)
        wrong, right = outcomes["wrong"], outcomes["right"]
        met = _met(wrong, right, len(rows))
        about = (*kind, scope, _reached(rows), claim, rows[0]["truth"])
        table.append(_row(about, len(rows), counts, right, wrong, met))
    claims = [row for row in verdicts if nothing_there(row["world"]) and row["headline"] == "yes"]
    for kind, rows in grouped(claims, "world", "auroc", "bases"):
        seeds = {row["seed"] for row in rows}
        wrong = len({row["seed"] for row in rows if rules.is_supported(row["verdict"])})
        met = "yes" if wrong <= NULL * len(seeds) else "unsure"
        met = "no" if at_least(wrong, len(seeds), NULL) < DOUBT else met
        about = (*kind, HEADLINE, _reached(rows), ANY, NONE)
        table.append(
            _row(about, len(seeds), Counter({rules.SUPPORTED: wrong}), len(seeds) - wrong, wrong, met)
        )
    order = list(WORLDS)
    return sorted(table, key=lambda row: (order.index(row["world"]), row["auroc"], row["bases"]))


def nothing_there(world: str) -> bool:
    """Whether a world has nothing to find in any scope."""
    return {truth for of_scope in WORLDS[world].truth.values() for truth in of_scope.values()} == {NONE}


def power_table(table: Sequence[Mapping]) -> list[dict]:
    """Rows with POWER_COLUMNS, of a calibration table: by claim, scope, world and effect, where there is
    something to find, the share of right verdicts at each size.

    needed: the smallest size from which on that is at least RIGHT; NaN where the largest isn't enough.
    """
    rows = []
    known = [row for row in table if row["truth"] in rules.VERDICTS]
    for (claim, scope, world, auroc), sizes in grouped(known, "claim", "scope", "world", "auroc"):
        needed = float("nan")
        for row in sorted(sizes, key=lambda row: -row["bases"]):
            if row["right"] < RIGHT:
                break
            needed = row["bases"]
        for row in sizes:
            values = (claim, scope, world, row["truth"], auroc, row["specialist"], row["bases"])
            values += (row["n_seeds"], row["right"], needed)
            rows.append(dict(zip(POWER_COLUMNS, values, strict=True)))
    order = [*rules.CLAIMS, BEYOND]
    return sorted(rows, key=lambda row: order.index(row["claim"]))


def grouped(rows: Sequence[Mapping], *keys: str) -> list[tuple[tuple, list[Mapping]]]:
    """Rows that are alike in these, in the order of their first."""
    groups: dict[tuple, list[Mapping]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(groups.items())


def _reached(rows: Sequence[Mapping]) -> float:
    known = [row["specialist"] for row in rows if math.isfinite(row["specialist"])]
    return fmean(known) if known else math.nan


def _row(about: tuple, n: int, counts: Counter, right: int, wrong: int, met: str) -> dict:
    """about: the cells before n_seeds."""
    verdicts = [counts[verdict] for verdict in rules.VERDICTS]
    return dict(zip(TABLE_COLUMNS, (*about, n, *verdicts, right / n, wrong / n, met), strict=True))


def _met(wrong: int, right: int, n: int) -> str:
    if at_least(wrong, n, WRONG) < DOUBT or at_least(n - right, n, 1 - RIGHT) < DOUBT:
        return "no"
    return "yes" if wrong <= WRONG * n and right >= RIGHT * n else "unsure"


def at_least(k: int, n: int, p: float) -> float:
    """Chance of k or more of n, each with chance p."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


def describe(table: Sequence[Mapping], settings: Mapping, coverage: Sequence[Mapping] = ()) -> str:
    """The tables as Markdown, that of verdicts at one size: the study's, or the nearest to it.

    table: of `calibration_table`; settings: the config's "tasks", "prompts", "generation" and "calibration";
    coverage: of `coverage.coverage_table`, if there is one.
    """
    made, prompts = settings["calibration"], settings["prompts"]
    size = min({row["bases"] for row in table}, key=lambda size: (abs(size - prompts["bases"]), size))
    per_base = prompts["items_per_base"] * settings["generation"]["samples"]
    claims = [row for row in table if row["claim"] in rules.CLAIMS]
    given = sum(row["n_seeds"] for row in claims)
    lines = [
        "# Calibration",
        "",
        "How often are the verdicts right? A planted world is a set of synthetic activations whose truth is "
        f"known. These have {len(settings['tasks'])} tasks, {per_base} responses to each content request "
        f"({prompts['items_per_base']} prompts with {settings['generation']['samples']} each), "
        f"{made['hidden_size']} dimensions and {made['num_layers']} blocks. The code and the rules are those "
        f"that decide the claims for a model (rules version {rules.VERSION}). Of all {given:,} verdicts on "
        f"claims, at every size, {sum(round(row['wrong'] * row['n_seeds']) for row in claims)} are wrong.",
        "",
        "The kinds of worlds, and the signal that each has:",
        "",
        *(f"- **{_words(name)}**: {world.about}" for name, world in WORLDS.items()),
        "",
        f"## Verdicts with {size} content requests ({size * per_base} responses per task)",
        "",
        "- *AUROC*: the best that a linear probe of one task can reach, across and within prompts.",
        "- *reached*: the mean AUROC that the specialists reached in this scope, at their selected layers.",
        "- *truth*: the right verdict. *unsupported*: every verdict except supported is right; "
        "*uncontradicted*: every verdict except contradicted; *none*: every verdict except these two.",
        "- *partly*: supported, but planning is untested, or the match is not beyond likelihood.",
        f"- *met*: *yes* if at most {WRONG:.0%} of the verdicts are wrong and at least {RIGHT:.0%} are right "
        "(for any claim supported in a world without any signal: if it happens in at most "
        f"{NULL:.0%} of the seeds); *no* if the counts refute this at {1 - DOUBT:.0%}; otherwise *unsure*.",
        "",
        "| world | AUROC | scope | reached | claim | truth | seeds | supported | partly | contradicted "
        "| inconclusive | insufficient | right | wrong | met |",
        "|---|--:|---|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in table:
        if row["bases"] == size:
            cells = [_words(row["world"]), f"{row['auroc']:g}", row["scope"], f"{row['specialist']:.2f}"]
            cells += [_words(row["claim"]), row["truth"], row["n_seeds"], row[rules.SUPPORTED]]
            cells += [row[rules.UNPLANNED] + row[rules.NOT_BEYOND], row[rules.CONTRADICTED]]
            cells += [row[rules.INCONCLUSIVE], row[rules.INSUFFICIENT]]
            cells += [f"{row['right']:.0%}", f"{row['wrong']:.0%}", row["met"]]
            lines.append(_line(cells))
    return "\n".join(lines + _describe_power(power_table(table)) + _describe_coverage(coverage)) + "\n"


def _describe_power(rows: Sequence[Mapping]) -> list[str]:
    sizes = sorted({row["bases"] for row in rows})
    lines = [
        "",
        "## How many content requests does a verdict take?",
        "",
        "The share of right verdicts, by number of content requests. *needed*: the smallest of these numbers "
        f"from which on the share is at least {RIGHT:.0%}. *reached*: the mean AUROC of the specialists with "
        "the most requests; compare it with that of your own study, which is in its overview.",
        "",
        _line(["claim", "scope", "world", "truth", "AUROC", "reached", *sizes, "needed"]),
        "|---|---|---|---|" + "--:|" * (len(sizes) + 3),
    ]
    for (claim, scope, world, auroc), found in grouped(rows, "claim", "scope", "world", "auroc"):
        right = {row["bases"]: f"{row['right']:.0%}" for row in found}
        needed, last = found[0]["needed"], max(found, key=lambda row: row["bases"])
        cells = [
            _words(claim),
            scope,
            _words(world),
            last["truth"],
            f"{auroc:g}",
            f"{last['specialist']:.2f}",
        ]
        cells += [right.get(size, "") for size in sizes]
        cells.append(f"more than {last['bases']}" if math.isnan(needed) else needed)
        lines.append(_line(cells))
    return lines


def _describe_coverage(rows: Sequence[Mapping]) -> list[str]:
    if not rows:
        return []
    lines = [
        "",
        "## How often do the intervals miss?",
        "",
        "Simulated studies differ by chance alone. The truth is the mean over all of them: what probes of a "
        "study of this size reach on average. *misses*: the share of the studies whose interval doesn't hold "
        "it. *SD*: how much the estimates differ between studies; *SE*: what the intervals take it to be. "
        "*refitted*: probes are fitted anew on each draw of groups; *fixed*: they are kept, and deviations "
        f"are widened. *met*: *yes* if the 95 % interval misses in at most {MISSES[95]:.0%} of the studies "
        f"and the 99 % one in at most {MISSES[99]:.1%}; *no* if the counts refute this at {1 - DOUBT:.0%}; "
        "otherwise *unsure*.",
        "",
        "| quantity | scope | probes | studies | truth | SD | SE | 95 % misses | 99 % misses | met |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        cells = [_words(row["quantity"]), row["scope"], row["probes"], row["n_studies"]]
        cells += [f"{row[name]:.3f}" for name in ("truth", "sd", "se")]
        cells += [f"{row['missed95']:.1%}", f"{row['missed99']:.1%}", row["met"]]
        lines.append(_line(cells))
    return lines


def _line(cells: Sequence) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _words(name: str) -> str:
    return name.replace("_", " ")
