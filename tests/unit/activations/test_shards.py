"""Shards hold what was written, and whatever happens to one afterwards is noticed."""

import json
import random
import shutil
import time

import h5py
import numpy as np
import pytest
from made.activations import ROWS, SETTINGS, label_row, make_shard
from made.models import HIDDEN, NUM_LAYERS
from made.shards import N, copy_over, small_shard
from skillprobe.activations import shards
from skillprobe.activations.extraction import extract
from skillprobe.activations.positions import DEFAULT
from skillprobe.activations.shards import Shard
from skillprobe.errors import DamagedFile, UserError
from skillprobe.models.loading import load
from skillprobe.storage.files import write_json


@pytest.mark.gpu
def test_layout_and_attributes_are_the_contract(loaded_models, tmp_path):
    loaded = loaded_models["llama"]
    with h5py.File(make_shard(loaded, tmp_path / "0.h5")) as file:
        assert file["layers/0"].shape == (len(DEFAULT), len(ROWS), HIDDEN)
        assert set(file["layers"]) == {str(layer) for layer in range(NUM_LAYERS + 1)}
        assert {"id", "base", "group", "variant", "label", "response_length"} <= set(file["samples"])
        assert [name.decode() for name in file["positions"]] == list(DEFAULT)
        assert file["valid"].shape == (len(DEFAULT), len(ROWS))
        attributes = dict(file.attrs)
    assert attributes["study"] == "test" and attributes["task"] == "topic"
    assert attributes["model_source"] == loaded.source and attributes["hidden_size"] == HIDDEN
    assert len(attributes["tokenizer_sha256"]) == len(attributes["chat_template_sha256"]) == 64
    assert "torch" in json.loads(attributes["library_versions"])


@pytest.mark.gpu
def test_chunks_hold_one_position_of_many_samples(tmp_path):
    n, hidden = 1000, 2048
    valid = np.ones((2, n), dtype=bool)
    valid[0, 500:] = False
    with shards.create(
        tmp_path / "0.h5",
        samples=_samples(n),
        positions=["onset", "eos"],
        valid=valid,
        num_layers=0,
        hidden_size=hidden,
        dtype="float16",
        attributes={},
    ) as writer:
        for start in range(0, n, writer.rows_per_block):
            rows = min(writer.rows_per_block, n - start)
            values = np.arange(start, start + rows, dtype=np.float16)
            writer.write(0, start, [(slice(None), np.broadcast_to(values[None, :, None], (2, rows, hidden)))])
    with h5py.File(tmp_path / "0.h5") as file:
        chunk = file["layers/0"].chunks
        assert chunk[0] == 1 and chunk[2] == hidden and 0.75e6 < chunk[1] * hidden * 2 <= 1.5e6
        # Where a chunk has nothing valid it takes no space.
        assert file["layers/0"].id.get_num_chunks() < 2 * -(-n // chunk[1])
    with Shard(tmp_path / "0.h5") as shard:
        assert shard.read(0, "eos")[:, 0].tolist() == list(range(n))
    planned = 2 * hidden * (500 * 2 + 500)  # half of the rows at one position only, two bytes a number
    assert planned <= (tmp_path / "0.h5").stat().st_size < 1.3 * planned


def _samples(n):
    columns = {name: ["x"] * n for name, kind in shards.SAMPLE_FIELDS.items() if kind is str}
    return {name: columns.get(name, [0] * n) for name in shards.SAMPLE_FIELDS}


@pytest.mark.gpu
def test_same_rows_same_bytes(loaded_models, tmp_path):
    first = make_shard(loaded_models["qwen2"], tmp_path / "a.h5").read_bytes()
    time.sleep(1.1)
    assert make_shard(loaded_models["qwen2"], tmp_path / "b.h5").read_bytes() == first
    facts = shards.manifest(tmp_path / "a.h5")
    assert facts == shards.manifest(tmp_path / "b.h5")
    assert (facts["bytes"], facts["n_samples"], facts["n_layers"]) == (len(first), len(ROWS), NUM_LAYERS + 1)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", shards.STORED)
def test_checksums_of_what_is_written_are_those_of_the_file(loaded_models, tmp_path, monkeypatch, dtype):
    # Three constrained answers, so that one block has both kinds and the last has one unconstrained one only.
    rows = [label_row(i, length=4 + i) for i in range(3)]
    rows += [label_row(3 + i, "unconstrained", length=9 - i) for i in range(4)]
    item = np.dtype(shards.STORED[dtype]).itemsize
    monkeypatch.setattr(shards, "_CHUNK_BYTES", 2 * HIDDEN * item)
    path = tmp_path / "0.h5"
    checksums = extract(
        loaded_models["llama"], rows, path, SETTINGS | {"dtype": dtype}, study="test", task="topic"
    )
    with Shard(path) as shard:
        layer = shard._file["layers/1"]
        assert layer.chunks == (1, 2, HIDDEN) and layer.id.get_num_chunks() < 4 * len(DEFAULT)
    assert shards.manifest(path, checksums) == shards.manifest(path)


@pytest.mark.gpu
def test_a_shard_takes_whole_blocks_in_order_or_does_not_come_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_CHUNK_BYTES", 2 * HIDDEN * 4)

    def write(*calls):
        with shards.create(
            tmp_path / "0.h5",
            samples=_samples(3),
            positions=["eos"],
            valid=np.ones((1, 3), bool),
            num_layers=0,
            hidden_size=HIDDEN,
            dtype="float32",
            attributes={},
        ) as writer:
            for start, *parts in calls:
                values = [np.full((1, len(rows), HIDDEN), rows[0]) for rows in parts]
                writer.write(0, start, list(zip(parts, values, strict=True)))

    for calls, message in (
        ([(2, [0])], "layer 0, written to 0: 1 samples from 2 on"),
        ([(0, [0, 1]), (0, [0, 1])], "layer 0, written to 2: 2 samples from 0 on"),
        ([(0, [0])], "layer 0, written to 0: 1 samples from 0 on"),
        ([(0, [0, 1], [0])], "layer 0, written to 0: 3 samples from 0 on"),
        ([(0, [0, 1])], "3 samples, of which these were written, by layer: .2."),
    ):
        with pytest.raises(ValueError, match=message):
            write(*calls)
        assert list(tmp_path.iterdir()) == []
    write((0, [1], [0]), (2, [0]))
    with Shard(tmp_path / "0.h5") as shard:
        assert shard.read(0, "eos")[:, 0].tolist() == [0, 1, 0]


@pytest.mark.gpu
def test_bfloat16_is_lossless_for_a_bfloat16_model(model_folders, tmp_path):
    loaded = load({"name": "m", "source": str(model_folders["llama"]), "dtype": "bfloat16"})
    make_shard(loaded, tmp_path / "half.h5", dtype="bfloat16")
    make_shard(loaded, tmp_path / "full.h5", dtype="float32")
    with Shard(tmp_path / "half.h5") as half, Shard(tmp_path / "full.h5") as full:
        assert (
            half._file["layers/1"].dtype == np.uint16 and half._file["layers/1"].attrs["dtype"] == "bfloat16"
        )
        for layer in half.layers:
            values = half.read(layer, "eos")
            np.testing.assert_array_equal(values, full.read(layer, "eos"))
            assert values.dtype == np.float32 and half.read(layer, "eos", np.float64).dtype == np.float64


@pytest.mark.gpu
def test_empty_shard_is_a_shard(loaded_models, tmp_path):
    with Shard(make_shard(loaded_models["llama"], tmp_path / "0.h5", rows=[])) as shard:
        assert shard.read(1, "eos").shape == (0, HIDDEN)
    assert "0 bases" in shards.describe(tmp_path / "0.h5")


@pytest.mark.gpu
def test_description_says_what_is_inside(loaded_models, tmp_path):
    text = shards.describe(make_shard(loaded_models["llama"], tmp_path / "0.h5"))
    for part in (
        "study test",
        "model llama",
        "task topic",
        "sample 6",
        "float32",
        "counterfactual",
        "prompt_100",
    ):
        assert part in text


@pytest.mark.gpu
def test_damaged_foreign_and_missing_files_are_refused(loaded_models, tmp_path):
    path = make_shard(loaded_models["llama"], tmp_path / "0.h5")
    content = path.read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[:-100])
    (tmp_path / "text.h5").write_text("no HDF5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["layers/0"] = np.zeros(3)
    with h5py.File(tmp_path / "newer.h5", "w") as file:
        file.attrs["format_version"] = 99
    for name, message in (
        ("cut.h5", "not a complete HDF5 file"),
        ("text.h5", "not a complete HDF5 file"),
        ("other.h5", "not an activation shard"),
        ("newer.h5", "has shard format 99"),
        ("absent.h5", "there is no shard"),
    ):
        with pytest.raises(UserError, match=message):
            Shard(tmp_path / name)
        with pytest.raises(UserError, match=message):
            shards.describe(tmp_path / name)
    with Shard(path) as shard:
        chunk = shard._file["layers/2"].id.get_chunk_info(0)
        with pytest.raises(UserError, match="no layer 9; it has 0 to 3"):
            shard.read(9, "eos")
        with pytest.raises(UserError, match="no position 'body_20'"):
            shard.read(0, "body_20")
    flipped = bytearray(content)
    flipped[chunk.byte_offset + 5] ^= 1
    (tmp_path / "flipped.h5").write_bytes(flipped)
    with Shard(tmp_path / "flipped.h5") as shard, pytest.raises(UserError, match="damaged at layer 2"):
        for position in shard.positions:
            shard.read(2, position)


def read_all(path):
    """Everything that a shard's readers can see."""
    with Shard(path) as shard:
        values = [shard.read(layer, name) for layer in shard.layers for name in shard.positions]
        return [shard.attrs, shard.samples, shard.positions, shard.valid, shard.characters, values]


def test_every_flipped_bit_of_a_shard_is_harmless_or_noticed(tmp_path):
    whole = small_shard(tmp_path / "whole.h5")
    content, expected = whole.read_bytes(), read_all(whole)
    chance, noticed = random.Random(0), 0
    for number in range(400):
        # Each in a file of its own, since HDF5 remembers what it has seen of a file that it can't close.
        path = tmp_path / f"{number}.h5"
        bad = bytearray(content)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        shutil.copy(whole.with_suffix(".json"), path.with_suffix(".json"))
        try:
            found = read_all(path)
        except DamagedFile as error:
            assert str(error).startswith(str(path)) and f"snakemake --cores 1 --force {path}" in str(error)
            noticed += 1
        else:
            np.testing.assert_equal(found, expected)
    assert noticed > 200


def test_cut_swapped_and_outdated_shards_are_refused(tmp_path):
    path, other = small_shard(tmp_path / "0.h5"), small_shard(tmp_path / "1.h5", value=1)
    content = path.read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(
            DamagedFile, match=f"not a complete HDF5 file .{size} bytes instead of {len(content)}"
        ):
            Shard(path)
    # Of the same answers by another model: all but the activations is alike, and the size is.
    path.write_bytes(other.read_bytes())
    with (
        Shard(path) as shard,
        pytest.raises(DamagedFile, match="at layer 1, position 'eos' .its values do not match its manifest"),
    ):
        shard.read(1, "eos")
    # A new shard takes the older one's manifest with it.
    small_shard(path, manifest=False)
    assert not path.with_suffix(".json").exists() and len(read_all(path))
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(DamagedFile, match=r"0\.json is not a manifest of a shard; make it again: snakemake "):
        Shard(path)
    path.with_suffix(".json").write_text('{"bytes": 1')
    with pytest.raises(DamagedFile, match=r"0\.json is not valid JSON .*; make it again: snakemake "):
        Shard(path)


CONSTRAINED = {"variant": ["constrained"] * N, "truncated": [False] * N}


def test_shards_of_others_are_refused_though_their_manifests_came_along(tmp_path):
    own, other_task, other_model, random = (
        small_shard(tmp_path / f"{kind}/{model}/{task}/0.h5", model=model, task=task, **columns)
        for kind, model, task, columns in (
            ("activations", "m", "t", {}),
            ("activations", "m", "u", {}),
            ("activations", "n", "t", {}),
            ("random_activations", "m", "t", CONSTRAINED),
        )
    )
    for path in (own, other_task, other_model, random):
        assert len(read_all(path))
    saved = shutil.copytree(own.parent, tmp_path / "saved") / "0.h5"
    for source, words in (
        (other_task, "holds activations of model 'm' on task 'u'"),
        (other_model, "holds activations of model 'n' on task 't'"),
        (random, "holds activations of the random-weight model"),
    ):
        copy_over(own, source)
        with pytest.raises(DamagedFile, match=f"activations/m/t/0.h5 {words}; make it again: snakemake "):
            Shard(own)
    copy_over(random, saved)
    with pytest.raises(
        DamagedFile, match="random_activations/m/t/0.h5 holds activations of the model itself"
    ):
        Shard(random)
    # Anywhere else a shard is anyone's.
    assert len(read_all(saved))


@pytest.mark.gpu
def test_shards_of_crossings_lie_in_a_folder_of_their_own(loaded_models, tmp_path):
    rows = [ROWS[2]]
    for folder, scored, message in (
        ("activations", True, "holds activations of crossings"),
        ("random_activations", True, "holds activations of crossings"),
        ("crossing_activations", False, "holds activations of responses that are not crossed"),
        ("crossing_activations", True, ""),
    ):
        path = tmp_path / folder / "llama/topic" / f"{int(scored)}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        make_shard(loaded_models["llama"], path, rows, scored=scored)
        if message:
            with pytest.raises(UserError, match=message):
                Shard(path)
        else:
            with Shard(path) as shard:
                assert shard.log_probability.shape == (1,)


@pytest.mark.gpu
def test_a_manifest_knows_the_log_probabilities(loaded_models, tmp_path):
    path = make_shard(loaded_models["llama"], tmp_path / "0.h5", scored=True)
    write_json(path.with_suffix(".json"), shards.manifest(path))
    Shard(path).__exit__()
    with h5py.File(path, "r+") as file:
        file["log_probability"][0] -= 1
    with pytest.raises(UserError, match="does not match its manifest|bytes instead of"):
        Shard(path)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", shards.STORED)
def test_by_default_shards_are_of_the_models_dtype_and_lose_nothing(model_folders, tmp_path, dtype):
    loaded = load({"name": "m", "source": str(model_folders["llama"]), "dtype": dtype})
    make_shard(loaded, tmp_path / "auto.h5", dtype="auto")
    make_shard(loaded, tmp_path / "full.h5", dtype="float32")
    with Shard(tmp_path / "auto.h5") as auto, Shard(tmp_path / "full.h5") as full:
        assert auto.attrs["dtype"] == auto.attrs["model_dtype"] == dtype
        for layer in auto.layers:
            for name in auto.positions:
                np.testing.assert_array_equal(auto.read(layer, name), full.read(layer, name))


@pytest.mark.gpu
def test_values_that_float16_has_not_are_stored_as_they_are(model_folders, tmp_path):
    """As those of Gemma 3 270M, whose first token reaches 103,821."""
    for dtype in ("float32", "bfloat16"):
        loaded = load({"name": "m", "source": str(model_folders["llama"]), "dtype": dtype})
        loaded.blocks[1].register_forward_hook(lambda _, __, hidden: hidden + 1e5)
        with Shard(make_shard(loaded, tmp_path / f"{dtype}.h5", dtype="auto")) as shard:
            assert shard.read(2, "eos").max() > 65_504
