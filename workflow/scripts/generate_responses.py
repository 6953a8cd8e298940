"""Sample one model's responses to the prompts of one task and shard."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import engines, hub, store

items = store.read_jsonl(snakemake.input.prompts)
responses = engines.answer_task(
    settings["model"]
    | {"name": snakemake.wildcards.model, "gpu": snakemake.resources.gpu}
    | hub.fetched(snakemake.input.fetched),
    items,
    settings["generation"],
    settings["seed"],
)
store.write_jsonl(snakemake.output.responses, responses)
