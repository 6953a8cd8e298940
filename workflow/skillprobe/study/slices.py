"""What rules take from a completed config: layers, depths, and slices as canonical JSON."""

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import ceil
from statistics import fmean

from skillprobe.errors import UserError, suggestion

# What probes need of a study, of the section `probes`.
SIZES = ("folds", "fold_seeds", "calibration_fraction", "min_rows", "min_groups", "max_truncated")
SIZES += ("flag_truncated",)
SIZES += ("min_mixed_items", "min_mixed_groups", "min_mixed_in_fold")


def model_entry(config: Mapping, name: str) -> dict:
    """The entry of the model of that name. Raises UserError, listing the models, if there is none."""
    for entry in config["models"]:
        if entry["name"] == name:
            return entry
    names = [entry["name"] for entry in config["models"]]
    raise UserError(
        f"no model '{name}' in the config{suggestion(name, names)}; the models are {', '.join(names)}"
    )


def generated_models(config: Mapping) -> list[str]:
    """Names of the models that answer in the study itself."""
    return [
        entry["name"]
        for entry in config["models"]
        if not entry.get("answers") and not entry.get("activations")
    ]


def on_given_activations(config: Mapping) -> bool:
    """Whether the study is of activations of the user's own: of all of its models, or of none."""
    return any(entry.get("activations") for entry in config["models"])


def layers_of(config: Mapping, model: str) -> list[int]:
    """The analysed layers of a model in a completed config, ascending; 0 is the embeddings."""
    entry = model_entry(config, model)
    layers, blocks = config["layers"] if entry["layers"] is None else entry["layers"], entry["num_layers"]
    there = entry.get("given_layers") or range(blocks + 1)
    if layers == "all":
        return list(there)
    return sorted(set(_numbered(layers, blocks, there)))


def layer_at(depth: float, num_layers: int, among: Iterable[int]) -> int:
    """The layer of `among` at a relative depth: the one nearest to depth x num_layers, and of two as near the
    deeper. num_layers: of blocks; layer k is the output of block k. Layer 0, the embeddings, is at no depth
    unless there is no other."""
    # As it is written: 0.35 of 10 blocks is 3.5, and not a little less.
    place = Fraction(str(depth)) * num_layers
    among = list(among)
    return min([layer for layer in among if layer] or among, key=lambda layer: (abs(layer - place), -layer))


def _numbered(layers: Iterable[float], num_layers: int, among: Iterable[int]) -> list[int]:
    """Layers as numbers, those at a relative depth (fractions) from `among`."""
    return [layer if isinstance(layer, int) else layer_at(layer, num_layers, among) for layer in layers]


def random_layers_of(config: Mapping, model: str) -> list[int]:
    """The analysed layers at which the random-weight model is probed: every fourth block, or all of them if
    the study analyses none of those."""
    layers = layers_of(config, model)
    return [layer for layer in layers if layer % 4 == 0] or layers


def section_layers_of(config: Mapping, section: str, model: str) -> list[int]:
    """The analysed layers of a model that a section such as "ablation" or "time" names. A relative depth
    names the analysed layer nearest to it."""
    return _named(layers_of(config, model), config[section]["layers"], model_entry(config, model))


def over_time(config: Mapping) -> bool:
    """Whether probes are fitted at every position: from the prompt's end to EOS, so both must be stored, and
    of given activations the texts must be known."""
    untimed = (config["prompts"].get("found") or {}).get("untimed")
    return not untimed and {"prompt_100", "eos"} <= set(config["activations"]["positions"])


def guarded(config: Mapping) -> bool:
    """Whether policies act on the monitors: there must be some, and prompts."""
    return config["guard"]["bases"] > 0 and over_time(config)


def guarded_bases(config: Mapping) -> list[int]:
    """[first, one past the last] of the bases that they are asked: those after the study's own, whose
    subjects no monitor has seen."""
    first = config["prompts"]["bases"]
    return [first, first + config["guard"]["bases"]]


def items_per_task(config: Mapping, variant: str = "constrained") -> dict[str, int]:
    """{task: its prompts of a variant}."""
    prompts = config["prompts"]
    if found := prompts.get("found"):
        return found[variant]
    return dict.fromkeys(config["tasks"], prompts["bases"] * prompts["items_per_base"])


def rows_per_task(config: Mapping) -> dict[str, int]:
    """Rows of one model and task by variant, at most; of the user's own prompts, in the mean over tasks."""
    return {
        variant: ceil(fmean(items_per_task(config, variant).values()) * config["generation"][samples])
        for variant, samples in (("constrained", "samples"), ("unconstrained", "twin_samples"))
    }


def blocks(config: Mapping) -> list[list[int]]:
    """Which bases each job of a model and task makes: [first, one past the last] of consecutive ones. The
    last block may be short. More bases leave full blocks as they are."""
    bases, size = config["prompts"]["bases"], config["generation"]["block"]
    return [[start, min(start + size, bases)] for start in range(0, bases, size)]


def model_depths(config: Mapping) -> dict[str, dict[str, int]]:
    """Where models are compared: {"middle" or "last": {model: layer}}, none for a single model.

    Of each model its last analysed layer, and the one nearest to half of its blocks (of two, the deeper). No
    "middle" if that is some model's last one, or the embeddings.
    """
    if len(config["models"]) < 2:
        return {}
    last, middle = {}, {}
    for entry in config["models"]:
        model, layers = entry["name"], layers_of(config, entry["name"])
        last[model], middle[model] = layers[-1], layer_at(0.5, entry["num_layers"], layers)
    inside = all(0 < layer < last[model] for model, layer in middle.items())
    return ({"middle": middle} if inside else {}) | {"last": last}


def edited_layers_of(config: Mapping, model: str) -> list[int]:
    """The layers at which a model's activations are edited while it writes; none if nothing is answered."""
    if not config["behaviour"]["bases"]:
        return []
    ablated = section_layers_of(config, "ablation", model)
    return _named(ablated, config["behaviour"]["layers"], model_entry(config, model))


def _named(layers: list[int], wanted: str | list[float], entry: Mapping) -> list[int]:
    if wanted == "all" or not layers:
        return layers
    named = _numbered(wanted, entry["num_layers"], layers)
    return [layer for layer in layers if layer in named]


def planned_layers(config: Mapping, model: str) -> dict[str, list[int]]:
    """{"analysed", or a section that chooses from these: its layers of a model}, of what the study does."""
    chosen = {"analysed": layers_of(config, model)}
    if config["controls"]["random_weights"]:
        chosen["random weights"] = random_layers_of(config, model)
    left_out = {"behaviour": not config["behaviour"]["bases"], "time": not over_time(config)}
    for section, values in sorted(config.items()):
        if isinstance(values, Mapping) and "layers" in values and not left_out.get(section):
            edited = section == "behaviour"
            chosen[section] = (
                edited_layers_of(config, model) if edited else section_layers_of(config, section, model)
            )
    return chosen


def prompts_of(config: Mapping, task: str) -> dict:
    """The section `prompts` as far as it concerns one prompt of a task: not how many bases there are, and no
    lists that its params don't come from. Of prompts of the user's own, nothing but that they are."""
    from skillprobe import tasks
    from skillprobe.tasks.world import REPLACEABLE

    if config["prompts"].get("file") is not None:
        return {"own": True}
    unread = set(REPLACEABLE) - set(tasks.get(task).draws)
    section = {key: value for key, value in config["prompts"].items() if key not in ("bases", "file")}
    return {key: None if key in unread else value for key, value in section.items()}


def pilot_samples(config: Mapping) -> dict:
    """What the pilot's section `generation` has in other numbers than the study's: responses per prompt."""
    return {
        "samples": config["pilot"]["samples"],
        "twin_samples": min(1, config["generation"]["twin_samples"]),
    }


def pilot_prompts(config: Mapping, task: str, contents: Mapping) -> dict:
    """The section `prompts` for the pilot's job of one task. contents: as of `sources.contents`."""
    if config["prompts"].get("file") is not None:
        return prompts_of(config, task) | {"bases": config["prompts"]["bases"]}
    bases = min(config["pilot"]["prompts"], contents["subjects"] * contents["requests"])
    return prompts_of(config, task) | {"bases": bases, "items_per_base": 1}


def depth(config: Mapping, model: str) -> dict:
    """A model's analysed "layers" and its "num_layers"."""
    return {"layers": layers_of(config, model), "num_layers": model_entry(config, model)["num_layers"]}


def canonical(config: Mapping, *keys: str, **extra: object) -> str:
    """A slice of a completed config as one canonical JSON string, for a rule's `params`.

    keys: such as "seed" or "generation.samples"; extra: further named values. Equal slices give equal strings
    whatever the order of keys; a changed or swapped value gives another. Raises KeyError for an unknown key.
    """
    chosen = dict(extra)
    for key in keys:
        value = config
        for part in key.split("."):
            value = value[part]
        chosen[key] = value
    text = json.dumps(chosen, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Snakemake's report has it within a script of its page, which a text with </script> in it would end.
    return text.replace("<", "\\u003c")
