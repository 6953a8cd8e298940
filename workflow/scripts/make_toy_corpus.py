"""Write the training examples that all toy models share."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.storage import files
from skillprobe.tasks.world import load_world
from skillprobe.toy import corpus

world = load_world(snakemake.input.world)
files.write_jsonl(snakemake.output.corpus, corpus.examples(world, settings["examples"], settings["seed"]))
