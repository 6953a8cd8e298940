"""Try each task's probes of one model on its unconstrained answers: is it the constraint that they read?"""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses.specificity import specificity_table
from skillprobe.probes import results
from skillprobe.probes.twins import read_twins
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import draws, tables

use_looks(settings["claims.looks"])
names = settings["tasks"]
specialists = results.load_specialists(snakemake.input.specialists, names, settings["layers"])
table = specificity_table(
    snakemake.wildcards.model,
    read_twins(snakemake.input.shards, specialists, settings),
    tasks.categories_of(names),
    n_draws=settings["statistics"]["bootstrap_draws"],
    seed=settings["seed"],
    study_groups=group_ids(settings["groups"]),
)
tables.write_csv(snakemake.output.table, table)
draws.write_draws(snakemake.output.draws, table)
