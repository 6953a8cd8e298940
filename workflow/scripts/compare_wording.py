"""Tabulate how often one model obeys by how the instruction is worded."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import store, tables, tasks
from skillprobe.analyses.wording import wording_table
from skillprobe.bases import base_ids

paths = store.by_task(snakemake.input.labels, settings["tasks"])
rows = wording_table(
    snakemake.wildcards.model,
    {task: [row for path in own for row in store.read_jsonl(path)] for task, own in paths.items()},
    {task: tasks.get(task).category for task in settings["tasks"]},
    base_ids(settings["prompts"]),
    min_bases=settings["probes.min_bases"],
    n_draws=settings["statistics"]["bootstrap_draws"],
    seed=settings["seed"],
)
tables.write_csv(snakemake.output.table, rows)
