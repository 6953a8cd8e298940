"""Simulate a block of studies, and tell what their estimates and intervals are."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.findings.coverage import AUROC, BASES, STUDY_COLUMNS, simulate
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import tables

use_looks(settings["claims"]["looks"])
rows = []
for seed in range(int(snakemake.wildcards.first), int(snakemake.wildcards.end)):
    rows += simulate(settings, auroc=AUROC, bases=BASES, seed=seed)
tables.write_csv(snakemake.output.studies, rows, STUDY_COLUMNS)
