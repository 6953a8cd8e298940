"""Draw what erasing each task's signal does to every task."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.report.figures.ablation import ablation
from skillprobe.storage import tables

output = snakemake.output
categories = tasks.categories_of(settings["tasks"])
cells, curves = tables.read_csv(snakemake.input.cells), tables.read_csv(snakemake.input.curves)
figure = ablation(cells, curves, categories, settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
