"""CPU time and memory of the jobs that read activations, at the shape of workflow/studies/paper.yaml.

Nine planted tasks of 600 answers (150 requests) at d = 4096, one layer, five positions, in both scopes; each
job in a process of its own on one thread, as in the workflow, its start and its reading included. A study's
costs are these times the number of its jobs: docs/costs.md.
"""

import common  # noqa: F401  # isort: skip (before numpy: it sets the threads)

import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from skillprobe import erasure, tasks
from skillprobe.analyses.ablation import Margins, ablate_layer, ablation_tables
from skillprobe.analyses.generality import generality_table
from skillprobe.analyses.monitors import monitor_tables
from skillprobe.analyses.similarity import similarity_table
from skillprobe.analyses.time import time_tables
from skillprobe.analyses.transfer import transfer_tables
from skillprobe.erasure import cross
from skillprobe.findings import planted, planted_shards
from skillprobe.probes import monitors, refits, results, transfer, trivial_monitors
from skillprobe.probes.course import fit_course, read_course
from skillprobe.probes.general_probes import fit_general_scopes
from skillprobe.probes.prefix import fit_prefixes
from skillprobe.probes.rows import read_rows, read_tasks
from skillprobe.probes.specialists import fit_scopes, fit_specialist
from skillprobe.probes.wordings import fit_wordings
from skillprobe.prompts.bases import group_ids
from skillprobe.storage.files import by_task
from skillprobe.storage.tables import ACROSS, SCOPES, WITHIN
from skillprobe.study import config
from skillprobe.tasks.base import INSTRUCTION_TYPES, POLARITIES
from snakemake.utils import update_config

ROOT = Path(__file__).resolve().parents[2]
HIDDEN, LAYER = 4096, 1
NAMES = list(tasks.NAMES)
CATEGORIES = tasks.categories_of(NAMES)
STUDY = yaml.safe_load((ROOT / "config.yaml").read_text())
update_config(STUDY, yaml.safe_load((ROOT / "workflow/studies/paper.yaml").read_text()))
SETTINGS = config.complete(STUDY, ROOT)
# As many subjects as requests.
SETTINGS["groups"] = SETTINGS["prompts"]["bases"]
SETTINGS["robustness.draws"] = SETTINGS["robustness"]["draws"]
OPTIONS = {
    "n_draws": SETTINGS["statistics"]["bootstrap_draws"],
    "seed": SETTINGS["seed"],
    "study_groups": group_ids(SETTINGS["prompts"]["bases"]),
}
CLAIMS = SETTINGS["claims"]


def shard(folder, task):
    return str(folder / task / "0.h5")


def shards(folder):
    return [shard(folder, task) for task in NAMES]


def rows_of(folder):
    return read_tasks(shards(folder), NAMES, LAYER, "eos")


def specialists_of(folder):
    """{scope: {task: result}}"""
    found = {task: results.load(folder / f"{task}.specialist.h5") for task in NAMES}
    return {scope: {task: found[task][scope] for task in NAMES} for scope in SCOPES}


def parts(folder):
    """{scope: activations, ids and specialists by task}"""
    rows, found = rows_of(folder), {}
    for scope, specialists in specialists_of(folder).items():
        tested = {task: part.within() if scope == WITHIN else part for task, part in rows.items()}
        x, ids = ({task: getattr(part, name) for task, part in tested.items()} for name in ("x", "ids"))
        found[scope] = x, ids, specialists
    return found


def plant(folder):
    world = planted.plant(
        "monitored",
        CATEGORIES,
        OPTIONS["study_groups"],
        seed=0,
        auroc=0.9,
        samples=SETTINGS["generation"]["samples"],
        hidden_size=HIDDEN,
        num_layers=LAYER,
    )
    for task in NAMES:
        (folder / task).mkdir()
    paths = {task: shard(folder, task) for task in NAMES}
    planted_shards.write_shards(paths, world, position="eos", study="bench", world="monitored")


def fit_specialist_probe(folder, task=NAMES[0]):
    rows = read_rows([shard(folder, task)], LAYER, "eos")
    results.save(folder / f"{task}.specialist.h5", fit_scopes(rows, SETTINGS))


def other_specialists(folder):
    for task in NAMES[1:]:
        fit_specialist_probe(folder, task)


def fit_random_probes(folder):
    fit_specialist(
        read_rows([shard(folder, NAMES[0])], LAYER, "eos"),
        SETTINGS | {"probes": SETTINGS["probes"] | {"shuffles": 0, "confounds": []}},
    )


def fit_general_probe(folder):
    results.save(folder / "general.h5", fit_general_scopes(rows_of(folder), SETTINGS))


def refit_probes(folder):
    """As if all tasks had this layer in all folds."""
    found = refits.refit_probes(
        lambda layer: rows_of(folder),
        layered(folder),
        {LAYER: results.load(folder / "general.h5")},
        n_draws=SETTINGS["statistics"]["refit_draws"],
        seed=SETTINGS["seed"],
        study_groups=OPTIONS["study_groups"],
    )
    refits.save(folder / "refits.h5", found)


def transfer_probes(folder):
    found = {scope: transfer.cross_scores(*each) for scope, each in parts(folder).items()}
    transfer.save(folder / "transfer.h5", found)


def ablate_activations(folder, n_refits=0):
    keys = ("rank", "max_rank", "shuffles", "random", "stop", "min_rows")
    own = cross.Settings(
        **{key: SETTINGS["ablation"][key] for key in keys},
        seed=SETTINGS["seed"],
        feature_scaling=SETTINGS["probes"]["feature_scaling"],
    )
    by_scope, ablated, erasers = parts(folder), {}, {}
    scale = cross.common_scale(by_scope[ACROSS][0], by_scope[ACROSS][2], own)
    for scope, each in by_scope.items():
        ablated[scope], erasers[scope] = ablate_layer(
            *each, own, signal=CLAIMS["signal"], n_refits=n_refits, scale=scale, **OPTIONS
        )
    cross.save(folder / "ablated.h5", ablated)
    erasure.save(folder / "erasers.h5", erasers[ACROSS])


def ablate_selected(folder):
    """The job of the selected layer, where erasers are refitted."""
    ablate_activations(folder, SETTINGS["statistics"]["refit_draws"])


def fit_course_(folder):
    of_task = by_task(shards(folder), NAMES)
    courses = {task: fit_course(read_course(paths, LAYER), SETTINGS) for task, paths in of_task.items()}
    results.save(folder / "course.h5", courses)


def written(folder, task):
    """Rows, and labels of answers as long as the planted ones, whose words say whether they satisfy."""
    rows = read_course([shard(folder, task)], None)
    labels = []
    for name, base, label, length in zip(rows.ids, rows.groups, rows.y, rows.tokens["eos"], strict=True):
        words = ["so"] * (int(length) - 2) + ["yes" if label else "no"]
        about = {"id": name, "item": f"{task}/{base}", "prompt": f"request {base}", "phrasing": "planted"}
        labels.append(about | {"params": {}, "response": " ".join(words)})
    return rows, labels


def fit_prefix_baselines(folder, task=NAMES[0]):
    found = fit_prefixes(*written(folder, task), planted_shards.verify, SETTINGS)
    results.save(folder / f"{task}.prefix.h5", found)


def fit_monitor(folder, task=NAMES[0]):
    monitor, held_out = monitors.fit_monitor([shard(folder, task)], [LAYER], [], SETTINGS, task)
    monitors.save(folder / f"{task}.safetensors", monitor)
    monitors.save_held_out(folder / f"{task}.monitor.h5", held_out)


def fit_trivial_monitors(folder, task=NAMES[0]):
    found = trivial_monitors.fit_trivial_monitors(*written(folder, task), planted_shards.verify, SETTINGS)
    trivial_monitors.save(folder / f"{task}.trivial.h5", found)


def fit_across_wordings(folder):
    rng = np.random.default_rng(0)
    for rows in rows_of(folder).values():
        kinds = rng.integers(0, len(INSTRUCTION_TYPES), len(rows.y))
        worded = replace(
            rows,
            instruction_types=np.array(INSTRUCTION_TYPES)[kinds],
            polarities=np.array(POLARITIES)[np.where(kinds, 0, rng.integers(0, 2, len(rows.y)))],
            phrasings=np.array([f"phrasing {number}" for number in rng.integers(0, 8, len(rows.y))]),
        )
        fit_wordings(worded, SETTINGS)


def layered(folder):
    """{scope: {task: {layer: result}}}"""
    return {
        scope: {task: {LAYER: result} for task, result in specialists.items()}
        for scope, specialists in specialists_of(folder).items()
    }


def compare_generality(folder):
    generals, anew = results.load(folder / "general.h5"), refits.load(folder / "refits.h5")
    for scope, specialists in layered(folder).items():
        more = {"signal": CLAIMS["signal"], "scope": scope, "refits": anew[scope]}
        generality_table("planted", specialists, {LAYER: generals[scope]}, CATEGORIES, **more, **OPTIONS)


def compare_transfer(folder):
    crossed, anew = transfer.load(folder / "transfer.h5"), refits.load(folder / "refits.h5")
    for scope, specialists in layered(folder).items():
        more = {"signal": CLAIMS["signal"], "scope": scope, "refits": anew[scope]}
        transfer_tables("planted", specialists, {LAYER: crossed[scope]}, CATEGORIES, **more, **OPTIONS)


def compare_ablation(folder):
    ablated = cross.load(folder / "ablated.h5")
    claims = {"signal": CLAIMS["signal"], "margins": Margins.from_claims(CLAIMS)}
    for scope, specialists in layered(folder).items():
        own = {LAYER: ablated[scope]}
        ablation_tables("planted", specialists, own, scope=scope, **claims, **OPTIONS)


def compare_time(folder):
    courses = {LAYER: results.load(folder / "course.h5")}
    baselines = dict.fromkeys(NAMES, results.load(folder / f"{NAMES[0]}.prefix.h5"))
    time_tables("planted", courses, baselines, CATEGORIES, signal=CLAIMS["signal"], **OPTIONS)


def compare_monitors(folder):
    held_out = dict.fromkeys(NAMES, monitors.load_held_out(folder / f"{NAMES[0]}.monitor.h5"))
    trivial = dict.fromkeys(NAMES, trivial_monitors.load(folder / f"{NAMES[0]}.trivial.h5"))
    monitor_tables("planted", held_out, trivial, CATEGORIES, settings=SETTINGS, **OPTIONS)


def compare_similarity(folder):
    similarity = SETTINGS["similarity"]
    similarity_table(
        "planted",
        [(LAYER, rows_of(folder))],
        {},
        task_layers=[LAYER],
        max_truncated=1.0,
        rank=similarity["rank"],
        permutations=similarity["permutations"],
        seed=0,
    )


STAGES = {
    stage.__name__.rstrip("_"): stage
    for stage in (
        plant,
        fit_specialist_probe,
        other_specialists,
        fit_random_probes,
        fit_general_probe,
        refit_probes,
        transfer_probes,
        ablate_activations,
        ablate_selected,
        fit_course_,
        fit_prefix_baselines,
        fit_monitor,
        fit_trivial_monitors,
        fit_across_wordings,
        compare_generality,
        compare_transfer,
        compare_ablation,
        compare_time,
        compare_monitors,
        compare_similarity,
    )
}

if len(sys.argv) > 1:
    STAGES[sys.argv[1]](Path(sys.argv[2]))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{sys.argv[1]:<24}{used.ru_utime + used.ru_stime:>8.1f}s{used.ru_maxrss / 1024:>8.0f} MB", flush=True
    )
else:
    with tempfile.TemporaryDirectory() as folder:
        for name in STAGES:
            subprocess.run([sys.executable, __file__, name, folder], check=True)
