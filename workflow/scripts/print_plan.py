"""Print the study's plan: jobs by rule, size of the activations, free disk, and what its pilot says."""

import json
import sys
from pathlib import Path

from skillprobe.analyses import pilot
from skillprobe.study import plan

settings = json.loads(snakemake.params.settings)
contents = settings.pop("contents")
print(plan.describe(settings, Path.cwd()), file=sys.__stdout__)
print(pilot.describe(settings, contents, Path.cwd()), file=sys.__stdout__)
