"""Measure how far one model's probes carry over to other wordings, at every layer and at the selected one."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses.robustness import robustness_table
from skillprobe.probes import results
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import tables

use_looks(settings["claims.looks"])
rows = robustness_table(
    snakemake.wildcards.model,
    dict(zip(settings["layers"], map(results.load, snakemake.input.probes), strict=True)),
    tasks.categories_of(settings["tasks"]),
    n_draws=settings["statistics.bootstrap_draws"],
    seed=settings["seed"],
    study_groups=group_ids(settings["groups"]),
)
tables.write_csv(snakemake.output.table, rows)
