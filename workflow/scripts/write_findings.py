"""Decide each claim for each model, by rules that were fixed before any result was seen."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import findings, store, tables

found = findings.judge(
    {
        name: tables.read_csv(snakemake.input[name])
        for name in ("generality", "transfer_summary", "ablation_summary", "layers")
    },
    settings["models"],
    settings["tasks"],
    settings["claims"],
)
store.write_json(snakemake.output.findings, found)
