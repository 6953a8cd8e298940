"""Erase each task's signal from every task's activations, at one layer of one model, in both scopes."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import erasure
from skillprobe.analyses.ablation import ablate_layer
from skillprobe.erasure import cross
from skillprobe.probes import results
from skillprobe.probes.rows import read_tasks
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import files
from skillprobe.storage.tables import ACROSS, WITHIN

use_looks(settings["claims.looks"])
layer, names = int(snakemake.wildcards.layer), settings["tasks"]
rows = read_tasks(snakemake.input.shards, names, layer, settings["probes.position"])
by_scope = {
    scope: {task: by_layer[layer] for task, by_layer in found.items()}
    for scope, found in results.load_scopes(snakemake.input.probes, names, [layer]).items()
}
selected = files.read_json(snakemake.input.selected)
own = cross.Settings(
    **settings["ablation"], seed=settings["seed"], feature_scaling=settings["probes.feature_scaling"]
)
# One scale for both, as for the probes.
scale = cross.common_scale({task: part.x for task, part in rows.items()}, by_scope[ACROSS], own)
ablated, erasers = {}, {}
for scope, specialists in by_scope.items():
    tested = {task: part.within() if scope == WITHIN else part for task, part in rows.items()}
    ablated[scope], erasers[scope] = ablate_layer(
        {task: part.x for task, part in tested.items()},
        {task: part.ids for task, part in tested.items()},
        specialists,
        own,
        signal=settings["claims.signal"],
        n_draws=settings["statistics.bootstrap_draws"],
        n_refits=settings["statistics.refit_draws"] if layer == selected[scope] else 0,
        seed=settings["seed"],
        study_groups=group_ids(settings["groups"]),
        scale=scale,
    )
cross.save(snakemake.output.scores, ablated)
# What a model writes is edited in whole hidden states: by the erasers across prompts.
erasure.save(snakemake.output.erasers, erasers[ACROSS])
