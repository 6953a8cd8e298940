"""Tabulate how often each model obeys each task."""

from itertools import product

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses import compliance
from skillprobe.storage import files, tables

n_draws = settings["statistics.bootstrap_draws"]
cells = list(product(settings["models"], settings["tasks"]))
rows = []
for (model, task), paths in files.by_task(snakemake.input.labels, cells).items():
    about = {"model": model, "task": task, "category": tasks.get(task).category}
    rows.append(about | compliance.summarise(files.read_all(paths), n_draws, settings["seed"]))
tables.write_csv(snakemake.output.table, rows)
files.write_text(snakemake.output.text, compliance.as_text(rows) + "\n")
