"""Getting models and judges from the hub onto the machine, once, so that the jobs that load them need no
network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.models import folders, gguf_files, sampling
from skillprobe.storage.fingerprint import file_sha256

# What loading takes: no pickled weights, no other framework's.
PATTERNS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py")


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
    about, more = f"model '{entry['name']}'", {}
    if file := hub_file(entry["source"]):
        path = _download_file(about, file, entry.get("revision"))
        revision = path.parents[file.name.count("/")].name
        more["sha256"] = file_sha256(path)
    else:
        path = _download(about, entry["source"], entry.get("revision"))
        revision = path.name
    checks = gguf_files if file else folders
    try:
        checks.check_model(path, entry.get("prompt_format"))
        checks.num_layers(path, entry.get("num_layers"))
        if file and entry.get("sha256") not in (None, more["sha256"]):
            raise UserError(
                f"'{entry['source']}' has the sha256 {more['sha256']}, and not {entry['sha256']}, as its "
                "entry says; correct the entry, or its revision"
            )
        own = {} if file else sampling.of_folder(path)
    except UserError as error:
        raise UserError(f"{about}: {error}") from error
    return {"source": entry["source"], "revision": revision, "sampling": own, **more}


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
    folder = _download(f"judges.{task}", judge["model"], judge["revision"])
    check(folder)
    return {"source": judge["model"], "revision": folder.name}


def _download(about: str, source: str, revision: str | None) -> Path:
    """The folder of a snapshot, which is named by its commit."""
    from huggingface_hub import snapshot_download

    revision = revision or "main"
    with _explained(about, source, revision):
        folder = Path(snapshot_download(source, revision=revision, allow_patterns=list(PATTERNS)))
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{about}: '{source}' has no *.safetensors file at revision '{revision}', and pickled weights, "
            "which can run code, are not read; choose a revision that has one, or another model"
        )
    return folder


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
