"""Measure a toy model's compliance at the study's settings and write its model card."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses import compliance
from skillprobe.labels import judges, labelling
from skillprobe.models import generation, loading
from skillprobe.models.loaded import parameter_count
from skillprobe.prompts.items import make_items
from skillprobe.storage import files
from skillprobe.tasks.world import load_world
from skillprobe.toy import card

world = load_world(snakemake.input.world)
loaded = loading.load({"name": snakemake.wildcards.toy, "source": snakemake.input.model, "dtype": "float32"})
measured = {}
for task in map(tasks.get, tasks.NAMES):
    items = make_items(task, world, settings["prompts"], settings["seed"])
    responses = generation.generate_task(loaded, items, settings["generation"], settings["seed"])
    judge = judges.for_task(task, "lexicon", world)
    rows = labelling.label_rows(task, items, responses, judge)
    measured[task.name] = compliance.summarise(rows, n_draws=2, seed=0)
size = {"parameters": parameter_count(loaded.model), "vocabulary": len(loaded.tokenizer)}
examples = files.read_jsonl(snakemake.input.corpus)
text = card.write(snakemake.wildcards.toy, size | loading.versions(), settings, examples, measured)
files.write_text(snakemake.output.card, text)
print(text)
