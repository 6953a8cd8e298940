"""Fit a probe of each task at every position, at one layer of one model."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import probes
from skillprobe.probes.course import fit_course, read_course
from skillprobe.store import by_task

layer, shards = int(snakemake.wildcards.layer), by_task(snakemake.input.shards, settings["tasks"])
courses = {task: fit_course(read_course(paths, layer), settings) for task, paths in shards.items()}
probes.save(snakemake.output.course, courses)
