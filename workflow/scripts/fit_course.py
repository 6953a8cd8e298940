"""Fit a probe of each task at every position, at one layer of one model."""

from skillprobe.study.job import start

settings = start(snakemake)


from skillprobe.probes import results
from skillprobe.probes.course import fit_course, read_course
from skillprobe.storage.files import by_task

layer, shards = int(snakemake.wildcards.layer), by_task(snakemake.input.shards, settings["tasks"])
courses = {task: fit_course(read_course(paths, layer), settings) for task, paths in shards.items()}
results.save(snakemake.output.course, courses)
