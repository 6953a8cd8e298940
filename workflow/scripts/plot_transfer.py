"""Draw how well each task's probe works on every other task."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.report.figures.transfer import transfer
from skillprobe.storage import tables
from skillprobe.storage.tables import SCOPES, in_scope

output = snakemake.output
rows = tables.read_csv(snakemake.input.table)
categories = tasks.categories_of(settings["tasks"])
for scope, prefix in zip(SCOPES, ("", "within_"), strict=True):
    figure = transfer(in_scope(rows, scope), categories, settings)
    figure.save(svg=output[f"{prefix}svg"], png=output[f"{prefix}png"], data=output[f"{prefix}data"])
