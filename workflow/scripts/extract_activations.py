"""Store the activations of one model on the labelled responses of one task and shard."""

from skillprobe.job import model_entry, start

settings = start(snakemake)

from skillprobe import activations, models, shards, store

rows = store.read_jsonl(snakemake.input.labels)
loaded = models.load(model_entry(snakemake, settings))
checksums = activations.extract(
    loaded,
    rows,
    snakemake.output.shard,
    settings["activations"],
    study=settings["study"],
    task=snakemake.wildcards.task,
)
store.write_json(snakemake.output.manifest, shards.manifest(snakemake.output.shard, checksums))
