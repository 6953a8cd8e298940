"""Measure how far each task's signal falls when another's is erased, and which tasks depend on which."""

from skillprobe.study.job import start

settings = start(snakemake)


from skillprobe.analyses.ablation import ablation_tables
from skillprobe.erasure import cross
from skillprobe.probes import results
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import draws, tables

use_looks(settings["claims.looks"])
names, layers = settings["tasks"], settings["layers"]
cells, curves, summary = ablation_tables(
    snakemake.wildcards.model,
    results.load_specialists(snakemake.input.specialists, names, layers),
    {layer: cross.load(path) for layer, path in zip(layers, snakemake.input.scores, strict=True)},
    signal=settings["claims.signal"],
    dependent=settings["claims.dependent"],
    independent=settings["claims.independent"],
    n_draws=settings["statistics"]["bootstrap_draws"],
    seed=settings["seed"],
    study_groups=group_ids(settings["groups"]),
)
tables.write_csv(snakemake.output.cells, cells)
tables.write_csv(snakemake.output.curves, curves)
tables.write_csv(snakemake.output.summary, summary)
draws.write_draws(snakemake.output.draws, summary)
