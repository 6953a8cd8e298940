"""Getting models and judges from the hub onto the machine, once, so that the jobs that load them need no
network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.models import folders, sampling

# What loading takes: no pickled weights, no other framework's.
PATTERNS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py")


def fetch_model(entry: Mapping) -> dict:
    """Download a hub model into the Hugging Face cache, unless it is there: its "source", as "revision" the
    commit that was found, and its own "sampling" (of `sampling.of_folder`).

    entry: of the config's `models`. Raises UserError, in one sentence, for a model that is gated, private,
    missing or out of reach, and for files that can't be used: other weights than safetensors, no chat
    template, another number of layers than the entry says.
    """
    about = f"model '{entry['name']}'"
    folder = _download(about, entry["source"], entry.get("revision"))
    try:
        folders.check_model(folder, entry.get("prompt_format"))
        folders.num_layers(folder, entry.get("num_layers"))
        own = sampling.of_folder(folder)
    except UserError as error:
        raise UserError(f"{about}: {error}") from error
    return {"source": entry["source"], "revision": folder.name, "sampling": own}


def fetch_judge(task: str, judge: Mapping, check: Callable[[Path], None]) -> dict[str, str]:
    """As `fetch_model`, for a judge: of the config's `judges`, that of this task. check: called with the
    folder, raises UserError where it can't be used."""
    folder = _download(f"judges.{task}", judge["model"], judge["revision"])
    check(folder)
    return {"source": judge["model"], "revision": folder.name}


def _download(about: str, source: str, revision: str | None) -> Path:
    """The folder of a snapshot, which is named by its commit."""
    from huggingface_hub import errors, snapshot_download

    revision = revision or "main"
    try:
        folder = Path(snapshot_download(source, revision=revision, allow_patterns=list(PATTERNS)))
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
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{about}: '{source}' has no *.safetensors file at revision '{revision}', and pickled weights, "
            "which can run code, are not read; choose a revision that has one, or another model"
        )
    return folder
