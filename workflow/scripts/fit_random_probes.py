"""Fit one task's specialists on a model's random-weight twin: what the architecture alone gives away."""

from skillprobe.job import start

settings = start(snakemake)

from dataclasses import replace

from skillprobe import probes
from skillprobe.bases import base_ids
from skillprobe.probes.rows import read_rows

protocol = probes.Settings.from_config(settings["probes"], settings["seed"])
results = {}
for layer in settings["layers"]:
    rows = read_rows(snakemake.input.shards, layer, settings["probes"]["position"])
    results[str(layer)] = probes.specialist(
        rows.x,
        rows.y,
        rows.bases,
        replace(protocol, shuffles=0),
        ids=rows.ids,
        study_bases=base_ids(settings["prompts"]),
        truncated_fraction=rows.truncated,
    )
probes.save(snakemake.output.probes, results)
