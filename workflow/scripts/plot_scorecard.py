"""Draw all claims and all models on one page."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import figures, tables

output = snakemake.output
figure = figures.scorecard(tables.read_csv(snakemake.input.table), settings["claims"], settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
