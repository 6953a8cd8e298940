"""Measure how far one model's probes carry over from task to task, at every layer and at the selected one."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses.transfer import transfer_tables
from skillprobe.probes import results, transfer
from skillprobe.prompts.bases import group_ids
from skillprobe.storage import draws, tables

names, layers = settings["tasks"], settings["layers"]
specialists = results.load_specialists(snakemake.input.specialists, names, layers)
crossed = {layer: transfer.load(path) for layer, path in zip(layers, snakemake.input.scores, strict=True)}
cells, summary = transfer_tables(
    snakemake.wildcards.model,
    specialists,
    crossed,
    tasks.categories_of(names),
    n_draws=settings["statistics"]["bootstrap_draws"],
    seed=settings["seed"],
    study_groups=group_ids(settings["groups"]),
    signal=settings["claims.signal"],
)
tables.write_csv(snakemake.output.cells, cells)
tables.write_csv(snakemake.output.summary, summary)
draws.write_draws(snakemake.output.draws, summary)
