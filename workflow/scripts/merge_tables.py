"""Put the tables of all models into one."""

from skillprobe.job import start

start(snakemake)

from skillprobe import tables

tables.write_csv(
    snakemake.output.table, [row for path in snakemake.input.tables for row in tables.read_csv(path)]
)
