"""Sample one model's responses to the prompts of one task and shard."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import generation, hub, models, store

items = store.read_jsonl(snakemake.input.prompts)
loaded = models.load(
    settings["model"] | {"name": snakemake.wildcards.model} | hub.fetched(snakemake.input.fetched)
)
responses = generation.generate_task(loaded, items, settings["generation"], settings["seed"])
store.write_jsonl(snakemake.output.responses, responses)
