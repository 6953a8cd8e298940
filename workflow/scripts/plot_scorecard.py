"""Draw all claims and all models on one page."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.scorecard import scorecard
from skillprobe.storage import tables

output = snakemake.output
figure = scorecard(tables.read_csv(snakemake.input.table), settings["claims"], settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
