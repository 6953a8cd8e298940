"""What an older build says of the planted worlds that show why its rules were replaced.

    python tests/bench/versions.py c458262 5

Plants five seeds of each world with the working tree, and judges their activations twice: with that tree and,
in a process of its own, with the sources of that commit, whose rules have version 1. Prints for each claim
what is true, and how often each verdict was given. About a minute and a half of CPU time for each world.
"""

from common import ROOT, older_build  # isort: skip (before numpy: it sets the threads)

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import yaml

sys.path.insert(0, str(ROOT / "workflow"))

from skillprobe.findings import calibration, planted_shards, rules  # noqa: E402
from skillprobe.findings.worlds import BEYOND, WORLDS  # noqa: E402
from skillprobe.storage import files  # noqa: E402
from skillprobe.study import config  # noqa: E402

# World: the claims that version 1 can get wrong there, at least.
CLAIMS = {
    "depths": ("generality",),
    "few_violations": ("ablation_sparse",),
    "silent_tasks": ("transfer_weak", "ablation_sparse", "layers_stratified"),
    "unequal": ("ablation_asymmetric",),
    "margin": ("generality",),
    "params": ("generality", "monitoring"),
    "half_planned": ("monitoring",),
    "wholly_planned": ("monitoring",),
    "text_read": ("specificity",),
}
AUROC, BASES = 0.9, 90
# Run with the older sources: its analyses and rules, on shards that lie there.
OLDER = """
import json, sys, yaml
from types import SimpleNamespace
from skillprobe.findings import calibration, rules
from skillprobe.storage import files
from skillprobe.study import config
folder, source, world, twins, course, bases, size = sys.argv[1:]
study = config.complete(yaml.safe_load(open(source + "/config.yaml")), source)
names = ("seed", "study", "tasks", "probes", "ablation", "statistics", "claims")
settings = {name: study[name] for name in names}
hidden, layers = map(int, size.split("x"))
settings |= {"groups": int(bases), "items_per_base": 2, "generation.samples": 4}
settings |= {"hidden_size": hidden, "num_layers": layers}
calibration.WORLDS = {world: SimpleNamespace(twins=twins == "True", course=course == "True")}
calibration.label_rows = lambda task, path: list(files.read_jsonl(path))
planted = {task: f"{folder}/{task}.jsonl" for task in study["tasks"]}
shards = [f"{folder}/{task}.h5" for task in study["tasks"]]
tables = calibration._analyse(world, planted, shards, settings)
found = rules.judge(tables, [world], study["tasks"], study["claims"])[world]
print(json.dumps({claim: finding["verdict"] for claim, finding in found.items()}))
"""


def main(commit: str, n_seeds: int) -> None:
    study = config.complete(yaml.safe_load((ROOT / "config.yaml").read_text()), ROOT)
    names = ("seed", "study", "tasks", "probes", "ablation", "statistics", "claims")
    settings = {name: study[name] for name in names}
    settings |= {"groups": BASES, "items_per_base": 2, "generation.samples": 4, "refits": False}
    settings |= {name: study["calibration"][name] for name in ("hidden_size", "num_layers")}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "older"
        older_build(commit, source)
        print("| world | claim | truth | version 1 | version 2 |", "|---|---|---|---|---|", sep="\n")
        for world, claims in CLAIMS.items():
            counts = {claim: (Counter(), Counter()) for claim in claims}
            for seed in range(n_seeds):
                here = Path(folder) / world / str(seed)
                here.mkdir(parents=True)
                planted = calibration.plant_study(world, settings, auroc=AUROC, seed=seed)
                newer = judged(world, planted, here, settings)
                older = judged_by(source, world, planted, here, settings)
                for claim in claims:
                    counts[claim][0][older[claim]] += 1
                    counts[claim][1][newer[claim]] += 1
            for claim, both in counts.items():
                headline = rules.RULES[claim].scopes[0]
                truth = WORLDS[world].truth[headline][claim]
                shown = ("; ".join(f"{verdict} {n}" for verdict, n in each.most_common()) for each in both)
                print(f"| {world} | {claim} | {truth} | {' | '.join(shown)} |", flush=True)


def judged(world: str, planted: dict, folder: Path, settings: dict) -> dict[str, str]:
    """{claim: verdict}, in its headline scope."""
    fits = calibration.fit_probes(world, planted, folder, settings)
    wanted = {claim for truth in WORLDS[world].truth.values() for claim in truth} - {BEYOND}
    tables = calibration.tabulate(world, fits, settings, wanted, False)
    found = rules.judge(tables, [world], settings["tasks"], settings["claims"])[world]
    return {claim: finding["verdict"] for claim, finding in found.items()}


def judged_by(source: Path, world: str, planted: dict, folder: Path, settings: dict) -> dict[str, str]:
    """The same by older sources, on the shards that `judged` has left."""
    for task, rows in planted.items():
        files.write_jsonl(folder / f"{task}.jsonl", planted_shards.label_rows(task, rows))
    plan, some = WORLDS[world], next(iter(planted.values()))
    size = f"{settings['hidden_size']}x{settings['num_layers']}"
    arguments = [folder, source, world, some.unconstrained is not None, bool(plan.course), BASES, size]
    run = subprocess.run(
        [sys.executable, "-c", OLDER, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(source / "workflow")},
        capture_output=True,
        text=True,
    )
    if run.returncode:
        sys.exit(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]))
