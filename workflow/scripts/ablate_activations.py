"""Erase each task's signal from every task's activations, at one layer of one model."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import erasure
from skillprobe.erasure import cross
from skillprobe.probes import results
from skillprobe.probes.rows import read_tasks

layer, position = int(snakemake.wildcards.layer), settings["probes.position"]
rows = read_tasks(snakemake.input.shards, settings["tasks"], layer, position)
by_task = results.load_specialists(snakemake.input.probes, settings["tasks"], [layer])
specialists = {task: by_layer[layer] for task, by_layer in by_task.items()}
ablated, erasers = cross.cross_ablate(
    {task: part.x for task, part in rows.items()},
    {task: part.ids for task, part in rows.items()},
    specialists,
    cross.Settings(
        **settings["ablation"],
        seed=settings["seed"],
        feature_scaling=settings["probes.feature_scaling"],
    ),
)
cross.save(snakemake.output.scores, ablated)
erasure.save(snakemake.output.erasers, erasers)
