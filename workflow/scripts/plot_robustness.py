"""Draw how often the models obey by wording, and how far probes carry over to other wordings."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.robustness import robustness
from skillprobe.storage import tables
from skillprobe.storage.tables import SCOPES, in_scope

output = snakemake.output
rows, wording = (tables.read_csv(snakemake.input[name]) for name in ("table", "wording"))
for scope, prefix in zip(SCOPES, ("", "within_"), strict=True):
    figure = robustness(in_scope(rows, scope), wording, settings)
    figure.save(svg=output[f"{prefix}svg"], png=output[f"{prefix}png"], data=output[f"{prefix}data"])
