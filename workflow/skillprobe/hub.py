"""Getting a hub model onto the machine, once, so that the jobs that load it need no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from skillprobe import store
from skillprobe.config import check_model_folder, num_layers
from skillprobe.errors import UserError

# What loading takes: no pickled weights, no other framework's.
PATTERNS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py")


def fetch(entry: Mapping) -> dict[str, str]:
    """Download a hub model into the Hugging Face cache, unless it is there: its "source", and as "revision"
    the commit that was found.

    entry: of the config's `models`. Raises UserError, in one sentence, for a model that is gated, private,
    missing or out of reach, and for files that can't be used: other weights than safetensors, no chat
    template, another number of layers than the entry says.
    """
    from huggingface_hub import errors, snapshot_download

    source, revision = entry["source"], entry.get("revision") or "main"
    about = f"model '{entry['name']}'"
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
            f"{about}: the hub has no model '{source}', or it is private and you aren't logged in; correct "
            "its source, or use `hf auth login`"
        ) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"{about}: '{source}' isn't on this machine and can't be downloaded ({type(error).__name__}); "
            "run this rule where there is a network, or give a folder"
        ) from error
    try:
        check_model_folder(folder, entry.get("prompt_format"))
        num_layers({**entry, "source": str(folder)}, folder)
    except UserError as error:
        raise UserError(f"{about}: {error}") from error
    # The folder of a snapshot is named by its commit.
    return {"source": source, "revision": folder.name}


def fetched(paths: Sequence[str | Path]) -> dict[str, object]:
    """What `models.load` takes for a model that `fetch` has fetched: its commit, and to ask nobody. {} for a
    folder, which has no such file."""
    return {
        key: value
        for path in paths
        for key, value in (("revision", store.read_json(path)["revision"]), ("offline", True))
    }
