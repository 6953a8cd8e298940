"""Print the study's plan: sampling, layers, jobs by rule, size of the activations, free disk, which claims it
can't decide, and what its pilot says."""

import json
import sys
from pathlib import Path

from skillprobe.analyses import pilot
from skillprobe.findings import decidable
from skillprobe.study import plan

settings = json.loads(snakemake.params.settings)
contents = settings.pop("contents")
text = [plan.describe(settings, Path.cwd()), *decidable.describe(settings, Path.cwd())]
print("\n".join(text), file=sys.__stdout__)
print(pilot.describe(settings, contents, Path.cwd()), file=sys.__stdout__)
