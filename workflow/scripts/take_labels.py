"""Take the labels of one task that came with the user's own activations."""

from skillprobe.study.job import start

start(snakemake)

from skillprobe.storage import files

files.write_jsonl(snakemake.output.labels, files.read_all(snakemake.input.given))
