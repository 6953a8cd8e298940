"""Draw where in the network satisfaction can be read."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import figures, tables

output = snakemake.output
figure = figures.layer_curves(tables.read_csv(snakemake.input.table), settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
