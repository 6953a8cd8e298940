"""Fit the head of a judge to texts that the user labelled, and measure it on groups that it hasn't seen."""

from skillprobe.study.job import judge_entry, start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.labels import heads, judges
from skillprobe.storage import files
from skillprobe.tasks.world import load_world

world, name = load_world(snakemake.input.world), snakemake.wildcards.task
task, entry = tasks.get(name), judge_entry(snakemake, settings)
labels = task.labels_in(world)
labelled = heads.read_labelled(name, snakemake.input.labelled, labels)
vectors = judges.encoder_for(task, entry, world).vectors(labelled.texts)
head = heads.fit(vectors, labelled.labels, labelled.groups, heads.names_of(labelled, labels))
about = {"task": name, "model": entry["model"]}
found = {
    **(files.read_json(snakemake.input.fetched_judge[0]) if snakemake.input.fetched_judge else {}),
    "quality": about | heads.quality(vectors, labelled, labels, entry),
    "head": head.as_json(),
}
files.write_json(snakemake.output.head, found)
