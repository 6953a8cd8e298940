"""Fit the general probes of all tasks together at one layer of one model."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import probes
from skillprobe.bases import base_ids
from skillprobe.probes.rows import read_tasks

layer, position = int(snakemake.wildcards.layer), settings["probes"]["position"]
rows = read_tasks(snakemake.input.shards, settings["tasks"], layer, position)
result = probes.general(
    {task: part.x for task, part in rows.items()},
    {task: part.y for task, part in rows.items()},
    {task: part.bases for task, part in rows.items()},
    probes.Settings.from_config(settings["probes"], settings["seed"]),
    ids_by_task={task: part.ids for task, part in rows.items()},
    study_bases=base_ids(settings["prompts"]),
    truncated_fraction={task: part.truncated for task, part in rows.items()},
)
probes.save(snakemake.output.probe, result)
