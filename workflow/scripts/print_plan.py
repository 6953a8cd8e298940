"""Print the study's plan: jobs by rule, size of the activations, free disk."""

import json
import sys
from pathlib import Path

from skillprobe.study import plan

print(plan.describe(json.loads(snakemake.params.settings), Path.cwd()), file=sys.__stdout__)
