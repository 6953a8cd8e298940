"""Fit one model's specialists and primary general probe anew on draws of groups, where they were chosen."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.probes import refits, results
from skillprobe.probes.rows import read_tasks
from skillprobe.prompts.bases import group_ids

names, layers, position = settings["tasks"], settings["layers"], settings["probes.position"]
found = refits.refit_probes(
    lambda layer: read_tasks(snakemake.input.shards, names, layer, position),
    results.load_scopes(snakemake.input.specialists, names, layers),
    {layer: results.load(path) for layer, path in zip(layers, snakemake.input.generals, strict=True)},
    n_draws=settings["statistics.refit_draws"],
    seed=settings["seed"],
    study_groups=group_ids(settings["groups"]),
    feature_scaling=settings["probes.feature_scaling"],
)
refits.save(snakemake.output.refits, found)
