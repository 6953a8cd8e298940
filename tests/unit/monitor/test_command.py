"""`skillprobe monitor`, from its arguments to what it prints."""

import json
import os

import pytest
from made.activations import label_row
from made.configs import make_folder
from made.monitors import made_study
from skillprobe.cli import main
from skillprobe.models.chat import chat_ids
from skillprobe.monitor import answers
from skillprobe.storage import files

FIVE = 'word_count:{"relation": "exactly", "n": 5}'


@pytest.fixture
def study(loaded_models, tmp_path):
    return made_study(tmp_path, loaded_models["llama"], tasks=("word_count", "toxicity"))


@pytest.fixture
def monitor(study, capsys):
    """Run the command on the study: (exit status, standard output, standard error)."""

    def run(*arguments, model="tiny"):
        status = main(["monitor", "--study", str(study), "--model", model, *arguments])
        return status, *capsys.readouterr()

    return run


def test_a_prompt_is_answered_and_shown_token_by_token(monitor):
    status, out, err = monitor("--constraint", FIVE, "--max-new-tokens", "5", "write a text")
    lines = out.splitlines()
    assert status == 0 and err == "" and lines[0].split() == ["word_count"]
    end = lines.index("")
    assert 3 <= end <= 7 and "(prompt)" in lines[1]
    numbers = [line.split()[0] for line in lines[2:end]]
    assert numbers[:-1] == [str(k) for k in range(1, len(numbers))] and numbers[-1] in (
        "(end)",
        str(len(numbers)),
    )
    assert "the verifier says" in lines[-1]
    assert monitor("--constraint", FIVE, "--max-new-tokens", "5", "write a text")[1] == out


def test_json_is_one_object_for_each_answer(monitor, tmp_path):
    status, out, _ = monitor("--json", "--max-new-tokens", "4", "write a text")
    record = json.loads(out)
    assert status == 0 and out.count("\n") == 1
    assert [each["task"] for each in record["constraints"]] == ["toxicity", "word_count"]
    assert len(record["steps"]) >= 2 and record["prompt"] == "write a text"
    rows = [label_row(2, length=5), label_row(4, length=3)]
    files.write_jsonl(tmp_path / "a.jsonl", rows)
    status, out, _ = monitor("--json", "--input", str(tmp_path / "a.jsonl"), "--constraint", FIVE)
    records = [json.loads(line) for line in out.splitlines()]
    assert [each["response"] for each in records] == [row["response"] for row in rows]
    assert [each["constraints"][0]["satisfied"] for each in records] == [True, False]


def test_answers_that_are_there_are_shown_one_after_the_other(monitor, tmp_path):
    files.write_jsonl(tmp_path / "a.jsonl", [label_row(2, length=5), label_row(4, length=3, truncated=True)])
    status, out, _ = monitor("--input", str(tmp_path / "a.jsonl"), "--constraint", "toxicity")
    assert status == 0 and out.count("(prompt)") == 2 and out.count("(end)") == 1 and "cut short" in out


def test_a_page_is_written_beside(monitor, tmp_path):
    page = tmp_path / "page.html"
    status, out, _ = monitor("--html", str(page), "--max-new-tokens", "4", "write <b>a</b> text")
    assert status == 0 and "(prompt)" in out
    content = page.read_text(encoding="utf-8")
    assert "write &lt;b&gt;a&lt;/b&gt; text" in content and content.count("<section") == 1
    assert os.listdir(tmp_path / "results/demo") == ["monitors"]


def test_the_constraint_is_asked_in_the_studys_words(monitor, loaded_models):
    _, out, _ = monitor("--json", "--ask", "--constraint", FIVE, "--max-new-tokens", "3", "write a text")
    prompt = json.loads(out)["prompt"]
    assert prompt == "write a text Use exactly 5 words."
    assert chat_ids(loaded_models["llama"].tokenizer, prompt)
    status, _, err = monitor("--ask", "--constraint", "word_count", "write")
    assert status == 2 and "--ask needs the params of 'word_count'" in err


def test_the_studys_settings_of_generation_are_the_default(monitor, study):
    config = {"generation": {"temperature": 0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 3}, "judges": {}}
    files.write_json(study / "report/config.json", config)
    by_seed = {monitor("--json", "--seed", str(seed), "write")[1] for seed in range(3)}
    assert len(by_seed) == 1 and len(json.loads(by_seed.pop())["steps"]) <= 4
    hot = {monitor("--json", "--temperature", "3", "--seed", str(seed), "write")[1] for seed in range(4)}
    assert len(hot) > 1


def test_what_the_studys_config_leaves_open_is_what_the_model_says(tmp_path):
    folder = tmp_path / "models/m"
    make_folder(folder)
    keys = ("temperature", "top_p", "top_k", "max_new_tokens", "batch_size")
    generation = dict.fromkeys(keys) | {"top_p": 0.5, "engine": "transformers"}
    entry = {"name": "m", "source": str(folder), "max_new_tokens": 9}
    config = {"generation": generation, "models": [entry], "prompts": {"world": "toy"}}
    path = tmp_path / "s/report/config.json"
    files.write_json(path, config)
    found = {"temperature": 1.0, "top_p": 0.5, "top_k": 0, "max_new_tokens": 9}
    assert answers.generation_of_study(tmp_path / "s", "m") == found
    (folder / "generation_config.json").write_text('{"temperature": 0.3}')
    assert answers.generation_of_study(tmp_path / "s", "m") == found | {"temperature": 0.3}
    # Of a model of the Hub, as was said when it was fetched; of another model, what the study says.
    files.write_json(tmp_path / "s/models/m.json", {"sampling": {"top_k": 7}})
    files.write_json(path, config | {"models": [entry | {"source": "org/m"}]})
    assert answers.generation_of_study(tmp_path / "s", "m") == found | {"top_k": 7}
    assert answers.generation_of_study(tmp_path / "s", "other") == {"top_p": 0.5}


def test_what_is_not_calibrated_is_noted(monitor):
    eight = 'word_count:{"relation": "exactly", "n": 8}'
    status, _, err = monitor("--constraint", eight, "--max-new-tokens", "2", "write")
    assert status == 0 and "note: the study never asked word_count with n 8" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a prompt to answer, or --input FILE"),
        (["a", "--input", "b"], "give a prompt to answer, or --input FILE"),
        (["--input", "/nowhere.jsonl"], "there is no file /nowhere.jsonl"),
        (["--constraint", "nope", "a"], "no task 'nope'"),
        (["--constraint", "topic", "a"], "no monitor of task 'topic'"),
        (["--constraint", "word_count:{}", "a"], "'relation' is missing"),
        (["--model-path", "/nowhere", "a"], "there is no folder /nowhere"),
    ],
)
def test_what_can_not_be_done_is_one_sentence(monitor, arguments, message):
    status, out, err = monitor(*arguments)
    assert status == 2 and not out and err.startswith("skillprobe monitor: ") and err.count("\n") == 1
    assert message in err


def test_a_model_that_the_study_has_not_is_one_sentence(monitor):
    status, _, err = monitor("a", model="tyni")
    assert status == 2 and "no monitors of model 'tyni'" in err and err.count("\n") == 1
