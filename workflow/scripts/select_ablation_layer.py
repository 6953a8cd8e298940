"""Choose the one layer of a model, in each scope, at which erasers are fitted anew and claims are decided."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.analyses.ablation import selected_layer
from skillprobe.probes import results
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.bootstrap import draw_tested
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import files

use_looks(settings["claims.looks"])
names, layers = settings["tasks"], settings["layers"]
options = {"study_groups": group_ids(settings["groups"]), "seed": settings["seed"]}
selected = {}
for scope, specialists in results.load_scopes(snakemake.input.specialists, names, layers).items():
    tested = [by_layer[layers[0]] for by_layer in specialists.values()]
    draws = draw_tested(tested, **options, n_draws=settings["statistics.bootstrap_draws"])
    selected[scope] = selected_layer(specialists, draws, settings["claims.signal"])
files.write_json(snakemake.output.selected, selected)
