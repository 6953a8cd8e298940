"""Studies of a user's own prompts and answers: what they leave, what runs again, what is refused."""

import json
import re

import pytest
import yaml
from skillprobe import tasks
from skillprobe.prompts.items import make_items
from skillprobe.tasks.world import load_world
from workdir import SMOKE, copy_repository, copy_results

TASKS = ("word_count", "json_format", "term_exclusion")
SUBJECTS = 45
SETTINGS = {"items_per_base": 2, "instruction_types": ["human"], "polarities": ["positive"]}


def lines(subjects):
    """Prompts that the toy models know. Two to a subject and task; with the request alone, of word_count; of
    json_format only to the first third; none with a wording."""
    world = load_world("toy")
    for number in subjects:
        for name in TASKS[:2] if number < SUBJECTS // 3 else (TASKS[0], TASKS[2]):
            for item in make_items(tasks.get(name), world, SETTINGS, 0, range(number, number + 1)):
                row = {key: item[key] for key in ("params", "prompt", "subject")} | {"task": name}
                plain = {"unconstrained_prompt": item["unconstrained_prompt"]} if name == TASKS[0] else {}
                yield row | plain


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def config_of(workdir, name="own.yaml", **entry):
    """A config over the smoke study's, of one model and own.jsonl."""
    model = {"name": "toy-llama", "source": "workflow/resources/models/toy-llama", "dtype": "float32"}
    study = {"models": [model | entry], "prompts": {"file": "own.jsonl"}, "behaviour": {"bases": 4}}
    # Guard needs subjects that the study has not asked about.
    study["guard"] = {"bases": 0}
    # Word_count has 45 requests, the others' prompts 45 of their own.
    study["generation"] = {"block": 2 * SUBJECTS // 3, "samples": 4}
    (workdir.path / name).write_text(yaml.safe_dump(study))
    return "--configfile", SMOKE, name


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The study, run to its end."""
    workdir = copy_repository(tmp_path_factory.mktemp("own"))
    write(workdir.path / "own.jsonl", lines(range(SUBJECTS)))
    workdir.snakemake(*config_of(workdir))
    return workdir


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_own_prompts_go_through_the_whole_study(finished):
    root = finished.path / "results/smoke"
    prompts = [row for path in sorted((root / "prompts").glob("*/*.jsonl")) for row in rows_of(path)]
    asked = {(row["task"], row["prompt"]) for row in prompts}
    assert asked == {(row["task"], row["prompt"]) for row in lines(range(SUBJECTS))}
    # Blocks without a prompt of a task are there, and empty.
    assert rows_of(root / "prompts/json_format/2.jsonl") == []
    labels = [row for path in sorted((root / "labels").glob("*/*/*.jsonl")) for row in rows_of(path)]
    told = {row["item"]: row for row in prompts}
    for row in labels:
        item = told[row["item"]]
        task = tasks.get(item["task"])
        assert row["group"] == item["group"] and row["params"] == item["params"]
        assert row["satisfied"] == task.verify(row["response"], item["params"]).satisfied
        assert row["variant"] == "constrained" or item["unconstrained_prompt"] == row["prompt"]
    constrained = [row for row in labels if row["variant"] == "constrained"]
    assert len(constrained) == 4 * len(prompts) and len(labels) > len(constrained)
    crossed = [row for path in (root / "crossings").glob("*/*/*.jsonl") for row in rows_of(path)]
    counterfactual = [row for row in crossed if row["variant"] == "counterfactual"]
    assert counterfactual and {row["prompt"] for row in counterfactual} <= {row["prompt"] for row in prompts}
    page = (root / "report/overview.html").read_text(encoding="utf-8")
    assert "The prompts of json_format, term_exclusion have no unconstrained_prompt" in page
    assert "The prompts have no phrasing" in page
    assert json.loads((root / "findings.json").read_text())["toy-llama"]


def test_appended_prompts_cost_their_blocks(finished, tmp_path):
    workdir = copy_results(finished, tmp_path)
    config = config_of(workdir)
    path = workdir.path / "own.jsonl"
    before = path.read_text(encoding="utf-8")

    def planned(text):
        path.write_text(text, encoding="utf-8")
        jobs = workdir.listed(*config[2:])
        return {
            (job["rule"], job["wildcards"])
            for job in jobs
            if job["rule"] in ("make_prompts", "generate_responses")
        }

    # The order of keys and blanks are no change.
    shuffled = [dict(reversed(json.loads(line).items())) for line in before.splitlines()]
    assert planned("\n\n".join(json.dumps(row, indent=None) for row in shuffled)) == set()
    new = {"task": "word_count", "params": {"relation": "at_least", "n": 5}, "prompt": "Write a text."}
    model = {("generate_responses", f"model=toy-llama, task={task}, shard=3") for task in TASKS}
    made = {("make_prompts", f"task={task}, shard=3") for task in TASKS}
    assert planned(before + json.dumps(new) + "\n") == made | model
    # Another prompt of an old subject costs the block of that subject, and that task.
    first = json.loads(before.splitlines()[0])
    more = first | {"prompt": first["prompt"] + " Now."}
    assert planned(before + json.dumps(more) + "\n") == {
        ("make_prompts", "task=word_count, shard=0"),
        ("generate_responses", "model=toy-llama, task=word_count, shard=0"),
    }


def test_given_answers_are_as_the_models_own(finished, tmp_path):
    """Responses of a study in the place of generation: the same rows, labels and activations."""
    workdir = copy_repository(tmp_path / "again")
    write(workdir.path / "own.jsonl", lines(range(SUBJECTS)))
    rows = [
        row
        for path in sorted((finished.path / "results/smoke/responses").glob("*/*/*.jsonl"))
        for row in rows_of(path)
    ]
    keys = ("id", "item", "response", "token_ids")
    given = [
        {key: row[key] for key in keys} | {"finish_reason": "length" if row["truncated"] else "stop"}
        for row in rows
    ]
    (workdir.path / "given").mkdir()
    write(workdir.path / "given/all.jsonl", given)
    config = config_of(workdir, answers="given")
    workdir.snakemake(*config, "--until", "summarise_compliance", "extract_activations")
    for kind in ("responses", "labels", "activations"):
        ours = finished.path / "results/smoke" / kind
        for path in (path for path in sorted(ours.rglob("*")) if path.is_file()):
            again = workdir.path / "results/smoke" / kind / path.relative_to(ours)
            assert again.read_bytes() == path.read_bytes(), path
    jobs = {job["rule"] for job in workdir.listed(*config[2:])}
    assert "generate_responses" not in jobs and "edit_behaviour" in jobs
    # Other texts for one prompt: its block again, and no other.
    changed = [
        row | {"response": "", "token_ids": None} if row["id"] == rows[0]["id"] else row for row in given
    ]
    write(workdir.path / "given/all.jsonl", changed)
    taken = [job["wildcards"] for job in workdir.listed(*config[2:]) if job["rule"] == "take_answers"]
    assert taken == [f"model=toy-llama, task={rows[0]['item'].split('/')[0]}, shard=0"]


@pytest.mark.parametrize(
    ("prompt", "answer", "sentence"),
    [
        ({"task": "word_cuont"}, {}, "prompts.file: .*own.jsonl, line 1: no task 'word_cuont'.*did you mean"),
        (
            {},
            {"item": "word_count/b900/0"},
            "given/all.jsonl, line 1: there is no prompt 'word_count/b900/0'",
        ),
        ({}, {"respons": "x"}, "given/all.jsonl, line 1: unknown key 'respons'"),
    ],
)
def test_lines_that_cannot_be_used_are_refused_before_any_job(finished, tmp_path, prompt, answer, sentence):
    workdir = copy_repository(tmp_path)
    first, *others = lines(range(SUBJECTS))
    write(workdir.path / "own.jsonl", [first | prompt, *others])
    (workdir.path / "given").mkdir()
    write(
        workdir.path / "given/all.jsonl", [{"id": "a", "item": "word_count/b000/0", "response": ""} | answer]
    )
    done = workdir.snakemake(*config_of(workdir, answers="given"), check=False)
    assert done.returncode and re.search(sentence, done.stderr), done.stderr
    assert "Traceback" not in done.stderr and not (workdir.path / "results/smoke/prompts").exists()
