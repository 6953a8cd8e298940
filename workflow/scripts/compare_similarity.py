"""Measure how alike one model's layers, its tasks, and the subspaces that are erased for them are."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import erasure
from skillprobe.analyses.similarity import COLUMNS, similarity_table
from skillprobe.probes.rows import read_tasks
from skillprobe.storage import tables

names, position = settings["tasks"], settings["probes.position"]
erasers = {}
for layer, path in zip(settings["ablated_layers"], snakemake.input.erasers, strict=True):
    stored = erasure.load(path)["tasks"]
    erasers[layer] = {
        task: stored[task]["all"].truncated(settings["ablation.rank"]) if task in stored else None
        for task in names
    }
table = similarity_table(
    snakemake.wildcards.model,
    ((layer, read_tasks(snakemake.input.shards, names, layer, position)) for layer in settings["layers"]),
    erasers,
    task_layers=settings["task_layers"],
    max_truncated=settings["probes.max_truncated"],
    rank=settings["similarity.rank"],
    permutations=settings["similarity.permutations"],
    seed=settings["seed"],
)
tables.write_csv(snakemake.output.table, table, COLUMNS)
