"""How much main memory a job may still take."""

import re
from collections.abc import Iterator
from pathlib import Path


def available_memory(root: str | Path = "/") -> int | None:
    """In bytes: of the machine, or of the container or cluster job that this process is in, if that has less.
    None where the system doesn't tell (that is, but for Linux)."""
    root = Path(root)
    found = _number(root / "proc/meminfo", r"MemAvailable:\s+(\d+) kB")
    free = [] if found is None else [1024 * found]
    for folder, limit, used in _groups(root):
        most, taken = _number(folder / limit), _number(folder / used)
        if most is not None and taken is not None:
            # What the system keeps of files goes when memory is needed.
            kept = _number(folder / "memory.stat", r"^(?:total_)?inactive_file (\d+)$") or 0
            free.append(max(most - taken + kept, 0))
    return min(free, default=None)


def _groups(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Control groups that the process is in, of either version: folder, and files of the limit and of use."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if not kinds:
            top, files = root / "sys/fs/cgroup", ("memory.max", "memory.current")
        elif "memory" in kinds.split(","):
            top, files = root / "sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        own = top / path.lstrip("/")
        # Each is held to what those above it are held to.
        for folder in (own, *own.parents):
            yield folder, *files
            if folder == top:
                break


def _number(path: Path, pattern: str = r"^(\d+)$") -> int | None:
    """The one that the pattern finds in a file; None without the file, and for "max"."""
    try:
        found = re.search(pattern, path.read_text(), re.M)
    except OSError:
        return None
    return int(found[1]) if found else None
