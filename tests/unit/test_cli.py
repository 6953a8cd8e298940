"""`skillprobe verify` and `skillprobe inspect`."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made.judges import TEXTS, make_classifiers
from skillprobe import cli, tasks
from skillprobe.cli import main, verified
from skillprobe.storage.tables import write_csv

PACKAGE = Path(__file__).parents[2] / "workflow"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONUNBUFFERED": ""}
TWO_WORDS = {"relation": "exactly", "n": 2}


@pytest.fixture
def verify(monkeypatch, capsys):
    """Run `skillprobe verify` on lines of bytes: (exit status, answers, standard error)."""

    def run(lines, *arguments):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\n".join(lines))))
        status = main(["verify", *arguments])
        out, err = capsys.readouterr()
        return status, [json.loads(line) for line in out.splitlines()], err

    return run


def line(response, params=TWO_WORDS, **more):
    return json.dumps({"params": params, "response": response, **more}).encode()


def test_one_answer_a_line_in_order(verify):
    responses = ["one", "one two", "\ud800", "é à", ""]
    status, answers, _ = verify([*map(line, responses), b""], "--task", "word_count")
    assert status == 0
    assert [answer["satisfied"] for answer in answers] == [False, True, False, True, False]
    assert [answer["evidence"]["count"] for answer in answers] == [1, 2, 0, 2, 0]


def test_what_was_thought_before_an_answer_is_not_verified(verify):
    texts = ["<think>in two words</think>\n\none two", "in two words</think> one two", "<think>in two"]
    status, answers, _ = verify(list(map(line, texts)), "--task", "word_count")
    assert [answer.get("satisfied") for answer in answers] == [True, True, None]
    assert status and "line 3: the response ends within its thought" in answers[2]["error"]


BAD_LINES = {
    "not JSON": b"{",
    "empty": b"",
    "blank": b" \t",
    "carriage return only": b"\r",
    "NaN": b'{"params": {"relation": "exactly", "n": NaN}, "response": "a"}',
    "huge integer": b'{"params": {"relation": "exactly", "n": ' + b"9" * 5000 + b'}, "response": "a"}',
    "infinite number": b'{"params": {"relation": "exactly", "n": 1e999}, "response": "a"}',
    "array": b"[]",
    "string": b'"a"',
    "no response": b'{"params": {}}',
    "no params": b'{"response": "a"}',
    "response no text": line(None),
    "params no object": line("a", params=[]),
    "wrong params": line("a", params={"relation": "exactly", "n": -1}),
    "unknown param": line("a", params={**TWO_WORDS, "m": 1}),
    "not UTF-8": b'{"params": {}, "response": "\xff"}',
    "too deeply": b"[" * 200_000,
    "two objects": line("a") + line("a"),
    "byte-order mark": b"\xef\xbb\xbf" + line("a"),
}


@pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES)
def test_an_unreadable_line_is_named_and_the_others_come_out(verify, bad):
    status, answers, _ = verify([line("one two"), bad, line("one"), b""], "--task", "word_count")
    assert status == 1
    assert answers[0]["satisfied"] is True and answers[2]["satisfied"] is False and len(answers) == 3
    assert list(answers[1]) == ["error"] and answers[1]["error"].startswith("line 2: ")
    assert len(answers[1]["error"]) < 200


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=9) | st.text(max_size=9).map(line), max_size=4))
def test_any_bytes_get_one_answer_a_line(lines):
    answers = list(verified([data.replace(b"\n", b"") for data in lines], tasks.get("word_count")))
    assert len(answers) == len(lines)
    for number, (data, answer) in enumerate(zip(lines, answers, strict=True), start=1):
        assert answer.get("error", f"line {number}: ").startswith(f"line {number}: ")
        assert ("error" in answer) != data.startswith(b'{"params"')


def test_rows_of_labels_can_be_verified_again(verify):
    status, answers, _ = verify([line("a b", id="x", satisfied=False)], "--task", "word_count")
    assert status == 0 and answers[0]["satisfied"]


def test_judged_tasks(verify):
    params = {"label": "positive", "labels": ["negative", "positive"]}
    lines = [
        line("a lovely, awful lovely day", params),
        line("", params),
        line("x", {**params, "label": "neutral"}),
    ]
    status, answers, _ = verify(lines, "--task", "sentiment", "--judge", "lexicon")
    assert status == 1
    assert answers[0] == {
        "satisfied": True,
        "evidence": {"label": "positive", "scores": {"negative": 1, "positive": 2}},
    }
    assert answers[1]["satisfied"] is False and "line 3: task 'sentiment': 'label'" in answers[2]["error"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "nope"], "no task 'nope'"),
        (["--task", "topic"], "give --judge lexicon"),
        (["--task", "topic", "--judge", "oracle"], "no judge 'oracle'"),
        (["--task", "topic", "--judge", "lexicon", "--world", "general"], "free text"),
        (["--task", "topic", "--judge", "lexicon", "--world", "/nowhere.json"], "no world '/nowhere.json'"),
    ],
)
def test_wrong_options_are_one_sentence(verify, arguments, message):
    status, answers, err = verify([line("a")], *arguments)
    assert status == 2 and not answers
    assert message in err and err.startswith("skillprobe verify: ") and err.count("\n") == 1


def test_answers_come_as_the_lines_do():
    command = [sys.executable, "-m", "skillprobe", "verify", "--task", "word_count"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        for response, expected in (("one", False), ("one two", True)):
            process.stdin.write(line(response) + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["satisfied"] is expected  # before input has ended
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def test_verifying_imports_nothing_heavy():
    program = (
        "import sys; from skillprobe.cli import main; status = main(sys.argv[1:]);"
        "heavy = {'numpy', 'torch', 'transformers', 'scipy', 'h5py', 'regex'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(status)"
    )
    for arguments in (["--task", "word_count"], ["--task", "toxicity", "--judge", "lexicon"]):
        command = [sys.executable, "-c", program, "verify", *arguments]
        done = subprocess.run(command, input=b"", capture_output=True, env=ENVIRONMENT, timeout=60)
        assert done.returncode == 0, done.stderr


def test_a_reader_that_leaves_early_is_no_error():
    command = [sys.executable, "-m", "skillprobe", "verify", "--task", "word_count"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    )
    process.stdout.close()
    _, err = process.communicate((line("one") + b"\n") * 1000, timeout=30)
    assert process.returncode == 1 and err == b""


def test_inspect(capsys, tmp_path):
    table, broken = tmp_path / "tables/wording.csv", tmp_path / "time/m/1.h5"
    write_csv(table, [{"model": "m", "wording": "human"}])
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"x")
    assert main(["inspect", str(table)]) == 0 and "Compliance by instruction type" in capsys.readouterr().out
    for path, why in (
        (broken, "can't be read"),
        (tmp_path / "c.h5", "there is no file"),
        (tmp_path, "there is no"),
    ):
        assert main(["inspect", str(path)]) == 2
        out, err = capsys.readouterr()
        assert not out and err.startswith("skillprobe inspect: ") and why in err and err.count("\n") == 1


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    return make_classifiers(tmp_path_factory)


@pytest.mark.gpu
def test_the_command_line_verifies_by_a_classifier(make, capsys, monkeypatch):
    import io
    import sys
    from types import SimpleNamespace

    folder = make({0: "toxicity", 1: "no"})
    lines = json.dumps({"params": {}, "response": TEXTS[0]}) + "\n"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines.encode())))
    arguments = ["verify", "--task", "toxicity", "--judge", "transformers"]
    assert cli.main([*arguments, "--judge-settings", json.dumps({"model": folder})]) == 0
    assert "toxicity" in json.loads(capsys.readouterr().out)["evidence"]["scores"]
    for settings in ("{", "[]"):
        assert cli.main([*arguments, "--judge-settings", settings]) == 2
        assert "--judge-settings" in capsys.readouterr().err


def test_activations_are_imported_and_what_is_missing_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("hidden.npy", np.zeros((2, 4, 3), np.float32))
    rows = [{"label": number % 2, "group": number} for number in range(4)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = [
        "import",
        "activations",
        "hidden.npy",
        "--layers",
        "8,16",
        "--task",
        "json_format",
        "-o",
        "given",
    ]
    assert main([*arguments, "--model", "m"]) == 2
    assert "--rows is missing" in capsys.readouterr().err
    assert main([*arguments, "--rows", "rows.jsonl"]) == 2
    assert "--model is missing" in capsys.readouterr().err
    assert main([*arguments, "--rows", "rows.jsonl", "--model", "m"]) == 0
    said = capsys.readouterr().out
    assert "given: 4 rows of 4 groups, 2 layers (8, 16) of 16, 3 numbers each in float32, at eos" in said
    assert "models: [{name: m, activations: given}]" in said
    assert main(["import", "ifeval", "a", "b", "-o", "c"]) == 2
    assert "ifeval takes one file, not 2" in capsys.readouterr().err
    for arguments, sentence in (
        (["import", "ifeval", "a", "-o", "c", "--rows", "rows.jsonl"], "--rows is of import activations"),
        (["import", "ifeval", "a", "-o", "c", "--num-layers", "3"], "--num-layers is of import activations"),
        (["import", "activations", "a", "-o", "c", "--single"], "--single is of import ifeval and ifbench"),
        (
            ["export", "probes", "given", "--model", "m", "-o", "x", "--positions", "eos"],
            "--positions is of export shards",
        ),
    ):
        assert main(arguments) == 2
        assert sentence in capsys.readouterr().err
    for layers in ("a", "-1,2", "1,,2"):
        with pytest.raises(SystemExit):
            main(["export", "probes", "given", "--model", "m", "-o", "x", f"--layers={layers}"])
        assert "is no list of whole numbers from 0" in capsys.readouterr().err
    assert main(["export", "probes", "given", "--model", "m", "-o", "x"]) == 2
    assert "given has no probes/specialist/" in capsys.readouterr().err
