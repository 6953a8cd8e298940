"""Put the tables of all models into one."""

from skillprobe.job import start

start(snakemake)

from skillprobe import tables

paths = snakemake.input.tables
tables.write_csv(snakemake.output.table, tables.read_all(paths), tables.read_columns(paths[0]))
