"""What the schema can't say of a config: keys that must fit each other, the tasks, the models and judges."""

import importlib.util
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from skillprobe.errors import UserError, suggestion
from skillprobe.models import folders, gguf_files
from skillprobe.models.packages import Package, folder_of_package
from skillprobe.prompts import own
from skillprobe.prompts.answers import answer_files
from skillprobe.study.schema import shown
from skillprobe.study.slices import (
    edited_layers_of,
    items_per_task,
    layers_of,
    on_given_activations,
    over_time,
    section_layers_of,
)
from skillprobe.study.sources import (
    as_from,
    is_path,
    judge_folder,
    model_origin,
    num_layers,
    path_of,
    stored_dtype,
    world_file,
    worlds_of,
)


def check_renamed(config: Mapping) -> None:
    """Of a config that isn't checked yet. Raises UserError for a key of an older version, with today's."""
    generation, prompts = config.get("generation"), config.get("prompts")
    if not isinstance(generation, Mapping) or "shards" not in generation:
        return
    bases = prompts.get("bases") if isinstance(prompts, Mapping) else None
    example = ""
    if all(isinstance(value, int) and value > 0 for value in (bases, generation["shards"])):
        size = -(-bases // generation["shards"])
        example = f"; for shards: {generation['shards']} and prompts.bases: {bases}, write block: {size}"
    raise UserError(
        "generation.shards is now generation.block, the number of content requests per job (not the number "
        f"of jobs){example}"
    )


def check_depths(config: Mapping) -> None:
    """Of a config with the right kinds of values. Raises UserError for a layer such as 1.0, which may be
    meant as a number or as a depth."""
    sections = {f"{name}.": value for name, value in config.items() if isinstance(value, Mapping)}
    sections |= {f"models[{number}].": entry for number, entry in enumerate(config["models"])}
    for where, values in {"": config, **sections}.items():
        layers = values.get("layers")
        for layer in layers if isinstance(layers, list) else ():
            if isinstance(layer, float) and not 0 < layer < 1:
                last = ", or 0.999 for the last one" if layer == 1 else ""
                raise UserError(
                    f"{where}layers contains {layer}, which is neither a whole number nor a relative depth "
                    f"between 0 and 1; write {int(layer)} for the layer of that number{last}"
                )


def check_tasks(config: dict) -> None:
    from skillprobe import tasks

    known = tasks.available()
    for key in ("tasks", "judges"):
        for name in config[key]:
            if name not in known:
                raise UserError(
                    f"{key} contains {name!r}, which is not a task{suggestion(name, known)}; the tasks "
                    f"are {', '.join(known)}"
                )
    if twice := _first_twice(config["tasks"]):
        raise UserError(f"tasks lists '{twice}' twice; remove one")


def check_prompts(config: dict, root: Path):
    from skillprobe import tasks
    from skillprobe.prompts.items import allowed_phrasings
    from skillprobe.study.task_files import check_task
    from skillprobe.tasks.world import adapted, load_world

    prompts = config["prompts"]
    name = prompts["world"]
    try:
        world = load_world(path_of(name, root) if is_path(name) else name)
        if set("{}") & set(world_file(config, root)):
            raise UserError(
                f"the path {name!r} contains a brace, which Snakemake reads as a wildcard; rename it"
            )
    except UserError as error:
        raise UserError(f"prompts.world: {error}") from error
    most = len(world.requests) * len(world.subjects)
    made = prompts["file"] is None and not prompts.get("found")
    if made and prompts["bases"] > most:
        raise UserError(
            f"prompts.bases is {prompts['bases']}, but the world {name!r} has {most} ({len(world.requests)} "
            f"requests for {len(world.subjects)} subjects); ask for at most {most} or extend the world"
        )
    for term in prompts["terms"] or ():
        if not term.strip():
            raise UserError(f"prompts.terms contains {term!r}, which has no letter; remove it")
    drawn_from = adapted(world, prompts)
    for task in config["tasks"]:
        check_task(task, drawn_from)
        if made:
            allowed_phrasings(tasks.get(task), prompts)  # raises where the settings leave none
    if prompts["file"] is not None:
        _check_own_prompts(config, root, world)
    return world


def _check_own_prompts(config: dict, root: Path, world) -> None:
    """And says in the config what they are: "found", and as many "bases"."""
    prompts = config["prompts"]
    try:
        path = path_of(prompts["file"], root)
        prompts["file"] = as_from(root, path)
        if set("{}") & set(prompts["file"]):
            raise UserError(
                f"the path {prompts['file']!r} contains a brace, which Snakemake reads as a wildcard; rename "
                "it"
            )
        prompts_of_file = own.read_own(path)
        own.check_tasks(prompts["file"], prompts_of_file, config["tasks"], world)
    except UserError as error:
        raise UserError(f"prompts.file: {error}") from error
    prompts["found"] = own.found(prompts_of_file, config["tasks"])
    prompts["bases"] = prompts["found"]["bases"]


def check_models(config: dict, root: Path) -> None:
    names = [entry["name"] for entry in config["models"]]
    # Regardless of case, as some file systems are.
    if twice := _first_twice(name.casefold() for name in names):
        same = [number for number, name in enumerate(names) if name.casefold() == twice]
        places = [f"models[{number}] ('{names[number]}')" for number in same]
        raise UserError(
            f"{', '.join(places[:-1])} and {places[-1]} have the same name; names must differ, and not only "
            "in case"
        )
    for number, entry in enumerate(config["models"]):
        where = f"models[{number}] (model '{entry['name']}')"
        try:
            if entry["prompt_format"] is not None and entry["prompt_format"].count("{prompt}") != 1:
                raise UserError(
                    f"prompt_format is {shown(entry['prompt_format'])}; it must have one {{prompt}}, where "
                    "the prompt goes"
                )
            _check_variables(entry)
            if entry["answers"] is not None:
                answer_files(path_of(entry["answers"], root))
                entry["answers"] = as_from(root, path_of(entry["answers"], root))
            if entry["activations"] is not None:
                _check_given_layers(config, entry)
                continue
            origin = model_origin(entry["source"], root)
            here = isinstance(origin, Path)
            kind = gguf_files if here and origin.is_file() else folders
            if here:
                variables = () if origin.is_file() else (entry["chat_template_kwargs"],)
                kind.check_model(origin, entry["prompt_format"], *variables)
            _check_version(entry, origin)
            entry["num_layers"] = num_layers(entry, root)
            if here:
                entry["hidden_size"] = kind.width(origin) or entry["hidden_size"]
                entry["source"] = as_from(root, origin)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        highest = max(layers_of(config, entry["name"]))
        if highest > entry["num_layers"]:
            key = "layers" if entry["layers"] is None else f"models[{number}].layers"
            raise UserError(
                f"{key} contains layer {highest}, but model '{entry['name']}' has layers 0 "
                f"(embeddings) to {entry['num_layers']}; remove it, or set layers in that model's entry"
            )


def _check_given_layers(config: Mapping, entry: Mapping) -> None:
    """Raises UserError for a layer that the folder of given activations hasn't."""
    for layer in layers_of(config, entry["name"]):
        if layer not in entry["given_layers"]:
            raise UserError(
                f"layer {layer} is to be analysed, but the activations are of layers "
                f"{', '.join(map(str, entry['given_layers']))}; correct layers, or set it to all"
            )


def check_language(config: dict, root: Path, world) -> None:
    """Raises UserError for a world with a language of its own and a model that isn't known to speak it: no
    word list would be the truth of its responses, and the world's counts are of short texts."""
    for number, entry in enumerate(config["models"]) if world.controlled else ():
        if entry["activations"] is not None:
            continue
        spoken = worlds_of(entry, root)
        if world.name in spoken:
            continue
        origin = model_origin(entry["source"], root)
        if isinstance(origin, Path) and origin.is_file():
            about = f"the GGUF file {entry['source']} doesn't say that it does"
        elif spoken:
            about = f'its config.json lacks "skillprobe_world": "{world.name}"'
        else:
            about = "it isn't on this machine"
        raise UserError(
            f"prompts.world is '{config['prompts']['world']}', a small language of its own, which "
            f"models[{number}] (model '{entry['name']}') is not known to speak ({about}); set prompts.world "
            "to general, or to a JSON file of your own"
        )


def _check_version(entry: Mapping, origin: object) -> None:
    """Raises UserError for a revision or a sha256 of what has none, and for a package's file without one."""
    source = entry["source"]
    if entry["revision"] is not None and (isinstance(origin, Path | Package)):
        what = "of a package, whose version is in the source" if isinstance(origin, Package) else "a folder"
        if isinstance(origin, Path) and origin.is_file():
            what = "a file of this machine"
        raise UserError(f"revision is for hub models, but '{source}' is {what}; remove it")
    if isinstance(origin, Package) and entry["sha256"] is None:
        raise UserError(
            f"sha256 is missing: a model of a package needs the hash of its file, '{origin.member}'"
        )
    if isinstance(origin, Path) and entry["sha256"] is not None:
        raise UserError(
            f"sha256 is for files that are fetched, but '{source}' is on this machine and known by its "
            "content; remove it"
        )
    if origin is None and entry["sha256"] is not None:
        raise UserError(
            f"sha256 is for one file, but '{source}' is a whole model of the Hub; remove it, and pin the "
            "revision"
        )


def _check_variables(entry: Mapping) -> None:
    for name in entry["chat_template_kwargs"]:
        if entry["prompt_format"] is not None:
            raise UserError(
                "chat_template_kwargs is for a chat template, but prompt_format replaces it; remove one"
            )
        if not (name.isascii() and name.isidentifier()) or name in ("messages", "add_generation_prompt"):
            raise UserError(
                f"chat_template_kwargs sets {name!r}, which no chat template has as a variable of its own; "
                "give names such as enable_thinking"
            )


def check_engine(config: dict) -> None:
    if config["generation"]["engine"] != "vllm":
        return
    stated = {"generation": config["generation"]["temperature"]}
    stated |= {f"models[{number}]": entry["temperature"] for number, entry in enumerate(config["models"])}
    for where, temperature in stated.items():
        # vLLM takes no other temperatures.
        if temperature is not None and not 0.01 <= temperature <= 2:
            raise UserError(
                f"{where}.temperature is {temperature:g}, but generation.engine is vllm, which takes 0.01 to "
                "2; change one of them"
            )
    for number, entry in enumerate(config["models"]):
        if entry["device_map"] is not None:
            raise UserError(
                f"models[{number}] (model '{entry['name']}') has a device_map, but generation.engine "
                "is vllm, which runs on one device; remove it, or set generation.engine to transformers"
            )


def check_installed(config: Mapping) -> None:
    """Raises UserError if the study's own answers need vLLM, and the Python that is to run it hasn't it."""
    generation = config["generation"]
    if generation["engine"] != "vllm":
        return
    if (python := generation["vllm_python"]) is None:
        if importlib.util.find_spec("vllm") is None:
            raise UserError(
                "generation.engine is vllm, which isn't installed; install it in an environment of its own, "
                "whose Python generation.vllm_python names (docs/models.md), or set it to transformers"
            )
        return
    # Found without being imported, which takes half a minute.
    look = "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('vllm') else 3)"
    try:
        code = subprocess.run([python, "-c", look], capture_output=True, timeout=60).returncode
    except (OSError, subprocess.TimeoutExpired):
        code = None
    if code not in (0, 3):
        raise UserError(
            f"generation.vllm_python is {python!r}, which is no Python that runs here; give the path of one, "
            "such as vllm-env/bin/python"
        )
    if code:
        raise UserError(
            f"generation.vllm_python is {python!r}, but vLLM isn't installed there; install it "
            f"({python} -m pip install vllm), or give the Python that has it"
        )


def check_gpus(config: Mapping, there: int) -> None:
    """Raises UserError if a model or judge asks for more GPUs than the jobs of a run may use together."""
    for name, entry in _loaded(config).items():
        if entry["gpu"] > there:
            raise UserError(
                f"{name} asks for gpu: {entry['gpu']}, but the resources of this run have gpu: "
                f"{there}; raise them (in the profile or with --resources), or lower gpu in the entry"
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
        f"{', '.join(more)}, but the resources of this run have mem_mb: {there}, so its job gets no "
        "more; if that is too little, raise them (in the profile or with --resources)"
    )


def _loaded(config: Mapping) -> dict[str, Mapping]:
    """The entries of what is loaded into memory, by how messages call it."""
    entries = {f"model '{entry['name']}'": entry for entry in config["models"]}
    judges = config["judges"].items()
    loaded = {task: judge for task, judge in judges if isinstance(judge, Mapping) and "model" in judge}
    return entries | {f"judges.{task}": judge for task, judge in loaded.items()}


def check_judges(config: dict, root: Path, world) -> None:
    from skillprobe import tasks
    from skillprobe.tasks.base import listed

    if on_given_activations(config) and not over_time(config):
        # Labels are given, and nothing else is judged.
        config["judges"] = {}
        return
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
            choices = [kind for kind in ("lexicon", "formality") if _judges(kind, name, config, world)]
            choices.append("a classifier, {kind: transformers, model: …}")
            choices.append("an encoder, {kind: embedding, model: …} (docs/judges.md)")
            raise UserError(
                f"judges.{name} is missing: no rule decides the task {name}; give {listed(choices, 'or')}"
            )
        if judge == "lexicon":
            _check_lexicon(name, config, world)
        elif judge == "formality" or judge["kind"] == "formality":
            _check_formality(name, world)
        else:
            _check_model(name, judge, root, world)


def _judges(kind: str, task: str, config: dict, world) -> bool:
    """Whether a judge of that kind, which needs no settings, can judge the task."""
    try:
        _check_lexicon(task, config, world) if kind == "lexicon" else _check_formality(task, world)
    except UserError:
        return False
    return True


def _check_formality(task: str, world) -> None:
    from skillprobe.labels.judges import get_judge

    try:
        get_judge("formality", task, world)
    except UserError as error:
        raise UserError(f"judges.{task}: {error}") from error


def _check_model(task: str, judge: dict, root: Path, world) -> None:
    """The settings, a folder and the labelled texts; what is fetched is checked then."""
    from skillprobe import tasks
    from skillprobe.labels.encoders import check_judge, check_settings
    from skillprobe.labels.heads import read_labelled

    labels = tasks.get(task).labels_in(world)
    try:
        folder = judge_folder(judge["model"], root)
    except UserError as error:
        raise UserError(f"judges.{task}.model: {error}") from error
    if (judge["sha256"] is None) == (folder_of_package(judge["model"]) is not None):
        what = "is missing: a judge of a package needs that of the wheel, which the package index shows"
        if judge["sha256"] is not None:
            what = f"is for judges of packages, and '{judge['model']}' is none; remove it"
        raise UserError(f"judges.{task}.sha256 {what}")
    if judge["kind"] == "embedding":
        check_settings(task, judge, labels)
        if judge["labelled"] is not None:
            file = path_of(judge["labelled"], root)
            read_labelled(task, file, labels)
            judge["labelled"] = as_from(root, file)
    if folder is not None:
        check_judge(task, judge, folder, labels)
        judge["model"] = as_from(root, folder)


def _check_lexicon(task: str, config: dict, world) -> None:
    """Of a study whose models speak the world's language (see `check_language`)."""
    from skillprobe import tasks

    if not world.controlled:
        raise UserError(
            f"judges.{task}: lexicon judges cannot judge free text, which the world "
            f"'{config['prompts']['world']}' asks for; choose another judge or leave the task out"
        )
    if not tasks.get(task).words_in(world):
        raise UserError(
            f"judges.{task}: the task {task} has no word lists for a lexicon judge; add `words` to "
            f"{tasks.file_of(task)}, or choose another judge"
        )


def check_activations(config: dict, root: Path) -> None:
    from skillprobe.activations.positions import check_position_name

    positions = config["activations"]["positions"]
    for name in positions:
        try:
            check_position_name(name)
        except UserError as error:
            raise UserError(f"activations.positions: {error}") from error
    if config["activations"]["dtype"] == "float16":
        auto = config | {"activations": config["activations"] | {"dtype": "auto"}}
        for entry in config["models"]:
            if stored_dtype(auto, entry, root) == "bfloat16":
                raise UserError(
                    f"activations.dtype is float16, but model '{entry['name']}' computes in bfloat16, "
                    "which has numbers that are too large for float16; set it to auto"
                )
    if config["probes"]["position"] not in positions:
        raise UserError(
            f"probes.position is '{config['probes']['position']}', which is not stored; choose one of "
            f"activations.positions ({', '.join(positions)}) or add it there"
        )


def check_probes(config: dict, groups: int) -> None:
    """groups: how many the study has (see `sources.groups`)."""
    probes = config["probes"]
    if probes["feature_scaling"] and not probes["calibration_fraction"]:
        raise UserError(
            "probes.feature_scaling needs calibration groups, but probes.calibration_fraction is 0; "
            "raise it or set feature_scaling to false"
        )
    dealt = int(groups * (1 - probes["calibration_fraction"]))
    more = "raise prompts.bases or use a world with more subjects"
    if config["prompts"].get("found"):
        more = "or give prompts of more subjects"
    if on_given_activations(config):
        more = "or import rows of more groups"
    if dealt < probes["folds"]:
        raise UserError(
            f"probes.folds is {probes['folds']}, but only {dealt} of the study's {groups} subjects are "
            f"divided among folds; lower it, {more}"
        )


def groups_warning(config: Mapping, groups: int) -> str | None:
    """What to say if several requests are about one subject. All of them are in one fold, so they are worth
    less than as many about different subjects."""
    prompts = config["prompts"]
    if groups == prompts["bases"] or prompts.get("found"):
        return None
    return (
        f"prompts.bases is {prompts['bases']}, but the world '{prompts['world']}' has only "
        f"{groups} subjects: several requests are about one subject, and count as one group"
    )


def check_ablation(config: dict) -> None:
    ablation, prompts = config["ablation"], config["prompts"]
    check_section_layers(config, "ablation")
    if ablation["rank"] > ablation["max_rank"]:
        raise UserError(
            f"ablation.rank is {ablation['rank']}, more than ablation.max_rank, {ablation['max_rank']}; "
            "lower it or raise max_rank"
        )
    items = max(items_per_task(config).values())
    rows = int(items * (1 - config["probes"]["calibration_fraction"])) * config["generation"]["samples"]
    rows -= rows // config["probes"]["folds"]
    for entry in config["models"]:
        size = min(rows, entry["hidden_size"] or rows)
        if ablation["max_rank"] >= size:
            raise UserError(
                f"ablation.max_rank is {ablation['max_rank']}, but model '{entry['name']}' has at most "
                f"{rows} training responses per task in {entry['hidden_size'] or 'as many'} "
                "dimensions; lower it"
            )
        if config["behaviour"]["bases"] and not edited_layers_of(config, entry["name"]):
            ablated = ", ".join(map(str, section_layers_of(config, "ablation", entry["name"])))
            raise UserError(
                f"behaviour.layers contains none of the layers of model '{entry['name']}' at which "
                f"signals are erased ({ablated}); add one, or set it to all"
            )
    for key, most in (("bases", prompts["bases"]), ("samples", config["generation"]["samples"])):
        if config["behaviour"][key] > most:
            where = "prompts.bases" if key == "bases" else "generation.samples"
            if key == "bases" and prompts["file"] is not None:
                where = "the content requests of prompts.file"
            raise UserError(
                f"behaviour.{key} is {config['behaviour'][key]}, more than {where}, {most}; lower it"
            )


def check_guard(config: Mapping, world) -> None:
    """world: as `check_prompts` gives it."""
    guard, bases = config["guard"], config["prompts"]["bases"]
    if not guard["bases"]:
        return
    if config["prompts"]["file"] is not None:
        raise UserError(
            "guard.bases is above 0, but with prompts.file the study asks all subjects that there are, and "
            "guard needs some that no monitor has seen; set guard.bases to 0"
        )
    left = max(0, len(world.subjects) - bases)
    if guard["bases"] > left:
        raise UserError(
            f"guard.bases is {guard['bases']}, but the study's {bases} content requests leave {left} of the "
            f"{len(world.subjects)} subjects of world '{world.name}' that no monitor has seen; lower "
            "guard.bases or prompts.bases, or add subjects to the world"
        )
    for key, most in (("tries", max(guard["tries"])), ("steered", guard["steered"])):
        if most > guard["samples"]:
            verb = "has" if key == "tries" else "is"
            raise UserError(
                f"guard.{key} {verb} {most}, more than guard.samples, {guard['samples']}; lower it"
            )
    if not over_time(config):
        raise UserError(
            "guard.bases is above 0, but there are no monitors without the positions prompt_100 and eos; add "
            "them to activations.positions, or set guard.bases to 0"
        )


def check_section_layers(config: dict, section: str, needed: bool = True) -> None:
    """needed: whether each model must have one of the section's layers."""
    wanted, deepest = config[section]["layers"], max(entry["num_layers"] for entry in config["models"])
    for layer in () if wanted == "all" else wanted:
        if layer > deepest:
            raise UserError(
                f"{section}.layers contains layer {layer}, but the deepest model has layers 0 to "
                f"{deepest}; remove it"
            )
    for model in (entry["name"] for entry in config["models"]):
        if needed and not section_layers_of(config, section, model):
            raise UserError(
                f"{section}.layers contains none of the analysed layers of model '{model}' "
                f"({', '.join(map(str, layers_of(config, model)))}); add one, or set it to all"
            )


def _first_twice(items: Iterable[str] | Iterator[str]) -> str | None:
    seen: set[str] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None
