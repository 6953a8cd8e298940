"""Decide each claim for each model, by rules that were fixed before any result was seen."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.findings import rules
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import draws, files, tables

use_looks(settings["claims"]["looks"])
analyses = settings["analyses"]
both = zip(snakemake.input.tables, snakemake.input.draws, strict=True)
judged = files.by_task([draws.with_draws(tables.read_csv(table), drawn) for table, drawn in both], analyses)
found = rules.judge(
    {name: [row for rows in by_model for row in rows] for name, by_model in judged.items()}
    | {"transfer": tables.read_csv(snakemake.input.transfer)},
    settings["models"],
    settings["tasks"],
    settings["claims"],
    files.read_json(snakemake.input.reported)["claims"],
    tasks.clusters_of(settings["tasks"]),
)
files.write_json(snakemake.output.findings, found)
tables.write_csv(snakemake.output.table, rules.table(found))
