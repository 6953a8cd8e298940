"""Draw what one model's monitors tell while an answer is written, beside the best trivial monitor."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.monitors import monitor_quality
from skillprobe.storage import tables

figure = monitor_quality(
    tables.read_csv(snakemake.input.curves), tables.read_csv(snakemake.input.reliability), settings
)
figure.save(svg=snakemake.output.svg, png=snakemake.output.png, data=snakemake.output.data)
