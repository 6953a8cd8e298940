"""Score each prompt of a task by its surface, and by the model's state at its end as well, of one model."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.labels.verdicts import decided
from skillprobe.probes import planning
from skillprobe.storage import files

labels = decided(files.read_all(snakemake.input.labels))
task, layers = snakemake.wildcards.task, settings["layers"]
least = settings["claims.prompt_variance"]
scores = planning.fit_planning(snakemake.input.shards, layers, labels, settings, task, least=least)
planning.save(snakemake.output.scores, scores)
