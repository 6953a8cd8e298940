"""Draw where in the network satisfaction can be read."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import figures, tables

output = snakemake.output
curves, emergence = tables.read_csv(snakemake.input.table), tables.read_csv(snakemake.input.emergence)
figure = figures.layer_curves(curves, emergence, settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
