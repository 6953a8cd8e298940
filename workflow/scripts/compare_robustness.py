"""Measure how far one model's probes carry over to other wordings, at every layer and at the selected one."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import probes, tables, tasks
from skillprobe.analyses.robustness import robustness_table
from skillprobe.bases import base_ids

rows = robustness_table(
    snakemake.wildcards.model,
    dict(zip(settings["layers"], map(probes.load, snakemake.input.probes), strict=True)),
    {task: tasks.get(task).category for task in settings["tasks"]},
    n_draws=settings["statistics"]["bootstrap_draws"],
    seed=settings["seed"],
    study_bases=base_ids(settings["prompts"]),
)
tables.write_csv(snakemake.output.table, rows)
