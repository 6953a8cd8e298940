"""Score every task's rows by every task's specialist probes, at one layer of one model."""

from skillprobe.study.job import start

settings = start(snakemake)


from skillprobe.probes import results, transfer
from skillprobe.probes.rows import read_tasks

layer, position = int(snakemake.wildcards.layer), settings["probes.position"]
rows = read_tasks(snakemake.input.shards, settings["tasks"], layer, position)
specialists = dict(zip(settings["tasks"], map(results.load, snakemake.input.probes), strict=True))
crossed = transfer.cross_scores(
    {task: part.x for task, part in rows.items()},
    {task: part.ids for task, part in rows.items()},
    specialists,
)
transfer.save(snakemake.output.scores, crossed)
