"""Draw each task's probe on constrained answers against the same probe on unconstrained ones."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.specificity import specificity
from skillprobe.storage import tables

output = snakemake.output
figure = specificity(tables.read_csv(snakemake.input.table), settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
