"""Fit the general probes of all tasks together at one layer of one model."""

from skillprobe.study.job import start

settings = start(snakemake)


from skillprobe.probes import results
from skillprobe.probes.general_probes import fit_general_scopes
from skillprobe.probes.rows import read_tasks

layer, position = int(snakemake.wildcards.layer), settings["probes.position"]
rows = read_tasks(snakemake.input.shards, settings["tasks"], layer, position)
results.save(snakemake.output.probe, fit_general_scopes(rows, settings))
