"""Where models, judges and worlds come from, a folder or the hub, and what identifies their content."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from skillprobe.errors import UserError, suggestion
from skillprobe.models import folders, gguf_files
from skillprobe.models.hub import HubFile, hub_file
from skillprobe.models.packages import Package, folder_of_package, package_of
from skillprobe.prompts.answers import Answer, answer_files, assigned, read_answers
from skillprobe.prompts.own import read_own
from skillprobe.study.slices import generated_models, model_entry

# Keys of a model's entry that can't change a computed number.
NOT_IDENTITY = (
    "name",
    "answers",
    "activations",
    "given_layers",
    "layers",
    "hidden_size",
    "gpu",
    "mem_mb",
    "runtime",
)
# And those that decide its responses, in the place of the same keys of `generation`: they are no part of what
# the model is, so that another temperature reads nothing anew but responses.
SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens")
# Keys of a judge's entry that decide which files are fetched, and whether their labels fit: with another
# threshold it stays at the commit that was found.
JUDGE_FILES = ("kind", "model", "revision", "sha256", "method", "labels", "hypothesis", "entailment")
# And those that decide what its head on labelled texts is.
JUDGE_HEAD = (*JUDGE_FILES, "labelled", "max_tokens", "threshold", "margin")


def from_elsewhere(config: Mapping, root: str | Path, repository: str | Path) -> dict:
    """A config as it is read, for a run in another folder than the repository: of its relative paths, those
    that are in neither or in `root`, the run's folder, stay, and those of the repository become absolute."""

    def placed(name: object) -> object:
        if not isinstance(name, str) or Path(root).samefile(repository) or path_of(name, root).exists():
            return name
        found = path_of(name, repository)
        return str(found) if found.exists() else name

    def with_placed(entry: object, key: str) -> object:
        if not isinstance(entry, Mapping) or key not in entry:
            return entry
        return {**entry, key: placed(entry[key])}

    found = dict(config)
    if isinstance(prompts := found.get("prompts"), Mapping):
        found["prompts"] = with_placed(prompts, "file")
        if is_path(str(prompts.get("world"))):
            found["prompts"] = with_placed(found["prompts"], "world")
    if isinstance(generation := found.get("generation"), Mapping):
        found["generation"] = with_placed(generation, "vllm_python")
    if isinstance(models := found.get("models"), list):
        for key in ("source", "answers", "activations"):
            models = [with_placed(entry, key) for entry in models]
        found["models"] = models
    if isinstance(judges := found.get("judges"), Mapping):
        found["judges"] = {
            task: with_placed(with_placed(judge, "model"), "labelled") for task, judge in judges.items()
        }
    return found


def world_file(config: Mapping, root: str | Path) -> str:
    """The world's file, relative to root where it lies below it."""
    from skillprobe.tasks.world import find_world

    name = config["prompts"]["world"]
    path = path_of(name, root) if is_path(name) else find_world(name)
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def contents(config: Mapping, root: str | Path) -> dict[str, int]:
    """How many "subjects" and "requests" the study's world has; each pair is a content request. Of prompts of
    the user's own, which are all that there are: their subjects, and 1."""
    from skillprobe.tasks.world import load_world

    if found := config["prompts"].get("found"):
        return {"subjects": found["groups"], "requests": 1}
    world = load_world(Path(root) / world_file(config, root))
    return {"subjects": len(world.subjects), "requests": len(world.requests)}


def groups(config: Mapping, root: str | Path) -> int:
    """How many subjects the study's requests are about: each is a group, which no fold splits."""
    if found := config["prompts"].get("found"):
        return found["groups"]
    return min(config["prompts"]["bases"], contents(config, root)["subjects"])


def items_of(config: Mapping, root: str | Path, task: str, bases: Sequence[int] | None = None) -> list[dict]:
    """The prompts of a task of the study, as rule make_prompts writes them. bases: [first, one past the last]
    of the content requests, None for all."""
    if config["prompts"]["file"] is not None:
        return read_own(Path(root) / config["prompts"]["file"]).of(task, bases)
    from skillprobe import tasks
    from skillprobe.prompts.items import make_items
    from skillprobe.tasks.world import load_world

    world = load_world(Path(root) / world_file(config, root))
    chosen = None if bases is None else range(*bases)
    return make_items(tasks.get(task), world, config["prompts"], config["seed"], chosen)


def given_answers(config: Mapping, model: str, root: str | Path) -> dict[tuple[str, str, int], Answer]:
    """{(item, variant, sample): the answer} of a model whose entry has `answers`. Raises UserError as
    `prompts.answers` does."""
    from skillprobe import tasks

    number = [entry["name"] for entry in config["models"]].index(model)
    folder = config["models"][number]["answers"]
    try:
        # Named as the config does, and not by root.
        paths = answer_files(Path(root) / folder)
        items = [item for task in config["tasks"] for item in items_of(config, root, task)]
        return assigned(
            read_answers(paths), items, config["tasks"], config["generation"], others=tasks.available()
        )
    except UserError as error:
        raise UserError(f"models[{number}].answers (model '{model}'): {error}") from error


def is_path(world: str) -> bool:
    return "/" in world or world.endswith(".json")


def path_of(name: str, root: str | Path) -> Path:
    """A path of the config, which need not be there. Raises UserError where it can't even be looked for."""
    try:
        path = Path(root) / Path(name).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    # The home folder of nobody, names that are too long, folders that may not be entered.
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        raise UserError(f"the path {name!r} can't be used ({why}); correct it") from error
    return path


def source_folder(source: str, root: str | Path) -> Path | None:
    """The folder that a model's `source` names, or None for a hub id.

    A folder that exists (relative to root) is one; so is what can't be a hub id: more than one slash, or
    beginning with ".", "/" or "~". Raises UserError if that one doesn't exist.
    """
    folder = path_of(source, root)
    if folder.is_dir():
        return folder
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        near = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise UserError(
            f"there is no folder {source!r}{suggestion(folder.name, near)}; correct the path, or give "
            "a Hub id such as org/name"
        )
    return None


def model_origin(source: str, root: str | Path) -> Path | Package | HubFile | None:
    """What a model's `source` names: a folder or a GGUF file of this machine, a file of a package or of the
    hub, or None for a hub id.

    Raises UserError for a path of nothing, and for what can be none of these.
    """
    if package := package_of(source):
        return package
    path = path_of(source, root)
    if gguf_files.is_gguf(source) and not path.is_dir():
        if path.is_file():
            return path
        if file := hub_file(source):
            return file
        near = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(
            f"there is no file {source!r}{suggestion(path.name, near)}; correct the path, or give a file of "
            "the Hub as org/name/file.gguf"
        )
    return source_folder(source, root)


def model_folder(source: str, root: str | Path) -> Path | None:
    """The folder of this machine that a model's `source` names; None for all else of `model_origin`."""
    origin = model_origin(source, root)
    return origin if isinstance(origin, Path) and origin.is_dir() else None


def worlds_of(entry: Mapping, root: str | Path) -> set[str | None]:
    """The worlds whose language a model speaks, as its files say (see `folders.world`): of a Hub model, those
    of it in the Hugging Face cache, at any commit. Empty where there is none yet; nobody else is asked."""
    origin = model_origin(entry["source"], root)
    if isinstance(origin, Path):
        return {folders.world(origin) if origin.is_dir() else None}
    if origin is not None:
        return set()
    from huggingface_hub.constants import HF_HUB_CACHE

    cached = Path(HF_HUB_CACHE) / f"models--{entry['source'].replace('/', '--')}" / "snapshots"
    return {folders.world(path.parent) for path in cached.glob("*/config.json")}


def as_from(root: str | Path, folder: Path) -> str:
    """The folder's path from root where it lies below it, however it was written; else the absolute one."""
    path = Path(os.path.abspath(folder))
    above = os.path.abspath(root)
    return path.relative_to(above).as_posix() if path.is_relative_to(above) else str(path)


def num_layers(entry: Mapping, root: str | Path) -> int:
    """Number of blocks (without the embeddings) of a model: from its files on this machine, else as stated.

    Raises UserError if a model that is to be fetched doesn't state it, or if the entry and the files
    contradict each other.
    """
    stated, source = entry.get("num_layers"), entry["source"]
    origin = model_origin(source, root)
    if isinstance(origin, Path):
        return (folders if origin.is_dir() else gguf_files).num_layers(origin, stated)
    if stated is None:
        if isinstance(origin, Package):
            what = "a model of a package"
        elif isinstance(origin, HubFile):
            what = f"there is no file {source!r}, so it is read as one of the Hub, and that"
        else:
            near = _near(source, root)
            what = f"there is no folder {source!r}{near}, so it is read as a Hub id, and a Hub model"
        raise UserError(f"num_layers is missing: {what} needs its number of blocks here")
    return stated


def stored_dtype(config: Mapping, entry: Mapping, root: str | Path) -> str | None:
    """The number format of a model's shards: float32, float16 or bfloat16; None where only loading tells."""
    for said in (config["activations"]["dtype"], entry["dtype"]):
        if said != "auto":
            return said
    folder = model_folder(entry["source"], root)
    return None if folder is None else folders.dtype(folder)


def model_identity(config: Mapping, name: str, root: str | Path) -> dict:
    """What decides a model's numbers: its entry without name, layers, sampling and resources, and its files'
    hash."""
    entry = model_entry(config, name)
    if entry.get("activations"):
        # Known by its card, whose hash is the entry's sha256.
        return _identity(entry, None)
    origin = model_origin(entry["source"], root)
    return _identity(entry, origin if isinstance(origin, Path) else None)


def judge_identity(config: Mapping, task: str, root: str | Path) -> str | dict | None:
    """What decides a judge's labels: its entry without resources, the hash of its folder, and as "labelled"
    that of its labelled texts; None for a task without a judge."""
    judge = config["judges"].get(task)
    if not isinstance(judge, Mapping) or "model" not in judge:
        return judge
    found = _identity(judge, judge_folder(judge["model"], root))
    if judge.get("labelled") is not None:
        from skillprobe.storage.fingerprint import file_sha256

        found["labelled"] = file_sha256(path_of(judge["labelled"], root))
    return found


def judge_folder(model: str, root: str | Path) -> Path | None:
    """The folder of this machine that a judge's `model` names, or None for one of a package or the hub.
    Raises UserError for a path of nothing, and for what can be none of these."""
    return None if folder_of_package(model) else source_folder(model, root)


def pilot_of(config: Mapping) -> dict:
    """What decides the responses and labels of the study's pilot, {key of the config: value}."""

    def identity(entry):
        if not isinstance(entry, Mapping):
            return entry
        # Sampling that leaves the decision to the study decides nothing.
        return _identity(entry, None) | {key: entry[key] for key in SAMPLING if entry.get(key) is not None}

    prompts, generation = config["prompts"], config["generation"]
    if found := prompts.get("found"):
        prompts = {"file": [prompts["file"], found["sha256"]], "world": prompts["world"]}
    return {
        "seed": config["seed"],
        "models": {name: identity(model_entry(config, name)) for name in generated_models(config)},
        "tasks": config["tasks"],
        "judges": {task: identity(judge) for task, judge in config["judges"].items()},
        "pilot.prompts": config["pilot"]["prompts"],
        **{f"prompts.{key}": value for key, value in prompts.items() if not key.endswith(("bases", "_base"))},
        **{
            f"generation.{key}": value
            for key, value in generation.items()
            if key != "block" and not key.endswith("samples")
        },
        "pilot.samples": config["pilot"]["samples"],
    }


def fetched_models(config: Mapping, root: str | Path) -> list[str]:
    """Names of the models that are fetched, from the hub or a package."""
    return [
        entry["name"]
        for entry in config["models"]
        if not isinstance(model_origin(entry["source"], root), Path)
    ]


def converted_models(config: Mapping, root: str | Path) -> list[str]:
    """Names of the models that come as a GGUF file."""
    return [
        entry["name"]
        for entry in config["models"]
        if isinstance(origin := model_origin(entry["source"], root), Package | HubFile)
        or (origin is not None and origin.is_file())
    ]


def fetched_judges(config: Mapping, root: str | Path) -> list[str]:
    """Tasks whose judges are fetched, from the hub or a package."""
    return [
        task
        for task, judge in config["judges"].items()
        if isinstance(judge, Mapping) and "model" in judge and judge_folder(judge["model"], root) is None
    ]


def fitted_judges(config: Mapping) -> list[str]:
    """Tasks whose judges have a head that is fitted to labelled texts."""
    return [
        task
        for task, judge in config["judges"].items()
        if isinstance(judge, Mapping) and judge.get("labelled") is not None
    ]


def _near(source: str, root: str | Path) -> str:
    """ "(did you mean 'tiny'?)" of a source that is no folder, where there is one beside it."""
    path = path_of(source, root)
    here = path.parent.iterdir() if path.parent.is_dir() else ()
    return suggestion(path.name, [each.name for each in here if each.is_dir()])


def fetched_words(config: Mapping, root: str | Path) -> list[str]:
    """A line on each model and judge that is fetched: what looks like a folder may be meant as one."""
    sources = {f"model {name}": model_entry(config, name)["source"] for name in fetched_models(config, root)}
    sources |= {
        f"the judge of {task}": config["judges"][task]["model"] for task in fetched_judges(config, root)
    }
    lines = []
    for what, source in sources.items():
        if source.startswith("pypi:"):
            lines.append(f"to fetch     {what}: {source}, of a package")
        else:
            # A folder of the organisation's name is where a misspelt one would be.
            near = _near(source, root)
            there = f"; there is no such folder{near}" if near else ""
            lines.append(f"to fetch     {what}: {source}, of the Hub{there}")
    return lines


def _identity(entry: Mapping, files: Path | None) -> dict:
    """files: a folder, or a GGUF file."""
    identity = {key: value for key, value in entry.items() if key not in (*NOT_IDENTITY, *SAMPLING)}
    if files is not None:
        from skillprobe.storage.fingerprint import folder_hash, gguf_hash

        identity["sha256"] = folder_hash(files) if files.is_dir() else gguf_hash(files)
    elif not identity.get("sha256"):
        identity.pop("sha256", None)
    return identity
