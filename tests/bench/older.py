"""How long the general probes of one layer take, beside an older build: all variants, one thread each.

    python tests/bench/older.py [commit] [fold seeds] [times]

The older sources are taken from git into a temporary folder, and both builds run the same made-up activations
at the paper's shape (nine tasks of 600 responses, 4096 features), each in a process of its own, in turn.
Prints the seconds of CPU time of each run, the ratio of the medians, the largest difference between decision
values, and how many chosen penalties differ. Ten minutes with one fold seed and three times.
"""

from common import world  # isort: skip (before numpy: it sets the threads)

import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
FIRST = "c023fa9"
TASKS, ROWS, HIDDEN = 9, 600, 4096
# Run with the sources of either build; the module and the names of the arguments have changed, their order
# hasn't.
RUN = """
import sys, time
import numpy as np
try:
    from skillprobe.probes.cross_validation import Settings
    from skillprobe.probes.general_probes import general
except ImportError:
    from skillprobe.probes.protocol import Settings, general
source, target, seeds = sys.argv[1:]
with np.load(source) as file:
    x, y = ({f"task{t}": part for t, part in enumerate(file[name])} for name in "xy")
groups = {task: [f"s{row // 4:03d}" for row in range(len(part))] for task, part in x.items()}
settings = Settings(fold_seeds=tuple(range(int(seeds))), shuffles=0)
start = time.process_time()
made = general(x, y, groups, settings)
print(time.process_time() - start)
results = {f"{variant}/{task}": r for variant, tasks in made.items() for task, r in tasks.items()}
arrays = {f"scores/{name}": r.scores for name, r in results.items()}
np.savez(target, **arrays, **{f"chosen/{name}": r.chosen_c for name, r in results.items()})
"""


def run(package: Path, source: Path, target: Path, seeds: str) -> float:
    environment = os.environ | {"PYTHONPATH": str(package)}
    done = subprocess.run(
        [sys.executable, "-c", RUN, source, target, seeds],
        env=environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    return float(done.stdout)


def main(commit: str = FIRST, seeds: str = "1", times: str = "3") -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packed = subprocess.run(
            ["git", "-C", ROOT, "archive", commit, "workflow"], check=True, stdout=subprocess.PIPE
        ).stdout
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(folder / "older", filter="data")
        data = [world(ROWS, HIDDEN, seed=task) for task in range(TASKS)]
        x, y = (np.stack(part) for part in zip(*data, strict=True))
        np.savez(folder / "data.npz", x=x.astype(np.float32), y=y)
        packages = {"older": folder / "older/workflow", "this": ROOT / "workflow"}
        seconds: dict[str, list[float]] = {name: [] for name in packages}
        for _ in range(int(times)):
            for name, package in packages.items():
                seconds[name].append(run(package, folder / "data.npz", folder / f"{name}.npz", seeds))
        for name, found in seconds.items():
            print(f"{name:>6} " + " ".join(f"{each:7.1f}s" for each in found))
        print(f" ratio {median(seconds['older']) / median(seconds['this']):.1f}x")
        older, this = (np.load(folder / f"{name}.npz") for name in packages)
        scores = [name for name in older.files if name.startswith("scores/")]
        worst = max(np.nanmax(np.abs(older[name] - this[name])) for name in scores)
        penalties = set(older.files) - set(scores)
        differ = sum(int((older[name] != this[name]).sum()) for name in penalties)
        print(f"largest difference of decision values {worst:.1e}, other penalties chosen {differ}")


if __name__ == "__main__":
    main(*sys.argv[1:])
