"""Store the activations and log-probabilities of one model on the crossings of one task and shard."""

from skillprobe.study.job import model_entry, start

settings = start(snakemake)

from skillprobe.activations import extraction, shards
from skillprobe.models import loading
from skillprobe.storage import files

rows = files.read_jsonl(snakemake.input.crossings)
loaded = loading.load(model_entry(snakemake, settings))
checksums = extraction.extract(
    loaded,
    rows,
    snakemake.output.shard,
    {
        "positions": [settings["probes.position"]],
        "dtype": settings["activations.dtype"],
        "tokens_per_batch": settings["activations.tokens_per_batch"],
    },
    study=settings["study"],
    task=snakemake.wildcards.task,
    log_probabilities=True,
)
files.write_json(snakemake.output.manifest, shards.manifest(snakemake.output.shard, checksums))
