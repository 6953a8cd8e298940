"""Which jobs run again after which change: exactly those that depend on it."""

import shutil
from itertools import product

import pytest
import yaml
from workdir import SMOKE

MODELS = ("toy-gemma2", "toy-llama", "toy-qwen2")
TASKS = ("json_format", "term_exclusion", "word_count")
LAYERS = (0, 4)
COPY = "workflow/resources/models/toy-copy"

NAMES = (
    "ablation",
    "agreement",
    "behaviour",
    "compliance",
    "generality",
    "guard",
    "layers",
    "robustness",
    "similarity",
)
NAMES += ("scorecard", "specificity", "time", "transfer")
PLOT_MONITORS = {("plot_monitors", f"model={model}") for model in MODELS}
FIGURES = {(f"plot_{name}", "") for name in NAMES} | PLOT_MONITORS
PAGES = {("write_overview", ""), ("write_table_pages", "")}
COMPLIANCE = {("summarise_compliance", ""), ("plot_compliance", "")} | PAGES
FINDINGS = {("write_findings", ""), ("plot_scorecard", ""), ("write_table_pages", "")}
# It shows the whole config.
OVERVIEW = {("write_overview", "")}


def per(rule, models=MODELS, tasks=None, layers=None, shard=False):
    """The jobs of a rule for all combinations, as a dry-run spells their wildcards."""
    axes = {"model": models, "task": tasks, "layer": layers, "shard": (0,) if shard else None}
    axes = {name: values for name, values in axes.items() if values is not None}
    return {
        (rule, ", ".join(f"{name}={value}" for name, value in zip(axes, values, strict=True)))
        for values in product(*axes.values())
    }


def merged(*names):
    return {("merge_tables", f"analysis={name}") for name in names}


ABLATION = ("ablation", "ablation_curve", "ablation_summary")
AGREEMENT = {("compare_agreement", ""), ("plot_agreement", "")}
# What labels alone decide, and what no probe does.
WORDING = merged("wording") | {("plot_robustness", "")}


def monitored(models=MODELS):
    """What follows from new monitors, but for the findings."""
    tables = merged("monitors", "monitors_reliability", "monitors_summary")
    return per("compare_monitors", models) | tables | per("plot_monitors", models)


SPECIFICITY = merged("specificity") | {("plot_specificity", "")} | FINDINGS | OVERVIEW


def comparisons(models=MODELS):
    """What follows from any new probe."""
    names = (
        "generality",
        "transfer",
        "ablation",
        "layers",
        "specificity",
        "time",
        "robustness",
        "similarity",
    )
    compared = set().union(*(per(f"compare_{name}", models) for name in names))
    more = merged(*names, *ABLATION, "transfer_summary", "time_summary")
    others = {("plot_compliance", ""), ("plot_behaviour", ""), ("plot_guard", "")} | PLOT_MONITORS
    return compared | more | AGREEMENT | FIGURES - others | monitored(models) | PAGES | FINDINGS


def crossings(models=MODELS, tasks=TASKS):
    """Of a task, made anew whenever any task has new responses; and what follows."""
    return (
        per("make_crossings", models, tasks, shard=True)
        | per("extract_crossings", models, shard=True)
        | SPECIFICITY
        | per("compare_specificity", models)
    )


def edited(models=MODELS, tasks=TASKS):
    """What is written anew under edits, and what follows."""
    return (
        per("edit_behaviour", models, tasks)
        | per("compare_behaviour", models)
        | merged("behaviour")
        | {("plot_behaviour", "")}
        | AGREEMENT
    )


def weighed(models=MODELS):
    """What acting on the monitors brings."""
    return per("compare_guard", models) | merged("guard") | {("plot_guard", "")}


def guarded(models=MODELS, tasks=TASKS):
    """What a monitor acts on, and what follows."""
    return per("guard_responses", models, tasks) | weighed(models)


def of_all_tasks(models=MODELS, layers=LAYERS):
    """The jobs that look at all tasks of a layer."""
    return (
        per("fit_general_probe", models, layers=layers)
        | per("refit_probes", models)
        | per("transfer_probes", models, layers=layers)
        | (per("select_ablation_layer", models) if 4 in layers else set())
        | per("ablate_activations", models, layers=set(layers) & {4})
        | per("fit_course", models, layers=set(layers) & {4})
        | per("fit_across_wordings", models, layers=set(layers) & {4})
    )


def probing(models=MODELS, tasks=TASKS, layers=LAYERS, of_task=True):
    """What a setting of the probes decides; baselines and random-weight models know no new layer."""
    return (
        per("fit_specialist_probe", models, tasks, layers)
        | (per("fit_surface_probes", models, tasks) if of_task else set())
        | (per("fit_random_probes", models, tasks) if of_task else set())
        | (per("fit_prefix_baselines", models, tasks) if of_task else set())
        | (per("fit_trivial_monitors", models, tasks) if of_task else set())
        | (per("fit_planning", models, tasks) if of_task else set())
        | (per("fit_monitor", models, tasks) | guarded(models, tasks) if of_task else set())
        | of_all_tasks(models, layers)
        | comparisons(models)
        # Whatever moves an eraser.
        | (edited(models) if 4 in layers else set())
    )


def from_labels(models=MODELS, tasks=TASKS, layers=LAYERS):
    """Labels and all that follows from them."""
    return (
        per("label_responses", models, tasks, shard=True)
        | per("extract_activations", models, tasks, shard=True)
        | per("extract_random_activations", models, tasks, shard=True)
        | crossings(models, tasks)
        | probing(models, tasks, layers)
        | COMPLIANCE
        | per("compare_wording", models)
        | WORDING
        | {("compare_models", ""), ("write_examples", "")}
    )


def from_responses(models=MODELS, tasks=TASKS, layers=LAYERS):
    return per("generate_responses", models, tasks, shard=True) | from_labels(models, tasks, layers)


@pytest.fixture
def study(smoke):
    """The finished smoke study; what a test changes in its files is put back afterwards."""
    kept = [path for path in smoke.path.glob("**/*") if path.suffix in (".py", ".yaml", ".safetensors")]
    before = {path: path.read_bytes() for path in kept if "results" not in path.parts}
    yield smoke
    shutil.rmtree(smoke.path / COPY, ignore_errors=True)
    for path, content in before.items():
        if path.read_bytes() != content:
            path.write_bytes(content)


def change(smoke, **changes):
    """Set keys of the study's config file, such as generation__temperature=1.1."""
    path = smoke.path / SMOKE
    config = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        *sections, name = key.split("__")
        place = config
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def edit(smoke, module):
    path = smoke.path / "workflow/skillprobe" / module
    path.write_text(path.read_text() + "\n# edited\n")


def test_nothing_runs_again_without_a_change(study):
    assert study.planned() == set()


def test_a_figure_option_redraws_the_figures(study):
    change(study, figures__dpi=90)
    assert study.planned() == FIGURES | OVERVIEW


def test_penalties_rerun_the_probes_and_what_follows(study):
    change(study, probes__penalties=[0.01, 0.1, 1.0])
    assert study.planned() == probing()


def test_two_swapped_values_are_a_change(study):
    change(study, probes__min_rows=6, probes__min_groups=5)
    assert study.planned() == probing()
    change(study, probes__min_rows=5, probes__min_groups=6)
    assert study.planned() == probing() | per("compare_wording") | WORDING


@pytest.mark.parametrize("changed", [{"generation__temperature": 1.1}, {"generation__engine": "vllm"}])
def test_another_temperature_or_engine_reruns_everything_from_responses_on(study, changed):
    change(study, **changed)
    assert study.planned() == from_responses()


def test_a_layer_adds_its_own_probes_and_the_comparisons(study):
    change(study, layers=[0, 2, 4])
    # It is not among the layers of these analyses.
    names = ("ablation", "time", "robustness")
    elsewhere = set().union(*(per(f"compare_{name}") for name in names))
    elsewhere |= (
        merged(*names, *ABLATION, "time_summary") | {(f"plot_{name}", "") for name in names} | AGREEMENT
    )
    elsewhere |= monitored()
    # It is the middle one, at which models are compared.
    models = {("compare_models", "")}
    assert study.planned() == probing(layers=(2,), of_task=False) - elsewhere | models


def test_a_layer_to_erase_at_adds_its_own_ablation(study):
    """And that of the others: only at the best of all of them are erasers refitted."""
    change(study, ablation__layers=[0, 4])
    assert study.planned() == (
        per("select_ablation_layer")
        | per("ablate_activations", layers=(0, 4))
        # behaviour.layers: all of them.
        | edited()
        | per("compare_ablation")
        # Of erasers of this layer too.
        | per("compare_similarity")
        | merged(*ABLATION, "similarity")
        | {("plot_ablation", ""), ("plot_similarity", "")}
        | FINDINGS
        | OVERVIEW
    )


def test_a_task_adds_its_own_chain_and_the_aggregates(study):
    change(study, tasks=["word_count", "json_format", "term_exclusion", "topic"])
    assert study.planned() == (
        {("make_prompts", "task=topic, shard=0")}
        | from_responses(tasks=("topic",))
        | of_all_tasks()
        # Its answers are candidates for the others' crossings; their labels and activations stay.
        | crossings(tasks=(*TASKS, "topic"))
        # All tasks are answered under the new task's eraser, too.
        | per("edit_behaviour", tasks=("topic",))
    )


def test_a_model_adds_its_own_chain_and_the_aggregates(study):
    shutil.copytree(study.path / "workflow/resources/models/toy-llama", study.path / COPY)
    models = yaml.safe_load((study.path / "config.yaml").read_text())["models"]
    change(study, models=[*models, {"name": "toy-copy", "source": COPY, "dtype": "float32"}])
    assert study.planned() == from_responses(models=("toy-copy",))


def test_new_weights_in_a_models_folder_rerun_that_model(study):
    path = study.path / "workflow/resources/models/toy-llama/model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert study.planned() == from_responses(models=("toy-llama",))


def test_a_threshold_decides_anew_from_the_same_tables(study):
    change(study, claims__margin=0.03)
    assert study.planned() == FINDINGS | OVERVIEW


def test_what_counts_as_signal_is_compared_anew_where_it_counts(study):
    """Only tasks that count are erased, while a model writes too."""
    change(study, claims__signal=0.6)
    names = ("generality", "transfer", "transfer_summary", *ABLATION, "layers", "similarity")
    assert study.planned() == (
        per("compare_generality")
        | per("compare_transfer")
        | per("select_ablation_layer")
        | per("ablate_activations", layers=(4,))
        | per("compare_ablation")
        | per("compare_similarity")
        | per("compare_layers")
        | merged(*names)
        | edited()
        | AGREEMENT
        | per("compare_specificity")
        | merged("specificity", "time", "time_summary")
        | per("compare_time")
        | {(f"plot_{name}", "") for name in ("generality", "transfer", "ablation", "layers", "similarity")}
        | {("plot_specificity", ""), ("plot_time", "")}
        | FINDINGS
        | PAGES
    )


def test_draws_to_refit_on_refit_the_probes(study):
    change(study, statistics__refit_draws=30)
    jobs = study.planned()
    assert per("refit_probes") | per("compare_generality") | per("compare_transfer") <= jobs
    assert not {rule for rule, _ in jobs if rule.startswith("fit_")}


def test_a_strength_of_steering_is_answered_anew(study):
    change(study, behaviour__strengths=[2, 3])
    assert study.planned() == edited() | OVERVIEW


def test_a_share_of_what_a_prompt_can_tell_decides_anew(study):
    change(study, claims__prompt_variance=0.1)
    time = (
        per("fit_planning", tasks=TASKS)
        | per("compare_time")
        | merged("time", "time_summary")
        | {("plot_time", "")}
    )
    assert study.planned() == time | FINDINGS | OVERVIEW


def test_a_rank_compares_representations_anew(study):
    change(study, similarity__rank=3)
    assert study.planned() == (
        per("compare_similarity")
        | merged("similarity")
        | {("compare_models", ""), ("plot_similarity", "")}
        | OVERVIEW
    )


def test_behaviour_may_be_left_out(study):
    change(study, behaviour__bases=0)
    assert study.planned() == OVERVIEW


def test_guard_may_be_left_out(study):
    change(study, guard__bases=0)
    assert study.planned() == OVERVIEW


def test_calibration_is_no_part_of_the_study(study):
    change(study, calibration__seeds=1)
    assert study.planned() == OVERVIEW


def test_order_of_keys_and_comments_change_nothing(study):
    path = study.path / SMOKE
    config = yaml.safe_load(path.read_text())
    turned = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in reversed(config.items())
    }
    path.write_text("# a comment\n" + yaml.safe_dump(turned, sort_keys=False))
    assert study.planned() == set()


def test_resources_of_a_model_change_no_numbers(study):
    path = study.path / "config.yaml"
    path.write_text(path.read_text().replace("- name: toy-llama", "- mem_mb: 2500\n    name: toy-llama"))
    assert study.planned() == OVERVIEW


def test_touching_every_file_changes_nothing(study):
    for path in sorted(study.path.rglob("*")):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    assert study.planned() == set()


def test_an_edited_solver_reruns_the_probes(study):
    edit(study, "probes/solver.py")
    # By the import graph also what knows of erasers, and so of the solver that finds them.
    assert study.planned() == probing() | {("compare_models", "")}


def test_an_edited_general_probe_is_fitted_again_and_no_specialist(study):
    edit(study, "probes/general_probes.py")
    assert {rule for rule, _ in study.planned() if rule.startswith("fit_")} == {"fit_general_probe"}


def test_edited_figures_are_drawn_again(study):
    edit(study, "report/figures/time.py")
    assert study.planned() == {("plot_time", "")}
    edit(study, "report/figures/style.py")
    assert study.planned() == FIGURES


def test_an_edited_task_is_sampled_and_labelled_again(study):
    edit(study, "tasks/json_format.py")
    assert study.planned() == (
        {("make_prompts", "task=json_format, shard=0")}
        | from_responses(tasks=("json_format",))
        | crossings()
        | of_all_tasks()
    )


def test_an_edited_script_reruns_its_rule(study):
    path = study.path / "workflow/scripts/extract_activations.py"
    path.write_text(path.read_text() + "# edited\n")
    assert study.planned() == (
        per("extract_activations", tasks=TASKS, shard=True)
        | probing(of_task=False)
        # Of the controls, those that look at activations.
        | per("fit_prefix_baselines", tasks=TASKS)
        | per("fit_trivial_monitors", tasks=TASKS)
        | per("fit_planning", tasks=TASKS)
        | per("fit_monitor", tasks=TASKS)
        | guarded()
        | {("compare_models", "")}
    )
