"""Choose and calibrate the monitor of one task of one model."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.labels.verdicts import decided
from skillprobe.probes import monitors
from skillprobe.storage import files

labels = decided(files.read_all(snakemake.input.labels))
monitor, held_out = monitors.fit_monitor(
    snakemake.input.shards, settings["layers"], labels, settings, snakemake.wildcards.task
)
monitors.save(snakemake.output.monitor, monitor)
monitors.save_held_out(snakemake.output.held_out, held_out)
