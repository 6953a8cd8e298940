"""Draw what editing each task's signal does to the answers to every task."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import figures, tables, tasks

output = snakemake.output
categories = {task: tasks.get(task).category for task in settings["tasks"]}
figure = figures.behaviour(tables.read_csv(snakemake.input.table), categories, settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
