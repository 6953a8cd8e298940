"""Put the tables of all models into one."""

from skillprobe.job import start

start(snakemake)

from skillprobe import tables

paths = snakemake.input.tables
with open(paths[0], encoding="utf-8") as file:
    columns = file.readline().rstrip("\n").split(",")  # a table may have no rows
tables.write_csv(snakemake.output.table, [row for path in paths for row in tables.read_csv(path)], columns)
