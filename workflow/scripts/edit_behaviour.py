"""Let one model answer one task's prompts anew, its activations erased, reflected or steered as it writes."""

from skillprobe.study.job import judge_entry, model_entry, start

settings = start(snakemake)

from skillprobe import erasure, tasks
from skillprobe.erasure import behaviour
from skillprobe.labels import judges
from skillprobe.labels.verdicts import decided
from skillprobe.models import loading, sampling
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.rows import read_rows
from skillprobe.prompts.bases import group_ids
from skillprobe.storage import files
from skillprobe.tasks.world import load_world

task, seed = tasks.get(snakemake.wildcards.task), settings["seed"]
# The judge takes one of the GPUs that the model leases.
model = loading.load(model_entry(snakemake, settings))
judge = judges.for_task(task, judge_entry(snakemake, settings), load_world(snakemake.input.world))
folds = Settings.from_config(settings["probes"], seed).folds(group_ids(settings["groups"]))[0]
items, labels = (files.read_all(paths) for paths in (snakemake.input.prompts, snakemake.input.labels))
chosen = behaviour.choose_bases(items, folds, settings["behaviour.bases"], seed)
items, labels = ([row for row in rows if row["base"] in chosen] for rows in (items, labels))
erasers = dict(zip(settings["layers"], map(erasure.load, snakemake.input.erasers), strict=True))
rows = {layer: read_rows(snakemake.input.shards, layer, settings["probes.position"]) for layer in erasers}
conditions = behaviour.erasing(erasers, settings["ablation.rank"])
conditions |= behaviour.steering(task.name, erasers, rows, folds, settings["behaviour.strengths"])
own = sampling.read_own(snakemake.input.fetched).get(snakemake.wildcards.model, {})
responses, perplexities = behaviour.under_all(
    model,
    task,
    items,
    [row for row in decided(labels) if row["variant"] == "unconstrained" and not row["truncated"]],
    conditions,
    folds,
    sampling.with_own(settings["generation"], own)
    | {
        "samples": settings["behaviour.samples"],
        "tokens_per_batch": settings["activations.tokens_per_batch"],
    },
    seed,
    judge,
)
files.write_jsonl(snakemake.output.responses, responses)
files.write_jsonl(snakemake.output.perplexities, perplexities)
