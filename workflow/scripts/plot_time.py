"""Draw what can be read at each position, beside what the text so far decides."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.time import time_courses
from skillprobe.storage import tables
from skillprobe.storage.tables import SCOPES, in_scope

output, rows = snakemake.output, tables.read_csv(snakemake.input.table)
for scope, prefix in zip(SCOPES, ("", "within_"), strict=True):
    figure = time_courses(in_scope(rows, scope), settings)
    figure.save(svg=output[f"{prefix}svg"], png=output[f"{prefix}png"], data=output[f"{prefix}data"])
