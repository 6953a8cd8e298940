"""Label one model's responses to one task, and cross them into counterfactual rows."""

from skillprobe.study.job import judge_entry, start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.labels import judges, labelling
from skillprobe.storage import files
from skillprobe.tasks.world import load_world

items = files.read_jsonl(snakemake.input.prompts)
responses = files.read_jsonl(snakemake.input.responses)
task, world = tasks.get(snakemake.wildcards.task), load_world(snakemake.input.world)
judge = judges.for_task(task, judge_entry(snakemake, settings), world)
rows = labelling.label_rows(
    task, world, items, responses, judge, settings["labels"] | settings["prompts"], settings["seed"]
)
files.write_jsonl(snakemake.output.labels, rows)
