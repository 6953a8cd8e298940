"""In another folder, and as a module of another workflow: the snippet of docs/running.md, and refusals."""

import re
import shutil

import pytest
import yaml
from workdir import ROOT, SMOKE, copy_repository

PAGE = (ROOT / "docs/running.md").read_text(encoding="utf-8").partition("## In a workflow of your own")[2]
SNIPPET = re.search(r"^```python\n(.*?)^```", PAGE, re.M | re.S)[1]
CONFIG = yaml.safe_load(re.search(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)[1])
STUDY = yaml.safe_load((ROOT / SMOKE).read_text())
PROMPTS = "results/smoke/prompts/word_count/0.jsonl"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return copy_repository(tmp_path_factory.mktemp("cloned") / "skillprobe")


@pytest.fixture
def foreign(repository, tmp_path):
    """Snakemake in the folder of another workflow."""

    def of(snakefile=SNIPPET, **changes):
        (tmp_path / "Snakefile").write_text(snakefile)
        config = CONFIG | {"repository": str(repository.path), "skillprobe": STUDY | changes}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))

        def run(*arguments, **options):
            return repository.snakemake(*arguments, cwd=tmp_path, **options)

        return run

    return of


def jobs(done):
    return set(re.findall(r"^(?:local)?rule (\w+):", done.stdout, re.M))


def test_a_workflow_imports_this_one(repository, foreign, tmp_path):
    run = foreign()
    assert CONFIG["repository"] == "../skillprobe" and CONFIG["skillprobe"].keys() < STUDY.keys() | {"tasks"}
    planned = jobs(run("--dry-run"))
    # Its own first rule is what it makes.
    assert {"count_supported", "skillprobe_write_findings", "skillprobe_fit_specialist_probe"} <= planned
    assert all(name == "count_supported" or name.startswith("skillprobe_") for name in planned)
    whole = {f"skillprobe_{job['rule']}" for job in repository.listed()}
    assert planned - {"count_supported"} < whole == jobs(run("--dry-run", "skillprobe_all"))
    # A job as in the repository itself, with the checks before it, and once.
    run(PROMPTS)
    assert (tmp_path / "results/smoke/logs/controller.lock").is_file()
    assert "Nothing to be done" in run(PROMPTS).stderr
    repository.snakemake(PROMPTS, "--configfile", SMOKE)
    assert (tmp_path / PROMPTS).read_bytes() == (repository.path / PROMPTS).read_bytes()


def test_models_of_either_folder_are_found(repository, foreign, tmp_path):
    shutil.copytree(repository.path / "workflow/resources/models/toy-llama", tmp_path / "mine")
    models = [
        {"name": "a", "source": "mine"},
        {"name": "b", "source": "workflow/resources/models/toy-llama"},
    ]
    # Both are there: the folder where it runs comes first.
    (tmp_path / "workflow/resources/models").mkdir(parents=True)
    (tmp_path / "workflow/resources/models/toy-gemma2").symlink_to(tmp_path / "mine")
    models.append({"name": "c", "source": "workflow/resources/models/toy-gemma2"})
    run = foreign(models=models, judges={})
    responses = [f"results/smoke/responses/{name}/word_count/0.jsonl" for name in "abc"]
    run(*responses)
    one, *others = [(tmp_path / path).read_bytes() for path in responses]
    assert others == [one, one]


def test_what_is_downloaded_is_not_submitted(foreign):
    """Of a cluster's nodes, which may have no network."""
    # Of the rules that a cluster's profile leaves out, which a local run doesn't tell.
    asked = "print('local', *(each.name for each in workflow.rules if each.name in workflow._localrules))\n"
    said = foreign(SNIPPET.partition("onstart:")[0] + asked)("--dry-run", PROMPTS)
    found = re.search(r"^local (.*)$", said.stdout + said.stderr, re.M)[1].split()
    names = {"fetch_model", "convert_model", "fetch_judge", "pilot", "plan"}
    assert set(found) == {f"skillprobe_{name}" for name in names}


SOME = """configfile: "config.yaml"


module other:
    snakefile:
        f"{config['repository']}/Snakefile"
    config:
        config["skillprobe"]


"""


def test_rules_are_imported_singly_and_changed(foreign):
    labels = "results/smoke/labels/toy-llama/word_count/0.jsonl"
    run = foreign(SOME + "use rule make_prompts, generate_responses, label_responses from other as some_*\n")
    assert jobs(run("--dry-run", labels)) == {
        "some_make_prompts",
        "some_generate_responses",
        "some_label_responses",
    }
    change = (
        "use rule * from other\n\n\n"
        "use rule label_responses from other with:\n    resources:\n        mem_mb=4321,\n"
    )
    done = foreign(SOME + change)("--dry-run", labels)
    assert jobs(done) == {"make_prompts", "generate_responses", "label_responses"}
    assert re.search(r"^rule label_responses:.*?mem_mb=4321", done.stdout, re.M | re.S)


def test_a_foreign_config_is_checked(foreign):
    refused = foreign(studdy="x")("--dry-run", check=False)
    assert refused.returncode and "unknown key 'studdy'" in refused.stdout + refused.stderr


def test_context_windows_are_checked_before_any_job(foreign, tmp_path):
    run = foreign(generation=STUDY["generation"] | {"max_new_tokens": 600})
    refused = run("results/smoke/responses/toy-llama/word_count/0.jsonl", check=False)
    assert refused.returncode and "has a context window of 5" in refused.stderr
    assert not (tmp_path / PROMPTS).exists()


def test_another_folder_is_where_the_results_are(repository, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(repository.path)
    files = ("--configfile", repository.path / SMOKE)
    repository.snakemake("--directory", tmp_path / "elsewhere", PROMPTS, *files)
    assert (tmp_path / "elsewhere" / PROMPTS).is_file()
    # What was made there stays so, however the workflow is called.
    arguments = ("--snakefile", repository.path / "Snakefile", PROMPTS, *files)
    assert "Nothing to be done" in repository.snakemake(*arguments, cwd=tmp_path / "elsewhere").stderr
    repository.snakemake("--dry-run", *files, cwd=tmp_path / "link")


def test_the_package_of_another_repository_is_refused(repository, foreign, tmp_path):
    run = foreign()
    other = copy_repository(tmp_path / "other").path / "workflow"
    refused = run("--dry-run", check=False, env={"PYTHONPATH": str(other)})
    said = refused.stdout + refused.stderr
    words = f"another package skillprobe, {other}/skillprobe/__init__.py"
    assert refused.returncode and f"Snakemake's Python finds {words}; install" in said
    assert f"pip install --editable {repository.path}" in said
