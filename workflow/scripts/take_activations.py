"""Take the activations of one task from a folder of the user's own."""

from skillprobe.study.job import start

start(snakemake)

from skillprobe.activations import given

given.take(*snakemake.input.given, snakemake.output.shard)
