"""Try each task's probes of one model on crossings and on unconstrained answers."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses.specificity import specificity_table
from skillprobe.probes import results
from skillprobe.probes.crossings import read_crossings
from skillprobe.probes.unconstrained import read_both_prompts
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import draws, tables
from skillprobe.storage.tables import ACROSS

use_looks(settings["claims.looks"])
names, files = settings["tasks"], snakemake.input
by_scope = results.load_scopes(files.specialists, names, settings["layers"])
table = specificity_table(
    snakemake.wildcards.model,
    read_both_prompts(files.shards, by_scope[ACROSS], settings),
    tasks.categories_of(names),
    crossings=read_crossings(files.crossings, files.crossed, by_scope, settings),
    specialists=by_scope,
    signal=settings["claims.signal"],
    least=(settings["claims.crossings"], settings["claims.crossing_groups"]),
    n_draws=settings["statistics.bootstrap_draws"],
    seed=settings["seed"],
    study_groups=group_ids(settings["groups"]),
)
tables.write_csv(snakemake.output.table, table)
draws.write_draws(snakemake.output.draws, table)
