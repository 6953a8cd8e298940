"""How the report speaks of each claim: in a few words, its number in a sentence, where its verdict turns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from skillprobe.report.html import percent, sentence, shown_number, with_interval
from skillprobe.statistics.intervals import level_words
from skillprobe.storage.tables import is_number

# More content requests than so many times those of the study are no advice.
MOST_TIMES = 30


@dataclass(frozen=True)
class Shown:
    """short: the claim in a few words; axis: what is estimated, as the label of an axis; number: in a
    sentence, with the estimate to fill in; kind: how that is written, as a "difference" (0.08 above), a
    "share" (31 %) or a "number"; supported, contradicted: {threshold: side}, where that verdict begins and on
    which side (+1: above), a threshold being a key of the config's `claims` or a number. None where something
    else decides. also: what a task needs to count, beside a signal, with numbers of the config to fill in."""

    short: str
    axis: str
    number: str
    kind: str
    supported: Mapping[str | float, int] = field(default_factory=dict)
    contradicted: Mapping[str | float, int] = field(default_factory=dict)
    also: str = ""


_ERASED = (
    "A task whose signal is erased also needs {min_rows} responses of each class in every training part "
    "(ablation.min_rows)."
)

SHOWN = {
    "generality": Shown(
        "specialists beat one general probe",
        "AUROC, specialist − general",
        "the AUROC of specialists is {} that of the general probe",
        "difference",
        {"margin": +1},
        {"margin": -1},
    ),
    "transfer_weak": Shown(
        "transfer between tasks is weak",
        "AUROC above ½: other task's probe / own probe",
        "another task's probe keeps {} of the AUROC above ½ of a task's own probe",
        "share",
        {"weak_ratio": -1},
        {"weak_ratio": +1},
    ),
    "transfer_clustered": Shown(
        "transfer follows the paper's groups",
        "transfer within groups − between",
        "transfer within the paper's groups of tasks is {} that between them",
        "difference",
        {},
        {0.0: -1},
    ),
    "ablation_sparse": Shown(
        "dependencies are sparse",
        "share of pairs that are dependent",
        "{} of the pairs of tasks are dependent",
        "share",
        {"sparse_dependent": -1},
        {"not_sparse": +1},
        _ERASED,
    ),
    "ablation_asymmetric": Shown(
        "dependencies are asymmetric",
        "squared difference between a pair's directions",
        "the mean squared difference between the two directions of a pair, beyond strength and noise, is {}",
        "number",
        also=_ERASED,
    ),
    "layers_stratified": Shown(
        "structural, then lexical, then the others emerge",
        "Kendall's tau of category and depth",
        "Kendall's tau between a task's category and the depth at which it emerges is {}",
        "number",
        {0.0: +1},
        {0.0: -1},
    ),
    "monitoring": Shown(
        "satisfaction is monitored, not planned",
        "AUROC, EOS − end of the prompt",
        "the AUROC at EOS is {} that at the prompt's end",
        "difference",
        {"gain": +1},
        {"gain": -1},
    ),
    "specificity": Shown(
        "probes read the match with the constraint",
        "share of crossings in which the matching pairs win",
        "probes prefer the matching pairs in {} of the crossings",
        "share",
        {"match": +1},
        {"match": -1},
        "A task also needs {crossings} crossings of {crossing_groups} subjects: more samples (generation."
        "samples) or content requests (prompts.bases or prompts.file) make more.",
    ),
    # Decided task by task: where the mean lies is only shown.
    "monitor_adds": Shown(
        "the runtime monitor adds to what the text says",
        "AUROC in the answer, monitor − best trivial one",
        "in the middle of the answer, the mean AUROC of monitors is {} that of the best trivial ones",
        "difference",
    ),
}


def number_words(claim: str, finding: Mapping, looks: int) -> str:
    """The estimate of a finding in words, with its interval: "the AUROC of specialists is 0.081 above that of
    the general probe (99 % interval 0.052 to 0.110)"; "" where there is none."""
    shown, value = SHOWN[claim], finding["estimate"]
    if not is_number(value):
        return ""
    digits = _digits(value)
    if shown.kind == "difference":
        words = f"{shown_number(abs(value), digits)} {'below' if value < 0 else 'above'}"
    else:
        words = _written(value, shown.kind, digits)
    text = shown.number.format(words)
    if finding["interval"]:
        lower, upper = (_written(bound, shown.kind, digits) for bound in finding["interval"])
        text += f" ({level_words(looks)} interval {lower} to {upper})"
    return text


def estimate_words(finding: Mapping) -> str:
    """A finding's estimate and interval as a table's cell, in one line; "" where there is none."""
    if finding["estimate"] is None:
        return ""
    lower, upper = finding["interval"] or (None, None)
    row = {"estimate": finding["estimate"], "lower99": lower, "upper99": upper}
    return with_interval(row, 99, _digits(finding["estimate"])).replace(" ", "\u00a0")


def tasks_words(finding: Mapping, whole: str) -> str:
    """On how many of a study's tasks (in words) a finding rests: "5 of 9 tasks"; of models in which others
    count, "at least 4 of 9 tasks in each model, 2 of them in all"."""
    n, fewest = len(finding["tasks"]), finding["n"]["fewest_tasks"]
    if n == fewest:
        return f"{n} of {whole}"
    return f"at least {fewest} of {whole} in each model, {n or 'none'} of them in all"


def rules_list(found: Mapping[str, Mapping]) -> str:
    """HTML of the rules that decided one model's findings; what most end in is said once."""
    parts = {claim: finding["rule"].rpartition(". ") for claim, finding in found.items()}
    common, times = Counter(last for _, _, last in parts.values()).most_common(1)[0]
    lines = [
        f"<li><b>{escape(sentence(found[claim]['claim']))}.</b> "
        f"{escape(f'{head}.' if times > 1 and last == common else found[claim]['rule'])}</li>"
        for claim, (head, _, last) in parts.items()
    ]
    lines += [f"<li>{escape(common)}</li>"] if times > 1 else []
    return f"<ul class=small>{''.join(lines)}</ul>"


def also_words(claim: str, config: Mapping) -> str:
    """What a task needs to count for a claim, beside a signal, as a sentence; "" for most claims."""
    return SHOWN[claim].also.format(**config["claims"], min_rows=config["ablation"]["min_rows"])


def turns(claim: str, thresholds: Mapping) -> dict[str, dict[float, int]]:
    """{"supported": {threshold: side}, "contradicted": ...} in numbers."""
    shown = SHOWN[claim]
    return {
        verdict: {thresholds.get(at, at): side for at, side in sides.items()}
        for verdict, sides in (("supported", shown.supported), ("contradicted", shown.contradicted))
    }


def times_as_many(claim: str, finding: Mapping, thresholds: Mapping) -> float | None:
    """How many times as many content requests would decide an inconclusive finding, if its estimate stayed
    and its interval shrank with the root of their number. None where no one threshold decides, or the
    interval holds none."""
    value, interval = finding["estimate"], finding["interval"]
    at = {threshold for sides in turns(claim, thresholds).values() for threshold in sides}
    # Where the two verdicts begin at different numbers, or one at none, other things decide too.
    if len(at) != 1 or not (SHOWN[claim].supported and SHOWN[claim].contradicted) or not interval:
        return None
    (threshold,) = at
    lower, upper = interval
    if not lower <= threshold <= upper:
        return None
    # The half of the interval on the threshold's side.
    half = value - lower if value > threshold else upper - value
    return (half / abs(value - threshold)) ** 2 if value != threshold else math.inf


def width_words(claim: str, finding: Mapping, thresholds: Mapping) -> str:
    """Why a finding is inconclusive, and how many content requests it would take."""
    if not finding["interval"]:
        return "there is no interval to decide it"
    times = times_as_many(claim, finding, thresholds)
    if times is None:
        return (
            "this leaves it open; about four times as many content requests (prompts.bases or prompts.file) "
            "would halve the interval"
        )
    threshold = _written(next(iter(turns(claim, thresholds)["supported"])), SHOWN[claim].kind)
    if times > MOST_TIMES:
        return (
            f"the estimate is so near to {threshold}, where the verdict turns, that no affordable number of "
            "content requests would decide it"
        )
    many = f"{times:.0f}" if times >= 3 else f"{times:.1f}"
    return (
        f"{threshold}, where the verdict turns, is in the interval; if the estimate stays, about {many} "
        "times as many content requests (prompts.bases or prompts.file) would decide it"
    )


def _digits(value: float) -> int:
    """After the point: squares of differences are small."""
    return 3 if abs(value) >= 0.005 or value == 0 else 4


def _written(value: float, kind: str, digits: int = 3) -> str:
    return percent(value).replace("-", "−") if kind == "share" else shown_number(value, digits)
