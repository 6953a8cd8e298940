"""Prints the unit tests that `make check` runs: those of what git says has changed since the last commit.

Of a module its own tests; of what tests share, all that import it; of any other file those that name it. And
always the tests that look at all modules, which are quick.
"""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALWAYS = ("test_architecture", "test_definitions", "test_floors", "test_packaging")


def changed() -> list[str]:
    """Files, relative to the repository: changed, new, or renamed to; none that was deleted."""
    command = ["git", "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [entry[3:] for entry in said.split("\0") if entry]
    return [file for file in files if (ROOT / file).is_file()]


def unit_tests(files: Iterable[str]) -> list[str]:
    """Files of tests/unit, sorted, relative to the repository as the given ones are."""
    unit, package = ROOT / "tests/unit", ROOT / "workflow/skillprobe"
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(unit.rglob("test_*.py"))}
    found = {unit / f"{name}.py" for name in ALWAYS}
    for path in (ROOT / file for file in files):
        if path in texts:
            found.add(path)
        elif path.is_relative_to(package):
            module = path.parent if path.stem == "__init__" else path.with_suffix("")
            found.add(unit / module.relative_to(package).parent / f"test_{module.name}.py")
        else:
            shared = path.is_relative_to(unit / "made")
            # Both as in `from made.hub import COMMIT` and as in `from made import hub`.
            name = rf"^from made\b.*\b{path.stem}\b" if shared else re.escape(path.name)
            found |= {test for test, text in texts.items() if re.search(name, text, re.M)}
    return [path.relative_to(ROOT).as_posix() for path in sorted(found & texts.keys())]


if __name__ == "__main__":
    print(*unit_tests(changed()))
