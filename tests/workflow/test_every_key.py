"""What a dry-run lists after a change of every key of the config, of some pairs, and of the place alone."""

import csv
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from test_reruns import (
    ABLATION,
    AGREEMENT,
    COMPLIANCE,
    FIGURES,
    FINDINGS,
    MODELS,
    OVERVIEW,
    PAGES,
    PLOT_MONITORS,
    SPECIFICITY,
    TASKS,
    WORDING,
    comparisons,
    crossings,
    edited,
    from_responses,
    guarded,
    merged,
    monitored,
    of_all_tasks,
    per,
    probing,
    weighed,
)
from workdir import ROOT, SMOKE, copy_repository, copy_results


def prompted(shards=(0,)):
    return {("make_prompts", f"task={task}, shard={shard}") for task in TASKS for shard in shards}


def plots(*names):
    return {(f"plot_{name}", "") for name in names}


def blocks(*numbers):
    """All jobs of a study, those of a block for each of these blocks."""
    return prompted(numbers) | {
        (rule, wildcards.replace("shard=0", f"shard={number}"))
        for rule, wildcards in from_responses()
        for number in numbers
    }


EVERYTHING = prompted() | from_responses()
EXTRACTED = (
    per("extract_activations", tasks=TASKS, shard=True)
    | probing(of_task=False)
    | per("fit_prefix_baselines", tasks=TASKS)
    | per("fit_trivial_monitors", tasks=TASKS)
    | per("fit_planning", tasks=TASKS)
    | per("fit_monitor", tasks=TASKS)
    | guarded()
    | {("compare_models", "")}
)
# What a number format of the activations changes of them.
CROSSED = per("extract_crossings", shard=True)
RANDOM = per("extract_random_activations", tasks=TASKS, shard=True) | per("fit_random_probes", tasks=TASKS)
TIME = per("compare_time") | merged("time", "time_summary") | plots("time")
ROBUSTNESS = per("compare_robustness") | merged("robustness") | plots("robustness")
SIMILARITY = per("compare_similarity") | merged("similarity") | plots("similarity")
# The controls of the specialists, and what looks at specialists.
CONTROLLED = (
    probing()
    - per("fit_surface_probes", tasks=TASKS)
    - per("fit_random_probes", tasks=TASKS)
    - per("fit_prefix_baselines", tasks=TASKS)
    - per("fit_trivial_monitors", tasks=TASKS)
    - per("fit_planning", tasks=TASKS)
    - per("fit_monitor", tasks=TASKS)
    - monitored()
    - guarded()
    - per("fit_general_probe", layers=(0, 4))
    - per("fit_course", layers=(4,))
    - per("fit_across_wordings", layers=(4,))
    - TIME
    - ROBUSTNESS
)
# What has probes within prompts.
SCOPED = (
    CONTROLLED
    | per("fit_general_probe", layers=(0, 4))
    | per("fit_course", layers=(4,))
    | per("fit_prefix_baselines", tasks=TASKS)
    | per("fit_across_wordings", layers=(4,))
    | TIME
    | ROBUSTNESS
    | monitored()
)
ERASED = (
    per("ablate_activations", layers=(4,))
    | per("compare_ablation")
    | merged(*ABLATION)
    | plots("ablation")
    | SIMILARITY
    | edited()
    | FINDINGS
    | OVERVIEW
)
DECIDED = FINDINGS | OVERVIEW
CELLS = per("compare_ablation") | merged(*ABLATION) | plots("ablation") | AGREEMENT | DECIDED
# All that is made of tables of several models or tasks.
AGGREGATES = (
    merged(*("ablation", "ablation_curve", "ablation_summary", "behaviour", "generality", "guard", "layers"))
    | merged(*("robustness", "similarity", "specificity", "time", "time_summary", "transfer"))
    | merged("transfer_summary", "wording", "monitors", "monitors_reliability", "monitors_summary")
    | COMPLIANCE
    | FIGURES - PLOT_MONITORS
    | AGREEMENT
    | DECIDED
    | {("compare_models", ""), ("write_examples", "")}
)
# What is left of two tasks when the third is taken away: nothing that is of one task alone.
ONE_TASK_LESS = (
    AGGREGATES
    | of_all_tasks()
    | comparisons()
    | per("compare_wording")
    | per("compare_behaviour")
    | per("compare_guard")
    # Of the answers to the tasks, and under the erasers, that are left.
    | crossings(tasks=("word_count", "json_format"))
    | per("edit_behaviour", tasks=("word_count", "json_format"))
)
# What is made of the probes that are fitted anew.
REFITTED = (
    per("compare_generality")
    | per("compare_transfer")
    | merged("generality", "transfer", "transfer_summary")
    | plots("generality", "transfer", "layers")
    | PAGES
)
# All that draws content requests, and what is erased.
DRAWN = (
    comparisons()
    | per("select_ablation_layer")
    | ERASED
    | per("compare_wording")
    | merged("wording")
    | COMPLIANCE
    | weighed()
)
JUDGE = {
    "kind": "transformers",
    "model": "someone/some-judge",
    "method": "classification",
    "labels": {},
}

# Another value of every key, and what runs again.
CHANGES = {
    "study": ("other", EVERYTHING),
    "seed": (1, EVERYTHING),
    "models": (lambda models: models[1:], AGGREGATES),
    "tasks": (["word_count", "json_format"], ONE_TASK_LESS),
    # Of a task that isn't studied here.
    "judges": ({"topic": JUDGE}, set()),
    "prompts.world": ("general", EVERYTHING),
    # As many as the study has, so that it has the same jobs.
    "prompts.file": ("own.jsonl", EVERYTHING - guarded()),
    # The smoke study's one block is full: nothing in it is made again.
    "prompts.bases": (80, blocks(1)),
    "prompts.items_per_base": (2, EVERYTHING),
    "prompts.instruction_types": (["human"], EVERYTHING),
    "prompts.polarities": (["positive"], EVERYTHING),
    "prompts.word_targets": (
        [8, 10, 12],
        {("make_prompts", "task=word_count, shard=0")} | from_responses(tasks=("word_count",)) | crossings(),
    ),
    # Of a task that isn't studied here.
    "prompts.character_targets": ([40, 60], OVERVIEW),
    "prompts.terms": (
        ["river", "garden"],
        {("make_prompts", "task=term_exclusion, shard=0")}
        | from_responses(tasks=("term_exclusion",))
        | crossings(),
    ),
    # No part of the study.
    "pilot.prompts": (20, OVERVIEW),
    "pilot.samples": (3, OVERVIEW),
    "generation.engine": ("vllm", from_responses()),
    # Of an engine that isn't used here.
    "generation.vllm_python": ("vllm-env/bin/python", OVERVIEW),
    "generation.samples": (4, from_responses()),
    "generation.twin_samples": (1, from_responses()),
    "generation.temperature": (1.1, from_responses()),
    "generation.top_p": (0.9, from_responses()),
    "generation.top_k": (5, from_responses()),
    "generation.max_new_tokens": (32, from_responses()),
    # It may move a token in a thousand.
    "generation.batch_size": (32, from_responses()),
    "generation.block": (20, blocks(0, 1)),
    "labels.crossings": (0, per("compare_specificity") | SPECIFICITY),
    "activations.dtype": ("float16", EXTRACTED | RANDOM | CROSSED),
    "activations.positions": (["prompt_50", "prompt_100", "onset", "body_50", "last", "eos"], EXTRACTED),
    "activations.tokens_per_batch": (4096, EXTRACTED | RANDOM | CROSSED),
    # Without layer 0, which random-weight models are probed at too.
    "layers": (
        [4],
        *(
            per("fit_random_probes", tasks=TASKS)
            | per("refit_probes")
            | comparisons()
            - per("compare_ablation")
            - per("compare_robustness")
            - TIME
            - ROBUSTNESS
            - monitored()
            - merged(*ABLATION)
            - AGREEMENT
            - plots("ablation"),
        ),
    ),
    "probes.position": (
        "last",
        probing()
        - per("fit_surface_probes", tasks=TASKS)
        - per("fit_prefix_baselines", tasks=TASKS)
        - per("fit_trivial_monitors", tasks=TASKS)
        - per("fit_planning", tasks=TASKS)
        - per("fit_monitor", tasks=TASKS)
        - guarded()
        - per("fit_course", layers=(4,))
        - TIME
        - monitored()
        | RANDOM
        | CROSSED
        | {("compare_models", "")},
    ),
    **dict.fromkeys(
        ("probes.min_mixed_items", "probes.min_mixed_groups"),
        (9, SCOPED),
    ),
    "probes.min_mixed_in_fold": (2, SCOPED),
    "probes.penalties": ([0.01], probing()),
    "probes.folds": (4, probing()),
    "probes.fold_seeds": (2, probing()),
    "probes.feature_scaling": (False, probing()),
    "probes.calibration_fraction": (0.2, probing()),
    "probes.min_rows": (6, probing()),
    "probes.min_groups": (6, probing() | per("compare_wording") | WORDING),
    "probes.max_truncated": (0.1, probing() | {("compare_models", "")}),
    # What is said, not what is done.
    "probes.flag_truncated": (0.1, OVERVIEW),
    "probes.shuffles": (3, CONTROLLED),
    "probes.confounds": ([], CONTROLLED),
    "controls.random_weights": (
        False,
        per("compare_generality") | merged("generality") | plots("generality", "layers") | PAGES | FINDINGS,
    ),
    "ablation.layers": (
        [0, 4],
        # All layers say at which of them erasers are refitted.
        ERASED | per("select_ablation_layer") | per("ablate_activations", layers=(0,)),
    ),
    "ablation.rank": (1, ERASED),
    "ablation.max_rank": (3, ERASED),
    "ablation.shuffles": (3, ERASED),
    "ablation.random": (3, ERASED),
    "ablation.stop": (0.6, ERASED),
    "ablation.min_rows": (6, ERASED),
    "time.layers": (
        [0, 4],
        per("fit_course", layers=(0,))
        | per("fit_planning", tasks=TASKS)
        | per("fit_monitor", tasks=TASKS)
        | monitored()
        | guarded()
        | TIME
        | DECIDED,
    ),
    "robustness.layers": ([0], per("fit_across_wordings", layers=(0,)) | ROBUSTNESS | OVERVIEW),
    "robustness.draws": (3, per("fit_across_wordings", layers=(4,)) | ROBUSTNESS | OVERVIEW),
    "similarity.rank": (3, SIMILARITY | {("compare_models", "")} | OVERVIEW),
    "similarity.permutations": (30, SIMILARITY | {("compare_models", "")} | OVERVIEW),
    "similarity.layers": ([0], SIMILARITY | OVERVIEW),
    "behaviour.bases": (7, edited() | OVERVIEW),
    "behaviour.samples": (2, edited() | OVERVIEW),
    # The one that there is.
    "behaviour.layers": ([4], OVERVIEW),
    "behaviour.strengths": ([3], edited() | OVERVIEW),
    "guard.bases": (7, guarded() | OVERVIEW),
    "guard.samples": (4, guarded() | OVERVIEW),
    "guard.thresholds": ([0.2, 0.5], weighed() | OVERVIEW),
    "guard.tries": ([2], weighed() | OVERVIEW),
    "guard.strengths": ([3], guarded() | OVERVIEW),
    "guard.steer_below": (0.4, guarded() | OVERVIEW),
    "guard.steered": (2, guarded() | OVERVIEW),
    # They say which tasks count, and only those are erased.
    "statistics.bootstrap_draws": (300, DRAWN),
    # Of probes and of erasers.
    "statistics.refit_draws": (30, per("refit_probes") | REFITTED | ERASED | CELLS),
    # All tables with intervals that decide claims; those of compliance alone have none.
    "claims.looks": (
        2,
        comparisons()
        | per("select_ablation_layer")
        | ERASED
        | per("compare_behaviour")
        | per("compare_wording")
        | merged("behaviour", "wording")
        | plots("behaviour")
        | weighed()
        | AGREEMENT
        | PAGES,
    ),
    "claims.signal": (
        0.6,
        per("select_ablation_layer")
        | ERASED
        | CELLS
        | per("compare_generality")
        | per("compare_transfer")
        | per("compare_layers")
        | merged("generality", "transfer", "transfer_summary", "layers", "specificity")
        | plots("generality", "transfer", "layers", "specificity")
        | TIME
        | per("compare_specificity")
        | PAGES,
    ),
    **{
        f"claims.min_tasks.{claim}": (2, DECIDED)
        for claim in ("generality", "transfer_weak", "ablation_sparse", "layers_stratified", "monitoring")
    },
    "claims.min_tasks.ablation_asymmetric": (3, DECIDED),
    "claims.min_tasks.specificity": (2, DECIDED),
    "claims.min_tasks.monitor_adds": (2, DECIDED),
    "claims.min_partitions": (100, DECIDED),
    "claims.margin": (0.03, DECIDED),
    "claims.weak_ratio": (0.4, DECIDED),
    "claims.cluster_p": (0.05, DECIDED),
    "claims.other_p": (0.1, DECIDED),
    "claims.dependent": (0.03, CELLS),
    "claims.dependent_share": (0.2, CELLS),
    "claims.independent": (0.06, CELLS),
    "claims.independent_share": (0.5, CELLS),
    "claims.erased": (0.06, DECIDED),
    "claims.sparse_dependent": (0.3, DECIDED),
    "claims.sparse_independent": (0.6, DECIDED),
    "claims.not_sparse": (0.6, DECIDED),
    "claims.asymmetry": (0.3, DECIDED),
    "claims.gain": (0.06, DECIDED),
    "claims.monitor_gain": (0.03, DECIDED),
    "claims.planning": (0.6, DECIDED),
    "claims.recovered": (0.6, DECIDED),
    "claims.match": (0.6, DECIDED),
    "claims.prompt_variance": (0.03, per("fit_planning", tasks=TASKS) | TIME | DECIDED),
    "claims.crossings": (30, per("compare_specificity") | SPECIFICITY),
    "claims.crossing_groups": (15, per("compare_specificity") | SPECIFICITY),
    "claims.emergence_share": (0.6, per("compare_layers") | merged("layers") | plots("layers") | DECIDED),
    # No part of the study; the overview shows the whole config.
    "calibration.worlds": (["noise"], OVERVIEW),
    "calibration.seeds": (1, OVERVIEW),
    "calibration.bases": ([50], OVERVIEW),
    "calibration.aurocs": ([0.8], OVERVIEW),
    "calibration.hidden_size": (64, OVERVIEW),
    "calibration.num_layers": (5, OVERVIEW),
    "calibration.refits": (True, OVERVIEW),
    "calibration.studies": (0, OVERVIEW),
    "figures.palette": ("deep", FIGURES | OVERVIEW),
    "figures.dpi": (90, FIGURES | OVERVIEW),
    "report.examples": (2, {("write_examples", "")} | OVERVIEW),
}

# Several keys at once, and what runs again.
PAIRS = {
    "one more layer, one fewer task": (
        {"layers": [0, 2, 4], "tasks": ["word_count", "json_format"]},
        ONE_TASK_LESS
        | per("fit_specialist_probe", tasks=("word_count", "json_format"), layers=(2,))
        | per("fit_general_probe", layers=(2,))
        | per("transfer_probes", layers=(2,)),
    ),
    "one task replaced by another": (
        {"tasks": ["word_count", "json_format", "character_count"]},
        {("make_prompts", "task=character_count, shard=0")}
        | from_responses(tasks=("character_count",)) - per("edit_behaviour", tasks=("term_exclusion",))
        | of_all_tasks()
        # Of all tasks, while labels and activations of the others stay.
        | crossings(tasks=("word_count", "json_format", "character_count"))
        | per("edit_behaviour", tasks=("character_count",)),
    ),
    "one more task, with a judge from the Hub": (
        {"tasks": ["word_count", "json_format", "term_exclusion", "topic"], "judges": {"topic": JUDGE}},
        {("make_prompts", "task=topic, shard=0"), ("fetch_judge", "task=topic")}
        | from_responses(tasks=("topic",))
        | of_all_tasks()
        | crossings(tasks=(*TASKS, "topic"))
        | per("edit_behaviour", tasks=("topic",)),
    ),
    "one fewer model, another threshold": (
        {"models": lambda models: models[1:], "claims.margin": 0.03},
        AGGREGATES,
    ),
    "two fewer models, another temperature": (
        {"models": lambda models: models[:1], "generation.temperature": 1.1},
        from_responses(models=("toy-llama",)) - {("compare_models", "")},
    ),
    "another temperature of one model": (
        {"models": lambda models: [models[0] | {"temperature": 1.1}, *models[1:]]},
        from_responses(models=("toy-llama",)),
    ),
    # All of these are layers 0 and 4.
    "the same layers as relative depths": (
        {"layers": [0, 0.9], "ablation.layers": [0.75], "time.layers": [0.99], "similarity.layers": [0.5]},
        OVERVIEW,
    ),
    "another seed, one fewer task": (
        {"seed": 1, "tasks": ["word_count", "json_format"]},
        {("make_prompts", f"task={task}, shard=0") for task in ("word_count", "json_format")}
        | from_responses(tasks=("word_count", "json_format"))
        - per("edit_behaviour", tasks=("term_exclusion",)),
    ),
    # The one of 40 grows to 50, so it is made again.
    "more content requests, larger blocks": (
        {"prompts.bases": 60, "generation.block": 50},
        blocks(0, 1),
    ),
    "a block that is larger than the study": ({"generation.block": 90}, OVERVIEW),
    "one fewer layer, another dpi": (
        {"layers": [4], "figures.dpi": 90},
        CHANGES["layers"][1] | FIGURES,
    ),
}


def keys(schema, path=()):
    """Names of all keys of the config, those of sections with dots."""
    for name, value in schema["properties"].items():
        if "properties" in value:
            yield from keys(value, (*path, name))
        else:
            yield ".".join((*path, name))


@pytest.fixture(scope="module")
def plans(smoke):
    """What a dry-run lists after each change; two at a time, as each waits for Snakemake to start."""
    changes = {key: {key: value} for key, (value, _) in CHANGES.items()}
    changes |= {name: both for name, (both, _) in PAIRS.items()}
    models = yaml.safe_load((smoke.path / "config.yaml").read_text())["models"]
    params = {
        "word_count": {"relation": "exactly", "n": 3},
        "json_format": {},
        "term_exclusion": {"terms": ["a"]},
    }
    prompts = [
        json.dumps({"task": task, "params": params[task], "prompt": f"{task} {number}", "subject": number})
        for number in range(40)
        for task in TASKS
    ]
    own = smoke.path / "own.jsonl"
    own.write_text("\n".join(prompts))

    def plan(numbered):
        number, values = numbered
        config = yaml.safe_load((smoke.path / SMOKE).read_text())
        for key, value in values.items():
            *sections, last = key.split(".")
            place = config
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = value(models) if callable(value) else value
        if "prompts.file" in values:
            # All subjects that there are are the study's.
            config["guard"]["bases"] = 0
        path = smoke.path / f"changed-{number}.yaml"
        path.write_text(yaml.safe_dump(config))
        try:
            return smoke.planned(configfile=path.name)
        finally:
            path.unlink()

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(changes, pool.map(plan, enumerate(changes.values())), strict=True))
    own.unlink()
    return found


def test_no_key_is_forgotten():
    schema = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert set(CHANGES) == set(keys(schema))


def test_the_page_of_it_is_up_to_date():
    from rerun_matrix import page

    assert (ROOT / "docs/reruns.md").read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("key", CHANGES)
def test_a_changed_key_reruns_what_depends_on_it(plans, key):
    assert plans[key] == CHANGES[key][1]


@pytest.mark.parametrize("name", PAIRS)
def test_changes_at_once_rerun_what_depends_on_either(plans, name):
    assert plans[name] == PAIRS[name][1]


def test_a_fresh_clone_with_old_results_has_nothing_to_do(smoke, tmp_path):
    clone = copy_repository(tmp_path / "clone")
    for name in ("results", ".snakemake"):
        # With new times, as after a copy that doesn't keep them.
        shutil.copytree(smoke.path / name, clone.path / name, copy_function=shutil.copyfile)
    assert clone.planned() == set()


def test_results_without_their_records_are_taken_as_they_are_with_a_warning(smoke, tmp_path):
    clone = copy_repository(tmp_path / "clone")
    warning = "results/smoke was copied without .snakemake/, so Snakemake cannot tell what changed"
    assert warning not in clone.snakemake("--dry-run", "--configfile", SMOKE).stderr
    shutil.copytree(smoke.path / "results", clone.path / "results")
    (clone.path / "other.yaml").write_text("probes: {penalties: [0.5]}\n")
    done = clone.snakemake("--dry-run", "--configfile", SMOKE, "other.yaml")
    assert warning in done.stderr and "Nothing to be done" in done.stderr + done.stdout
    assert warning not in smoke.snakemake("--dry-run", "--configfile", SMOKE).stderr


def test_results_may_lie_elsewhere(smoke, tmp_path):
    clone = copy_repository(tmp_path / "clone")
    shutil.copytree(smoke.path / ".snakemake", clone.path / ".snakemake")
    shutil.copytree(smoke.path / "results", tmp_path / "large disk")
    (clone.path / "results").symlink_to(tmp_path / "large disk")
    assert clone.planned() == set()


def test_what_was_taken_out_of_the_study_is_in_no_aggregate(smoke, tmp_path):
    """Its files stay; the tables, the findings and the pages that are made anew don't mention it."""
    clone = copy_results(smoke, tmp_path)
    config = yaml.safe_load((clone.path / SMOKE).read_text())
    config |= {"tasks": ["word_count", "json_format"], "layers": [4]}
    config["models"] = yaml.safe_load((clone.path / "config.yaml").read_text())["models"][:2]
    (clone.path / SMOKE).write_text(yaml.safe_dump(config))
    clone.snakemake("--configfile", SMOKE)
    results = clone.path / "results/smoke"
    assert (results / f"labels/{MODELS[2]}/term_exclusion/0.jsonl").is_file()
    made = [*results.glob("tables/*.csv"), results / "findings.json", *results.glob("report/*")]
    assert len(made) > 20
    for path in made:
        # What the paper says of tasks is quoted beside the findings; in the overview, without a mark.
        text, quoted = path.read_text(), path.name == "overview.html"
        if path.name in ("findings.json", "findings.csv"):
            rows = {"rows": dict(enumerate(csv.DictReader(text.splitlines())))}
            found = json.loads(text) if path.suffix == ".json" else rows
            for claims in found.values():
                for claim in claims.values():
                    del claim["paper"]
            text = json.dumps(found)
        for gone in (MODELS[2], *(() if quoted else ("term_exclusion", "term exclusion"))):
            assert gone not in text, (path.name, gone)
    rows = (results / "tables/generality.csv").read_text().splitlines()
    layer = rows[0].split(",").index("layer")
    assert {row.split(",")[layer] for row in rows[1:]} == {"4", "selected"}
