"""Store the activations and log-probabilities of one model on the crossings of all tasks and one shard."""

from skillprobe.study.job import model_entry, start

settings = start(snakemake)

from skillprobe.activations import extraction, shards
from skillprobe.models import loading
from skillprobe.storage import files

loaded = loading.load(model_entry(snakemake, settings))
paths = (snakemake.input.crossings, snakemake.output.shards, snakemake.output.manifests)
for task, crossings, shard, manifest in zip(settings["tasks"], *paths, strict=True):
    checksums = extraction.extract(
        loaded,
        files.read_jsonl(crossings),
        shard,
        {
            "positions": [settings["probes.position"]],
            "dtype": settings["activations.dtype"],
            "tokens_per_batch": settings["activations.tokens_per_batch"],
        },
        study=settings["study"],
        task=task,
        log_probabilities=True,
    )
    files.write_json(manifest, shards.manifest(shard, checksums))
