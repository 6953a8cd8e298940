"""Tabulate how often one model obeys by how the instruction is worded."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses.wording import wording_table
from skillprobe.labels.verdicts import decided
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import files, tables

use_looks(settings["claims.looks"])
paths = files.by_task(snakemake.input.labels, settings["tasks"])
rows = wording_table(
    snakemake.wildcards.model,
    {task: decided(files.read_all(own)) for task, own in paths.items()},
    tasks.categories_of(settings["tasks"]),
    group_ids(settings["groups"]),
    min_groups=settings["probes.min_groups"],
    n_draws=settings["statistics.bootstrap_draws"],
    seed=settings["seed"],
)
tables.write_csv(snakemake.output.table, rows)
