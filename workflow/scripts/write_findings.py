"""Decide each claim for each model, by rules that were fixed before any result was seen."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import findings, store, tables

names = ("generality", "transfer_summary", "ablation_summary", "layers", "specificity")
found = findings.judge(
    {name: tables.read_csv(snakemake.input[name]) for name in names}
    # A study need not look at every position.
    | {"time_summary": tables.read_all(snakemake.input.time_summary)},
    settings["models"],
    settings["tasks"],
    settings["claims"],
)
store.write_json(snakemake.output.findings, found)
