"""Draw specialist against general probes."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.probes import specialist_against_general
from skillprobe.storage import tables

output = snakemake.output
figure = specialist_against_general(tables.read_csv(snakemake.input.table), settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
