"""How long a study's jobs take: by the benchmarks of what has run on this machine, else by docs/costs.md."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean

from skillprobe.study.slices import (
    blocks,
    layers_of,
    over_time,
    pilot_samples,
    random_layers_of,
    rows_per_task,
    section_layers_of,
)

# Seconds of one thread, for nine tasks of 600 responses, half of workflow/studies/paper.yaml's, and d = 4096.
# docs/costs.md has them with what they are of; a test holds the two together. Of these a job's:
PER_JOB = {
    "fit_specialist_probe": 4.1,
    "fit_general_probe": 296,
    "transfer_probes": 1.0,
    "ablate_activations": 197,
    "fit_course": 36,
    "fit_across_wordings": 47,
    "fit_prefix_baselines": 1.6,
    "fit_planning": 10.5,
}
# And of these a layer's, of a job that reads several.
PER_LAYER = {
    "fit_random_probes": 1.0,
    "refit_probes": 123,
    "compare_similarity": 4.8,
    "compare_ablation": 12.5,
    "compare_time": 6.1,
    "compare_generality": 3.6,
    "compare_transfer": 1.7,
}
MEASURED_RESPONSES, COURSE_POSITIONS = 600, 5
# Rules whose time is that of a language model, on whatever device there is.
OF_A_MODEL = ("generate_responses", "extract_activations", "extract_random_activations", "extract_crossings")
OF_A_MODEL += ("edit_behaviour", "guard_responses")
# Rules that a pilot has too, under other names.
PILOTED = {"generate_responses": "generate_pilot_responses", "label_responses": "label_pilot_responses"}
# Rules with a job for each block of content requests.
OF_A_BLOCK = (*OF_A_MODEL[:-2], "make_prompts", "take_answers", "label_responses", "make_crossings")


def documented(config: Mapping, counts: Mapping[str, int]) -> dict[str, float]:
    """{rule: seconds of all its jobs}, of the rules that docs/costs.md gives and the study has. Times grow
    with the number of responses; that smaller models take less is left out.

    counts: {rule: jobs}.
    """
    models = [entry["name"] for entry in config["models"]]
    analysed = sum(len(layers_of(config, model)) for model in models)
    layers = dict.fromkeys(PER_LAYER, analysed)
    layers |= {
        f"compare_{section}": sum(len(section_layers_of(config, section, model)) for model in models)
        for section in ("ablation", *(("time",) if over_time(config) else ()))
    }
    layers["fit_random_probes"] = sum(len(random_layers_of(config, model)) for model in models)
    layers["fit_random_probes"] *= len(config["tasks"])
    # One layer that all tasks agree on, in both scopes.
    layers["refit_probes"] = 2 * len(models)
    growth = _responses(config) / MEASURED_RESPONSES
    times = {rule: seconds * counts.get(rule, 0) for rule, seconds in PER_JOB.items()}
    times["fit_course"] *= len(config["activations"]["positions"]) / COURSE_POSITIONS
    times |= {rule: seconds * layers[rule] for rule, seconds in PER_LAYER.items() if rule in counts}
    return {rule: growth * seconds for rule, seconds in times.items() if seconds}


def measured(config: Mapping, counts: Mapping[str, int], root: Path) -> dict[str, tuple[float, str]]:
    """{rule: (seconds of all its jobs, the study that they were measured in)}, of rules that have run here.

    Of this study, else of its pilot, else of the last other one that is finished; the times of these two grow
    with the number of responses, and jobs of a language model are taken only from studies of the same models.
    Each is a mean times a number of jobs.
    """
    found: dict[str, tuple[float, str]] = {}
    for study, other in _studies(config, root):
        models = _same_models(config, other)
        growth = _responses(config) / _responses(other)
        for rule, jobs in counts.items():
            # One job of these is of a block.
            each = growth * len(blocks(other)) / len(blocks(config)) if rule in OF_A_BLOCK else growth
            times = [
                seconds
                for model, seconds in _benchmarks(root / "results" / study / "benchmarks", rule)
                if rule not in OF_A_MODEL or model in models
            ]
            if times and rule not in found:
                found[rule] = each * fmean(times) * jobs, study
        if study == config["study"]:
            found = _of_the_pilot(config, counts, root) | found
    return found


def _of_the_pilot(config: Mapping, counts: Mapping[str, int], root: Path) -> dict[str, tuple[float, str]]:
    """As `measured`, of the stages that the study's pilot has too."""
    pilot, responses = config["pilot"], sum(rows_per_task(config).values())
    # One job of the pilot is of a model and task.
    of_prompt = sum(pilot_samples(config).values())
    growth = responses / (pilot["prompts"] * of_prompt) / len(blocks(config))
    folder, models = root / "results" / config["study"] / "benchmarks", _same_models(config, config)
    found = {}
    for rule, of_pilot in PILOTED.items():
        times = [seconds for model, seconds in _benchmarks(folder, of_pilot) if model in models]
        # Where answers are given, nothing is generated any more.
        if times and rule in counts:
            found[rule] = growth * fmean(times) * counts[rule], f"{config['study']}, its pilot"
    return found


def describe(config: Mapping, counts: Mapping[str, int], root: Path) -> list[str]:
    """Lines on the time of all jobs, on one core, and where each part of it is known from."""
    here = measured(config, counts, root)
    book = {rule: time for rule, time in documented(config, counts).items() if rule not in here}
    by_study: dict[str, float] = {}
    for seconds, study in here.values():
        by_study[study] = by_study.get(study, 0) + seconds
    known = [*here, *book]
    jobs = sum(counts[rule] for rule in known)
    total = sum(by_study.values()) + sum(book.values())
    lines = [f"time         about {_span(total)} of one core, for {jobs:,} of {sum(counts.values()):,} jobs:"]
    for study, seconds in by_study.items():
        rules = sum(1 for _, source in here.values() if source == study)
        scaled = "" if study == config["study"] else ", by number of responses"
        lines.append(f"  {_span(seconds)} by the benchmarks of results/{study} ({_counted(rules)}{scaled})")
    if book:
        span, rules = _span(sum(book.values())), _counted(len(book))
        lines.append(f"  {span} by docs/costs.md ({rules}, at d = 4096: smaller models take less)")
    unknown = [rule for rule in OF_A_MODEL if counts.get(rule) and rule not in known]
    if unknown:
        lines.append(f"  not known until these models have run here: {', '.join(unknown)}")
    if not known:
        return ["time         not known", *lines[1:]]
    return lines


def _counted(rules: int) -> str:
    return f"{rules} rule{'s' if rules > 1 else ''}"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def _responses(config: Mapping) -> int:
    """Constrained ones of one model and task."""
    return rows_per_task(config)["constrained"]


def _studies(config: Mapping, root: Path) -> Iterator[tuple[str, Mapping]]:
    """This study, and then the finished ones on this machine, the last one first, with their configs."""
    yield config["study"], config
    finished = [path for path in (root / "results").glob("*/report/config.json") if path.is_file()]
    for path in sorted(finished, key=lambda path: (-path.stat().st_mtime, path)):
        try:
            other = json.loads(path.read_text(encoding="utf-8"))
            usable = path.parts[-3] != config["study"] and _responses(other) > 0 and blocks(other)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # No study's, or one of an older version.
        if usable:
            yield path.parts[-3], other


def _same_models(config: Mapping, other: Mapping) -> set[str]:
    """Names in the other study of models that this one has too."""
    ours = {entry["source"] for entry in config["models"]}
    return {entry["name"] for entry in other["models"] if entry["source"] in ours}


def _benchmarks(folder: Path, rule: str) -> Iterator[tuple[str, float]]:
    """(its first wildcard, seconds) of each job of a rule that has run: the model, if it is of one."""
    for path in [folder / f"{rule}.tsv", *(folder / rule).glob("**/*.tsv")]:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                seconds = [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # Not there, or cut short.
        if seconds:
            yield path.relative_to(folder).parts[1 if path.parent != folder else 0], fmean(seconds)
