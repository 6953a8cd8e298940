"""Measure what the edits did to one model's compliance on every task, and to its perplexity."""

from skillprobe.study.job import start

settings = start(snakemake)


from skillprobe.analyses.behaviour import behaviour_table
from skillprobe.probes import cross_validation
from skillprobe.statistics.intervals import use_looks
from skillprobe.storage import files, tables

use_looks(settings["claims.looks"])
responses = files.read_all(snakemake.input.responses)
perplexities = files.read_all(snakemake.input.perplexities)
# A reflection is compared with that of a random subspace, steering with nothing done.
controls = {
    row["condition"]: "random_flip" if row["condition"].startswith("flip:") else "none"
    for row in responses
    if row["condition"].startswith(("flip:", "steer:"))
}
rows = behaviour_table(
    snakemake.wildcards.model,
    responses,
    perplexities,
    cross_validation.Settings.from_config(settings["probes"], settings["seed"]),
    controls=controls,
    n_draws=settings["statistics.bootstrap_draws"],
    seed=settings["seed"],
)
tables.write_csv(snakemake.output.table, rows)
