"""Fit one task's specialist probe at one layer of one model."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import probes
from skillprobe.bases import base_ids
from skillprobe.probes.rows import read_rows

rows = read_rows(snakemake.input.shards, int(snakemake.wildcards.layer), settings["probes"]["position"])
result = probes.specialist(
    rows.x,
    rows.y,
    rows.bases,
    probes.Settings.from_config(settings["probes"], settings["seed"]),
    ids=rows.ids,
    study_bases=base_ids(settings["prompts"]),
    truncated_fraction=rows.truncated,
    confounds=rows.confounds(settings["probes"]["confounds"]),
)
probes.save(snakemake.output.probe, result)
