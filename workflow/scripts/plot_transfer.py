"""Draw how well each task's probe works on every other task."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.report.figures.transfer import transfer
from skillprobe.storage import tables

output = snakemake.output
categories = tasks.categories_of(settings["tasks"])
figure = transfer(tables.read_csv(snakemake.input.table), categories, settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
