"""Find the depth at which each task's signal emerges in one model, and whether categories differ in it."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses.layers import layers_table
from skillprobe.probes import results
from skillprobe.prompts.bases import group_ids
from skillprobe.storage import draws, tables

names, layers = settings["tasks"], settings["layers"]
specialists = results.load_specialists(snakemake.input.specialists, names, layers)
rows = layers_table(
    snakemake.wildcards.model,
    specialists,
    tasks.categories_of(names),
    settings["num_layers"],
    n_draws=settings["statistics"]["bootstrap_draws"],
    seed=settings["seed"],
    study_groups=group_ids(settings["groups"]),
    signal=settings["claims.signal"],
    share=settings["claims.emergence_share"],
)
tables.write_csv(snakemake.output.table, rows)
draws.write_draws(snakemake.output.draws, rows)
