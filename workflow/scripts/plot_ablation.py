"""Draw what erasing each task's signal does to every task."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.report.figures.ablation import ablation
from skillprobe.storage import tables
from skillprobe.storage.tables import SCOPES, in_scope

output = snakemake.output
categories = tasks.categories_of(settings["tasks"])
cells, curves = tables.read_csv(snakemake.input.cells), tables.read_csv(snakemake.input.curves)
for scope, prefix in zip(SCOPES, ("", "within_"), strict=True):
    figure = ablation(in_scope(cells, scope), in_scope(curves, scope), categories, settings)
    figure.save(svg=output[f"{prefix}svg"], png=output[f"{prefix}png"], data=output[f"{prefix}data"])
