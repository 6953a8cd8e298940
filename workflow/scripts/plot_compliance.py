"""Draw how often each model obeys."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import figures, tables

output = snakemake.output
figure = figures.compliance(tables.read_csv(snakemake.input.table), settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
