"""Fit one task's specialist probe at one layer of one model."""

from skillprobe.study.job import start

settings = start(snakemake)


from skillprobe.probes import results
from skillprobe.probes.rows import read_rows
from skillprobe.probes.specialists import fit_scopes

rows = read_rows(snakemake.input.shards, int(snakemake.wildcards.layer), settings["probes"]["position"])
results.save(snakemake.output.probe, fit_scopes(rows, settings))
