"""What runs again after a change, as a page: `python tests/workflow/rerun_matrix.py > docs/reruns.md`."""

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
    "crossings": ("crossings",),
    "probes": ("probes",),
    "ablation": ("ablation",),
    "other analyses": (
        "generality",
        "transfer",
        "layers",
        "time",
        "monitors",
        "specificity",
        "robustness",
        "similarity",
        "agreement",
        "guard",
    ),
    "behaviour": ("behaviour",),
    "tables, findings": ("tables", "findings"),
    "figures, report": ("figures", "report"),
}
HEAD = """# What runs again after a change?

Which jobs does Snakemake run again after I change the config? Only those that depend on the change. This
command lists them without running them:

```sh
snakemake --dry-run --cores 4 --configfile my.yaml
```

The table shows this for the smoke study (`workflow/studies/smoke.yaml`: three models, three tasks, two
layers), which has {total} jobs. The study is finished, then one key is changed, and the jobs of a dry run are
counted by stage. The last eleven rows have other changes, of several keys or of one model.
`tests/workflow/test_every_key.py` checks every job by rule and wildcards. It also checks this page, which
`python tests/workflow/rerun_matrix.py` prints.

**Growing a study** costs the growth. One job makes a block of consecutive content requests for a model and
task (`generation.block`, here 40). With `prompts.bases: 80` instead of 40, the prompts, responses, labels and
activations of the first 40 are not touched, and only those of the new 40 are made (in the table, one block's
jobs, not two). All probes and analyses run again, because the data have changed. A last block that was short
is made again when it grows, so begin with a multiple of `generation.block`. With fewer content requests, the
files of the others stay there unused. If you plan to look at the findings more than once, set `claims.looks`
before the first look.

Comments, the order of keys, `touch`, a fresh clone with the old `results/` and `.snakemake/`, and moving the
results to another disk change nothing (`test_reruns.py`, `test_every_key.py`).
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
        row(f"`{key}: {'one of the three removed' if callable(value) else json.dumps(value)}`", jobs)
        for key, (value, jobs) in CHANGES.items()
        if key != "judges"
    ]
    head = [
        f"| change | jobs | {' | '.join(STAGES)} |",
        "|---" * (len(STAGES) + 2) + "|",
    ]
    pairs = [row(name, jobs) for name, (_, jobs) in PAIRS.items()]
    return "\n".join([HEAD.format(total=len(EVERYTHING)), *head, *keys, *pairs]) + "\n"


if __name__ == "__main__":
    print(page(), end="")
