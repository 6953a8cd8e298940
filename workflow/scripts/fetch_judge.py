"""Download a judge from the hub, once, where there is a network, and see whether its labels fit the task."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.labels import mapping
from skillprobe.models import hub
from skillprobe.storage import files
from skillprobe.tasks.world import load_world

task, judge, world = snakemake.wildcards.task, settings["judge"], load_world(snakemake.input.world)
found = hub.fetch_judge(task, judge, lambda folder: mapping.check_folder(task, judge, folder, world))
files.write_json(snakemake.output.fetched, found)
