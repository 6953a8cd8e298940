"""Draw specialist against general probes."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.probes import specialist_against_general
from skillprobe.storage import tables
from skillprobe.storage.tables import SCOPES, in_scope

output = snakemake.output
rows = tables.read_csv(snakemake.input.table)
for scope, prefix in zip(SCOPES, ("", "within_"), strict=True):
    figure = specialist_against_general(in_scope(rows, scope), settings)
    figure.save(svg=output[f"{prefix}svg"], png=output[f"{prefix}png"], data=output[f"{prefix}data"])
