"""Fit the general probes of all tasks together at one layer of one model."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import probes
from skillprobe.probes.rows import fit_general, read_tasks

layer, position = int(snakemake.wildcards.layer), settings["probes.position"]
rows = read_tasks(snakemake.input.shards, settings["tasks"], layer, position)
probes.save(snakemake.output.probe, fit_general(rows, settings))
