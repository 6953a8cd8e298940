"""Draw how often the models obey by wording, and how far probes carry over to other wordings."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.robustness import robustness
from skillprobe.storage import tables

output = snakemake.output
rows, wording = (tables.read_csv(snakemake.input[name]) for name in ("table", "wording"))
figure = robustness(rows, wording, settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
