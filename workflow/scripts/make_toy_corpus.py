"""Write the training examples that all toy models share."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import store
from skillprobe.tasks.world import load_world
from skillprobe.toy import corpus

world = load_world(snakemake.input.world)
store.write_jsonl(snakemake.output.corpus, corpus.examples(world, settings["examples"], settings["seed"]))
