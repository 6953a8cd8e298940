"""Tabulate a pilot's labels, and say what to change in the config."""

from itertools import product

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses import pilot
from skillprobe.analyses.sufficiency import Design
from skillprobe.errors import UserError
from skillprobe.models import sampling
from skillprobe.storage import files, tables
from skillprobe.tasks.world import adapted, load_world

if not settings["models"]:
    raise UserError(
        "the responses or activations of all models are given, so there is nothing to try out: run "
        "`snakemake --until summarise_compliance`, which shows how many of them satisfy their constraints"
    )
design = Design.of(settings, settings["contents"])
names = product([entry["name"] for entry in settings["models"]], settings["tasks"])
paths = files.by_task(snakemake.input.labels, list(names))
cells = {names: files.read_all(of_cell) for names, of_cell in paths.items()}
table = []
for (model, task), rows in cells.items():
    about = {"model": model, "task": task, "category": tasks.get(task).category}
    found = pilot.summarise(rows, settings["statistics.bootstrap_draws"], settings["seed"])
    table.append(about | found | pilot.expected(found, design))
world = adapted(load_world(snakemake.input.world), settings["prompts"])
own = sampling.read_own(snakemake.input.fetched)
generations = {
    model: sampling.with_own(section, own.get(model, {}))
    for model, section in settings["generations"].items()
}
changes, notes = pilot.advise(table, cells, settings, world, generations)
tables.write_csv(snakemake.output.table, table)
files.write_json(snakemake.output.asked, settings["asked"])
lines = [pilot.as_text(table, changes, notes, settings, design)]
lines += pilot.verdicts(cells, settings["judges"], settings["seed"])
files.write_text(snakemake.output.text, "\n".join(lines) + "\n")
