"""Fit one task's surface baselines: what length, template or words alone say about satisfaction."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import probes, store
from skillprobe.bases import base_ids
from skillprobe.probes.surface import surface_probes

rows = [row for path in snakemake.input.labels for row in store.read_jsonl(path)]
results = surface_probes(
    rows,
    probes.Settings.from_config(settings["probes"], settings["seed"]),
    study_bases=base_ids(settings["prompts"]),
)
probes.save(snakemake.output.probes, results)
