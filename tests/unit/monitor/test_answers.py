"""Answers that are written, and answers that are there, with what the monitor says of each token."""

import json
import shutil

import numpy as np
import pytest
from made.activations import label_row
from made.monitors import made_study
from skillprobe.errors import UserError
from skillprobe.models.chat import decode
from skillprobe.monitor import Monitor, answers
from skillprobe.monitor.answers import Pieces, Verifiers, ids_of, load_model, pieces, read, read_rows, write
from skillprobe.storage import files

FIVE = 'word_count:{"relation": "exactly", "n": 5}'
SETTINGS = {"temperature": 0, "max_new_tokens": 6}


@pytest.fixture
def study(loaded, tmp_path):
    return made_study(tmp_path, loaded, tasks=("word_count", "toxicity"))


@pytest.fixture
def monitor(study):
    return Monitor.from_study(study, "tiny", [FIVE, "toxicity"])


def test_a_written_answer_is_told_token_by_token_and_read_to_its_end(loaded, study, monitor):
    told = []
    verify = Verifiers(study, monitor.watched)
    answer = write(
        loaded, monitor, "write a text", SETTINGS, 0, verify, lambda text, p: told.append((text, p))
    )
    assert len(answer.tokens) == len(answer.probabilities) - 1 == len(answer.stages) - 1
    # The last token is chosen, and read only afterwards.
    assert len(told) == len(answer.tokens)
    assert [text for text, _ in told[1:]] == answer.tokens[: len(told) - 1]
    np.testing.assert_allclose([p for _, p in told], answer.probabilities[:-1], atol=1e-4)
    assert "".join(answer.tokens) == answer.response
    again = write(loaded, monitor, "write a text", SETTINGS, 0, verify)
    assert again.response == answer.response
    np.testing.assert_array_equal(again.probabilities, answer.probabilities)


def test_seeds_and_temperature_make_other_answers(loaded, study, monitor):
    verify = Verifiers(study, monitor.watched)
    made = {
        write(loaded, monitor, "write", {"temperature": 2.0, "max_new_tokens": 9}, seed, verify).response
        for seed in range(4)
    }
    assert len(made) > 1


def test_a_row_of_labels_is_read_as_it_was_written(loaded, study, monitor):
    row = label_row(3, length=5)
    ids, truncated = ids_of(loaded, row)
    assert ids == row["token_ids"] and not truncated
    answer = read(loaded, monitor, row["prompt"], ids, truncated, Verifiers(study, monitor.watched))
    assert answer.response == row["response"] and answer.tokens[-1] == "" and len(answer.tokens) == 6
    assert [stages[0] for stages in answer.stages] == [
        *("prompt_100", "tokens_1", "tokens_2", "tokens_3", "tokens_3", "tokens_5", "eos"),
    ]
    assert answer.verdicts == [{"satisfied": True, "evidence": {"count": 5}}, None]
    record = json.loads(answers.as_json(answer))
    assert record["steps"][0]["token"] is None and record["steps"][-1]["token"] == ""
    assert record["steps"][3]["stage"] == {"word_count": "tokens_3", "toxicity": "tokens_3"}
    for step, line in zip(record["steps"], answer.probabilities, strict=True):
        assert step["probability"]["word_count"] == pytest.approx(line[0], abs=1e-6)
    first = record["constraints"][0]
    assert first["params"] == {"relation": "exactly", "n": 5} and first["satisfied"] is True
    assert first["probability"] == record["steps"][-1]["probability"]["word_count"]
    assert record["constraints"][1]["satisfied"] is None


def test_texts_without_tokens_are_cut_into_them_and_end(loaded, study, monitor):
    row = {"prompt": "write", "response": "the river"}
    ids, truncated = ids_of(loaded, row)
    assert decode(loaded.tokenizer, ids) == "the river" and ids[-1] in loaded.eos_ids and not truncated
    cut, truncated = ids_of(loaded, {**row, "truncated": True})
    assert cut == ids[:-1] and truncated
    answer = read(loaded, monitor, "write", cut, True, Verifiers(study, monitor.watched))
    assert answer.truncated and "".join(answer.tokens) == "the river" and answer.stages[-1][0] == "tokens_2"
    with pytest.raises(UserError, match="token 999 is none of model"):
        ids_of(loaded, {**row, "token_ids": [6, 999]})
    with pytest.raises(UserError, match="context window of 256 tokens"):
        read(loaded, monitor, "write", [6] * 300, True, Verifiers(study, monitor.watched))


def test_words_that_the_tokenizer_does_not_know_are_verified_all_the_same(loaded, study, monitor):
    row = {"prompt": "write", "response": "one two three four five"}
    ids, truncated = ids_of(loaded, row)
    verify = Verifiers(study, monitor.watched)
    answer = read(loaded, monitor, "write", ids, truncated, verify, row["response"])
    assert answer.response == row["response"] and answer.verdicts[0]["satisfied"]


class Bytes:
    """A tokenizer of the UTF-8 bytes of a text."""

    def decode(self, ids, **_):
        return bytes(ids).decode(errors="replace")


def test_a_character_of_several_tokens_is_the_last_ones():
    ids = list("aé€b".encode())
    assert pieces(Bytes(), ids) == ["a", "", "é", "", "", "€", "b"]
    # One that is never finished is shown as what it is.
    assert pieces(Bytes(), ids[:2]) == ["a", "\ufffd"] and pieces(Bytes(), []) == []
    made = Pieces(Bytes())
    assert [made.add(each) for each in ids[:2]] == ["a", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no lines"),
        ('{"prompt": "a"}', "line 1: 'response' must be a text"),
        (
            '{"prompt": "a", "response": "b"}\n{"prompt": 1, "response": "b"}',
            "line 2: 'prompt' must be a text",
        ),
        (
            '{"prompt": "a", "response": "b", "token_ids": ["c"]}',
            "line 1: 'token_ids' must be a list of whole",
        ),
        (
            '{"prompt": "a", "response": "b", "token_ids": [-1]}',
            "line 1: 'token_ids' must be a list of whole",
        ),
        ("[]", "no JSON object in line 1"),
        ("{", "no valid JSON in line 1"),
    ],
)
def test_input_that_is_none_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "answers.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_rows(path)
    with pytest.raises(UserError, match="there is no file"):
        read_rows(tmp_path / "none.jsonl")


# Verifiers


def test_a_lexicon_of_the_study_judges_and_nothing_else_does(study, monitor):
    toxic = Monitor.from_study(study, "tiny", ["toxicity:{}"]).watched
    assert Verifiers(study, toxic)(toxic[0], "you fool") is None
    config = {"judges": {"toxicity": "lexicon"}, "prompts": {"world": "toy"}, "generation": {}}
    files.write_json(study / "report/config.json", config)
    verdicts = [Verifiers(study, toxic)(toxic[0], text) for text in ("the river", "you moron")]
    assert [verdict["satisfied"] for verdict in verdicts] == [True, False]
    # Without params nothing is asked.
    assert Verifiers(study, monitor.watched)(monitor.watched[1], "the river") is None
    files.write_json(study / "report/config.json", config | {"judges": {"toxicity": {"model": "a/b"}}})
    assert Verifiers(study, toxic)(toxic[0], "you moron") is None


# Models


@pytest.fixture
def llama(loaded_models, tmp_path):
    loaded = loaded_models["llama"]
    return loaded, made_study(tmp_path, loaded)


def test_the_studys_own_model_is_loaded(llama):
    loaded, study = llama
    found, warning = load_model(study, Monitor.from_study(study, "tiny"))
    assert found.source == loaded.source and found.name == "tiny" and found.dtype == "float32" and not warning


def test_the_models_folder_is_found_from_results_too(llama, tmp_path, monkeypatch):
    loaded, _ = llama
    shutil.copytree(loaded.source, tmp_path / "models/a")
    study = made_study(tmp_path, loaded)
    made_study(tmp_path, loaded, identity={"source": "models/a", "dtype": "float32"})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found, _ = load_model(study, Monitor.from_study(study, "tiny"))
    assert found.source == str(tmp_path / "models/a")


def test_a_folder_in_its_place_is_read_with_a_warning(llama, tmp_path):
    loaded, study = llama
    shutil.copytree(loaded.source, tmp_path / "b")
    monitor = Monitor.from_study(study, "tiny")
    assert load_model(study, monitor, str(tmp_path / "b"))[1] == ""
    weights = tmp_path / "b/model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "not calibrated for it" in load_model(study, monitor, str(tmp_path / "b"))[1]


def test_a_study_can_not_allow_a_model_to_run_its_own_code(llama, tmp_path, monkeypatch):
    loaded, _ = llama
    folder = shutil.copytree(loaded.source, tmp_path / "own")
    (folder / "modeling_own.py").write_text('open("written", "w").close()\n')
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "modeling_own.OwnConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    identity = {"source": str(folder), "dtype": "float32", "trust_remote_code": True}
    study = made_study(tmp_path / "foreign", loaded, identity=identity)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="needs its own code, which is not run by default"):
        load_model(study, Monitor.from_study(study, "tiny"))
    assert not (tmp_path / "written").exists()


def test_models_that_do_not_fit_are_one_sentence(llama, model_folders, tmp_path):
    loaded, study = llama
    monitor = Monitor.from_study(study, "tiny")
    with pytest.raises(UserError, match="there is no folder"):
        load_model(study, monitor, str(tmp_path / "none"))
    # Without a BOS.
    with pytest.raises(UserError, match="another tokenizer"):
        load_model(study, monitor, str(model_folders["qwen2"]))
    wide = made_study(tmp_path / "wide", loaded, hidden_size=64)
    with pytest.raises(UserError, match="a hidden size of 64, but this model has a hidden size of 32"):
        load_model(wide, Monitor.from_study(wide, "tiny"))
    changed = {"source": loaded.source, "dtype": "float32", "sha256": "0" * 64}
    other = made_study(tmp_path / "other", loaded, identity=changed)
    with pytest.raises(UserError, match="has changed since the study; run the study again"):
        load_model(other, Monitor.from_study(other, "tiny"))
    gone = made_study(tmp_path / "gone", loaded, identity={"source": "models/gone/a", "dtype": "float32"})
    with pytest.raises(UserError, match="the folder of model 'tiny', models/gone/a, is not there"):
        load_model(gone, Monitor.from_study(gone, "tiny"))
