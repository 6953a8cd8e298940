"""docs/tasks.md: its two tasks, added to a copy of the project, are planned, asked, labelled and tested."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap

import pytest
import yaml
from made.items import responses_to
from made.judges import make_classifiers
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.tasks.base import Task, make_phrasings
from workdir import ROOT, SMOKE, copy_repository

PAGE = (ROOT / "docs/tasks.md").read_text(encoding="utf-8")
HUB_MODEL = "facebook/bart-large-mnli"
FOLDER = "workflow/skillprobe/tasks"


def examples():
    """{name of the task's file: (its text, what its config says)}."""
    found = {}
    for section in re.split(r"^## ", PAGE, flags=re.M):
        if file := re.search(r"saved as\s+`(\w+)\.py`", section):
            found[file[1]] = tuple(re.findall(r"^```(?:python|yaml)\n(.*?)^```", section, re.M | re.S))
    return found


NAMES = tuple(examples())


def test_the_page_has_a_task_of_each_kind():
    assert NAMES == ("lower_case", "emotion")
    assert ["judges" in yaml.safe_load(config) for _, config in examples().values()] == [False, True]


def signature(function):
    """As it is written, without the kinds of arguments."""
    parameters = inspect.signature(function).parameters.values()
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return str(inspect.Signature(plain))


def test_the_page_has_the_signature_of_every_method_of_a_task():
    written = dict(re.findall(r"^\| `(\w+)(\([^`]*\))` \|", PAGE, re.M))
    methods = {name: getattr(Task, name) for name in vars(Task) if inspect.isfunction(getattr(Task, name))}
    assert len(methods) > 10
    for name, function in methods.items():
        # Those that one writes are shown with self, and others as they are called.
        own = getattr(function, "__isabstractmethod__", False)
        exact = signature(function)
        assert written.pop(name) == (exact if own else exact.replace("self, ", "", 1)), name
    assert written == {}
    assert f"`make_phrasings{signature(make_phrasings)}`" in PAGE


def test_the_methods_that_check_do_what_the_page_says():
    """Its example, and one wrong value for each line."""
    code = re.search(r"may begin with\n\n```python\n(.*?)```", PAGE, re.S)[1]
    found = {}
    exec(textwrap.dedent(code), found)
    task = tasks.get("word_count")
    found["check_params"](task, {"words": ["red", "blue"], "n": 2})
    found["check_params"](task, {"words": ["red"]})
    for params, said in (
        ({"n": 2}, "'words' is missing"),
        ({"words": ["red"], "m": 2}, "'m' is not one of its params"),
        ({"words": []}, "'words' must be a list of at least one text"),
        ({"words": [""]}, "'words' must hold texts that are not empty"),
        ({"words": ["red"], "n": 0}, "'n' must be a whole number of at least 1"),
    ):
        with pytest.raises(UserError, match=f"task 'word_count': {said}"):
            found["check_params"](task, params)
    example = re.search(r"`raise (self\.refuse\(.*?\))`", PAGE)[1]
    assert str(eval(example, {"self": task})) == "task 'word_count': 'n' must be even"


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the repository with the page's tasks; their configs, with a tiny classifier in place of the
    model from the hub, are NAME.yaml."""
    workdir = copy_repository(tmp_path_factory.mktemp("extended"))
    classifier = make_classifiers(tmp_path_factory)({0: "contradiction", 1: "entailment"})
    for name, (module, config) in examples().items():
        (workdir.path / FOLDER / f"{name}.py").write_text(module, encoding="utf-8")
        text = config.replace(HUB_MODEL, classifier)
        (workdir.path / f"{name}.yaml").write_text(text, encoding="utf-8")
    return workdir


@pytest.mark.parametrize("name", NAMES)
def test_one_module_and_one_line_make_a_task(extended, name):
    jobs = extended.listed(f"{name}.yaml")

    def of(task):
        found = [(job["rule"], job["wildcards"]) for job in jobs if task in str(job.get("wildcards"))]
        return sorted((rule, wildcards.replace(task, "")) for rule, wildcards in found)

    assert len(of(name)) > 20 and of(name) == of("word_count")


@pytest.mark.parametrize("name", NAMES)
def test_prompts_are_asked_and_given_answers_labelled(extended, name):
    prompts, responses, labels = (
        extended.path / f"results/smoke/{place}/{name}/0.jsonl"
        for place in ("prompts", "responses/toy-llama", "labels/toy-llama")
    )
    files = ("--configfile", SMOKE, f"{name}.yaml", "--")
    extended.snakemake(prompts.relative_to(extended.path).as_posix(), *files[:-1])
    items = [json.loads(line) for line in prompts.read_text().splitlines()]
    assert {item["instruction_type"] for item in items} == {"human", "plm", "entailment"}
    assert {item["polarity"] for item in items} == {"positive", "negated"}

    texts = ["all of it is small.", "The teacher is good.", "", "a garden Is short and blue"]
    given = responses_to(items, lambda seed: texts[seed % len(texts)])
    responses.parent.mkdir(parents=True)
    responses.write_text("".join(json.dumps(row) + "\n" for row in given))
    done = extended.snakemake(*files, labels.relative_to(extended.path).as_posix())
    assert "rule generate_responses" not in done.stdout + done.stderr
    rows = [json.loads(line) for line in labels.read_text().splitlines()]
    assert [(row["id"], row["response"]) for row in rows] == [(row["id"], row["response"]) for row in given]
    assert {row["satisfied"] for row in rows} == {True, False}
    for row in rows:
        text, evidence = row["response"], row["evidence"]
        if name == "lower_case":
            assert row["satisfied"] == (bool(text) and text == text.lower())
        else:
            assert row["params"]["label"] in row["prompt"] or row["variant"] == "unconstrained"
            assert row["satisfied"] == (evidence["label"] == row["params"]["label"])
            assert set(evidence["scores"]) == (set(row["params"]["labels"]) if text else set())


def test_the_tests_of_all_tasks_hold_for_these(extended):
    places = (extended.path / "workflow", ROOT / "tests/workflow", ROOT / "tests/unit")
    arguments = ["-p", "no:cacheprovider", "-q", "-o", f"pythonpath={' '.join(map(str, places))}"]
    files = ("tests/unit/test_tasks.py", "tests/unit/prompts/test_items.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, *files, "-k", " or ".join(NAMES)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(extended.path / "workflow")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 2 * 10


def test_a_misspelt_field_stops_the_run_before_any_job_as_the_page_says(extended, tmp_path):
    message = re.search(r"^```text\n(.*?)^```", PAGE, re.M | re.S)[1]
    shutil.copytree(extended.path, tmp_path, dirs_exist_ok=True)
    path = tmp_path / FOLDER / "emotion.py"
    path.write_text(path.read_text().replace("Express {label}", "Express {labl}", 1))
    done = type(extended)(tmp_path).snakemake("--dry-run", "--configfile", SMOKE, "emotion.yaml", check=False)
    assert done.returncode and " ".join(message.split()) in " ".join((done.stdout + done.stderr).split())
