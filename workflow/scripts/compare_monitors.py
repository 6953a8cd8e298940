"""Tabulate how good one model's monitors are, beside trivial monitors that don't look into it."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses.monitors import CURVE_COLUMNS, RELIABILITY_COLUMNS, SUMMARY_COLUMNS, monitor_tables
from skillprobe.probes import monitors, trivial_monitors
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import draws, tables

use_looks(settings["claims.looks"])
names, output = settings["tasks"], snakemake.output
curves, reliability, summary = monitor_tables(
    snakemake.wildcards.model,
    dict(zip(names, map(monitors.load_held_out, snakemake.input.monitors), strict=True)),
    dict(zip(names, map(trivial_monitors.load, snakemake.input.trivial), strict=True)),
    tasks.categories_of(names),
    settings=settings,
    n_draws=settings["statistics.bootstrap_draws"],
    seed=settings["seed"],
    study_groups=group_ids(settings["groups"]),
)
tables.write_csv(output.curves, curves, CURVE_COLUMNS)
tables.write_csv(output.reliability, reliability, RELIABILITY_COLUMNS)
tables.write_csv(output.summary, summary, SUMMARY_COLUMNS)
draws.write_draws(output.draws, summary)
