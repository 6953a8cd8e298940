"""How each model's responses are sampled, and how long they may be: by its entry, else by the study, else by
the model itself (its generation_config.json), else by what fits most models.

Of a Hub model its own values are known once it is fetched; until then they are None.
"""

from collections.abc import Mapping
from pathlib import Path

from skillprobe.models.sampling import DEFAULTS, of_folder, read_own, with_own
from skillprobe.study.slices import model_entry
from skillprobe.study.sources import SAMPLING, model_folder, model_origin, world_file
from skillprobe.tasks.world import load_world

# In a world with a small language of its own: of 14,580 responses of the toy models one is longer.
TOY_SIZES = {"max_new_tokens": 64, "batch_size": 512}
SIZES = {"max_new_tokens": 256, "batch_size": 128}
WORDS = {"temperature": "temperature", "top_p": "top-p", "top_k": "top-k"}


def generation_of(config: Mapping, model: str, root: str | Path) -> dict:
    """What decides one response of a model: the section `generation` of a completed config, without the size
    of a job, with what the model's entry says. What only a Hub model itself could say is None."""
    entry = model_entry(config, model)
    section = _stated(config, entry, load_world(Path(root) / world_file(config, root)).controlled)
    folder = model_folder(entry["source"], root)
    return section if folder is None else with_own(section, of_folder(folder))


def generation_of_toys(config: Mapping) -> dict:
    """As `generation_of`, for a toy model that is about to be trained."""
    return with_own(_stated(config, {}, toy=True), {})


def _stated(config: Mapping, entry: Mapping, toy: bool) -> dict:
    # vLLM's Python is another vLLM, perhaps, and nothing to transformers.
    others = ("block",) if config["generation"]["engine"] == "vllm" else ("block", "vllm_python")
    section = {key: value for key, value in config["generation"].items() if key not in others}
    section |= {key: entry[key] for key in SAMPLING if entry.get(key) is not None}
    sizes = TOY_SIZES if toy else SIZES
    return section | {key: value for key, value in sizes.items() if section[key] is None}


def place(config: Mapping, model: str, key: str) -> str:
    """Where the config says a model's temperature or the like: in its entry, else for all."""
    numbers = (number for number, entry in enumerate(config["models"]) if entry["name"] == model)
    if model_entry(config, model).get(key) is None:
        return f"generation.{key}"
    return f"models[{next(numbers)}].{key}"


def own_of_folders(config: Mapping, root: str | Path) -> dict[str, dict[str, float]]:
    """{model: its own sampling}, of `sampling.of_folder`, of the models that are folders."""
    folders_of = {entry["name"]: model_folder(entry["source"], root) for entry in config["models"]}
    return {model: of_folder(folder) for model, folder in folders_of.items() if folder is not None}


def planned(config: Mapping, model: str, root: str | Path) -> str:
    """How a model will be sampled, each value with what it is from: its entry, `generation`, its own
    generation_config.json (of a hub model, as it was fetched for this study) or the default."""
    entry, study = model_entry(config, model), config["generation"]
    if entry.get("activations"):
        return f"not known: the activations are given ({entry['activations']})"
    section, own, known = generation_of(config, model, root), {}, True
    if folder := model_folder(entry["source"], root):
        own = of_folder(folder)
    elif model_origin(entry["source"], root) is None:  # A GGUF file has no such settings.
        fetched = Path(root) / "results" / config["study"] / "models" / f"{model}.json"
        known = fetched.is_file()
        own = read_own([fetched])[model] if known else {}
    said = []
    for key in SAMPLING:
        value, where = with_own(section, own)[key], "default"
        if entry.get(key) is not None:
            where = "its entry"
        elif study[key] is not None:
            where = "generation"
        elif key in own:
            where = "its generation_config.json"
        elif key in DEFAULTS and not known:
            where = "or what its generation_config.json says, once it is fetched"
        words = f"{WORDS[key]} {value:g}" if key in WORDS else f"at most {value} tokens"
        said.append(f"{words} ({where})")
    return ", ".join(said)


def described(
    config: Mapping, generations: Mapping[str, Mapping], own: Mapping[str, Mapping[str, float]]
) -> str:
    """How the study's models were sampled, in words, and what of it is their own.

    generations: {model: of `generation_of`}, of a hub model with its own sampling or without; own: {model: of
    `sampling.of_folder`}.
    """
    by_text: dict[str, list[str]] = {}
    for model, section in generations.items():
        entry = model_entry(config, model)
        if given := entry.get("answers") or entry.get("activations"):
            what, which = ("responses", "they") if entry.get("answers") else ("activations", "the responses")
            text = f"the {what} were given ({given}), and the study does not know how {which} were sampled"
            by_text.setdefault(text, []).append(model)
            continue
        section = with_own(section, own.get(model, {}))
        study = config["generation"]
        theirs = {key for key in own.get(model, {}) if entry[key] is None and study[key] is None}
        said = [_words(key, section[key], key in theirs) for key in DEFAULTS]
        text = ", ".join(filter(None, said)) + f", at most {section['max_new_tokens']} tokens"
        by_text.setdefault(text, []).append(model)
    if len(by_text) == 1:
        return next(iter(by_text))
    return "; ".join(f"{', '.join(models)}: {text}" for text, models in by_text.items())


def _words(key: str, value: float, own: bool) -> str:
    """ "" for what takes in all tokens without saying so."""
    if value == DEFAULTS[key] and key != "temperature" and not own:
        return ""
    return f"{WORDS[key]} {value:g}{' (its generation_config.json)' if own else ''}"
