"""Write the prompts of one task and shard."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.prompts.items import make_items
from skillprobe.prompts.own import read_own
from skillprobe.storage import files
from skillprobe.tasks.world import load_world

task = tasks.get(snakemake.wildcards.task)
if snakemake.input.own:
    items = read_own(snakemake.input.own[0]).of(task.name, settings["bases"])[: settings.get("first")]
else:
    items = make_items(
        task,
        load_world(snakemake.input.world),
        settings["prompts"],
        settings["seed"],
        range(*settings["bases"]),
    )
files.write_jsonl(snakemake.output.prompts, items)
