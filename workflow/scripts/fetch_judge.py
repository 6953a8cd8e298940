"""Download a judge from the hub, or from a package, once, and see whether it fits the task."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.labels.encoders import check_judge
from skillprobe.models import fetching
from skillprobe.storage import files
from skillprobe.tasks.world import load_world

task, judge = snakemake.wildcards.task, settings["judge"]
labels = tasks.get(task).labels_in(load_world(snakemake.input.world))
found = fetching.fetch_judge(task, judge, lambda folder: check_judge(task, judge, folder, labels))
files.write_json(snakemake.output.fetched, found)
