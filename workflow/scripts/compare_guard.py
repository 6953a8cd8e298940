"""Measure what acting on one model's monitors brings, for the tokens that it costs."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.analyses import pools
from skillprobe.analyses.guard import guard_table
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import tables

use_looks(settings["claims.looks"])
rows = guard_table(
    snakemake.wildcards.model,
    dict(zip(settings["tasks"], map(pools.load, snakemake.input.pools), strict=True)),
    settings,
    n_draws=settings["statistics.bootstrap_draws"],
    seed=settings["seed"],
)
tables.write_csv(snakemake.output.table, rows)
