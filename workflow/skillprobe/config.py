"""The config of a study: checked against the schema, completed with its defaults, and cut into slices.

Planning reads this for every command, so it needs neither torch nor the network.
"""

import difflib
import importlib.util
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from skillprobe import folders
from skillprobe.errors import UserError

SCHEMA = Path(__file__).resolve().parents[1] / "schemas" / "config.schema.json"

# results/toy/ is where the toy models are trained.
RESERVED_STUDIES = ("toy",)

# Keys of a model's entry that can't change a computed number.
NOT_IDENTITY = ("name", "layers", "hidden_size", "gpu", "mem_mb", "runtime")

# Keys of a judge's entry that decide which files are fetched, and whether their labels fit: with another
# threshold it stays at the commit that was found.
JUDGE_FILES = ("model", "revision", "method", "labels", "hypothesis")

KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a mapping of keys to values",
    "string": "a text",
}


def complete(config: Mapping, root: str | Path) -> dict:
    """The config, checked and with every default filled in, as a new plain dict.

    root: the repository, which relative paths start from. So that configs that mean the same are equal, lists
    whose order means nothing (layers, penalties, instruction types, polarities) come out sorted, numbers as
    int or float as the schema has it, `num_layers` is filled in and judges of tasks not studied are left out.
    Raises UserError: one sentence that names the key and says what to do.
    """
    root = Path(root)
    config = _plain(config)
    _check_schema(config)
    config = _filled(config, _schema())
    sections = [
        config[name] for name in ("probes", "ablation", "behaviour", "time", "similarity", "robustness")
    ]
    for values in [config, *sections, *config["models"]]:
        for key in ("layers", "penalties", "strengths"):
            if isinstance(values.get(key), list):
                values[key].sort()
    for section, key in (
        ("prompts", "instruction_types"),
        ("prompts", "polarities"),
        ("probes", "confounds"),
    ):
        known = _schema()["properties"][section]["properties"][key]["items"]["enum"]
        config[section][key].sort(key=known.index)

    if config["study"] in RESERVED_STUDIES:
        raise UserError(
            f"study can't be '{config['study']}': results/{config['study']}/ is taken; choose another name"
        )
    _check_tasks(config)
    world = _check_prompts(config, root)
    _check_models(config, root)
    _check_engine(config)
    _check_judges(config, root, world)
    _check_activations(config)
    _check_probes(config)
    _check_ablation(config)
    _check_section_layers(config, "time", needed=over_time(config))
    _check_section_layers(config, "similarity")
    _check_section_layers(config, "robustness")
    return config


def model_entry(config: Mapping, name: str) -> dict:
    """The entry of the model of that name. Raises UserError, listing the models, if there is none."""
    for entry in config["models"]:
        if entry["name"] == name:
            return entry
    names = [entry["name"] for entry in config["models"]]
    raise UserError(
        f"no model '{name}' in the config{_suggestion(name, names)}; the models are {', '.join(names)}"
    )


def layers_of(config: Mapping, model: str) -> list[int]:
    """The analysed layers of a model in a completed config, ascending; 0 is the embeddings."""
    entry = model_entry(config, model)
    layers = config["layers"] if entry["layers"] is None else entry["layers"]
    return list(range(entry["num_layers"] + 1)) if layers == "all" else list(layers)


def random_layers_of(config: Mapping, model: str) -> list[int]:
    """The analysed layers at which a model's random-weight twin is probed: every fourth block, or all of them
    if the study analyses none of those."""
    layers = layers_of(config, model)
    return [layer for layer in layers if layer % 4 == 0] or layers


def section_layers_of(config: Mapping, section: str, model: str) -> list[int]:
    """The analysed layers of a model that a section such as "ablation" or "time" names."""
    return _named(layers_of(config, model), config[section]["layers"])


def over_time(config: Mapping) -> bool:
    """Whether probes are fitted at every position: from the prompt's end to EOS, so both must be stored."""
    return {"prompt_100", "eos"} <= set(config["activations"]["positions"])


def model_depths(config: Mapping) -> dict[str, dict[str, int]]:
    """Where models are compared: {"middle" or "last": {model: layer}}, none for a single model.

    Of each model its last analysed layer, and the one nearest to half of its blocks (of two, the deeper). No
    "middle" if that is some model's last one, or the embeddings.
    """
    if len(config["models"]) < 2:
        return {}
    last, middle = {}, {}
    for entry in config["models"]:
        model, half = entry["name"], entry["num_layers"] / 2
        last[model] = layers_of(config, model)[-1]
        middle[model] = min(
            reversed(layers_of(config, model)), key=lambda layer, half=half: abs(layer - half)
        )
    inside = all(0 < layer < last[model] for model, layer in middle.items())
    return ({"middle": middle} if inside else {}) | {"last": last}


def edited_layers_of(config: Mapping, model: str) -> list[int]:
    """The layers at which a model's activations are edited while it writes; none if nothing is answered."""
    if not config["behaviour"]["bases"]:
        return []
    return _named(section_layers_of(config, "ablation", model), config["behaviour"]["layers"])


def _named(layers: list[int], wanted: str | list[int]) -> list[int]:
    return layers if wanted == "all" else [layer for layer in layers if layer in wanted]


def depth(config: Mapping, model: str) -> dict:
    """A model's analysed "layers" and its "num_layers"."""
    return {"layers": layers_of(config, model), "num_layers": model_entry(config, model)["num_layers"]}


def world_file(config: Mapping, root: str | Path) -> str:
    """The world's file, relative to root where it lies below it."""
    from skillprobe.tasks.world import find_world

    name = config["prompts"]["world"]
    path = _path(name, root) if _is_path(name) else find_world(name)
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _is_path(world: str) -> bool:
    return "/" in world or world.endswith(".json")


def _path(name: str, root: str | Path) -> Path:
    """A path of the config, which need not be there. Raises UserError where it can't even be looked for."""
    try:
        path = Path(root) / Path(name).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    # The home folder of nobody, names that are too long, folders that may not be entered.
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        raise UserError(f"{name!r} can't be looked up ({why}); correct it") from error
    return path


def source_folder(source: str, root: str | Path) -> Path | None:
    """The folder that a model's `source` names, or None for a hub id.

    A folder that exists (relative to root) is one; so is what can't be a hub id: more than one slash, or
    beginning with ".", "/" or "~". Raises UserError if that one doesn't exist.
    """
    folder = _path(source, root)
    if folder.is_dir():
        return folder
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        near = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise UserError(
            f"there is no folder {source!r}{_suggestion(folder.name, near)}; correct the path, "
            "or give a hub id such as org/name"
        )
    return None


def _as_from(root: str | Path, folder: Path) -> str:
    """The folder's path from root where it lies below it, however it was written; else the absolute one."""
    path = Path(os.path.abspath(folder))
    above = os.path.abspath(root)
    return path.relative_to(above).as_posix() if path.is_relative_to(above) else str(path)


def _num_layers(entry: Mapping, root: str | Path) -> int:
    """Number of blocks (without the embeddings) of a model: from its folder's config.json, else as stated.

    Raises UserError if a hub model doesn't state it, or if the entry and the folder contradict each other.
    """
    stated = entry.get("num_layers")
    folder = source_folder(entry["source"], root)
    if folder is None:
        if stated is None:
            raise UserError(
                f"num_layers is missing: there is no folder {entry['source']!r}, so it is taken as a hub id, "
                "and a hub model must state its number of blocks"
            )
        return stated
    return folders.num_layers(folder, stated)


def model_identity(config: Mapping, name: str, root: str | Path) -> dict:
    """What decides a model's numbers: its entry without name, layers and resources, and its folder's hash."""
    entry = model_entry(config, name)
    return _identity(entry, source_folder(entry["source"], root))


def judge_identity(config: Mapping, task: str, root: str | Path) -> str | dict | None:
    """What decides a judge's labels: its entry without resources, and its folder's hash; None for a task
    without a judge."""
    judge = config["judges"].get(task)
    if not isinstance(judge, Mapping):
        return judge
    return _identity(judge, source_folder(judge["model"], root))


def hub_models(config: Mapping, root: str | Path) -> list[str]:
    """Names of the models that are fetched from the hub."""
    return [entry["name"] for entry in config["models"] if source_folder(entry["source"], root) is None]


def hub_judges(config: Mapping, root: str | Path) -> list[str]:
    """Tasks whose judges are fetched from the hub."""
    return [
        task
        for task, judge in config["judges"].items()
        if isinstance(judge, Mapping) and source_folder(judge["model"], root) is None
    ]


def _identity(entry: Mapping, folder: Path | None) -> dict:
    identity = {key: value for key, value in entry.items() if key not in NOT_IDENTITY}
    if folder is not None:
        from skillprobe.fingerprint import folder_hash

        identity["sha256"] = folder_hash(folder)
    return identity


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


# --- against the schema


@cache
def _schema() -> dict:
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


def _plain(value: object, path: tuple = ()) -> object:
    """Plain dicts and lists (Snakemake gives ordered mappings), refusing what YAML read by mistake."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise UserError(
                    f"YAML reads the key '{key}' of {_spelt(path) or 'the config'} as {key!r}: quote it"
                )
        return {key: _plain(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, number)) for number, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{_spelt(path)} must be a finite number, not {value}")
    return value


def _check_schema(config: dict) -> None:
    import jsonschema

    errors = list(jsonschema.Draft202012Validator(_schema()).iter_errors(config))
    if errors:
        # Unknown keys first: a misspelt key is often the reason why a required one is missing.
        leaves = [_leaf(error) for error in errors]
        leaves.sort(key=lambda error: error.validator != "additionalProperties")
        raise UserError(_sentence(leaves[0], config))


def _leaf(error):
    """The error inside an `anyOf` that is about the alternative which was meant, or the error itself."""
    inner = [_leaf(sub) for sub in error.context or []]
    meant = [sub for sub in inner if len(sub.absolute_path) > len(error.absolute_path)]
    meant += [sub for sub in inner if sub.validator not in ("type", "enum", "anyOf") and sub not in meant]
    return meant[0] if meant else error


def _sentence(error, config: dict) -> str:
    path = list(error.absolute_path)
    where = _spelt(path) or "the config"
    entry = config["models"][path[1]] if len(path) > 1 and path[0] == "models" else None
    if isinstance(entry, dict) and isinstance(entry.get("name"), str):
        where += f" (model {entry['name']!r})"
    value, wanted = error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            known = list(error.schema["properties"])
            key = next(key for key in value if key not in known)
            within = f" in {where}" if path else ""
            return (
                f"unknown key '{key}'{within}{_suggestion(key, known)}; the keys there are {', '.join(known)}"
            )
        case "required":
            missing = next(key for key in wanted if key not in value)
            return f"{where} lacks the key '{missing}'; add it"
        case "type" | "enum" | "anyOf":
            texts, kinds = _alternatives(error)
            choices = [*texts, *(KINDS[kind] for kind in kinds)]
            one_of = "one of " if len(choices) > 2 else ""
            hint = _yaml_hint(value, kinds, texts)
            return f"{where} must be {one_of}{_joined(choices)}, not {_shown(value)}{hint}"
        case "minimum":
            return f"{where} must be at least {wanted}, not {value}"
        case "exclusiveMinimum":
            return f"{where} must be more than {wanted}, not {value}"
        case "maximum":
            return f"{where} must be at most {wanted}, not {value}"
        case "minItems" | "minLength":
            return (
                f"{where} is empty; give at least one"
                if isinstance(value, list)
                else f"{where} is empty; give a text"
            )
        case "maxLength":
            return f"{where} is longer than {wanted} characters: shorten '{value}'"
        case "uniqueItems":
            twice = next(item for number, item in enumerate(value) if item in value[:number])
            return f"{where} lists {_shown(twice)} twice; remove one"
        case "pattern":
            return (
                f"{where} can't be {_shown(value)}: it becomes part of a path, so begin with a letter or "
                "digit and use only letters, digits, '.', '_' and '-'"
            )
    return f"{where}: {error.message}"


def _alternatives(error) -> tuple[list[str], list[str]]:
    """What would have been right instead: fixed texts, and kinds of values by their JSON name."""
    if error.validator == "anyOf":
        parts = [_alternatives(sub) for sub in error.context]
        return [text for texts, _ in parts for text in texts], [kind for _, kinds in parts for kind in kinds]
    if error.validator == "enum":
        return [str(item) for item in error.validator_value], []
    kinds = error.validator_value
    return [], [kinds] if isinstance(kinds, str) else list(kinds)


def _yaml_hint(value: object, kinds: list[str], texts: list[str]) -> str:
    """What to do about a value that YAML reads otherwise than its author."""
    if value is None:
        return ": give a value or remove the key"
    if isinstance(value, str):
        if texts:
            return _suggestion(value, texts)
        if "number" in kinds or "integer" in kinds:
            try:
                number = float(value)
            except ValueError:
                return ""
            return (
                f": YAML reads it as text; write {number!r} without quotes" if math.isfinite(number) else ""
            )
        if "array" in kinds:
            return f": write [{value}]"
    elif "string" in kinds or texts:
        return "" if isinstance(value, list | dict) else ": put it in quotes if it is meant as text"
    return ""


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return repr(value) if isinstance(value, str | int | float) else str(value)


def _joined(words: Iterable[str]) -> str:
    words = list(words)
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _suggestion(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _spelt(path: Iterable[str | int]) -> str:
    """A key's path as one would write it: models[0].layers."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _filled(value: object, schema: dict) -> object:
    """A copy of a valid value with the schema's defaults, and numbers in one spelling (1 is 1.0)."""
    if "$ref" in schema:
        schema = {**_schema()["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    for branch in schema.get("anyOf", []):
        kind = _schema()["$defs"][branch["$ref"].rpartition("/")[2]] if "$ref" in branch else branch
        if "anyOf" in kind or kind.get("type") == {list: "array", dict: "object"}.get(type(value)):
            return _filled(value, kind)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        filled = {
            key: _filled(value.get(key, sub.get("default")), sub)
            for key, sub in known.items()
            if key in value or "default" in sub
        }
        return filled | {
            key: _filled(item, schema["additionalProperties"])
            for key, item in value.items()
            if key not in known
        }
    if isinstance(value, list):
        return [_filled(item, schema.get("items", {})) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if "number" in (schema.get("type") or ()) else int(value)
    return value


# --- across keys


def _check_tasks(config: dict) -> None:
    from skillprobe import tasks

    known = tasks.available()
    for key in ("tasks", "judges"):
        for name in config[key]:
            if name not in known:
                raise UserError(
                    f"{key} names {name!r}, which is no task{_suggestion(name, known)}; "
                    f"the tasks are {', '.join(known)}"
                )
    if twice := _first_twice(config["tasks"]):
        raise UserError(f"tasks lists '{twice}' twice; remove one")


def _check_prompts(config: dict, root: Path):
    from skillprobe import tasks
    from skillprobe.prompts import allowed_phrasings
    from skillprobe.tasks.world import load_world

    prompts = config["prompts"]
    name = prompts["world"]
    try:
        world = load_world(_path(name, root) if _is_path(name) else name)
        if set("{}") & set(world_file(config, root)):
            raise UserError(
                f"{name!r} has a brace in its path, which Snakemake takes for a wildcard; rename it"
            )
    except UserError as error:
        raise UserError(f"prompts.world: {error}") from error
    most = len(world.requests) * len(world.subjects)
    if prompts["bases"] > most:
        raise UserError(
            f"prompts.bases is {prompts['bases']}, but the world {name!r} has {most} ({len(world.requests)} "
            f"requests for {len(world.subjects)} subjects); ask for at most {most} or extend the world"
        )
    for task in config["tasks"]:
        allowed_phrasings(tasks.get(task), prompts)  # raises where the settings leave none
    if config["generation"]["shards"] > prompts["bases"]:
        raise UserError(
            f"generation.shards is {config['generation']['shards']}, more than the {prompts['bases']} "
            "prompts.bases that are dealt to them; lower it"
        )
    return world


def _check_models(config: dict, root: Path) -> None:
    names = [entry["name"] for entry in config["models"]]
    # Regardless of case, as some file systems are.
    if twice := _first_twice(name.casefold() for name in names):
        same = [name for name in names if name.casefold() == twice]
        raise UserError(
            f"models has two entries named '{same[0]}' and '{same[1]}'; names must differ, not only in case"
        )
    for number, entry in enumerate(config["models"]):
        where = f"models[{number}] (model '{entry['name']}')"
        try:
            if entry["prompt_format"] is not None and entry["prompt_format"].count("{prompt}") != 1:
                raise UserError(
                    f"prompt_format is {_shown(entry['prompt_format'])}; it must have one {{prompt}}, where "
                    "the prompt goes"
                )
            folder = source_folder(entry["source"], root)
            if folder is not None:
                folders.check_model(folder, entry["prompt_format"])
                if entry["revision"] is not None:
                    raise UserError(
                        f"revision is for hub models, but '{entry['source']}' is a folder; remove it"
                    )
            entry["num_layers"] = _num_layers(entry, root)
            if folder is not None:
                entry["hidden_size"] = folders.width(folder) or entry["hidden_size"]
                entry["source"] = _as_from(root, folder)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        highest = max(layers_of(config, entry["name"]))
        if highest > entry["num_layers"]:
            key = "layers" if entry["layers"] is None else f"models[{number}].layers"
            raise UserError(
                f"{key} asks for layer {highest}, but the model '{entry['name']}' has layers 0 (embeddings) "
                f"to {entry['num_layers']}; remove it, or give that model layers of its own"
            )


def _check_engine(config: dict) -> None:
    if config["generation"]["engine"] != "vllm":
        return
    # vLLM takes no other temperatures.
    if not 0.01 <= (temperature := config["generation"]["temperature"]) <= 2:
        raise UserError(
            f"generation.temperature is {temperature:g}, but generation.engine is vllm, which takes 0.01 to "
            "2; change one of them"
        )
    for number, entry in enumerate(config["models"]):
        if entry["device_map"] is not None:
            raise UserError(
                f"models[{number}] (model '{entry['name']}') has a device_map, but generation.engine is "
                "vllm, which is run on one GPU; remove it, or set generation.engine to transformers"
            )


def check_installed(config: Mapping) -> None:
    """Raises UserError if the study's own answers need vLLM, and it isn't installed in this environment."""
    if config["generation"]["engine"] == "vllm" and importlib.util.find_spec("vllm") is None:
        raise UserError(
            "generation.engine is vllm, which isn't installed; install it, or set the key to transformers"
        )


def check_gpus(config: Mapping, there: int) -> None:
    """Raises UserError if a model or judge asks for more GPUs than the jobs of a run may use together."""
    for name, entry in _loaded(config).items():
        if entry["gpu"] > there:
            raise UserError(
                f"{name} asks for gpu: {entry['gpu']}, but this run's resources have gpu: {there}; raise "
                "that (in its profile, or --resources), or lower the other"
            )


def memory_warning(config: Mapping, there: int) -> str | None:
    """What to say if models or judges ask for more memory than the jobs of a run may use together, in MB."""
    more = [
        f"{name} asks for mem_mb: {entry['mem_mb']}"
        for name, entry in _loaded(config).items()
        if entry["mem_mb"] > there
    ]
    if not more:
        return None
    return (
        f"{', '.join(more)}, but this run's resources have mem_mb: {there}, and such a job gets no more; if "
        "that is too little, raise it (in its profile, or --resources)"
    )


def _loaded(config: Mapping) -> dict[str, Mapping]:
    """The entries of what is loaded into memory, by how messages call it."""
    entries = {f"model '{entry['name']}'": entry for entry in config["models"]}
    judges = config["judges"].items()
    return entries | {f"judges.{task}": judge for task, judge in judges if isinstance(judge, Mapping)}


def _check_judges(config: dict, root: Path, world) -> None:
    from skillprobe import tasks
    from skillprobe.judges import NAMES

    for name in config["judges"]:
        if not tasks.get(name).judged:
            raise UserError(
                f"judges.{name}: a rule decides the task {name}, so it takes no judge; remove the line"
            )
    config["judges"] = {
        name: config["judges"].get(name) for name in config["tasks"] if tasks.get(name).judged
    }
    for name, judge in config["judges"].items():
        if judge is None:
            raise UserError(
                f"judges.{name} is missing: no rule decides the task {name}; give one of {', '.join(NAMES)}"
            )
        if judge == "lexicon":
            _check_lexicon(name, config, root, world)
        else:
            _check_classifier(name, judge, root, world)


def _check_classifier(task: str, judge: dict, root: Path, world) -> None:
    """A folder; what is on the hub is checked when it has been fetched."""
    from skillprobe.judges import check_folder

    try:
        folder = source_folder(judge["model"], root)
    except UserError as error:
        raise UserError(f"judges.{task}.model: {error}") from error
    if folder is not None:
        check_folder(task, judge, folder, world)
        judge["model"] = _as_from(root, folder)


def _check_lexicon(task: str, config: dict, root: Path, world) -> None:
    refusal = f"judges.{task}: lexicon judges are never offered for free text"
    if not world.controlled:
        raise UserError(
            f"{refusal}, which the world '{config['prompts']['world']}' asks for; "
            "choose another judge or leave the task out"
        )
    for entry in config["models"]:
        folder = source_folder(entry["source"], root)
        if folder is None or folders.settings(folder).get("skillprobe_world") != world.name:
            raise UserError(
                f"{refusal}, and the model '{entry['name']}' is not known to speak only the language of "
                f'the world \'{world.name}\' (its config.json lacks "skillprobe_world": "{world.name}"); '
                "choose another judge or leave the task out"
            )


def _check_activations(config: dict) -> None:
    from skillprobe.positions import check_position_name

    positions = config["activations"]["positions"]
    for name in positions:
        try:
            check_position_name(name)
        except UserError as error:
            raise UserError(f"activations.positions: {error}") from error
    if config["probes"]["position"] not in positions:
        raise UserError(
            f"probes.position is '{config['probes']['position']}', which is not stored; choose one of "
            f"activations.positions ({', '.join(positions)}) or add it there"
        )


def _check_probes(config: dict) -> None:
    probes, bases = config["probes"], config["prompts"]["bases"]
    if probes["feature_scaling"] and not probes["calibration_fraction"]:
        raise UserError(
            "probes.feature_scaling needs calibration bases, but probes.calibration_fraction is 0; "
            "raise it or set feature_scaling to false"
        )
    dealt = int(bases * (1 - probes["calibration_fraction"]))
    if dealt < probes["folds"]:
        raise UserError(
            f"probes.folds is {probes['folds']}, but only {dealt} of the {bases} prompts.bases are dealt to "
            "folds; lower it or ask for more bases"
        )


def _check_ablation(config: dict) -> None:
    ablation, prompts = config["ablation"], config["prompts"]
    _check_section_layers(config, "ablation")
    if ablation["rank"] > ablation["max_rank"]:
        raise UserError(
            f"ablation.rank is {ablation['rank']}, more than ablation.max_rank, {ablation['max_rank']}; "
            "lower it or raise max_rank"
        )
    bases = int(prompts["bases"] * (1 - config["probes"]["calibration_fraction"]))
    rows = bases * prompts["items_per_base"] * config["generation"]["samples"]
    rows -= rows // config["probes"]["folds"]
    for entry in config["models"]:
        size = min(rows, entry["hidden_size"] or rows)
        if ablation["max_rank"] >= size:
            raise UserError(
                f"ablation.max_rank is {ablation['max_rank']}, but model '{entry['name']}' has at most "
                f"{rows} training answers a task in {entry['hidden_size'] or 'as many'} dimensions; lower it"
            )
        if config["behaviour"]["bases"] and not edited_layers_of(config, entry["name"]):
            ablated = ", ".join(map(str, section_layers_of(config, "ablation", entry["name"])))
            raise UserError(
                f"behaviour.layers names none of the layers of the model '{entry['name']}' at which signals "
                f"are erased ({ablated}); add one, or say all"
            )
    for key, most in (("bases", prompts["bases"]), ("samples", config["generation"]["samples"])):
        if config["behaviour"][key] > most:
            where = "prompts.bases" if key == "bases" else "generation.samples"
            raise UserError(
                f"behaviour.{key} is {config['behaviour'][key]}, more than {where}, {most}; lower it"
            )


def _check_section_layers(config: dict, section: str, needed: bool = True) -> None:
    """needed: whether each model must have one of the section's layers."""
    wanted, deepest = config[section]["layers"], max(entry["num_layers"] for entry in config["models"])
    for layer in () if wanted == "all" else wanted:
        if layer > deepest:
            raise UserError(
                f"{section}.layers asks for layer {layer}, but the deepest model has layers 0 to {deepest}; "
                "remove it"
            )
    for model in (entry["name"] for entry in config["models"]):
        if needed and not section_layers_of(config, section, model):
            raise UserError(
                f"{section}.layers names none of the analysed layers of the model '{model}' "
                f"({', '.join(map(str, layers_of(config, model)))}); add one, or say all"
            )


def _first_twice(items: Iterable[str] | Iterator[str]) -> str | None:
    seen: set[str] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None
