"""Draw how alike layers, tasks, erased subspaces and models are."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.report.figures.similarity import similarity
from skillprobe.storage import tables

output = snakemake.output
categories = tasks.categories_of(settings["tasks"])
figure = similarity(
    tables.read_csv(snakemake.input.table),
    tables.read_all(snakemake.input.models),
    categories,
    settings,
)
figure.save(svg=output.svg, png=output.png, data=output.data)
