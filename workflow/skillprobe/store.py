"""Files that are either whole or absent: JSON lines, JSON and text, written aside and renamed."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from skillprobe.errors import UserError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, for a file or folder; on success it is renamed, else removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


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
        raise UserError(f"{path} is not valid JSON ({error}); delete it and run again") from error


def read_jsonl(path: str | Path) -> list[dict]:
    """Rows of a JSON-lines file. Raises UserError naming file and line where one can't be read."""
    rows = []
    # Not splitlines(): responses may hold U+2028 and other line ends that JSON leaves unescaped.
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), start=1):
        if line:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise UserError(
                    f"{path}, line {number} is not valid JSON ({error}); delete the file and run again"
                ) from error
    return rows


def by_task(paths: Sequence[str], tasks: Sequence[str]) -> dict[str, Sequence[str]]:
    """{task: its files}; paths: those of the first task, then of the second, …, as many each."""
    n_shards = len(paths) // len(tasks)
    return {task: paths[i * n_shards : (i + 1) * n_shards] for i, task in enumerate(tasks)}
