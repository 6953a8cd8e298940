"""Two studies, or two models, side by side: which findings differ, and by how much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skillprobe.errors import UserError
from skillprobe.findings import rules
from skillprobe.statistics.intervals import Estimate, cells_of
from skillprobe.storage import draws, files, tables
from skillprobe.study.slices import canonical

COLUMNS = ("a", "b", "rules_a", "rules_b", "claim", "scope", "headline", "verdict_a", "verdict_b")
COLUMNS += ("estimate_a", "estimate_b", "difference", "lower99", "upper99", "paired", "reason")
# What decides which requests there are and how they are drawn again: equal, the draws of two studies go
# together.
SAME_REQUESTS = ("seed", "prompts", "statistics", "probes.calibration_fraction")
# {version of the rules: claims whose number it has defined anew}.
REDEFINED = {2: ("transfer_weak", "ablation_asymmetric", "specificity")}


@dataclass(frozen=True)
class Results:
    """What one study found. found: findings.json; config: completed; rows: {(model, claim, scope):
    `rules.evidence`}, empty for findings of another version of the rules, whose evidence was other rows."""

    folder: Path
    found: Mapping[str, Mapping[str, Mapping]]
    config: Mapping
    rows: Mapping[tuple[str, str, str], Mapping[str, Mapping | None]]

    @property
    def version(self) -> int:
        """Of the rules."""
        return next(iter(next(iter(self.found.values())).values()))["rules_version"]

    def finding(self, model: str, claim: str, scope: str) -> Mapping | None:
        """None where the study has no verdict in that scope; version 1 knew no scope but across prompts."""
        headline = self.found[model].get(claim)
        both = filter(None, (headline, headline and headline.get("secondary")))
        return next((each for each in both if each.get("scope", tables.ACROSS) == scope), None)


def read_results(folder: str | Path) -> Results:
    """Of a study that has run to its end. Raises UserError naming what its folder lacks."""
    folder = Path(folder)
    try:
        config = files.read_json(folder / "report/config.json")
        results = Results(folder, files.read_json(folder / "findings.json"), config, {})
        return replace(results, rows=_evidence(results)) if results.version == rules.VERSION else results
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename or error}: the study in {folder} is not finished; finish it "
            "with snakemake, or give another folder in results/"
        ) from error


def _evidence(results: Results) -> dict[tuple[str, str, str], Mapping[str, Mapping | None]]:
    models = [name for name in results.found if name != rules.POOLED]
    judged = {}
    for name in sorted({table for rule in rules.RULES.values() for table in rule.tables}):
        # Tables of models that are no longer in the study may lie there too.
        by_model = [results.folder / "tables" / name / f"{model}.csv" for model in models]
        judged[name] = [
            row
            for path in by_model
            # Without positions over time, a study has no such tables.
            if path.is_file()
            for row in draws.with_draws(tables.read_csv(path), path.with_suffix(".h5"))
        ]
    rows = {}
    for claim, rule in rules.RULES.items():
        for scope in rule.scopes:
            of_each = {model: rules.evidence(judged, model, claim, scope) for model in models}
            rows |= {(model, claim, scope): found for model, found in of_each.items()}
            # A study that was finished before there was a claim has no verdict on it.
            if rules.POOLED in results.found and (finding := results.finding(rules.POOLED, claim, scope)):
                pooled = rules.pool({model: of_each[model] for model in finding["models"]})
                rows[rules.POOLED, claim, scope] = pooled
    return rows


def compare(a: Results, b: Results, model_a: str = "", model_b: str = "") -> list[dict]:
    """Rows with COLUMNS: of each pair of models, claim and scope, both verdicts and the difference b − a.

    model_a, model_b: names ("": every model that both have, and the pooled findings where both have the same
    models). The interval is of the paired difference where both answered the same requests (`paired`: the
    draws of groups are joint), else of independent ones; NaN where a finding has no draws. Findings of two
    versions of the rules have no verdicts here and no interval, and no row where the later version has
    defined a claim's number anew. Raises UserError for a model that a study hasn't, and where there is none
    in common.
    """
    pairs = _pairs(a, b, model_a, model_b)
    skipped, same_rules = redefined(a.version, b.version), a.version == b.version
    # Configs of other versions may lack a key.
    paired = same_rules and canonical(a.config, *SAME_REQUESTS) == canonical(b.config, *SAME_REQUESTS)
    rows = []
    for first, second in pairs:
        for claim, rule in rules.RULES.items():
            for scope in rule.scopes:
                mine, its = a.finding(first, claim, scope), b.finding(second, claim, scope)
                if mine is None or its is None or claim in skipped:
                    continue
                row = {"a": f"{a.folder.name}: {first}", "b": f"{b.folder.name}: {second}"}
                row |= {"rules_a": a.version, "rules_b": b.version, "claim": claim, "scope": scope}
                decides = mine is a.found[first][claim] or its is b.found[second][claim]
                row["headline"] = "yes" if decides else "no"
                verdicts = (mine["verdict"], its["verdict"]) if same_rules else ("", "")
                row |= dict(zip(("verdict_a", "verdict_b"), verdicts, strict=True))
                row |= {"estimate_a": _number(mine), "estimate_b": _number(its)}
                row["difference"] = row["estimate_b"] - row["estimate_a"]
                difference = None
                if same_rules:
                    keys = (first, claim, scope), (second, claim, scope)
                    drawn = (_estimate(a.rows.get(keys[0])), _estimate(b.rows.get(keys[1])))
                    difference = _difference(*drawn, paired)
                cells = cells_of(difference)
                row |= {"lower99": cells["lower99"], "upper99": cells["upper99"], "paired": paired}
                reasons = [each["reason"] for each in (mine, its) if each["verdict"] == rules.INSUFFICIENT]
                row["reason"] = "; ".join(dict.fromkeys(reasons)) if same_rules else ""
                rows.append(row)
    return rows


def redefined(first: int, second: int) -> list[str]:
    """Claims whose number a later of two versions of the rules has defined anew."""
    versions = range(min(first, second) + 1, max(first, second) + 1)
    return [claim for version in versions for claim in REDEFINED.get(version, ())]


def describe(rows: list[dict]) -> str:
    """The rows as text: those whose verdicts differ first; of two versions of the rules, estimates alone."""
    versions = rows[0]["rules_a"], rows[0]["rules_b"]
    if versions[0] != versions[1]:
        return _describe_versions(rows, *versions)
    lines = []
    for changed, title in ((True, "Verdicts that differ"), (False, "Verdicts that are the same")):
        chosen = [row for row in rows if (row["verdict_a"] != row["verdict_b"]) == changed]
        lines += [f"{title}: {len(chosen)} of {len(rows)}"]
        for row in chosen:
            verdicts = f"{row['verdict_a']} -> {row['verdict_b']}" if changed else row["verdict_a"]
            lines.append(f"  {_claim_words(row)}")
            lines.append(f"    {row['a']}, {row['b']}: {verdicts}; {_difference_words(row)}")
            if row["reason"]:
                lines.append(f"    insufficient: {row['reason']}")
    if versions[0] != rules.VERSION:
        lines.append(
            f"Both studies were judged by version {versions[0]} of the rules, whose tables this version "
            f"({rules.VERSION}) cannot read, so there are no intervals."
        )
    elif any(not row["paired"] for row in rows):
        lines.append("The studies' requests differ, so the intervals are of independent samples.")
    return "\n".join(lines) + "\n"


def _describe_versions(rows: list[dict], first: int, second: int) -> str:
    lines = [
        f"The two studies were judged by versions {first} and {second} of the rules, so verdicts are not "
        "compared, only estimates, each as its version defines it."
    ]
    for row in rows:
        lines.append(f"  {_claim_words(row)}")
        lines.append(f"    {row['a']}, {row['b']}: {_difference_words(row)}")
    lines.append("Not compared, because the later version estimates another number:")
    lines += [f"  {rules.CLAIMS[claim]}" for claim in redefined(first, second)]
    return "\n".join(lines) + "\n"


def _claim_words(row: Mapping) -> str:
    secondary = "" if row["headline"] == "yes" else ", secondary"
    return f"{rules.CLAIMS[row['claim']]} ({row['scope']} prompts{secondary})"


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


def _estimate(rows: Mapping[str, Mapping | None] | None) -> Estimate | None:
    row = next(iter(rows.values())) if rows else None
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
