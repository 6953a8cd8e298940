"""Fit one task's surface baselines: what length, template or words alone say about satisfaction."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.labels.verdicts import decided
from skillprobe.probes import cross_validation
from skillprobe.probes.results import save
from skillprobe.probes.surface import surface_probes
from skillprobe.prompts.bases import group_ids
from skillprobe.storage import files

rows = decided(files.read_all(snakemake.input.labels))
results = surface_probes(
    rows,
    cross_validation.Settings.from_config(settings["probes"], settings["seed"]),
    study_groups=group_ids(settings["groups"]),
)
save(snakemake.output.probes, results)
