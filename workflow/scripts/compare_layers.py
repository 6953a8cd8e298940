"""Find the depth at which each task's signal emerges in one model, and whether categories differ in it."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses.layers import layers_table
from skillprobe.probes import results
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import draws, tables

use_looks(settings["claims.looks"])
names, layers = settings["tasks"], settings["layers"]
rows = []
for scope, specialists in results.load_scopes(snakemake.input.specialists, names, layers).items():
    rows += layers_table(
        snakemake.wildcards.model,
        specialists,
        tasks.categories_of(names),
        settings["num_layers"],
        scope=scope,
        n_draws=settings["statistics.bootstrap_draws"],
        seed=settings["seed"],
        study_groups=group_ids(settings["groups"]),
        signal=settings["claims.signal"],
        share=settings["claims.emergence_share"],
    )
tables.write_csv(snakemake.output.table, rows)
draws.write_draws(snakemake.output.draws, rows)
