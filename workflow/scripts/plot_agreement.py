"""Draw how far each task's answers, and its activations, depend on every other task's signal."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.report.figures.agreement import agreement
from skillprobe.storage import tables

output = snakemake.output
categories = tasks.categories_of(settings["tasks"])
cells, summary = (tables.read_csv(snakemake.input[name]) for name in ("cells", "summary"))
figure = agreement(cells, summary, categories, settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
