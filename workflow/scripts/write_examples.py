"""Write the page of example prompts and answers."""

from itertools import product

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report import examples
from skillprobe.storage import files

cells = list(product(settings["models"], settings["tasks"]))
paths = files.by_task(snakemake.input.labels, cells)
labels = {cell: files.read_all(own) for cell, own in paths.items()}
files.write_text(snakemake.output.page, examples.examples_page(labels, settings))
