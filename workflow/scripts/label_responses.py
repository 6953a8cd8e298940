"""Label one model's responses to one task."""

from skillprobe.study.job import judge_entry, start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.labels import judges, labelling
from skillprobe.storage import files
from skillprobe.tasks.world import load_world

items = files.read_jsonl(snakemake.input.prompts)
responses = files.read_jsonl(snakemake.input.responses)
task = tasks.get(snakemake.wildcards.task)
judge = judges.for_task(task, judge_entry(snakemake, settings), load_world(snakemake.input.world))
files.write_jsonl(snakemake.output.labels, labelling.label_rows(task, items, responses, judge))
