"""Write the page of example prompts and answers."""

from itertools import product

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report import examples
from skillprobe.storage import files

cells = product(settings["models"], settings["tasks"], range(settings["generation.shards"]))
labels = {}
for (model, task, _), path in zip(cells, snakemake.input.labels, strict=True):
    labels.setdefault((model, task), []).extend(files.read_jsonl(path))
files.write_text(snakemake.output.page, examples.examples_page(labels, settings))
