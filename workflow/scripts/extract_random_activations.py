"""Store the activations of the random-weight model on a model's own answers, at one position."""

from skillprobe.study.job import model_entry, start

settings = start(snakemake)

from skillprobe.activations import extraction, shards
from skillprobe.labels.verdicts import decided
from skillprobe.models import loading
from skillprobe.storage import files

rows = decided(files.read_jsonl(snakemake.input.labels))
rows = [row for row in rows if row["variant"] == "constrained"]
drawn = loading.load(model_entry(snakemake, settings), random_seed=settings["seed"])
checksums = extraction.extract(
    drawn,
    rows,
    snakemake.output.shard,
    {
        "positions": [settings["probes.position"]],
        "dtype": settings["activations.dtype"],
        "tokens_per_batch": settings["activations.tokens_per_batch"],
    },
    study=settings["study"],
    task=snakemake.wildcards.task,
    random_weights=True,
)
files.write_json(snakemake.output.manifest, shards.manifest(snakemake.output.shard, checksums))
