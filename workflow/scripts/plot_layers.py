"""Draw where in the network satisfaction can be read."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.probes import layer_curves
from skillprobe.storage import tables

output = snakemake.output
curves, emergence = tables.read_csv(snakemake.input.table), tables.read_csv(snakemake.input.emergence)
figure = layer_curves(curves, emergence, settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
