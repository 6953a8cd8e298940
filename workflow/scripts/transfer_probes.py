"""Score every task's rows by every task's specialist probes, at one layer of one model."""

from skillprobe.study.job import start

settings = start(snakemake)


from skillprobe.probes import results, transfer
from skillprobe.probes.rows import read_tasks
from skillprobe.storage.tables import WITHIN

layer, position = int(snakemake.wildcards.layer), settings["probes.position"]
rows = read_tasks(snakemake.input.shards, settings["tasks"], layer, position)
crossed = {}
for scope, probes in results.load_scopes(snakemake.input.probes, settings["tasks"], [layer]).items():
    tested = {task: part.within() if scope == WITHIN else part for task, part in rows.items()}
    crossed[scope] = transfer.cross_scores(
        {task: part.x for task, part in tested.items()},
        {task: part.ids for task, part in tested.items()},
        {task: by_layer[layer] for task, by_layer in probes.items()},
    )
transfer.save(snakemake.output.scores, crossed)
