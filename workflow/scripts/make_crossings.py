"""Cross constraints of one task with answers of all tasks to the same content requests."""

from skillprobe.study.job import judge_entry, start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.labels import crossings, judges
from skillprobe.labels.verdicts import decided
from skillprobe.storage import files
from skillprobe.tasks.world import load_world

task, world = tasks.get(snakemake.wildcards.task), load_world(snakemake.input.world)
rows = crossings.make_crossings(
    task,
    world,
    files.read_jsonl(snakemake.input.prompts),
    decided(files.read_jsonl(snakemake.input.labels)),
    files.read_all(snakemake.input.responses),
    judges.for_task(task, judge_entry(snakemake, settings), world),
    settings["prompts"] | settings["labels"],
    settings["seed"],
)
files.write_jsonl(snakemake.output.crossings, rows)
