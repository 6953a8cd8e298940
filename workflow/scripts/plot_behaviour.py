"""Draw what editing each task's signal does to the answers to every task."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.report.figures.behaviour import behaviour
from skillprobe.storage import tables

output = snakemake.output
categories = tasks.categories_of(settings["tasks"])
figure = behaviour(tables.read_csv(snakemake.input.table), categories, settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
