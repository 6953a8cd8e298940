"""Activations of a user's own: their rows line by line, and the folder that a study reads."""

import json

import numpy as np
import pytest
from skillprobe.activations import given, shards
from skillprobe.activations.arrays import Array, read_arrays
from skillprobe.errors import DamagedFile, UserError
from skillprobe.storage import files

ROW = {"task": "word_count", "label": 1}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(tmp_path, *rows, **options):
    return given.read_given(write(tmp_path / "rows.jsonl", rows), **options)


def arrays_of(n, layers=(4, 8), positions=("eos",), d=3, dtype="float32"):
    rng = np.random.default_rng(0)
    kind = {"float32": np.float32, "float16": np.float16}[dtype]
    return [
        Array(f"{layer}.{name}.npy", layer, name, rng.normal(size=(n, d)).astype(kind), dtype)
        for layer in layers
        for name in positions
    ]


def test_rows_are_named_by_item_variant_and_sample(tmp_path):
    rows = read(
        tmp_path,
        ROW | {"item": "q1", "group": "Rhine"},
        ROW | {"item": "q1", "group": "Rhine", "label": 0},
        ROW | {"id": "word_count/b000/0/constrained/3", "group": 7},
        ROW,
        ROW | {"id": "mine"},
        {"task": "topic", "satisfied": False, "item": "q1"},
    )
    assert [row["id"] for row in rows] == [
        "word_count/q1/constrained/0",
        "word_count/q1/constrained/1",
        "word_count/b000/0/constrained/3",
        "word_count/row-3/constrained/0",
        "word_count/mine/constrained/0",
        "topic/q1/constrained/0",
    ]
    assert [row["group"] for row in rows[:3]] == ["Rhine", "Rhine", "7"]
    # Its own, where nothing says more.
    assert rows[3]["group"] == "word_count/row-3" and [row["satisfied"] for row in rows[:2]] == [True, False]
    assert read(tmp_path, {"label": 1.0}, task="json_format")[0]["task"] == "json_format"


def test_the_verifier_labels_rows_without_a_label(tmp_path):
    texts = {"prompt": "Write.", "params": {"relation": "exactly", "n": 2}}
    rows = read(
        tmp_path,
        {"task": "word_count", "response": "two words", **texts},
        {"task": "word_count", "response": "one", **texts},
    )
    assert [row["satisfied"] for row in rows] == [True, False]
    # Rows of one prompt are of one group.
    assert {row["group"] for row in rows} == {"Write."}


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([ROW | {"label": 2}], "line 1: the label is 2; it must be 1"),
        ([ROW, ROW | {"label": "1"}], "line 2: the label is '1'"),
        ([ROW | {"label": None}], "line 1: the label is None"),
        ([ROW | {"satisfied": False}], "'label' and 'satisfied' contradict"),
        ([{"label": 1}], "line 1: 'task' is missing; add it, or give --task"),
        ([{"task": "wordcount", "label": 1}], "line 1: there is no task 'wordcount'"),
        ([{"task": "topic"}], "'label' is missing: no rule decides the task topic"),
        ([{"task": "word_count"}], "'label' is missing; give 1"),
        ([ROW | {"lable": 1}], "unknown key 'lable' .*did you mean 'label'"),
        ([ROW | {"id": "a"}, ROW | {"id": "a", "sample": 0}], "line 2: sample 0 of the item 'word_count/a'"),
        (
            [ROW | {"item": "a", "group": "x"}, ROW | {"item": "a", "group": "y"}],
            "line 2: the item 'word_count/a' is of the group 'y' here, but of 'x' in line 1",
        ),
        (
            [ROW | {"group": "x", "split": "train"}, ROW, ROW | {"group": "x", "split": "test"}],
            "line 3: the group 'x' is in the split 'test' here, but in 'train' in line 1",
        ),
        (
            [
                ROW | {"prompt": "p", "response": "", "group": "x"},
                ROW | {"prompt": "p", "response": "", "group": "y"},
            ],
            "line 2: the prompt 'p' is of the group 'y' here, but of 'x' in line 1",
        ),
        (
            [ROW | {"base": "b", "group": "x"}, ROW | {"base": "b", "group": "y"}],
            "line 2: the base 'b' is of the group 'y'",
        ),
        (
            [
                ROW | {"item": "i", "group": "g", "prompt": "p", "response": ""},
                ROW | {"item": "i", "group": "g", "prompt": "q", "response": ""},
            ],
            "line 2: the item 'word_count/i' has the prompt 'q' here, but 'p' in line 1",
        ),
        ([ROW | {"polarity": "positive"}, ROW], "in all lines of a task, or in none"),
        ([ROW | {"prompt": "p"}], "'prompt' and 'response' go together"),
        ([ROW | {"variant": "twin"}], "'variant' must be one of constrained, unconstrained"),
        ([ROW | {"params": {"n": 1}}], "line 1: .*relation"),
        ([ROW | {"token_ids": ["a"]}], "'token_ids' must be a list of whole numbers"),
        ([ROW | {"characters": {"eos": -1}}], "'characters' must be an object"),
        ([ROW | {"group": ""}], "'group' must be a text that is not empty"),
        ([ROW | {"truncated": 1}], "'truncated' must be true or false"),
        ([ROW | {"prompt": " ", "response": ""}], "'prompt' must be a text that is not empty"),
        ([ROW | {"group": "\ud800"}], "line 1: it has half of a surrogate pair"),
        ([ROW | {"response_length": 2**31}], "'response_length' must be a whole number from 0 to 2147483647"),
        ([ROW | {"response_length": 0}], "length by 'response_length' is 0; it counts the EOS"),
        ([ROW | {"thinking": 2, "token_ids": [1]}], "'thinking' is 2, but 'token_ids' has 1"),
        ([ROW | {"thinking": 2, "token_ids": [1, 2]}], "length by 'token_ids' is 0; it counts the EOS"),
        (
            [ROW | {"token_ids": [1]}, ROW | {"truncated": True}, ROW | {"response_length": 3}],
            "line 3: lines of the task 'word_count' say .* by 'response_length' like .* in line 1",
        ),
        ([ROW, ROW | {"token_ids": [1]}], "by 'token_ids' like this one, but by 'no key' in line 1"),
        ([], "has no lines"),
    ],
)
def test_lines_that_cannot_be_used_are_refused(tmp_path, rows, sentence):
    with pytest.raises(UserError, match=sentence):
        read(tmp_path, *rows)


def imported(tmp_path, rows, arrays, **options):
    folder = tmp_path / "imported"
    card = given.write_folder(folder, arrays, read(tmp_path, *rows), **{"model": "m"} | options)
    return folder, card


def test_a_folder_holds_the_arrays_by_task(tmp_path):
    rows = [
        {"task": task, "label": number % 2, "group": f"g{number}", "item": f"q{number}"}
        for number, task in enumerate(("json_format", "word_count") * 20)
    ]
    rows[3]["truncated"] = True
    arrays = arrays_of(40, positions=("last", "eos"))
    folder, card = imported(tmp_path, rows, arrays, num_layers=12)
    assert card == given.read_card(folder) and list(card["tasks"]) == ["word_count", "json_format"]
    assert card["groups"][:3] == ["g0", "g1", "g2"] and card["groups"][-1] == "g39"
    with shards.Shard(given.shard_of(folder, "m", "word_count")) as shard:
        assert shard.layers == [4, 8] and shard.positions == ["last", "eos"]
        assert shard.samples["group"].tolist() == [f"g{number:03d}" for number in range(1, 40, 2)]
        for array in arrays:
            expected = array.values[1::2].copy()
            if array.position == "eos":
                # A truncated response has none.
                expected[1] = 0
            assert np.array_equal(shard.read(array.layer, array.position), expected)
        assert shard.valid.tolist() == [[True] * 20, [number != 1 for number in range(20)]]
        with pytest.raises(UserError, match="has no layer 5; it has 4, 8"):
            shard.read(5, "eos")
    labels = files.read_jsonl(given.labels_of(folder, "m", "word_count"))
    assert [row["satisfied"] for row in labels] == [True] * 20 and labels[0]["prompt"] == ""


def test_equal_imports_are_equal_bytes(tmp_path):
    rows = [ROW | {"item": f"q{number // 2}", "label": number % 2} for number in range(8)]
    found = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        folder, _ = imported(tmp_path / place, rows, arrays_of(8))
        found.append(
            {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        )
    assert found[0] == found[1]


def test_large_arrays_are_copied_in_blocks(tmp_path):
    n, d = 3000, 512
    np.save(tmp_path / "4.npy", np.arange(n * d, dtype=np.float32).reshape(n, d))
    arrays = read_arrays([tmp_path / "4.npy"])
    folder, _ = imported(tmp_path, [ROW] * n, arrays)
    with shards.Shard(given.shard_of(folder, "m", "word_count")) as shard:
        assert np.array_equal(shard.read(4, "eos"), arrays[0].values)


def test_positions_that_rows_lack_are_zeros(tmp_path):
    texts = {"prompt": "p", "response": "abcd", "params": {"relation": "exactly", "n": 1}}
    rows = [
        ROW | texts | {"item": "q", "characters": {"prompt_100": 0, "onset": 1}},
        ROW | texts | {"item": "q", "characters": {"prompt_100": 0, "onset": 2, "eos": 4}},
    ]
    folder, card = imported(tmp_path, rows, arrays_of(2, positions=("prompt_100", "onset", "eos")))
    assert card["texts"] and card["characters"] and card["params"]
    with shards.Shard(given.shard_of(folder, "m", "word_count")) as shard:
        assert shard.valid.tolist() == [[True, True], [True, True], [False, True]]
        assert shard.characters.tolist() == [[0, 0], [1, 2], [0, 4]]
        assert not shard.read(4, "eos")[0].any()


def test_characters_that_are_not_known_are_no_zeros(tmp_path):
    row = ROW | {"prompt": "p", "response": "abcd", "item": "q"}
    known = {"prompt_100": 0, "onset": 1}
    for name, characters in (("a", known), ("b", known | {"onset": None})):
        (tmp_path / name).mkdir()
        arrays = arrays_of(1, positions=("prompt_100", "onset"))
        folder, card = imported(tmp_path / name, [row | {"characters": characters}], arrays)
        assert card["characters"] is (name == "a")
        with shards.Shard(given.shard_of(folder, "m", "word_count")) as shard:
            assert shard.valid.all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_by_array_and_row(tmp_path, bad):
    arrays = arrays_of(4)
    arrays[1].values[2, 1] = bad
    with pytest.raises(
        UserError, match=r"8.eos.npy, row 2 \(counted from 0; 'word_count/row-2/constrained/0'\)"
    ):
        imported(tmp_path, [ROW] * 4, arrays)
    assert not (tmp_path / "imported").exists()


def test_groups_of_names_that_sort_alike_are_in_one_order(tmp_path):
    names = ["01", "1", "001", "0001"]
    for order in (names, names[::-1]):
        rows = [ROW | {"group": name} for name in order]
        (tmp_path / order[0]).mkdir()
        card = imported(tmp_path / order[0], rows, arrays_of(4))[1]
        assert card["groups"] == ["0001", "001", "01", "1"]


def test_lengths_are_known_where_all_rows_say_them(tmp_path):
    for name, rows, known in (
        ("a", [ROW] * 4, False),
        ("b", [ROW | {"response_length": 2}] * 4, True),
        ("c", [ROW | {"token_ids": [1, 2]}] * 3 + [ROW | {"truncated": True}], True),
    ):
        (tmp_path / name).mkdir()
        assert imported(tmp_path / name, rows, arrays_of(4))[1]["lengths"] is known


def test_what_does_not_fit_the_arrays_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"rows.jsonl has 3 lines, but 4.eos.npy has 4 rows"):
        imported(tmp_path, [ROW] * 3, arrays_of(4), rows_file="rows.jsonl")
    with pytest.raises(UserError, match=r"8.eos.npy is of layer 8, but --num-layers is 6"):
        imported(tmp_path, [ROW] * 4, arrays_of(4), num_layers=6)
    with pytest.raises(UserError, match="--num-layers is 0; give"):
        imported(tmp_path, [ROW] * 4, arrays_of(4, layers=(0,)), num_layers=0)
    with pytest.raises(UserError, match="model's name"):
        imported(tmp_path, [ROW] * 4, arrays_of(4), model="a b")
    row = ROW | {"characters": {"onset": 0}}
    with pytest.raises(UserError, match="'characters' at the position 'onset', of which there is no array"):
        imported(tmp_path, [row], arrays_of(1))
    imported(tmp_path, [ROW] * 4, arrays_of(4))
    with pytest.raises(UserError, match="is there already"):
        imported(tmp_path, [ROW] * 4, arrays_of(4))


def test_a_task_is_taken_into_a_study(tmp_path):
    folder, card = imported(tmp_path, [ROW] * 4, arrays_of(4))
    study = tmp_path / "results/s"
    shard, manifest, labels = given.files_of(folder, "m", "word_count")
    for _ in range(2):  # The second takes the place of the first.
        given.take(shard, manifest, study / "activations/m/word_count/0.h5")
    with shards.Shard(study / "activations/m/word_count/0.h5") as taken:
        assert taken.read(8, "eos").shape == (4, 3)
    assert (study / "activations/m/word_count/0.h5").samefile(shard)
    assert given.card_hash(folder) != given.card_hash(folder, "word_count")
    labels = given.labels_of(folder, "m", "word_count")
    labels.write_text(labels.read_text().replace("true", "null"))
    with pytest.raises(DamagedFile, match="has changed since it was written"):
        files.read_jsonl(labels)


def test_a_folder_that_is_not_as_it_was_is_refused(tmp_path):
    folder, card = imported(tmp_path, [ROW] * 4, arrays_of(4))
    shard = given.shard_of(folder, "m", "word_count")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(UserError, match="bytes instead of"):
        given.read_card(folder)
    shard.write_bytes(whole)
    manifest = shard.with_suffix(".json")
    text = manifest.read_text()
    manifest.write_text(text.replace("1", "2"))
    with pytest.raises(UserError, match="is not the one that card.json knows"):
        given.read_card(folder)
    manifest.write_text(text)
    # As many bytes, and on purpose: the shard has other labels.
    labels = given.labels_of(folder, "m", "word_count")
    written = labels.read_text()
    labels.write_text(written.replace('"satisfied": true', '"satisfied": null'))
    labels.with_name(".0.jsonl.sha256").unlink()
    with pytest.raises(UserError, match="0.jsonl is not the one that card.json knows; import"):
        given.read_card(folder)
    labels.write_text(written)
    manifest.unlink()
    with pytest.raises(UserError, match="is missing; import"):
        given.read_card(folder)
    with pytest.raises(UserError, match="no folder of imported activations"):
        given.read_card(tmp_path)
    manifest.write_text(text)
    whole = json.loads((folder / "card.json").read_text())
    assert whole.keys() == given._OF_CARDS and whole["tasks"]["word_count"].keys() == given._OF_TASKS
    (folder / "card.json").write_text(json.dumps(whole | {"format_version": 2, "layers": None}))
    with pytest.raises(UserError, match="is of format 2, this package reads 1; import"):
        given.read_card(folder)
    for spoilt in (
        b"[]",
        b"\xff",
        b"{}",
        json.dumps(whole | {"tasks": {"word_count": {}}}).encode(),
        json.dumps(whole | {"tasks": 1}).encode(),
        json.dumps({key: value for key, value in whole.items() if key != "lengths"}).encode(),
    ):
        (folder / "card.json").write_bytes(spoilt)
        with pytest.raises(UserError, match="is not a whole card .*; import them again"):
            given.read_card(folder)
