"""Fit one task's specialists on a model's random-weight twin: what the architecture alone gives away."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import probes
from skillprobe.probes.rows import fit_specialist, read_rows

results = {
    str(layer): fit_specialist(
        read_rows(snakemake.input.shards, layer, settings["probes.position"]), settings
    )
    for layer in settings["layers"]
}
probes.save(snakemake.output.probes, results)
