"""Measure how alike the models are at the same relative depth, on the same prompts."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.analyses.similarity import DEPTHS, MODEL_COLUMNS, Items, model_similarity_table
from skillprobe.probes.rows import read_tasks
from skillprobe.storage import tables
from skillprobe.storage.files import by_task

shards = by_task(snakemake.input.shards, settings["models"])
depths = {}
for depth in (name for name in DEPTHS if name in settings["depths"]):
    depths[depth] = {}
    for model in settings["models"]:
        layer = settings["depths"][depth][model]
        rows = read_tasks(shards[model], settings["tasks"], layer, settings["probes.position"])
        items = {task: Items.of(part, settings["probes.max_truncated"]) for task, part in rows.items()}
        depths[depth][model] = (layer, items)
table = model_similarity_table(
    depths,
    rank=settings["similarity.rank"],
    permutations=settings["similarity.permutations"],
    seed=settings["seed"],
)
tables.write_csv(snakemake.output.table, table, MODEL_COLUMNS)
