"""Measure how far each task's signal falls when another's is erased, and which tasks depend on which."""

from skillprobe.study.job import start

settings = start(snakemake)


from skillprobe.analyses.ablation import Margins, ablation_tables
from skillprobe.erasure import cross
from skillprobe.probes import results
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import draws, tables

use_looks(settings["claims.looks"])
names, layers = settings["tasks"], settings["layers"]
ablated = {layer: cross.load(path) for layer, path in zip(layers, snakemake.input.scores, strict=True)}
margins = ("dependent", "dependent_share", "independent", "independent_share")
cells, curves, summary = [], [], []
for scope, specialists in results.load_scopes(snakemake.input.specialists, names, layers).items():
    parts = ablation_tables(
        snakemake.wildcards.model,
        specialists,
        {layer: by_scope[scope] for layer, by_scope in ablated.items()},
        signal=settings["claims.signal"],
        margins=Margins(**{name: settings[f"claims.{name}"] for name in margins}),
        scope=scope,
        n_draws=settings["statistics.bootstrap_draws"],
        seed=settings["seed"],
        study_groups=group_ids(settings["groups"]),
    )
    for rows, part in zip((cells, curves, summary), parts, strict=True):
        rows += part
tables.write_csv(snakemake.output.cells, cells)
tables.write_csv(snakemake.output.curves, curves)
tables.write_csv(snakemake.output.summary, summary)
draws.write_draws(snakemake.output.draws, summary)
