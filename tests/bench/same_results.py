"""Are the smoke study's results the same as an older build's, byte for byte?

    python tests/bench/same_results.py c023fa9

Runs the study twice, with this environment's packages: with the working tree, and with the sources of that
commit (four minutes on two cores). Prints each file of results/ that differs or is in one of them only, and
fails if there is any. Logs and benchmarks are left out, since they hold times. Neither copy is a git
repository, so the overview names no commit.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/workflow"))

from workdir import SMOKE, Workdir, copy_repository  # noqa: E402


def sources(commit: str, target: Path) -> Workdir:
    target.mkdir()
    archive = subprocess.run(["git", "-C", ROOT, "archive", commit], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", target], input=archive, check=True)
    return Workdir(target)


if len(sys.argv) != 2:
    sys.exit(__doc__)
with tempfile.TemporaryDirectory() as folder:
    builds = [sources(sys.argv[1], Path(folder) / "old"), copy_repository(Path(folder) / "new")]
    for build in builds:
        build.snakemake("--configfile", SMOKE, forked=False)
    old, new = (build.results() for build in builds)
names = sorted(old.keys() | new.keys())
differ = [name for name in names if old.get(name) != new.get(name)]
print(*differ, f"{len(differ)} of {len(names)} files differ from those of {sys.argv[1]}", sep="\n")
sys.exit(bool(differ))
