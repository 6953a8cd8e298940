"""Will a study have enough data? An extrapolation from the labels of a pilot, or of the study itself
(docs/definitions.md, "Enough data").

An item's probability to be satisfied is taken to be Beta-distributed over items: with the observed compliance
as its mean, and as spread as the observed share of mixed items (those with both outcomes) says.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean

from skillprobe.storage.tables import is_number
from skillprobe.study.slices import SIZES

# The most that is proposed.
MOST_SAMPLES, MOST_ITEMS = 16, 8


@dataclass(frozen=True)
class Design:
    """The sizes of a study. items_per_base: of prompts of the user's own their mean number per request and
    task, which no key changes; subjects, contents: how many subjects and content requests its world has."""

    bases: int
    items_per_base: int | float
    samples: int
    subjects: int
    contents: int
    folds: int
    fold_seeds: int
    calibration_fraction: float
    min_rows: int
    min_groups: int
    max_truncated: float
    flag_truncated: float
    min_mixed_items: int
    min_mixed_groups: int
    min_mixed_in_fold: int

    @classmethod
    def of(cls, config: Mapping, contents: Mapping) -> "Design":
        """config: a completed one; contents: as `study.sources.contents` gives it."""
        prompts, probes = config["prompts"], config["probes"]
        items_per_base = prompts["items_per_base"]
        if found := prompts.get("found"):
            items_per_base = fmean(found["constrained"].values()) / prompts["bases"]
        return cls(
            bases=prompts["bases"],
            items_per_base=items_per_base,
            samples=config["generation"]["samples"],
            subjects=contents["subjects"],
            contents=contents["subjects"] * contents["requests"],
            **{name: probes[name] for name in SIZES},
        )


@dataclass(frozen=True)
class Forecast:
    """What a task is expected to have, and why that is too little ("" if it is enough).

    rows, groups: of the rarer class, in a training part; mixed_items, mixed_groups: in all folds together;
    per_fold: mixed items in the smallest test fold of all fold seeds.
    """

    rows: float
    groups: float
    mixed_items: float
    mixed_groups: float
    per_fold: float
    across: str
    within: str


def mixed_share(compliance: float, concentration: float, samples: float) -> float:
    """Share of items with both outcomes among `samples` responses each. concentration: a + b of the Beta
    distribution; 0, every item has one outcome only; infinite, all items are alike."""
    return 1 - _all(compliance, concentration, samples) - _all(1 - compliance, concentration, samples)


def concentration(compliance: float, mixed: float, samples: float) -> float:
    """The inverse of `mixed_share`; infinite where more items are mixed than if all were alike."""
    if mixed <= 0:
        return 0.0
    if mixed >= mixed_share(compliance, math.inf, samples):
        return math.inf
    low, high = math.log(1e-6), math.log(1e6)
    for _ in range(60):
        middle = (low + high) / 2
        if mixed_share(compliance, math.exp(middle), samples) < mixed:
            low = middle
        else:
            high = middle
    return math.exp(middle)


def _all(share: float, concentration: float, samples: float) -> float:
    """E[p^samples] for p of a Beta distribution with mean `share`."""
    if share in (0, 1) or concentration == 0:
        return share
    if math.isinf(concentration):
        return share**samples
    a = share * concentration
    logs = (math.lgamma(a + samples), math.lgamma(concentration))
    logs += (-math.lgamma(a), -math.lgamma(concentration + samples))
    return math.exp(sum(logs))


def forecast(row: Mapping, design: Design) -> Forecast:
    """What a task will have. row: with "compliance", "truncated", "undecided" (0 if missing), "mixed" and
    "n_per_item" of `compliance`'s table. Items about one subject are taken to be independent."""
    if not is_number(row["compliance"]) or not is_number(row["mixed"]):
        missing = "no item has two untruncated responses" if is_number(row["compliance"]) else "no responses"
        if row["truncated"] == 1:
            missing = "all responses are truncated"
        elif row.get("undecided") == 1:
            missing = "the judge leaves all responses undecided"
        return Forecast(0, 0, 0, 0, 0, missing, missing)
    rate, kept = row["compliance"], (1 - row["truncated"]) * (1 - row.get("undecided", 0.0))
    spread = concentration(rate, row["mixed"], row["n_per_item"])
    # Truncated and undecided responses are left out.
    samples = max(1.0, design.samples * kept)
    per_fold = design.bases * design.items_per_base * (1 - design.calibration_fraction) / design.folds
    groups = min(design.bases, design.subjects) * (1 - design.calibration_fraction)
    items_per_group = design.bases * design.items_per_base / min(design.bases, design.subjects)
    training = 1 - 1 / design.folds
    rows = per_fold * design.folds * training * design.samples * kept * min(rate, 1 - rate)
    # Items that have any row of the rarer class, and groups that have such an item.
    has = 1 - _all(max(rate, 1 - rate), spread, samples)
    of_class = groups * training * (1 - (1 - has) ** items_per_group)
    share = mixed_share(rate, spread, samples)
    mixed_groups = groups * (1 - (1 - share) ** items_per_group)
    smallest = _smallest(per_fold, share, design.folds * design.fold_seeds)
    mixed = per_fold * design.folds * share

    across = within = ""
    if row["truncated"] > design.max_truncated:
        across = within = f"{row['truncated']:.0%} of the responses are truncated"
    if not across and (rows < design.min_rows or of_class < design.min_groups):
        kind = "violated" if rate > 0.5 else "satisfied"
        across = (
            f"about {rows:.0f} of {design.min_rows} {kind} responses, of {of_class:.0f} of "
            f"{design.min_groups} subjects, in a training part"
        )
    least, of_groups, in_fold = design.min_mixed_items, design.min_mixed_groups, design.min_mixed_in_fold
    if not within and (mixed < least or mixed_groups < of_groups or smallest < in_fold):
        within = (
            f"about {mixed:.0f} of {least} items with both outcomes, of {mixed_groups:.0f} of {of_groups} "
            f"subjects, {smallest:.0f} of {in_fold} in the smallest test fold"
        )
    return Forecast(rows, of_class, mixed, mixed_groups, smallest, across, within)


def _smallest(items: float, share: float, n: int) -> float:
    """The expected least of n binomial counts (Blom's normal scores)."""
    spread = math.sqrt(items * share * (1 - share))
    return max(0.0, items * share + NormalDist().inv_cdf((1 - 0.375) / (n + 0.25)) * spread)


def needed(row: Mapping, design: Design) -> dict[str, int]:
    """{key of Design: its least value that makes the task sufficient in both scopes}, each with the others as
    they are; {} where the task is sufficient, or where no value is enough."""
    if enough(row, design):
        return {}
    steps = {
        "bases": range(design.bases // 10 * 10 + 10, design.contents + 1, 10),
        "items_per_base": range(design.items_per_base + 1, MOST_ITEMS + 1)
        if isinstance(design.items_per_base, int)
        else (),
        "samples": range(design.samples + 1, MOST_SAMPLES + 1),
    }
    found = {
        key: next((value for value in values if enough(row, replace(design, **{key: value}))), None)
        for key, values in steps.items()
    }
    return {key: value for key, value in found.items() if value is not None}


def enough(row: Mapping, design: Design) -> bool:
    """Whether the task would be sufficient in both scopes."""
    expected = forecast(row, design)
    return not (expected.across or expected.within)


def enough_for_all(table: Iterable[Mapping], design: Design) -> dict[str, int]:
    """As `needed`, for all rows together: what is enough for each insufficient one; {} where nothing is."""
    wanted = [needed(row, design) for row in table if not enough(row, design)]
    keys = [key for key in (wanted[0] if wanted else {}) if all(key in each for each in wanted)]
    return {key: max(each[key] for each in wanted) for key in keys}
