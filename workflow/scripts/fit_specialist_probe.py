"""Fit one task's specialist probe at one layer of one model."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import probes
from skillprobe.probes.rows import fit_specialist, read_rows

rows = read_rows(snakemake.input.shards, int(snakemake.wildcards.layer), settings["probes"]["position"])
probes.save(snakemake.output.probe, fit_specialist(rows, settings))
