"""Measure how far one model's probes carry over from task to task, at every layer and at the selected one."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses.transfer import transfer_tables
from skillprobe.probes import refits, results, transfer
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import draws, tables

use_looks(settings["claims.looks"])
names, layers = settings["tasks"], settings["layers"]
crossed = {layer: transfer.load(path) for layer, path in zip(layers, snakemake.input.scores, strict=True)}
anew = refits.load(snakemake.input.refits)
cells, summary = [], []
for scope, specialists in results.load_scopes(snakemake.input.specialists, names, layers).items():
    parts = transfer_tables(
        snakemake.wildcards.model,
        specialists,
        {layer: by_scope[scope] for layer, by_scope in crossed.items()},
        tasks.categories_of(names),
        scope=scope,
        n_draws=settings["statistics.bootstrap_draws"],
        seed=settings["seed"],
        study_groups=group_ids(settings["groups"]),
        signal=settings["claims.signal"],
        refits=anew[scope],
        joined=tasks.clusters_of(names),
    )
    cells += parts[0]
    summary += parts[1]
tables.write_csv(snakemake.output.cells, cells)
tables.write_csv(snakemake.output.summary, summary)
draws.write_draws(snakemake.output.draws, summary)
