"""Plant a world, judge it as if it were a model, and say whether the verdicts are right."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.findings.calibration import judge_world
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import tables

use_looks(settings["claims"]["looks"])
world = snakemake.wildcards
rows = judge_world(
    world.world, settings, auroc=float(world.auroc), bases=int(world.bases), seed=int(world.seed)
)
tables.write_csv(snakemake.output.verdicts, rows)
