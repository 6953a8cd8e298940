"""Write the page of example prompts and answers."""

from itertools import product

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import report, store

cells = product(settings["models"], settings["tasks"], range(settings["generation.shards"]))
labels = {}
for (model, task, _), path in zip(cells, snakemake.input.labels, strict=True):
    labels.setdefault((model, task), []).extend(store.read_jsonl(path))
store.write_text(snakemake.output.page, report.examples_page(labels, settings))
