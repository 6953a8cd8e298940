"""Take the labels of one task that came with the user's own activations."""

from skillprobe.study.job import start

start(snakemake)

from skillprobe.activations import given

given.take_labels(snakemake.input.given[0], snakemake.output.labels)
