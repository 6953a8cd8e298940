"""Plant a world, judge it as if it were a model, and say whether the verdicts are right."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import tables
from skillprobe.calibration import judge_world

world = snakemake.wildcards
rows = judge_world(
    world.world, settings, auroc=float(world.auroc), bases=int(world.bases), seed=int(world.seed)
)
tables.write_csv(snakemake.output.verdicts, rows)
