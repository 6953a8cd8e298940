"""Write the prompts of one task and shard."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import prompts, store, tasks
from skillprobe.tasks.world import load_world

task = tasks.get(snakemake.wildcards.task)
items = prompts.make_items(
    task,
    load_world(snakemake.input.world),
    settings["prompts"],
    settings["seed"],
    int(snakemake.wildcards.shard),
    settings["generation.shards"],
)
store.write_jsonl(snakemake.output.prompts, items)
