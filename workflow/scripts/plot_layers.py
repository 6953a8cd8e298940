"""Draw where in the network satisfaction can be read."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.probes import layer_curves
from skillprobe.storage import tables
from skillprobe.storage.tables import SCOPES, in_scope

output = snakemake.output
curves, emergence = tables.read_csv(snakemake.input.table), tables.read_csv(snakemake.input.emergence)
for scope, prefix in zip(SCOPES, ("", "within_"), strict=True):
    figure = layer_curves(in_scope(curves, scope), in_scope(emergence, scope), settings)
    figure.save(svg=output[f"{prefix}svg"], png=output[f"{prefix}png"], data=output[f"{prefix}data"])
