"""How large a study is: jobs by rule and bytes of activations, from the config alone; and their time."""

import os
import shutil
from collections.abc import Mapping, Sized
from contextlib import suppress
from itertools import product
from math import ceil
from pathlib import Path
from statistics import fmean

from skillprobe.errors import UserError
from skillprobe.prompts import own
from skillprobe.prompts.bases import base_number
from skillprobe.storage import files
from skillprobe.study import costs, own_activations, sampling
from skillprobe.study.slices import (
    blocks,
    generated_models,
    guarded,
    layers_of,
    on_given_activations,
    over_time,
    planned_layers,
    rows_per_task,
    section_layers_of,
)
from skillprobe.study.sources import (
    converted_models,
    fetched_judges,
    fetched_models,
    fetched_words,
    fitted_judges,
    stored_dtype,
)
from skillprobe.study.windows import check_windows

# Of a hub model that doesn't state its hidden size; planning must not need the network.
ASSUMED_HIDDEN_SIZE = 4096
# Of a number; of None, where a hub model's dtype isn't stated, the most.
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, None: 4}
GIB = 2**30


def crossed_rows(config: Mapping) -> int:
    """Rows of crossings of one model and task, at most: four a crossing, and own answers without the
    constraint."""
    prompts, crossings = config["prompts"], config["labels"]["crossings"]
    outcomes = min(2, config["generation"]["samples"]) if crossings else 0
    if found := prompts.get("found"):
        crossed, plain = (fmean(found[key].values()) for key in ("crossed", "unconstrained"))
        return ceil(4 * crossings * crossed + outcomes * plain)
    return prompts["bases"] * (4 * crossings + prompts["items_per_base"] * outcomes)


def activation_bytes(config: Mapping, root: str | Path = ".") -> int:
    """Size of all activation shards: task x layer x position x row x hidden."""
    rows = rows_per_task(config)
    # Responses to unconstrained prompts are read at eos only, but where they share a chunk with other rows
    # they take space all the same.
    vectors = sum(rows.values()) * len(config["activations"]["positions"])
    vectors += crossed_rows(config)  # at one position
    # Random-weight models have one position, and answer nothing but the instructions.
    vectors += rows["constrained"] * config["controls"]["random_weights"]
    return sum(
        BYTES[stored_dtype(config, entry, root)]
        * len(config["tasks"])
        * (entry["num_layers"] + 1)
        * vectors
        * (entry["hidden_size"] or ASSUMED_HIDDEN_SIZE)
        for entry in config["models"]
    )


def jobs(config: Mapping, root: str | Path = ".") -> dict[str, int]:
    """Jobs of a run from nothing, by rule that has any. A test holds it against Snakemake's own count."""
    models, tasks = len(config["models"]), len(config["tasks"])
    layers = [len(layers_of(config, entry["name"])) for entry in config["models"]]
    ablated, timed, reworded = (
        sum(len(section_layers_of(config, section, entry["name"])) for entry in config["models"])
        for section in ("ablation", "time", "robustness")
    )
    timing, generated = int(over_time(config)), len(generated_models(config))
    given = models if on_given_activations(config) else 0
    loaded = models - given
    shards, edits = len(blocks(config)), int(config["behaviour"]["bases"] > 0)
    guard = int(guarded(config))
    random = models if config["controls"]["random_weights"] else 0
    crossed = models * tasks * shards * (config["labels"]["crossings"] > 0)
    counts = {
        "make_prompts": tasks * shards * (loaded > 0),
        "fetch_model": len(fetched_models(config, root)),
        "convert_model": len(converted_models(config, root)),
        "fetch_judge": len(fetched_judges(config, root)),
        "fit_judge": len(fitted_judges(config)),
        "tabulate_judges": int(bool(fitted_judges(config))),
        "generate_responses": generated * tasks * shards,
        "take_answers": (loaded - generated) * tasks * shards,
        "label_responses": loaded * tasks * shards,
        "take_labels": given * tasks * shards,
        "take_activations": given * tasks * shards,
        "summarise_compliance": 1,
        "extract_activations": loaded * tasks * shards,
        "make_crossings": crossed,
        "extract_crossings": crossed // tasks,
        "fit_specialist_probe": tasks * sum(layers),
        "fit_surface_probes": models * tasks,
        "extract_random_activations": random * tasks * shards,
        "fit_random_probes": random * tasks,
        "fit_general_probe": sum(layers),
        "refit_probes": models,
        "compare_generality": models,
        "transfer_probes": sum(layers),
        "compare_transfer": models,
        "compare_layers": models,
        "fit_course": timed * timing,
        "fit_prefix_baselines": models * tasks * timing,
        "fit_planning": models * tasks * timing,
        "compare_time": models * timing,
        "fit_monitor": models * tasks * timing,
        "fit_trivial_monitors": models * tasks * timing,
        "compare_monitors": models * timing,
        "compare_specificity": models,
        "fit_across_wordings": reworded,
        "compare_robustness": models,
        "compare_wording": models,
        "select_ablation_layer": models,
        "ablate_activations": ablated,
        "compare_ablation": models,
        "edit_behaviour": models * tasks * edits,
        "compare_behaviour": models * edits,
        "guard_responses": models * tasks * guard,
        "compare_guard": models * guard,
        "compare_similarity": models,
        "compare_models": int(models > 1),
        "merge_tables": 11 + edits + guard + 5 * timing,
        "compare_agreement": edits,
        "write_findings": 1,
        "plot_ablation": 1,
        "plot_agreement": edits,
        "plot_behaviour": edits,
        "plot_compliance": 1,
        "plot_generality": 1,
        "plot_guard": guard,
        "plot_layers": 1,
        "plot_robustness": 1,
        "plot_scorecard": 1,
        "plot_similarity": 1,
        "plot_time": timing,
        "plot_monitors": models * timing,
        "plot_specificity": 1,
        "plot_transfer": 1,
        "write_overview": 1,
        "write_table_pages": 1,
        "write_examples": 1,
    }
    return {rule: count for rule, count in counts.items() if count}


def present_bytes(config: Mapping, root: Path) -> int:
    """Bytes of its activations that the study already has on disk: none of what was taken out of it."""
    parts = ([entry["name"] for entry in config["models"]], config["tasks"])
    shards = (
        root / "results" / config["study"] / kind / model / task / f"{shard}.h5"
        for kind in ("activations", "random_activations", "crossing_activations")
        for model, task in product(*parts)
        for shard in range(len(blocks(config)))
    )
    return sum(path.stat().st_size for path in shards if path.is_file())


def surplus_warning(config: Mapping, root: Path) -> str | None:
    """What to say if the study has files of more bases than it has now."""
    bases, folder = config["prompts"]["bases"], Path("results") / config["study"]
    there: set[str] = set()
    for task in config["tasks"]:
        for path in (root / folder / "prompts" / task).glob("*.jsonl"):
            # Full blocks below the last one have none.
            if path.stem.isdecimal() and int(path.stem) >= len(blocks(config)) - 1:
                with suppress(UserError, OSError):  # The job that reads it says so.
                    there |= {row["base"] for row in files.read_jsonl(path) if "base" in row}
    more = sum(base_number(base) >= bases for base in there)
    if not more:
        return None
    return (
        f"prompts.bases is {bases}, but {folder} has files of {more} more, which are not used: whole blocks "
        "(generation.block) stay there, and one that is now shorter is made again"
    )


def free_bytes(config: Mapping, root: Path) -> int:
    """Free on the disk where the study's results lie or will lie: `results` may be a link."""
    return shutil.disk_usage(nearest_folder((root / "results" / config["study"]).resolve())).free


def check_fits(config: Mapping, root: Path) -> None:
    """Raises UserError if the planned activations are more than the disk can still take."""
    needed, free = activation_bytes(config, root) - present_bytes(config, root), free_bytes(config, root)
    if needed > free:
        raise UserError(
            f"the study's activations need {needed / GIB:,.1f} GiB more, but the disk of results/ has "
            f"{free / GIB:,.1f} GiB free; lower prompts.bases, generation.samples or activations.positions, "
            "or free disk space"
        )


def nearest_folder(folder: str | Path) -> Path:
    """The folder, or where it isn't there yet, the nearest above it that is. Raises UserError where something
    else is in its place, such as a link to a disk that isn't mounted."""
    folder = Path(folder)
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not os.path.isdir(nearest):
        raise UserError(
            f"cannot write to {folder}: {nearest} is not a folder, or its disk is not mounted; correct "
            "that, then run again"
        )
    return nearest


def check_writable(folder: str | Path) -> None:
    """Raises UserError if nothing can be written into a folder, which need not be there yet."""
    nearest = nearest_folder(folder)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(
            f"cannot write to {folder}: you have no write permission for {nearest}; change "
            "its permissions, then run again"
        )


def check_readable(file: str | Path) -> None:
    """Raises UserError if a file is there and can't be read."""
    if os.path.exists(file) and not os.access(file, os.R_OK):
        raise UserError(
            f"cannot read {file}: permission denied; make it readable (chmod u+r) or ask its owner"
        )


def not_computed(config: Mapping) -> list[str]:
    """Sentences on what the study can't compute of its prompts, nor of what is not sampled."""
    if on_given_activations(config):
        return list(own_activations.missing(config))
    sentences = list(own.missing(config["prompts"], config["labels"]["crossings"]))
    if not config["generation"]["twin_samples"]:
        sentences.append(
            "generation.twin_samples is 0, so there are no responses without the constraint to compare with"
        )
    return sentences


def describe(config: Mapping, root: Path) -> str:
    """The plan as a text: models with their sampling and layers, tasks, rows, jobs by rule, their time,
    activations and free disk in GiB."""
    counts = jobs(config)
    rows = rows_per_task(config)
    mean = " (in the mean over tasks)" if config["prompts"].get("found") else ""
    width = max(map(len, counts))
    lines = [
        f"study {config['study']}: {_counted(config['models'], 'model')} x "
        + _counted(config["tasks"], "task"),
        f"rows per model and task{mean}: "
        + ", ".join(f"{n} {variant}" for variant, n in rows.items())
        + f"; {crossed_rows(config)} of crossings",
        "",
        *(line for entry in config["models"] for line in _of_model(config, entry, root)),
        "",
        *(f"not computed: {sentence}" for sentence in not_computed(config)),
        *([""] if not_computed(config) else []),
        *(f"{name:<{width}}  {n:>6,}" for name, n in counts.items()),
        f"{'jobs in total':<{width}}  {sum(counts.values()):>6,}",
        "",
        *costs.describe(config, counts, root),
        f"activations  {activation_bytes(config, root) / GIB:,.2f} GiB at most, "
        f"{present_bytes(config, root) / GIB:,.2f} GiB of them there",
        f"free disk    {free_bytes(config, root) / GIB:,.2f} GiB",
    ]
    lines += fetched_words(config, root)
    assumed = [e["name"] for e in config["models"] if not e["hidden_size"]]
    if assumed:
        lines.append(f"hidden size of {', '.join(assumed)} not stated: {ASSUMED_HIDDEN_SIZE} assumed")
    unstated = [e["name"] for e in config["models"] if stored_dtype(config, e, root) is None]
    if unstated:
        lines.append(f"dtype of {', '.join(unstated)} not stated: float32 assumed")
    for check in (check_windows, check_fits):
        try:
            check(config, root)
        except UserError as error:
            lines.append(f"the run would stop: {error}")
    return "\n".join(lines)


def _of_model(config: Mapping, entry: Mapping, root: Path) -> list[str]:
    model, last = entry["name"], entry["num_layers"]
    layers = [f"{section} {_ranges(own)}" for section, own in planned_layers(config, model).items()]
    return [
        f"model {model}",
        f"  sampling  {sampling.planned(config, model, root)}",
        f"  layers    {'; '.join(layers)} (0: embeddings, {last}: last block)",
    ]


def _counted(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}{'s' * (len(things) != 1)}"


def _ranges(layers: list[int]) -> str:
    """Ascending numbers, with runs of three or more as "4 to 9"."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    said = (f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
    return ", ".join(said)
