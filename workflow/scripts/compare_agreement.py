"""Compare which tasks depend on which in the activations, and in what the models write."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.analyses.agreement import CELL_COLUMNS, SUMMARY_COLUMNS, agreement_tables
from skillprobe.storage import tables

cells, summary = agreement_tables(
    tables.read_csv(snakemake.input.ablation),
    tables.read_csv(snakemake.input.behaviour),
    settings["models"],
    settings["tasks"],
)
tables.write_csv(snakemake.output.cells, cells, CELL_COLUMNS)
tables.write_csv(snakemake.output.summary, summary, SUMMARY_COLUMNS)
