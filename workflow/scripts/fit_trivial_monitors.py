"""Fit the trivial monitors of one task of one model: what could be said without the model's states."""

from skillprobe.study.job import judge_entry, start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.labels import judges
from skillprobe.labels.verdicts import decided
from skillprobe.probes import trivial_monitors
from skillprobe.probes.course import read_course
from skillprobe.storage import files
from skillprobe.tasks.world import load_world

task = tasks.get(snakemake.wildcards.task)
judge = judges.for_task(task, judge_entry(snakemake, settings), load_world(snakemake.input.world))
found = trivial_monitors.fit_trivial_monitors(
    read_course(snakemake.input.shards, layer=None),
    decided(files.read_all(snakemake.input.labels)),
    verify=lambda text, params: task.verify(text, params, judge),
    settings=settings,
    prepare=lambda texts: judges.prepare(judge, texts),
)
trivial_monitors.save(snakemake.output.held_out, found)
