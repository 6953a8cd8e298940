"""Find the depth at which each task's signal emerges in one model, and whether categories differ in it."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import draws, probes, tables, tasks
from skillprobe.analyses.layers import layers_table
from skillprobe.bases import base_ids

names, layers = settings["tasks"], settings["layers"]
specialists = probes.load_specialists(snakemake.input.specialists, names, layers)
rows = layers_table(
    snakemake.wildcards.model,
    specialists,
    {task: tasks.get(task).category for task in names},
    settings["num_layers"],
    n_draws=settings["statistics"]["bootstrap_draws"],
    seed=settings["seed"],
    study_bases=base_ids(settings["prompts"]),
    signal=settings["claims.signal"],
    share=settings["claims.emergence_share"],
)
tables.write_csv(snakemake.output.table, rows)
draws.write_draws(snakemake.output.draws, rows)
