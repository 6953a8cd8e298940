"""Why a task doesn't count in one scope, and what to change so that it may."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from skillprobe.analyses.pilot import HIGH, LOW, RARE
from skillprobe.findings.rules import has_estimate
from skillprobe.report.html import percent, shown_number
from skillprobe.storage.tables import SELECTED, WITHIN, in_scope, is_number
from skillprobe.study.sampling import place

PILOT = "`snakemake pilot` proposes changes"
LONGER = "raise {}"
SAMPLES = "more samples a prompt (generation.samples) or a higher {}"
MORE = "more content requests (prompts.bases or prompts.file)"


@dataclass(frozen=True)
class Missing:
    """why: what follows the task's name in a sentence; change: what may mend it, or ""; more: of why, in the
    words of the analysis, or ""."""

    task: str
    why: str
    change: str
    more: str = ""

    @property
    def whole(self) -> str:
        return f"{self.why} ({self.more})" if self.more else self.why


def missing_tasks(
    model: str, scope: str, compliance: Sequence[Mapping], generality: Sequence[Mapping], config: Mapping
) -> list[Missing]:
    """The tasks of a study that have too little data in one scope, or whose specialist has no clear signal.

    compliance, generality: rows of these tables; config: completed.
    """
    labels = {row["task"]: row for row in compliance if str(row["model"]) == model}
    probes = {
        row["task"]: row
        for row in in_scope(generality, scope)
        if str(row["model"]) == model
        and (row["layer"], row["metric"], row["probe"]) == (SELECTED, "auroc", "specialist")
    }
    return list(_missing(model, scope, labels, probes, config))


def _missing(model: str, scope: str, labels: Mapping, probes: Mapping, config: Mapping) -> Iterator[Missing]:
    signal = config["claims"]["signal"]
    for task in config["tasks"]:
        label, probe = labels.get(task), probes.get(task)
        if has_estimate(probe) and probe["lower99"] > signal:
            continue
        if has_estimate(probe):
            bounds = " to ".join(shown_number(probe[end], 2) for end in ("lower99", "upper99"))
            about = f"(AUROC {shown_number(probe['estimate'], 2)}, interval {bounds})"
            hopeful = probe["upper99"] > signal
            yield Missing(
                task, f"has no {'clear signal yet' if hopeful else 'signal'} {about}", MORE if hopeful else ""
            )
            continue
        why, change, more = _without_probe(scope, label, probe, config["probes"]["max_truncated"])
        for template, key in ((LONGER, "max_new_tokens"), (SAMPLES, "temperature")):
            if change == template:
                change = template.format(place(config, model, key))
        yield Missing(task, why, change, more)


def _without_probe(
    scope: str, label: Mapping | None, probe: Mapping | None, most: float
) -> tuple[str, str, str]:
    """The fields of a Missing but its task."""
    status = str(probe["status"]).removeprefix("insufficient: ") if probe else "there is no probe"
    if label is None:
        return "has no responses", "", status
    if is_number(label["truncated"]) and label["truncated"] > most:
        return f"has {percent(label['truncated'])} truncated responses", LONGER, status
    rate, mixed = label["compliance"], label.get("mixed")
    if is_number(rate) and not LOW <= rate <= HIGH:
        return f"has {percent(rate)} satisfied responses", PILOT, status
    if scope == WITHIN and is_number(mixed) and mixed < RARE:
        return f"has both outcomes for only {percent(mixed)} of its prompts", SAMPLES, status
    return f"has too little data ({status})", MORE, ""
