"""Sample one model's responses to the prompts of one task and shard."""

from skillprobe.study.job import model_entry, start

settings = start(snakemake)

from skillprobe.models import engines, sampling
from skillprobe.storage import files

items = files.read_jsonl(snakemake.input.prompts)
own = sampling.read_own(snakemake.input.fetched).get(snakemake.wildcards.model, {})
responses = engines.answer_task(
    model_entry(snakemake, settings), items, sampling.with_own(settings["generation"], own), settings["seed"]
)
files.write_jsonl(snakemake.output.responses, responses)
