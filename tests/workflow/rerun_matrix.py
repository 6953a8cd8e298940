"""What runs again after which change, as a page: `python tests/workflow/rerun_matrix.py > docs/reruns.md`."""

import json
import re
from collections import Counter

from test_every_key import CHANGES, EVERYTHING, PAIRS
from workdir import ROOT

# Columns, and the files of workflow/rules/ whose jobs they count.
STAGES = {
    "prompts": ("prompts",),
    "responses": ("models", "responses"),
    "labels": ("labels",),
    "activations": ("activations",),
    "probes": ("probes",),
    "ablation": ("ablation",),
    "other analyses": (
        "generality",
        "transfer",
        "layers",
        "time",
        "specificity",
        "robustness",
        "similarity",
        "agreement",
    ),
    "behaviour": ("behaviour",),
    "tables, findings": ("tables", "findings"),
    "figures, report": ("figures", "report"),
}
HEAD = """# What runs again

After a change of the config, Snakemake makes anew what depends on the change, and nothing else. For every
key, and for some at once, these are the jobs that a dry-run of the finished smoke study
(`workflow/studies/smoke.yaml`: three models, three tasks, two layers) lists, of {total};
`tests/workflow/test_every_key.py` holds Snakemake to each single one, by rule and wildcards, and this page,
which `python tests/workflow/rerun_matrix.py` prints, to that test.

Comments, the order of keys, `touch`, a fresh clone with the old `results/` and `.snakemake/`, and results
that were moved to another disk change nothing (`test_reruns.py`, `test_every_key.py`).
"""


def page() -> str:
    files = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk")}
    stage_of = {
        rule: stage
        for stage, names in STAGES.items()
        for name in names
        for rule in re.findall(r"^rule (\w+):", files[name], re.M)
    }

    def row(name, jobs):
        counted = Counter(stage_of[rule] for rule, _ in jobs)
        cells = [str(counted[stage] or "") for stage in STAGES]
        return f"| {name} | {len(jobs)} | {' | '.join(cells)} |"

    keys = [
        row(f"`{key}: {'one of three less' if callable(value) else json.dumps(value)}`", jobs)
        for key, (value, jobs) in CHANGES.items()
        if key != "judges"
    ]
    head = [
        f"| changed to | jobs | {' | '.join(STAGES)} |",
        "|---" * (len(STAGES) + 2) + "|",
    ]
    pairs = [row(name, jobs) for name, (_, jobs) in PAIRS.items()]
    return "\n".join([HEAD.format(total=len(EVERYTHING)), *head, *keys, *pairs]) + "\n"


if __name__ == "__main__":
    print(page(), end="")
