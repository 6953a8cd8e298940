"""Draw each task's probe on constrained answers against the same probe on unconstrained ones."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import figures, tables

output = snakemake.output
figure = figures.specificity(tables.read_csv(snakemake.input.table), settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
