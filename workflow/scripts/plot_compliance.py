"""Draw how often each model obeys."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.responses import compliance
from skillprobe.storage import tables

output = snakemake.output
figure = compliance(tables.read_csv(snakemake.input.table), settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
