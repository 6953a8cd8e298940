"""Store the activations of a model's random-weight twin on the model's own answers, at one position."""

from skillprobe.job import model_entry, start

settings = start(snakemake)

from skillprobe import activations, models, shards, store

rows = [row for row in store.read_jsonl(snakemake.input.labels) if row["variant"] == "constrained"]
twin = models.load(model_entry(snakemake, settings), random_seed=settings["seed"])
checksums = activations.extract(
    twin,
    rows,
    snakemake.output.shard,
    {
        "positions": [settings["probes.position"]],
        "dtype": settings["activations.dtype"],
        "tokens_per_batch": settings["activations.tokens_per_batch"],
    },
    study=settings["study"],
    task=snakemake.wildcards.task,
)
store.write_json(snakemake.output.manifest, shards.manifest(snakemake.output.shard, checksums))
