"""Decide each claim for each model, by rules that were fixed before any result was seen."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import draws, findings, store, tables

analyses = settings["analyses"]
both = zip(snakemake.input.tables, snakemake.input.draws, strict=True)
judged = store.by_task([draws.with_draws(tables.read_csv(table), drawn) for table, drawn in both], analyses)
found = findings.judge(
    {name: [row for rows in by_model for row in rows] for name, by_model in judged.items()}
    | {"transfer": tables.read_csv(snakemake.input.transfer)},
    settings["models"],
    settings["tasks"],
    settings["claims"],
    store.read_json(snakemake.input.reported)["claims"],
)
store.write_json(snakemake.output.findings, found)
tables.write_csv(snakemake.output.table, findings.table(found))
