"""Train one toy model on the toy corpus and save it as an ordinary Hugging Face folder."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.storage import files
from skillprobe.tasks.world import load_world
from skillprobe.toy import training

rows = files.read_jsonl(snakemake.input.corpus)
model, tokenizer = training.train(rows=rows, world=load_world(snakemake.input.world), **settings)
training.save(model, tokenizer, snakemake.output.model)
