"""Tabulate each task's probes over time beside what the text so far decides, and what is planned."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses.time import time_tables
from skillprobe.probes import planning, results
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import draws, tables

use_looks(settings["claims.looks"])
names = settings["tasks"]
curves, summary = time_tables(
    snakemake.wildcards.model,
    dict(zip(settings["layers"], map(results.load, snakemake.input.courses), strict=True)),
    dict(zip(names, map(results.load, snakemake.input.baselines), strict=True)),
    tasks.categories_of(names),
    planning=dict(zip(names, map(planning.load, snakemake.input.planning), strict=True)),
    signal=settings["claims.signal"],
    prompt_variance=settings["claims.prompt_variance"],
    n_draws=settings["statistics.bootstrap_draws"],
    seed=settings["seed"],
    study_groups=group_ids(settings["groups"]),
)
tables.write_csv(snakemake.output.curves, curves)
tables.write_csv(snakemake.output.summary, summary)
draws.write_draws(snakemake.output.draws, summary)
