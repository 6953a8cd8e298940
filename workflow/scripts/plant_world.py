"""Plant a world: activation shards in which it is known how tasks share their signal."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import planted, tasks
from skillprobe.bases import base_ids

world, names = snakemake.wildcards.world, settings["tasks"]
rows = planted.plant(
    world,
    {task: tasks.get(task).category for task in names},
    base_ids(settings["prompts"]),
    seed=int(snakemake.wildcards.seed),
    auroc=float(snakemake.wildcards.auroc),
    rows_per_base=settings["prompts"]["items_per_base"] * settings["generation.samples"],
    hidden_size=settings["calibration.hidden_size"],
    num_layers=settings["calibration.num_layers"],
)
paths = dict(zip(names, snakemake.output.shards, strict=True))
planted.write_shards(paths, rows, position=settings["probes.position"], study=settings["study"], world=world)
