"""How long the general probes and the ablation of one layer take, beside an older build, one thread each.

    python tests/bench/older.py [commit] [fold seeds] [times] [tasks]

The older sources are taken from git into a temporary folder, and both builds run the same made-up activations
at the paper's shape (nine tasks of 600 responses, 4096 features), each in a process of its own, in turn: all
variants of the general probe, and erasers with their nulls, variants, curves and random subspaces. The older
build ablates halves of the groups, too, and this one fits erasers anew on draws of groups instead; both are
left out. Prints the seconds of CPU time of each run, the ratio of the medians, the largest difference between
decision values, and how many chosen penalties differ. INLP's directions behind the fourth stand apart: one
may be shorter than the first by a factor of millions. A quarter of an hour with one fold seed and three
times.
"""

from common import ROOT, older_build, world  # isort: skip (before numpy: it sets the threads)

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

FIRST = "c023fa9"
ROWS, HIDDEN = 600, 4096
# Run with the sources of either build; modules and the names of the arguments have changed, their order
# hasn't.
START = """
import sys, time
from dataclasses import fields
import numpy as np
try:
    from skillprobe.probes.cross_validation import Settings
    from skillprobe.probes.general_probes import general
    from skillprobe.probes.specialists import specialist
except ImportError:
    from skillprobe.probes.protocol import Settings, general, specialist
source, target, seeds = sys.argv[1:]
with np.load(source) as file:
    x, y = ({f"task{t}": part for t, part in enumerate(file[name])} for name in "xy")
groups = {task: [f"s{row // 4:03d}" for row in range(len(part))] for task, part in x.items()}
settings = Settings(fold_seeds=tuple(range(int(seeds))), shuffles=0)
"""
PARTS = {
    "general probes": """
start = time.process_time()
made = general(x, y, groups, settings)
print(time.process_time() - start)
results = {f"{variant}/{task}": r for variant, tasks in made.items() for task, r in tasks.items()}
arrays = {f"scores/{name}": r.scores for name, r in results.items()}
np.savez(target, **arrays, **{f"chosen/{name}": r.chosen_c for name, r in results.items()})
""",
    "ablation": """
import concept_erasure, torch
from skillprobe.erasure.cross import Settings as Ablation, cross_ablate
specialists = {task: specialist(x[task], y[task], groups[task], settings) for task in x}
ids = {task: result.ids for task, result in specialists.items()}
older = "halves" in {field.name for field in fields(Ablation)}
start = time.process_time()
if older:
    made, _ = cross_ablate(x, ids, specialists, Ablation(halves=False))
else:
    made, _ = cross_ablate(x, ids, specialists, Ablation(), counting=list(x))
print(time.process_time() - start)
arrays = {}
for task, each in made.items():
    arrays |= {f"scores/{task}/before": each.before, f"scores/{task}/null": each.null}
    arrays |= {f"scores/{task}/random": each.random}
    arrays |= {f"scores/{task}/curve": each.curve[:4], f"curve/{task}": each.curve[4:]}
    for kind in ("retrained", "frozen"):
        for method, values in getattr(each, kind).items():
            place = "curve" if method == "inlp_stopped" else "scores"
            arrays[f"{place}/{task}/{kind}/{method}"] = values
np.savez(target, **arrays, **{f"chosen/{task}": r.chosen_c for task, r in specialists.items()})
""",
}


def run(part: str, package: Path, source: Path, target: Path, seeds: str) -> float:
    environment = os.environ | {"PYTHONPATH": str(package)}
    done = subprocess.run(
        [sys.executable, "-c", START + PARTS[part], source, target, seeds],
        env=environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return float(done.stdout)


def differences(older, this) -> str:
    def largest(start):
        names = [name for name in older.files if name.startswith(start)]
        return max((np.nanmax(np.abs(older[name] - this[name])) for name in names), default=None)

    differ = sum(int((older[n] != this[n]).sum()) for n in older.files if n.startswith("chosen/"))
    text = f"largest difference of decision values {largest('scores/'):.1e}, other penalties {differ}"
    behind = largest("curve/")
    return text if behind is None else f"{text}; behind the fourth direction {behind:.1e}"


def main(commit: str = FIRST, seeds: str = "1", times: str = "3", tasks: str = "9") -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        older = older_build(commit, folder / "older")
        data = [world(ROWS, HIDDEN, seed=task) for task in range(int(tasks))]
        x, y = (np.stack(part) for part in zip(*data, strict=True))
        np.savez(folder / "data.npz", x=x.astype(np.float32), y=y)
        packages = {"older": older, "this": ROOT / "workflow"}
        for part in PARTS:
            seconds: dict[str, list[float]] = {name: [] for name in packages}
            for _ in range(int(times)):
                for name, package in packages.items():
                    target = folder / f"{name}.npz"
                    seconds[name].append(run(part, package, folder / "data.npz", target, seeds))
            print(part)
            for name, found in seconds.items():
                print(f"{name:>6} " + " ".join(f"{each:7.1f}s" for each in found))
            print(f" ratio {median(seconds['older']) / median(seconds['this']):.1f}x")
            print(differences(*(np.load(folder / f"{name}.npz") for name in packages)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
