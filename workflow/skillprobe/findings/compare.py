"""Two studies, or two models, side by side: which findings differ, and by how much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skillprobe.errors import UserError
from skillprobe.findings import rules
from skillprobe.statistics.intervals import Estimate
from skillprobe.storage import draws, files, tables
from skillprobe.study.slices import canonical

COLUMNS = ("a", "b", "claim", "verdict_a", "verdict_b", "estimate_a", "estimate_b", "difference")
COLUMNS += ("lower99", "upper99", "paired", "reason")
# What decides which requests there are and how they are drawn again: equal, the draws of two studies go
# together.
SAME_REQUESTS = ("seed", "prompts", "statistics", "probes.calibration_fraction")


@dataclass(frozen=True)
class Results:
    """What one study found. found: findings.json; config: completed; rows: {model: `rules.evidence`}."""

    folder: Path
    found: Mapping[str, Mapping[str, Mapping]]
    config: Mapping
    rows: Mapping[str, Mapping[str, Mapping[str, Mapping | None]]]


def read_results(folder: str | Path) -> Results:
    """Of a study that has run to its end. Raises UserError naming what its folder lacks."""
    folder = Path(folder)
    try:
        config = files.read_json(folder / "report/config.json")
        found = files.read_json(folder / "findings.json")
        models = [name for name in found if name != rules.POOLED]
        judged = {}
        for name in sorted({table for rule in rules.RULES.values() for table, _ in rule.evidence.values()}):
            # Tables of models that are no longer in the study may lie there too.
            by_model = [folder / "tables" / name / f"{model}.csv" for model in models]
            judged[name] = [
                row
                for path in by_model
                # Without positions over time, a study has no such tables.
                if path.is_file()
                for row in draws.with_draws(tables.read_csv(path), path.with_suffix(".h5"))
            ]
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename or error}: the study in {folder} is not finished; finish it "
            "with snakemake, or give another folder in results/"
        ) from error
    rows = {model: rules.evidence(judged, model) for model in models}
    if rules.POOLED in found:
        rows[rules.POOLED] = {
            claim: rules.pool(rows, claim, finding["models"])
            for claim, finding in found[rules.POOLED].items()
        }
    return Results(folder, found, config, rows)


def compare(a: Results, b: Results, model_a: str = "", model_b: str = "") -> list[dict]:
    """Rows with COLUMNS: of each pair of models and claim, both verdicts and the difference b − a.

    model_a, model_b: names ("": every model that both have, and the pooled findings where both have the same
    models). The interval is of the paired difference where both answered the same requests (`paired`: the
    draws of bases are joint), else of independent ones; NaN where a finding has no draws. Raises UserError
    for a model that a study hasn't, and where there is none in common.
    """
    pairs = _pairs(a, b, model_a, model_b)
    paired = canonical(a.config, *SAME_REQUESTS) == canonical(b.config, *SAME_REQUESTS)
    rows = []
    for first, second in pairs:
        for claim in rules.CLAIMS:
            mine, its = a.found[first][claim], b.found[second][claim]
            row = {"a": f"{a.folder.name}: {first}", "b": f"{b.folder.name}: {second}", "claim": claim}
            row |= {"verdict_a": mine["verdict"], "verdict_b": its["verdict"]}
            row |= {"estimate_a": _number(mine), "estimate_b": _number(its)}
            row["difference"] = row["estimate_b"] - row["estimate_a"]
            difference = _difference(
                *(_estimate(each) for each in (a.rows[first][claim], b.rows[second][claim])), paired
            )
            cells = difference.cells() if difference else {}
            row |= {"lower99": cells.get("lower99", math.nan), "upper99": cells.get("upper99", math.nan)}
            reasons = [each["reason"] for each in (mine, its) if each["verdict"] == "insufficient"]
            rows.append(row | {"paired": paired, "reason": "; ".join(dict.fromkeys(reasons))})
    return rows


def describe(rows: list[dict]) -> str:
    """The rows as text: those whose verdicts differ first."""
    lines = []
    for changed, title in ((True, "Verdicts that differ"), (False, "Verdicts that are the same")):
        chosen = [row for row in rows if (row["verdict_a"] != row["verdict_b"]) == changed]
        lines += [f"{title}: {len(chosen)} of {len(rows)}"]
        for row in chosen:
            verdicts = f"{row['verdict_a']} -> {row['verdict_b']}" if changed else row["verdict_a"]
            lines.append(f"  {rules.CLAIMS[row['claim']]}")
            lines.append(f"    {row['a']}, {row['b']}: {verdicts}; {_difference_words(row)}")
            if row["reason"]:
                lines.append(f"    insufficient: {row['reason']}")
    if any(not row["paired"] for row in rows):
        lines.append("The studies' requests differ, so the intervals are of independent samples.")
    return "\n".join(lines) + "\n"


def _difference_words(row: Mapping) -> str:
    if math.isnan(row["difference"]):
        return "no difference to measure"
    text = f"{row['estimate_a']:.3f} -> {row['estimate_b']:.3f}, difference {row['difference']:+.3f}"
    if math.isnan(row["lower99"]):
        return f"{text} (no interval)"
    return f"{text} [{row['lower99']:+.3f}, {row['upper99']:+.3f}]"


def _pairs(a: Results, b: Results, model_a: str, model_b: str) -> list[tuple[str, str]]:
    for results, model in ((a, model_a), (b, model_b)):
        if model and model not in results.found:
            raise UserError(
                f"{results.folder} has no findings of model '{model}'; it has {', '.join(results.found)}"
            )
    if model_a and model_b:
        return [(model_a, model_b)]
    if model_a or model_b:
        raise UserError("name a model of both folders, or of neither")
    pairs = [(model, model) for model in a.found if model in b.found and model != rules.POOLED]
    if list(a.found) == list(b.found) and rules.POOLED in a.found:
        pairs.append((rules.POOLED, rules.POOLED))
    if not pairs:
        raise UserError(
            f"{a.folder} and {b.folder} have no model in common; name one of each, as in {a.folder}:MODEL"
        )
    return pairs


def _number(finding: Mapping) -> float:
    return math.nan if finding["estimate"] is None else finding["estimate"]


def _estimate(rows: Mapping[str, Mapping | None]) -> Estimate | None:
    row = next(iter(rows.values()))
    return row.get(tables.DRAWS) if row else None


def _difference(a: Estimate | None, b: Estimate | None, paired: bool) -> Estimate | None:
    """b − a, of joint draws if paired, else of draws that are put together at random."""
    if a is None or b is None:
        return None
    n_draws = min(len(a.drawn), len(b.drawn))
    n_seeds = min(len(a.by_seed), len(b.by_seed))
    # Draws are in no order, so one turn of them is as good as any shuffle.
    turned = b.drawn[:n_draws] if paired else np.roll(b.drawn, 1)[:n_draws]
    by_seed = b.by_seed[:n_seeds] - a.by_seed[:n_seeds]
    # Of fewer fold seeds where one study has fewer; the difference stays that of the estimates.
    moved = by_seed - by_seed.mean() + b.value - a.value
    return Estimate(moved, turned - a.drawn[:n_draws], max(a.factor, b.factor))
