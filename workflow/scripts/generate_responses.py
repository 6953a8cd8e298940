"""Sample one model's responses to the prompts of one task and shard."""

from skillprobe.job import model_entry, start

settings = start(snakemake)

from skillprobe import engines, store

items = store.read_jsonl(snakemake.input.prompts)
responses = engines.answer_task(
    model_entry(snakemake, settings), items, settings["generation"], settings["seed"]
)
store.write_jsonl(snakemake.output.responses, responses)
