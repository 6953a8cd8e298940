"""Put the tables of all models into one."""

from skillprobe.study.job import start

start(snakemake)

from skillprobe.storage import tables

paths = snakemake.input.tables
tables.write_csv(snakemake.output.table, tables.read_all(paths), tables.read_columns(paths[0]))
