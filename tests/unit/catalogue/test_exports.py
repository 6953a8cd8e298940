"""What is exported is what the study holds, for readers with numpy alone."""

import json

import numpy as np
import pytest
from made.shards import HIDDEN, POSITIONS, N, small_shard
from made.stored import D, probe
from safetensors import safe_open
from skillprobe import erasure
from skillprobe.activations import given, shards
from skillprobe.activations.arrays import Array, read_arrays
from skillprobe.catalogue import exports
from skillprobe.catalogue.exports import Study
from skillprobe.erasure import Eraser
from skillprobe.errors import UserError
from skillprobe.probes import results
from skillprobe.statistics.metrics import auroc
from skillprobe.storage import files

VARIANTS = [*["constrained"] * (N - 2), *["unconstrained"] * 2]


def opened(path):
    with safe_open(path, framework="numpy") as file:
        names = list(file.keys())  # noqa: SIM118
        return {name: file.get_tensor(name) for name in names}, json.loads(file.metadata()["card"])


@pytest.fixture
def study(tmp_path):
    """A study with two shards of word_count, probes at two layers and erasers at one."""
    root = tmp_path / "results/s"
    for number in range(2):
        first = number * N
        ids = [f"word_count/b{first + n:03d}/0/{variant}/0" for n, variant in enumerate(VARIANTS)]
        about = {
            "id": ids,
            "label": np.arange(N) % 2,
            "variant": VARIANTS,
            "phrasing": ["p.1"] * N,
        }
        about |= {"truncated": np.zeros(N, bool), "polarity": ["positive"] * N}
        path = root / f"activations/m/word_count/{number}.h5"
        small_shard(path, number, model="m", task="word_count", instruction_type=["human"] * N, **about)
        rows = [
            {"id": name, "params": {"relation": "exactly", "n": 3}, "prompt": name, "response": "abc"}
            | {"token_ids": [1, 2]}
            for name in ids
        ]
        files.write_jsonl(root / f"labels/m/word_count/{number}.jsonl", rows)
    for layer in (0, 4):
        results.save(
            root / f"probes/specialist/m/word_count/{layer}.h5",
            {"across": probe(), "within": probe(status="too few")},
        )
    erasers = {"word_count": {"inlp": an_eraser(1), "leace": an_eraser(2)}, "topic": {"inlp": an_eraser(3)}}
    erasure.save(root / "erasers/m/4.h5", erasers)
    return Study(root)


def an_eraser(seed):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=shape).astype(np.float32) for shape in ((D, 2), (2, D), (D,)))
    return Eraser(*values, alpha=2.0)


def test_shards_become_arrays_with_a_line_for_each_row(study, tmp_path):
    written = exports.export_shards(study, tmp_path / "out", "m")
    found, card = opened(written[0])
    rows = [json.loads(line) for line in written[1].read_text().splitlines()]
    assert set(found) == {f"layers.{layer}.{name}" for layer in range(2) for name in POSITIONS}
    for number in range(2):
        with shards.Shard(study.folder / f"activations/m/word_count/{number}.h5") as shard:
            for layer in shard.layers:
                for name in POSITIONS:
                    own = found[f"layers.{layer}.{name}"][number * N : (number + 1) * N]
                    assert np.array_equal(own, shard.read(layer, name))
    assert len(rows) == 2 * N and card["what"] == "shards" and card["positions"] == list(POSITIONS)
    assert rows[0]["prompt"] == rows[0]["id"] and rows[1]["label"] == 1
    assert set(rows[0]["characters"]) == {"eos"} and set(rows[1]["characters"]) == set(POSITIONS)
    # What `import activations` reads.
    read = given.read_given(written[1])
    arrays = read_arrays([written[0]])
    card = given.write_folder(tmp_path / "again", arrays, read, model="m", num_layers=1)
    assert card["tasks"]["word_count"]["rows"] == 2 * N
    with shards.Shard(given.shard_of(tmp_path / "again", "m", "word_count")) as shard:
        place = [[row["id"] for row in rows].index(name) for name in shard.samples["id"].tolist()]
        assert np.array_equal(shard.read(1, "eos"), found["layers.1.eos"][place])
        assert shard.attrs["hidden_size"] == HIDDEN
    again = exports.export_shards(study, tmp_path / "twice", "m")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]


def test_some_layers_and_positions(study, tmp_path):
    written = exports.export_shards(study, tmp_path / "out", "m", ["word_count"], [1], ["eos"])
    assert set(opened(written[0])[0]) == {"layers.1.eos"}
    twice = exports.export_shards(study, tmp_path / "twice", "m", ["word_count"] * 2, [1, 1], ["eos", "eos"])
    assert [path.read_bytes() for path in twice] == [path.read_bytes() for path in written]


def test_given_activations_without_texts_are_exported_and_imported_again(tmp_path):
    """Params, lengths and characters that nobody knows are not told as {} and 0."""
    line = {"task": "word_count", "label": 1, "item": "q", "group": "g"}
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(line)}\n{json.dumps(line | {'truncated': True})}\n")
    array = Array("1.npy", 1, "eos", np.ones((2, 3), np.float32), "float32")
    first = given.write_folder(
        tmp_path / "own", [array], given.read_given(tmp_path / "rows.jsonl"), model="m"
    )
    # As a study has it.
    (tmp_path / "own").rename(tmp_path / "s")
    written = exports.export_shards(Study(tmp_path / "s"), tmp_path / "out", "m")
    rows = given.read_given(written[1])
    assert [row["params"] for row in rows] == [None, None] and not any(row["counted"] for row in rows)
    assert [row["characters"] for row in rows] == [{"eos": None}, {}]
    again = given.write_folder(tmp_path / "own", read_arrays([written[0]]), rows, model="m")
    assert {**again, "tasks": 0, "groups": 0} == {**first, "tasks": 0, "groups": 0}


def test_probes_have_weights_scores_and_a_card(study, tmp_path):
    (path,) = exports.export_probes(study, tmp_path / "p.safetensors", "m")
    found, card = opened(path)
    result = results.load(study.folder / "probes/specialist/m/word_count/4.h5")["across"]
    assert np.array_equal(found["word_count.4.across.weights"], result.weights)
    assert found["word_count.4.across.intercept"] == result.intercept == 0.5
    told = card["probes"]["word_count.4.across"]
    values = [
        auroc(line, result.labels, fold).value for line, fold in zip(result.scores, result.folds, strict=True)
    ]
    assert told["auroc"] == np.mean(values) and told["rows"] == len(result.labels)
    assert not [name for name in found if ".within." in name]
    assert card["probes"]["word_count.0.within"]["status"] == "too few"


def test_erasers_do_what_the_card_says(study, tmp_path):
    (path,) = exports.export_erasers(study, tmp_path / "e.safetensors", "m", ["word_count"])
    found, card = opened(path)
    assert set(card["erasers"]) == {"4.word_count.inlp", "4.word_count.leace"}
    x = np.random.default_rng(0).normal(size=(5, D)).astype(np.float32)
    for name, about in card["erasers"].items():
        a, b, mean = (found[f"{name}.{key}"] for key in ("a", "b", "mean"))
        ours = erasure.load(study.folder / "erasers/m/4.h5")["word_count"][about["names"][1]]
        assert np.allclose(x - about["alpha"] * ((x - mean) @ b.T) @ a.T, ours(x), atol=1e-6)


def test_what_a_study_has_not_is_named(study, tmp_path):
    out = tmp_path / "x"
    with pytest.raises(UserError, match="there is no model 'n'; there is m"):
        exports.export_probes(study, out, "n")
    with pytest.raises(UserError, match="there is no layer 3; there is 0, 4"):
        exports.export_probes(study, out, "m", layers=[3])
    with pytest.raises(UserError, match=r"no task 'word_cont' \(did you mean 'word_count'"):
        exports.export_shards(study, out, "m", ["word_cont"])
    with pytest.raises(UserError, match="no eraser is of json_format; they are of .*topic"):
        exports.export_erasers(study, out, "m", ["json_format"])
    with pytest.raises(UserError, match="no eraser is of nothing; they are of"):
        exports.export_erasers(study, out, "m", ["topic", "nothing"])
    with pytest.raises(UserError, match="has no probes/specialist/; give a study's folder"):
        exports.export_probes(Study(tmp_path), out, "m")
    out.mkdir()
    with pytest.raises(UserError, match=r"cannot write .*/x \(Is a directory\)"):
        exports.export_probes(study, out, "m")
    with pytest.raises(UserError, match="is there already"):
        exports.export_shards(study, out, "m")
