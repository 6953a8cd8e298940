"""Print what a pilot says."""

import sys
from pathlib import Path

print(Path(snakemake.input.text).read_text(encoding="utf-8"), file=sys.__stdout__)
