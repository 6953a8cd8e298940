"""Getting models and judges from the hub onto the machine, once, so that the jobs that load them need no
network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.models import folders, gguf_files, sampling
from skillprobe.storage.fingerprint import file_sha256

# What loading takes, apart from the weights: no other framework's files, no pickled ones.
DESCRIPTION = ("*.json", "*.model", "*.txt", "*.jinja", "*.py")
# The same weights once more, in their makers' own format, or for other programs.
LEFT = ("original/*", "*/*.safetensors", "consolidated*")


@dataclass(frozen=True)
class HubFile:
    """One file of a model on the hub: org/name/folder/file."""

    repository: str
    name: str


def hub_file(source: str) -> HubFile | None:
    """The GGUF file of the hub that a source names."""
    parts = source.split("/")
    if not gguf_files.is_gguf(source) or len(parts) < 3 or not all(parts) or parts[0][0] in ".~":
        return None
    return HubFile("/".join(parts[:2]), "/".join(parts[2:]))


def fetch_model(entry: Mapping) -> dict:
    """Download a hub model into the Hugging Face cache, unless it is there: its "source", as "revision" the
    commit that was found, and its own "sampling" (of `sampling.of_folder`; a GGUF file has none); of a GGUF
    file also its "sha256".

    entry: of the config's `models`. Raises UserError, in one sentence, for a model that is gated, private,
    missing or out of reach, and for files that can't be used: other weights than safetensors, no chat
    template, another number of layers than the entry says, another sha256.
    """
    about = f"model '{entry['name']}'"
    get = _fetch_file if hub_file(entry["source"]) else _fetch_folder
    try:
        return {"source": entry["source"], **get(about, entry)}
    except UserError as error:
        said = str(error)
        raise UserError(said if said.startswith(about) else f"{about}: {said}") from error


def _fetch_folder(about: str, entry: Mapping) -> dict:
    source, revision = entry["source"], entry.get("revision")
    written = entry.get("prompt_format"), entry.get("chat_template_kwargs") or ()
    # Gigabytes follow only where the rest is right.
    folder = _download(about, source, revision, DESCRIPTION)
    folders.check_description(folder, *written)
    folders.num_layers(folder, entry.get("num_layers"))
    if not entry.get("trust_remote_code"):
        check_kind(folders.settings(folder))
    folder = _download_weights(about, source, revision, folder)
    folders.check_model(folder, *written)
    return {"revision": folder.name, "sampling": sampling.of_folder(folder)}


def _fetch_file(about: str, entry: Mapping) -> dict:
    file = hub_file(entry["source"])
    path = _download_file(about, file, entry.get("revision"))
    gguf_files.check_model(path, entry.get("prompt_format"))
    gguf_files.num_layers(path, entry.get("num_layers"))
    sha256 = file_sha256(path)
    if entry.get("sha256") not in (None, sha256):
        raise UserError(
            f"'{entry['source']}' has the sha256 {sha256}, and not {entry['sha256']}, as its entry says; "
            "correct the entry, or its revision"
        )
    return {"revision": path.parents[file.name.count("/")].name, "sampling": {}, "sha256": sha256}


def cached_file(about: str, file: HubFile, revision: str) -> Path:
    """A file that was fetched, in the Hugging Face cache. Raises UserError if it is no longer there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(file.repository, file.name, revision=revision)
    if not isinstance(found, str):
        raise UserError(
            f"{about}: {file.name} of '{file.repository}' is no longer in the Hugging Face cache; fetch it "
            "again: --forcerun fetch_model"
        )
    return Path(found)


def fetch_judge(task: str, judge: Mapping, check: Callable[[Path], None]) -> dict[str, str]:
    """As `fetch_model`, for a judge: of the config's `judges`, that of this task. check: called with the
    folder, raises UserError where it can't be used."""
    about = f"judges.{task}"
    folder = _download(about, judge["model"], judge["revision"], DESCRIPTION)
    folder = _download_weights(about, judge["model"], judge["revision"], folder)
    check(folder)
    return {"source": judge["model"], "revision": folder.name}


def check_kind(config: Mapping) -> None:
    """Raises UserError for a config.json of a kind that transformers has as no language model, alone or with
    images."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )

    kind = config.get("model_type")
    known = {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES}
    if kind is not None and kind not in known:
        raise UserError(
            f"it is of type {kind!r}, which is no language model that this version of transformers can "
            "load; choose a decoder-only language model"
        )


def _download_weights(about: str, source: str, revision: str | None, described: Path) -> Path:
    """The folder of a snapshot whose other files are there, with its weights: those that its index lists, if
    it has one."""
    index = described / "model.safetensors.index.json"
    names = [file.name for file in folders.weight_files(described)] if index.is_file() else ["*.safetensors"]
    folder = _download(about, source, described.name, names)
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{about}: '{source}' has no *.safetensors file at revision '{revision or 'main'}', and pickled "
            "weights, which can run code, are not read; choose a revision that has one, or another model"
        )
    return folder


def _download(about: str, source: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """The folder of a snapshot, which is named by its commit, with the files of these names."""
    from huggingface_hub import snapshot_download

    revision = revision or "main"
    options = {"allow_patterns": list(patterns), "ignore_patterns": list(LEFT)}
    with _explained(about, source, revision):
        return Path(snapshot_download(source, revision=revision, **options))


def _download_file(about: str, file: HubFile, revision: str | None) -> Path:
    """The file in a snapshot's folder."""
    from huggingface_hub import errors, hf_hub_download

    revision = revision or "main"
    with _explained(about, file.repository, revision):
        try:
            return Path(hf_hub_download(file.repository, file.name, revision=revision))
        # Where the hub isn't asked, a file that it might have is a LocalEntryNotFoundError.
        except errors.RemoteEntryNotFoundError as error:
            raise UserError(
                f"{about}: '{file.repository}' has no file '{file.name}' at revision '{revision}'; correct "
                "the source"
            ) from error


@contextmanager
def _explained(about: str, source: str, revision: str) -> Iterator[None]:
    """Whatever the hub's library raises within the block, in one sentence that says what to do."""
    from huggingface_hub import errors

    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        raise UserError(
            f"{about}: '{source}' is gated; accept its terms at https://huggingface.co/{source} and log in "
            "with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{about}: '{source}' has no revision '{revision}'; correct it") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{about}: the Hub has no model '{source}', or it is private and you are not logged in; "
            "correct the name, or log in with `hf auth login`"
        ) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"{about}: '{source}' isn't on this machine and can't be downloaded "
            f"({type(error).__name__}); run this rule on a machine with network access, or give a "
            "folder"
        ) from error
