"""Let one model answer one task's prompts about new subjects, read by its monitor, and steered along it."""

from skillprobe.study.job import judge_entry, model_entry, start

settings = start(snakemake)

from skillprobe import tasks
from skillprobe.analyses import pools
from skillprobe.labels import judges
from skillprobe.models import loading, sampling
from skillprobe.monitor import guard, pool
from skillprobe.monitor.constraints import Constraint, Watched
from skillprobe.monitor.reading import Monitor
from skillprobe.probes import monitors
from skillprobe.prompts.items import make_items
from skillprobe.storage import files
from skillprobe.tasks.world import load_world

task, seed = tasks.get(snakemake.wildcards.task), settings["seed"]
stored = monitors.load(snakemake.input.monitor)
found, rows = pools.Pool.blank(stored.status), []
if not stored.status:
    # The judge takes one of the GPUs that the model leases.
    model = loading.load(model_entry(snakemake, settings))
    world = load_world(snakemake.input.world)
    judge = judges.for_task(task, judge_entry(snakemake, settings), world)
    monitor = Monitor([Watched(Constraint(task.name), stored)])
    monitor.check(model.model, model.tokenizer)
    own = sampling.read_own(snakemake.input.fetched).get(snakemake.wildcards.model, {})
    steers = []
    if settings["guard.strengths"]:
        spreads = guard.spreads_of_shards(snakemake.input.shards, stored)
        below = settings["guard.steer_below"]
        steers = [guard.Steer(below, strength, spreads) for strength in settings["guard.strengths"]]
    found, rows = pool.sample_pool(
        model,
        monitor,
        task,
        make_items(task, world, settings["prompts"], seed, range(*settings["bases"])),
        sampling.with_own(settings["generation"], own) | {"samples": settings["guard.samples"]},
        seed,
        judge,
        steers,
        settings["guard.steered"],
    )
pools.save(snakemake.output.pool, found)
files.write_jsonl(snakemake.output.responses, rows)
