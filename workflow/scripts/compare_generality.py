"""Compare one model's specialist and general probes, at every layer and at the selected one."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses.generality import SELECTED, generality_table
from skillprobe.probes import refits, results
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import draws, tables
from skillprobe.storage.tables import ACROSS

use_looks(settings["claims.looks"])
names, layers = settings["tasks"], settings["layers"]
generals = {layer: results.load(path) for layer, path in zip(layers, snakemake.input.generals, strict=True)}
# Of the random-weight models, if they are probed, by the number of the layer.
random = {
    task: {int(layer): result for layer, result in results.load(path).items()}
    for task, path in zip(names, snakemake.input.random, strict=False)
}
surface = dict(zip(names, map(results.load, snakemake.input.surface), strict=True))
anew = refits.load(snakemake.input.refits)
rows = []
for scope, specialists in results.load_scopes(snakemake.input.specialists, names, layers).items():
    rows += generality_table(
        snakemake.wildcards.model,
        specialists,
        {layer: by_scope[scope] for layer, by_scope in generals.items()},
        tasks.categories_of(names),
        **({"random": random, "surface": surface} if scope == ACROSS else {}),
        signal=settings["claims.signal"],
        scope=scope,
        n_draws=settings["statistics.bootstrap_draws"],
        seed=settings["seed"],
        study_groups=group_ids(settings["groups"]),
        refits=anew[scope],
    )
for row in rows:
    row["depth"] = row["layer"] / settings["num_layers"] if row["layer"] != SELECTED else ""
tables.write_csv(snakemake.output.table, rows)
draws.write_draws(snakemake.output.draws, rows)
