"""Label one model's responses to one task, and cross them into counterfactual rows."""

from skillprobe.job import judge_entry, start

settings = start(snakemake)

from skillprobe import judges, labels, store, tasks
from skillprobe.tasks.world import load_world

items = store.read_jsonl(snakemake.input.prompts)
responses = store.read_jsonl(snakemake.input.responses)
task, world = tasks.get(snakemake.wildcards.task), load_world(snakemake.input.world)
judge = judges.for_task(task, judge_entry(snakemake, settings), world)
rows = labels.label_rows(
    task, world, items, responses, judge, settings["labels"] | settings["prompts"], settings["seed"]
)
store.write_jsonl(snakemake.output.labels, rows)
