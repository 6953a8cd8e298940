"""Draw compliance against tokens spent, for policies that act on the monitors and for the verifier alone."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.guard import guard
from skillprobe.storage import tables

output = snakemake.output
figure = guard(tables.read_csv(snakemake.input.table), settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
