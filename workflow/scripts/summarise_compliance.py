"""Tabulate how often each model obeys each task."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses import compliance
from skillprobe.storage import files, tables

n_draws, shards = settings["statistics"]["bootstrap_draws"], settings["generation.shards"]
cells = [(model, task) for model in settings["models"] for task in settings["tasks"]]
rows = []
for number, (model, task) in enumerate(cells):
    paths = snakemake.input.labels[number * shards : (number + 1) * shards]
    labelled = [row for path in paths for row in files.read_jsonl(path)]
    about = {"model": model, "task": task, "category": tasks.get(task).category}
    rows.append(about | compliance.summarise(labelled, n_draws, settings["seed"]))
tables.write_csv(snakemake.output.table, rows)
files.write_text(snakemake.output.text, compliance.as_text(rows) + "\n")
