"""Fit one task's specialists on the random-weight model: what the architecture alone gives away."""

from skillprobe.study.job import start

settings = start(snakemake)


from skillprobe.probes.results import save
from skillprobe.probes.rows import read_rows
from skillprobe.probes.specialists import fit_specialist

results = {
    str(layer): fit_specialist(
        read_rows(snakemake.input.shards, layer, settings["probes.position"]), settings
    )
    for layer in settings["layers"]
}
save(snakemake.output.probes, results)
