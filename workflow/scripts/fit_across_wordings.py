"""Fit probes of each task on some wordings of the instructions, scored on all, at one layer of one model."""

from skillprobe.study.job import start

settings = start(snakemake)


from skillprobe.probes import results
from skillprobe.probes.rows import read_tasks
from skillprobe.probes.wordings import fit_wordings

layer, position = int(snakemake.wildcards.layer), settings["probes.position"]
rows = read_tasks(snakemake.input.shards, settings["tasks"], layer, position)
results.save(snakemake.output.probes, {task: fit_wordings(own, settings) for task, own in rows.items()})
