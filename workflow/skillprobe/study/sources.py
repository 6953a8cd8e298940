"""Where models, judges and worlds come from, a folder or the hub, and what identifies their content."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.models import folders
from skillprobe.study.schema import suggestion
from skillprobe.study.slices import model_entry

# Keys of a model's entry that can't change a computed number.
NOT_IDENTITY = ("name", "layers", "hidden_size", "gpu", "mem_mb", "runtime")
# And those that decide its responses, in the place of the same keys of `generation`: they are no part of what
# the model is, so that another temperature reads nothing anew but responses.
SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens")
# Keys of a judge's entry that decide which files are fetched, and whether their labels fit: with another
# threshold it stays at the commit that was found.
JUDGE_FILES = ("model", "revision", "method", "labels", "hypothesis")


def world_file(config: Mapping, root: str | Path) -> str:
    """The world's file, relative to root where it lies below it."""
    from skillprobe.tasks.world import find_world

    name = config["prompts"]["world"]
    path = path_of(name, root) if is_path(name) else find_world(name)
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def contents(config: Mapping, root: str | Path) -> dict[str, int]:
    """How many "subjects" and "requests" the study's world has; each pair is a content request."""
    from skillprobe.tasks.world import load_world

    world = load_world(Path(root) / world_file(config, root))
    return {"subjects": len(world.subjects), "requests": len(world.requests)}


def groups(config: Mapping, root: str | Path) -> int:
    """How many subjects the study's requests are about: each is a group, which no fold splits."""
    return min(config["prompts"]["bases"], contents(config, root)["subjects"])


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


def worlds_of(entry: Mapping, root: str | Path) -> set[str | None]:
    """The worlds whose language a model speaks, as its files say (see `folders.world`): of a Hub model, those
    of it in the Hugging Face cache, at any commit. Empty where there is none yet; nobody else is asked."""
    folder = source_folder(entry["source"], root)
    if folder is not None:
        return {folders.world(folder)}
    from huggingface_hub.constants import HF_HUB_CACHE

    cached = Path(HF_HUB_CACHE) / f"models--{entry['source'].replace('/', '--')}" / "snapshots"
    return {folders.world(path.parent) for path in cached.glob("*/config.json")}


def as_from(root: str | Path, folder: Path) -> str:
    """The folder's path from root where it lies below it, however it was written; else the absolute one."""
    path = Path(os.path.abspath(folder))
    above = os.path.abspath(root)
    return path.relative_to(above).as_posix() if path.is_relative_to(above) else str(path)


def num_layers(entry: Mapping, root: str | Path) -> int:
    """Number of blocks (without the embeddings) of a model: from its folder's config.json, else as stated.

    Raises UserError if a hub model doesn't state it, or if the entry and the folder contradict each other.
    """
    stated = entry.get("num_layers")
    folder = source_folder(entry["source"], root)
    if folder is None:
        if stated is None:
            raise UserError(
                f"num_layers is missing: there is no folder {entry['source']!r}, so it is read as a "
                "Hub id, and a Hub model needs its number of blocks here"
            )
        return stated
    return folders.num_layers(folder, stated)


def model_identity(config: Mapping, name: str, root: str | Path) -> dict:
    """What decides a model's numbers: its entry without name, layers, sampling and resources, and its
    folder's hash."""
    entry = model_entry(config, name)
    return _identity(entry, source_folder(entry["source"], root))


def judge_identity(config: Mapping, task: str, root: str | Path) -> str | dict | None:
    """What decides a judge's labels: its entry without resources, and its folder's hash; None for a task
    without a judge."""
    judge = config["judges"].get(task)
    if not isinstance(judge, Mapping):
        return judge
    return _identity(judge, source_folder(judge["model"], root))


def pilot_of(config: Mapping) -> dict:
    """What decides the responses and labels of the study's pilot, {key of the config: value}."""

    def identity(entry):
        if not isinstance(entry, Mapping):
            return entry
        found = {key: value for key, value in entry.items() if key not in NOT_IDENTITY}
        # Without those that leave the decision to the study.
        return {key: value for key, value in found.items() if key not in SAMPLING or value is not None}

    prompts, generation = config["prompts"], config["generation"]
    return {
        "seed": config["seed"],
        "models": {entry["name"]: identity(entry) for entry in config["models"]},
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
    identity = {key: value for key, value in entry.items() if key not in (*NOT_IDENTITY, *SAMPLING)}
    if folder is not None:
        from skillprobe.storage.fingerprint import folder_hash

        identity["sha256"] = folder_hash(folder)
    return identity
