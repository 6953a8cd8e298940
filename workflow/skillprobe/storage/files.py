"""Files that are either whole or absent: JSON lines, JSON and text, written aside and renamed.

Beside the JSON lines and tables of a study lie hidden seals (.0.jsonl.sha256 beside 0.jsonl), which tell a
file that was changed, cut short or copied from elsewhere.
"""

import codecs
import errno
import glob
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from skillprobe.errors import DamagedFile, UserError

Name = TypeVar("Name")
# What a full or closed disk says.
_UNWRITABLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY),
)
_UNREADABLE = (
    *(errno.EACCES, errno.EPERM, errno.ENOLCK, errno.ESTALE, errno.ETIMEDOUT),
    *(errno.EMFILE, errno.ENFILE),
)

# Dots part the pieces of a temporary name.
HOST = platform.node().replace(".", "_")
A_DAY = 86400.0
# The folders of a study whose files jobs read.
_STAGES = frozenset(
    ("prompts", "responses", "labels", "activations", "random_activations", "crossings")
    + ("crossing_activations", "probes", "erasers", "ablation", "time", "behaviour", "tables", "calibration")
    + ("pilot", "monitors", "guard")
)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, for a file or folder; on success it is renamed, else removed.

    Those that killed processes have left there are removed first, but for fresh ones of other machines, where
    a job of a lost run may still be at work. Raises UserError where the disk is full or can't be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{HOST}-{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.*-*.tmp"):
            # Another may have seen to it.
            with suppress(FileNotFoundError):
                if _abandoned(left):
                    _remove(left)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise UserError(
            f"cannot write {path} ({os.strerror(error.errno)}); correct that and run again: finished "
            "results are kept"
        ) from error
    finally:
        _remove(temporary)


@contextmanager
def shared_folder(folder: Path) -> Iterator[Path]:
    """As `atomic_path`, for a folder that several jobs may make at the same time, all of the same content.

    A folder can't be renamed to one that is there, so the one that came first stays.
    """
    try:
        with atomic_path(folder) as temporary:
            yield temporary
    except (OSError, UserError):
        if not folder.is_dir():
            raise


def _abandoned(temporary: Path) -> bool:
    host, _, process = temporary.name.removesuffix(".tmp").rpartition(".")[2].rpartition("-")
    if host != HOST:
        return time.time() - temporary.stat().st_mtime > A_DAY
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # Another user's.
        pass
    return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def write_text(path: str | Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> None:
    """Write rows as JSON lines, sealed (see `write_sealed`)."""
    write_sealed(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def place_of(path: str | Path) -> str:
    """A result's path from its stage's folder on (labels/<model>/<task>/0.jsonl), which stays the same when
    its study is moved or copied as a whole; "" for a file that is in no such folder."""
    parts = Path(path).parts
    stages = [
        number
        for number, part in enumerate(parts[:-1])
        # No job reads figures/, whatever folders it has.
        if part in _STAGES and (number == 0 or parts[number - 1] != "figures")
    ]
    # In tables/time/ it is the first that counts.
    begins = [number for number in stages if number - 1 not in stages]
    return "/".join(parts[begins[-1] :]) if begins else ""


def write_sealed(path: str | Path, text: str) -> None:
    """Write a text, and a seal beside it if it is a result (see `place_of`), for `read_sealed` to look at.

    A seal is a line of `sha256sum`: the content's SHA-256 and its place.
    """
    path, content = Path(path), text.encode("utf-8")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
        # Killed between the two, a job leaves a whole file without a seal, not one with another's.
        _seal_of(path).unlink(missing_ok=True)
    if place := place_of(path):
        write_text(_seal_of(path), f"{hashlib.sha256(content).hexdigest()}  {place}\n")


def check_readable(path: str | Path, error: Exception) -> None:
    """Raises UserError where `error` says that the system didn't give the file, which may well be whole."""
    if isinstance(error, OSError) and error.errno in _UNREADABLE:
        raise UserError(
            f"cannot read {path} ({os.strerror(error.errno)}); correct that and run again: the file itself "
            "may be whole"
        ) from error


def read_sealed(path: str | Path) -> str:
    """A text. Raises DamagedFile for a result that isn't what its seal says was written there (one without a
    seal, from elsewhere or of an older version, is read as it is), and for what isn't UTF-8."""
    path = Path(path)
    content, place, seal = path.read_bytes(), place_of(path), _seal_of(path)
    if place and seal.is_file():
        checksum, _, origin = seal.read_bytes().rstrip(b"\n").partition(b"  ")
        if checksum != hashlib.sha256(content).hexdigest().encode():
            raise DamagedFile(
                path,
                f"has changed since it was written (on purpose? then delete its checksum file {seal.name})",
            )
        if origin != place.encode():
            raise DamagedFile(path, f"is a copy of {origin.decode(errors='replace')}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedFile(path, f"is not a UTF-8 text ({error})") from error


def _seal_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def read_json(path: str | Path) -> object:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DamagedFile(path, f"is not valid JSON ({error})") from error


def read_jsonl(path: str | Path) -> list[dict]:
    """Rows of a JSON-lines file. Raises DamagedFile as `read_sealed`, and naming a line that is no object."""
    rows = []
    # Not splitlines(): responses may hold U+2028 and other line ends that JSON leaves unescaped.
    for number, line in enumerate(read_sealed(path).split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DamagedFile(path, f"has no valid JSON in line {number} ({error})") from error
            if not isinstance(row, dict):
                raise DamagedFile(path, f"has no JSON object in line {number}")
            rows.append(row)
    return rows


def json_object(line: bytes, form: str = "") -> dict:
    """The JSON object of a line of a user's file. form: as it should look, for the message.

    Raises UserError saying what is wrong with "it", for the caller to name file and line.
    """
    if not line.strip():
        raise UserError("it is empty; give one JSON object per line")
    try:
        row = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise UserError(f"it is not UTF-8 (byte {error.start + 1})") from error
    except RecursionError as error:
        raise UserError("it is nested too deeply to be read") from error
    except ValueError as error:  # also numbers of thousands of digits
        raise UserError(f"it is not valid JSON ({error})") from error
    if not isinstance(row, dict):
        raise UserError(f"it must be an object{f' {form}' if form else ', {...}'}")
    return row


def _refuse_constant(name: str):
    raise ValueError(f"{name} is not a JSON number")


def user_lines(
    path: str | Path, check: Callable[[dict], None] = lambda row: None
) -> Iterator[tuple[int, dict]]:
    """(number from 1, object) of the lines of a user's JSON-lines file; blank ones are left out.

    Raises UserError naming the file and the line for what can't be read, and for what `check` refuses.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}; correct the path") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; give a file of JSON lines") from error
    # Other line ends than these may stand unescaped within a text.
    for number, line in enumerate(content.removeprefix(codecs.BOM_UTF8).split(b"\n"), start=1):
        if line.strip():
            try:
                row = json_object(line)
                check(row)
            except UserError as error:
                raise UserError(f"{path}, line {number}: {error}") from error
            yield number, row


def read_all(paths: Iterable[str | Path]) -> list[dict]:
    """Rows of several JSON-lines files, or of none. Raises DamagedFile as `read_jsonl`."""
    return [row for path in paths for row in read_jsonl(path)]


def by_task(paths: Sequence[str], tasks: Sequence[Name]) -> dict[Name, Sequence[str]]:
    """{task: its files}, or of other names; paths: those of the first task, then of the second, …, as many
    each."""
    n_shards = len(paths) // len(tasks)
    return {task: paths[i * n_shards : (i + 1) * n_shards] for i, task in enumerate(tasks)}
