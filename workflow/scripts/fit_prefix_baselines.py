"""Fit what a reader of each task's text alone would know at every position, of one model's answers."""

from skillprobe.study.job import judge_entry, start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.labels import judges
from skillprobe.labels.verdicts import decided
from skillprobe.probes import results
from skillprobe.probes.course import read_course
from skillprobe.probes.prefix import fit_prefixes
from skillprobe.storage import files
from skillprobe.tasks.world import load_world

task = tasks.get(snakemake.wildcards.task)
judge = judges.for_task(task, judge_entry(snakemake, settings), load_world(snakemake.input.world))
rows = read_course(snakemake.input.shards, layer=None)
labels = decided(files.read_all(snakemake.input.labels))
found = fit_prefixes(
    rows,
    labels,
    verify=lambda text, params: task.verify(text, params, judge),
    settings=settings,
    prepare=lambda texts: judges.prepare(judge, texts),
)
results.save(snakemake.output.baselines, found)
