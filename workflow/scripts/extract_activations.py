"""Store the activations of one model on the labelled responses of one task and shard."""

from skillprobe.study.job import model_entry, start

settings = start(snakemake)

from skillprobe.activations import extraction, shards
from skillprobe.labels.verdicts import decided
from skillprobe.models import loading
from skillprobe.storage import files

rows = decided(files.read_jsonl(snakemake.input.labels))
loaded = loading.load(model_entry(snakemake, settings))
checksums = extraction.extract(
    loaded,
    rows,
    snakemake.output.shard,
    settings["activations"],
    study=settings["study"],
    task=snakemake.wildcards.task,
)
files.write_json(snakemake.output.manifest, shards.manifest(snakemake.output.shard, checksums))
