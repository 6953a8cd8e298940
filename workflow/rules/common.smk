# What every stage uses: the checked config, the paths of the study, and what makes a job run again.
import json
import os
import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

# The folder with the Snakefile.
REPOSITORY = Path(str(workflow.current_basedir)).parents[1]
PACKAGE = REPOSITORY / "workflow/skillprobe"
# Where the study is, which its paths start from.
HERE = REPOSITORY.is_dir() and REPOSITORY.samefile(Path.cwd())
ROOT = REPOSITORY if HERE else Path.cwd()
if not HERE:
    found = find_spec("skillprobe")
    if not (found and found.origin and PACKAGE.is_dir() and Path(found.origin).parent.samefile(PACKAGE)):
        raise WorkflowError(
            f"Snakemake's Python finds {f'another package skillprobe, {found.origin}' if found else 'no package skillprobe'}; "
            f"install the one of this workflow, from a clone of its repository: pip install --editable {REPOSITORY}"
        )

from skillprobe.errors import UserError
from skillprobe.prompts import answers, own
from skillprobe.storage.locks import hold_study
from skillprobe.study import checks, reading, sampling, slices, sources, windows
from skillprobe.study.code_files import code_files
from skillprobe.study.config import complete
from skillprobe.study.plan import check_fits, check_readable, check_writable, nearest_folder, surplus_warning

for folder in {REPOSITORY, ROOT}:
    if set("{}") & set(str(folder)):
        raise WorkflowError(
            f"{folder} contains a brace, which Snakemake reads as a wildcard; rename the folder"
        )
# The rules of this workflow, and of none that imports it; more are to come.
RULES = workflow.modifier.rules

# Jobs on Linux keep the memory of arrays that they are done with for the next ones. By default glibc hands it back and
# asks for it anew each time, which was a third of the time of large element-wise steps.
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**28))
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**25))


def checked(function, *arguments):
    """What the function returns; its UserError stops Snakemake with that sentence."""
    try:
        return function(*arguments)
    except UserError as error:
        raise WorkflowError(str(error)) from None
    except PermissionError as error:
        raise WorkflowError(
            f"cannot read {error.filename}: permission denied; make it readable (chmod u+r) or ask its owner"
        ) from None


def in_repository(path):
    """A file of the repository, as rules name it."""
    return path if HERE else str(REPOSITORY / path)


# A workflow that imports this one gives what differs from config.yaml.
GIVEN = load_configfile(in_repository("config.yaml"))
update_config(GIVEN, config)
IMPORTED = workflow.modifier.parent_modifier is not None


def config_files():
    """What the config was read from, as messages name it. Nothing where a file can't be read once more, or where
    another workflow gives the config."""
    if IMPORTED:
        return []
    given = workflow.config_settings
    names = [sources.as_from(ROOT, path) for path in given.configfiles]
    try:
        files = [reading.read_config(path) for path in (in_repository("config.yaml"), *names)]
    except UserError:
        return []
    return [*files, reading.given(given.config)]


def completed():
    """The study's config; errors begin with the file and line of their key."""
    try:
        return complete(sources.from_elsewhere(GIVEN, ROOT, REPOSITORY), ROOT)
    except UserError as error:
        raise UserError(reading.placed(str(error), config_files())) from error


def unnamed():
    """What to say where a config file doesn't name its study. Raises UserError where it is clearly another one."""
    files = config_files() if workflow.is_main_process and workflow.config_settings.configfiles else []
    return reading.check_named(files) if files else ""


STUDY = checked(completed)
UNNAMED = checked(unnamed)
RESULTS = f"results/{STUDY['study']}"
checked(nearest_folder, RESULTS)

MODELS = [entry["name"] for entry in STUDY["models"]]
# Those that answer in the study, those whose answers are there, and those whose activations are.
GENERATED_MODELS = slices.generated_models(STUDY)
GIVEN_MODELS = MODELS if slices.on_given_activations(STUDY) else []
ANSWERED_MODELS = [model for model in MODELS if model not in (*GENERATED_MODELS, *GIVEN_MODELS)]
LOADED_MODELS = [*GENERATED_MODELS, *ANSWERED_MODELS]
FETCHED_MODELS = sources.fetched_models(STUDY, ROOT)
CONVERTED_MODELS = sources.converted_models(STUDY, ROOT)
TASKS = STUDY["tasks"]
FETCHED_JUDGES = sources.fetched_judges(STUDY, ROOT)
# Those with a head that is fitted to labelled texts.
FITTED_JUDGES = sources.fitted_judges(STUDY)
# The environment of jobs that judge.
JUDGED_ON_GPU = any(isinstance(judge, dict) and judge.get("gpu") for judge in STUDY["judges"].values())
JUDGE_ENVIRONMENT = "../../envs/gpu.yaml" if JUDGED_ON_GPU else "../../envs/cpu.yaml"
# Models of which a random-weight model is probed too.
RANDOM_WEIGHTS = MODELS if STUDY["controls"]["random_weights"] else []
# Of each job of a model and task, the range of its bases: [first, last + 1].
BLOCKS = slices.blocks(STUDY)
SHARDS = list(range(len(BLOCKS)))
# What decides probes: not what is only warned of.
PROBES = {key: value for key, value in STUDY["probes"].items() if key != "flag_truncated"}
# What all probes have in common: not which position claims are about, nor the specialists' controls.
SCOPED = {key: value for key, value in PROBES.items() if key not in ("position", "shuffles", "confounds")}
# Nor what probes within prompts need.
PROTOCOL = {key: value for key, value in SCOPED.items() if not key.startswith("min_mixed_")}
# What the paper says to each claim, and the numbers that are known of it.
REPORTED = in_repository("workflow/resources/paper.json")
WORLD_FILE = sources.world_file(STUDY, ROOT)
# A file of the user's own prompts, or nothing. Jobs depend on the prompts that are theirs, not on all of it.
OWN_PROMPTS = [STUDY["prompts"]["file"]] if STUDY["prompts"]["file"] else []
# Subjects that requests are about: what folds and draws are of.
GROUPS = sources.groups(STUDY, ROOT)
# How many subjects and requests the world has.
CONTENTS = sources.contents(STUDY, ROOT)


wildcard_constraints:
    model="|".join(map(re.escape, MODELS)),
    task="|".join(map(re.escape, TASKS)),
    shard=r"\d+",
    layer=r"\d+",
    analysis="generality|transfer|transfer_summary|ablation|ablation_curve|ablation_summary|behaviour|layers"
    "|time|time_summary|monitors|monitors_reliability|monitors_summary|specificity|similarity|robustness|wording|guard",


def chosen(*keys, **more):
    """A slice of the config (and of "groups", how many there are), as the one string that decides whether a rule's jobs
    run again."""
    return slices.canonical(STUDY | {"groups": GROUPS}, *keys, **more)


def settings(*keys, **more):
    """As `chosen`, for `params`: a function, since Snakemake takes a {word} in a text for a wildcard."""
    text = chosen(*keys, **more)
    return lambda w: text


@cache
def identity(model):
    return checked(sources.model_identity, STUDY, model, ROOT)


def model_settings(*keys, **more):
    """As `settings`, with what decides the model's numbers: its source and a hash of its files."""
    return lambda w: chosen(*keys, model=identity(w.model), **more)


def response_settings(seed=STUDY["seed"], samples=None):
    """As `model_settings`, with how the model's responses are sampled. seed, samples (numbers of responses per prompt):
    the study's, unless given."""
    return lambda w: chosen(
        model=identity(w.model), seed=seed, generation=generation(w.model) | (samples or {})
    )


@cache
def generation(model):
    """What decides one response of a model: not which of them one job makes."""
    return checked(sampling.generation_of, STUDY, model, ROOT)


@cache
def judge(task):
    return checked(sources.judge_identity, STUDY, task, ROOT)


def judge_resource(key, otherwise):
    """A resource of the jobs that judge, from the judge's entry in the config if it has settings."""

    def resource(w):
        entry = STUDY["judges"].get(w.task)
        return entry.get(key, otherwise) if isinstance(entry, dict) else otherwise

    return resource


def task_settings(*keys, **more):
    """As `settings`, with the judge of the job's task."""
    return lambda w: chosen(*keys, judge=judge(w.task), **more)


def layer_settings(*keys):
    """As `settings`, with the analysed layers of the job's model and its number of blocks."""
    return lambda w: chosen(*keys, **slices.depth(STUDY, w.model))


def prompts_of(task):
    """The section `prompts` as far as it concerns one task."""
    return slices.prompts_of(STUDY, task)


@cache
def own_prompts():
    """The prompts of the user's own, if there are some."""
    return checked(own.read_own, OWN_PROMPTS[0])


def prompt_settings(w):
    """What decides the prompts of a job. Of the user's own, a hash of those that are the job's: not their place in
    the file, nor what else is in it."""
    bases = BLOCKS[int(w.shard)]
    if OWN_PROMPTS:
        items = own_prompts().of(w.task, bases)
        return chosen(prompts=prompts_of(w.task), bases=bases, sha256=own.items_hash(items))
    return chosen("seed", prompts=prompts_of(w.task), bases=bases)


@cache
def given_answers(model):
    return checked(sources.given_answers, STUDY, model, ROOT)


def answer_files(w):
    return answers.answer_files(slices.model_entry(STUDY, w.model)["answers"])


def answer_settings(w):
    """What decides the rows that a job makes of given answers: a hash of those to its prompts, and not what else is in
    their files."""
    items = sources.items_of(STUDY, ROOT, w.task, BLOCKS[int(w.shard)])
    return chosen(
        *("tasks", "generation.samples", "generation.twin_samples"),
        model=identity(w.model),
        sha256=answers.answers_hash(given_answers(w.model), items),
    )


def given_labels(w):
    """The labels of a task in the folder of given activations."""
    return given_files(w)[2:]


def given_activations(w):
    """The shard of a task in that folder, and its manifest."""
    return given_files(w)[:2]


def given_files(w):
    from skillprobe.activations import given  # other studies are planned without numpy

    return given.files_of(slices.model_entry(STUDY, w.model)["activations"], w.model, w.task)


def activation_settings(w):
    """What decides the given activations of a task: a hash of them, and not what else is in their folder."""
    from skillprobe.activations import given

    return chosen(sha256=given.card_hash(slices.model_entry(STUDY, w.model)["activations"], w.task))


def one_of(names):
    """A pattern of these names; of none of them, one that nothing fits."""
    return "|".join(map(re.escape, names)) or "(?!)"


def pilot_settings(w):
    """As `prompt_settings`, of the pilot: of the user's own prompts the first ones."""
    prompts = pilot_prompts(w.task)
    bases = [0, prompts["bases"]]
    if OWN_PROMPTS:
        first = STUDY["pilot"]["prompts"]
        items = own_prompts().of(w.task)[:first]
        return chosen(prompts=prompts_of(w.task), bases=bases, first=first, sha256=own.items_hash(items))
    return chosen(seed=PILOT_SEED, prompts=prompts, bases=bases)


def pilot_prompts(task):
    """As `prompts_of`, with the pilot's own sizes."""
    return slices.pilot_prompts(STUDY, task, CONTENTS)


def layers_of(model):
    return slices.layers_of(STUDY, model)


def random_layers_of(model):
    return slices.random_layers_of(STUDY, model)


def section_layers_of(section, model):
    return slices.section_layers_of(STUDY, section, model)


def edited_layers_of(model):
    return slices.edited_layers_of(STUDY, model)


@cache
def code(script, *tasks):
    """The files that a script depends on, from the import graph, with those of `tasks` (imported by name)."""
    modules = [f"skillprobe.tasks.{task}" for task in tasks]
    files = code_files(REPOSITORY / f"workflow/scripts/{script}.py", PACKAGE, modules)
    return [in_repository(file) for file in files]


def task_code(script):
    """As `code`, with the module of the job's task."""
    return lambda w: code(script, w.task)


def downloaded(w):
    """What rule fetch_model says of a model from the hub or a package; nothing for one of this machine."""
    return [f"{RESULTS}/models/{w.model}.json"] if w.model in FETCHED_MODELS else []


def fetched(w):
    """What rule convert_model says of a model that comes as a GGUF file, else as `downloaded`."""
    return [f"{RESULTS}/converted/{w.model}.json"] if w.model in CONVERTED_MODELS else downloaded(w)


def downloaded_judge(w):
    """What rule fetch_judge says of a judge from the hub or a package; nothing for others."""
    return [f"{RESULTS}/judges/{w.task}.json"] if w.task in FETCHED_JUDGES else []


def fetched_judge(w):
    """What rule fit_judge says of a judge that has a head, else as `downloaded_judge`."""
    return [f"{RESULTS}/heads/{w.task}.json"] if w.task in FITTED_JUDGES else downloaded_judge(w)


def judge_settings(keys):
    """As `settings`, with these of the keys of the judge of the job's task."""
    return lambda w: chosen(judge={key: value for key, value in judge(w.task).items() if key in keys})


def model_resource(key):
    """A resource of the rules that load a language model, from the model's entry in the config."""
    return lambda w: slices.model_entry(STUDY, w.model)[key]


def editing_gpus(w):
    """The most that the model that answers and the one that judges ask for. One that a device_map spreads over all
    that it sees (gpu: 0) isn't held to the judge's."""
    entry = slices.model_entry(STUDY, w.model)
    spread = entry["device_map"] not in (None, "cpu")
    return entry["gpu"] if spread else max(entry["gpu"], judge_resource("gpu", 0)(w))


def runs(*names):
    """Whether a job of one of these rules is to run, whatever an importing workflow calls them."""
    asked = {getattr(rules, name).rule for name in names if rules.has(name)}
    return any(job.rule in asked for job in workflow.dag.needrun_jobs())


def check_engine():
    """Stops Snakemake if responses are to be made by an engine that isn't installed. Jobs that have environments
    of their own find out themselves."""
    if not workflow.deployment_settings.deployment_method and runs(
        "generate_responses", "generate_pilot_responses"
    ):
        checked(checks.check_installed, STUDY)


def check_windows():
    """Stops Snakemake if a model can't read its prompts and responses that are as long as they may be, where that can
    be told before it is loaded."""
    if runs("generate_responses", "generate_pilot_responses"):
        try:
            checked(windows.check_windows, STUDY, ROOT)
        except WorkflowError as error:
            raise WorkflowError(reading.placed(str(error), config_files())) from None


def check_resources():
    """Stops Snakemake if a model or judge asks for more GPUs than the run may use at once: it would get these. Warns
    of one that asks for more memory: it would get that, which may be enough."""
    gpus, memory = (workflow.global_resources.get(name).value for name in ("gpu", "mem_mb"))
    if gpus is not None:
        checked(checks.check_gpus, STUDY, gpus)
    if memory is not None and (warning := checks.memory_warning(STUDY, memory)):
        print(warning, file=sys.stderr, flush=True)


def check_files():
    """Stops Snakemake if a job that is to run can't read what is there, or write what it makes."""
    jobs = list(workflow.dag.needrun_jobs())
    # As plain texts: sets of Snakemake's own are slow, and there may be a million.
    read = {str(file) for job in jobs for file in job.input}
    made = {str(file) for job in jobs for file in job.output}
    notes = {str(file) for job in jobs for file in (*job.log, job.benchmark) if file}
    for file in read - made:
        checked(check_readable, file)
    for folder in {RESULTS, *map(os.path.dirname, made | notes)}:
        checked(check_writable, folder)


def check_disk():
    """Stops Snakemake if the disk can't take the activations that are to be made."""
    if runs("extract_activations", "extract_random_activations", "extract_crossings"):
        checked(check_fits, STUDY, ROOT)


def warn_without_records():
    """Says that what changed since the results were made can't be told, where they came without .snakemake/."""
    records = Path(".snakemake/metadata")
    if (Path(RESULTS) / "tables").is_dir() and not (records.is_dir() and any(records.iterdir())):
        print(
            f"{RESULTS} was copied without .snakemake/, so Snakemake cannot tell what changed and uses the results as "
            "they are; copy .snakemake/ too, or delete what should be made again",
            file=sys.stderr,
            flush=True,
        )


if workflow.is_main_process:
    warn_without_records()
    for model in ANSWERED_MODELS:
        given_answers(model)
    for warning in (UNNAMED, checks.groups_warning(STUDY, GROUPS), surplus_warning(STUDY, ROOT)):
        if warning:
            print(warning, file=sys.stderr, flush=True)


def hold_results():
    """Stops Snakemake if another run is making results of a study that this one makes some of (`plan` makes none)."""
    own = (job for job in workflow.dag.needrun_jobs() if job.rule in RULES)
    made = (Path(file).parts for job in own for file in job.output)
    for study in sorted({parts[1] for parts in made if parts[0] == "results"}):
        checked(hold_study, f"results/{study}")


def merged(analysis):
    """The table of an analysis with all models in it."""
    return f"{RESULTS}/tables/{analysis}.csv"


def in_report(path, category, content, form, caption):
    """A file of the study that `snakemake --report` shows, in a category, by what it answers; caption: a file of
    workflow/report/."""
    labels = {"content": content, "form": form}
    return report(f"{RESULTS}/{path}", category=category, labels=labels, caption=f"../report/{caption}.rst")


def shown_figure(name, category, content):
    # Those of one model, in a folder, have one caption.
    return in_report(f"figures/{name}.svg", category, content, "figure", name.partition("/")[0])


def shown_page(name, category, content, form="page"):
    caption = name if form == "page" else f"{name}_{form}"
    return in_report(f"report/{name}.html", category, content, form, caption)


def show(path):
    """Print a text that the study has made so far."""
    if Path(path).is_file():
        print(Path(path).read_text(encoding="utf-8"))
