"""Files that are either whole or absent: JSON lines, JSON and text, written aside and renamed."""

import errno
import glob
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from skillprobe.errors import DamagedFile, UserError

# What a full or closed disk says.
_UNWRITABLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST),
)

# Dots part the pieces of a temporary name.
HOST = platform.node().replace(".", "_")
A_DAY = 86400.0


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
            f"{path} can't be written ({os.strerror(error.errno)}); mend that and run again: what is done "
            "stays"
        ) from error
    finally:
        _remove(temporary)


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
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_json(path: str | Path) -> object:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DamagedFile(path, f"is not valid JSON ({error})") from error


def read_jsonl(path: str | Path) -> list[dict]:
    """Rows of a JSON-lines file. Raises UserError naming file and line where one can't be read."""
    rows = []
    # Not splitlines(): responses may hold U+2028 and other line ends that JSON leaves unescaped.
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), start=1):
        if line:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise DamagedFile(path, f"has no valid JSON in line {number} ({error})") from error
    return rows


def by_task(paths: Sequence[str], tasks: Sequence[str]) -> dict[str, Sequence[str]]:
    """{task: its files}; paths: those of the first task, then of the second, …, as many each."""
    n_shards = len(paths) // len(tasks)
    return {task: paths[i * n_shards : (i + 1) * n_shards] for i, task in enumerate(tasks)}
