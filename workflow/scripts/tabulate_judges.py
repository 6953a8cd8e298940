"""Tabulate how good the judges are that were fitted to labelled texts."""

from skillprobe.study.job import start

start(snakemake)

from skillprobe.storage import files, tables

tables.write_csv(snakemake.output.table, [files.read_json(path)["quality"] for path in snakemake.input.heads])
