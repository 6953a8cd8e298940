"""`skillprobe inspect` on a file of every kind, whole and damaged."""

import json
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
from made.broken import WAYS, spoil
from made.findings import made_findings
from made.monitors import made_monitor
from made.stored import HDF5, N, table, write_hdf5
from skillprobe import tasks
from skillprobe.catalogue.files import by_place
from skillprobe.catalogue.inspection import describe
from skillprobe.errors import DamagedFile, UserError
from skillprobe.findings import rules
from skillprobe.probes import monitors
from skillprobe.prompts.items import make_items
from skillprobe.storage import files, tables
from skillprobe.tasks.world import load_world


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_hdf5(tmp_path_factory.mktemp("results"))


def words(path):
    return " ".join(describe(path).split())


@pytest.mark.parametrize("place", HDF5)
def test_an_hdf5_file_is_described(written, place):
    text = words(written[place])
    assert by_place(place).what in text and "(HDF5, " in text


def test_a_probe_with_what_tables_have(written):
    text = words(written["probes/specialist/m/topic/1.h5"])
    assert (
        "2 groups, one for each scope: across 12 responses, 50% satisfied; AUROC on test folds 1.000" in text
    )
    assert (
        "folds [S 2, n 12] int8 test fold of each response" in text and "intercept 0.5 of the probe" in text
    )
    assert "S fold seeds" in text
    text = words(written["probes/general/m/1.h5"])
    assert "within/matched/topic insufficient: few" in text


def test_shards_of_all_kinds(written):
    text = words(written["activations/m/topic/0.h5"])
    assert "format 3, study s, model m (folder), task topic" in text
    assert "in bfloat16" in text and "constrained 6" in text
    assert "log-probabilities" in words(written["crossing_activations/m/topic/0.h5"])


def test_a_shard_whose_values_changed_is_refused(written, tmp_path):
    path = tmp_path / "activations/m/topic/0.h5"
    path.parent.mkdir(parents=True)
    for suffix in (".h5", ".json"):
        shutil.copy(written["activations/m/topic/0.h5"].with_suffix(suffix), path.with_suffix(suffix))
    assert "all activations are as they were written" in words(path)
    with h5py.File(path, "r+") as file:
        file["layers/1"][0, 3, 2] = 7
    with pytest.raises(DamagedFile, match="is damaged at layer 1, position 'onset'"):
        describe(path)
    path.with_suffix(".json").unlink()
    assert "without its manifest 0.json" in words(path)


def test_a_file_away_from_its_place_is_known_by_what_it_holds(written, tmp_path):
    for place, what in (("erasers/m/1.h5", "INLP's erasers"), ("activations/m/topic/0.h5", "Hidden states")):
        assert what in words(shutil.copy(written[place], tmp_path / "x.h5"))
    table(tmp_path / "mine.csv", [each.name for each in by_place("tables/layers.csv").fields], quantity="tau")
    text = words(tmp_path / "mine.csv")
    assert (
        "The depth at which each task's signal emerges." in text
        and "1 row, one for each model, scope" in text
    )
    tables.write_csv(tmp_path / "own.csv", [{"a": 1}])
    assert "A file of no known kind" in words(tmp_path / "own.csv")


@pytest.mark.parametrize("how", [way for way in WAYS if way != "missing"])
@pytest.mark.parametrize("place", HDF5)
def test_a_damaged_hdf5_file_is_one_sentence(written, tmp_path, place, how):
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    shutil.copy(written[place], path)
    spoil(path, how)
    with pytest.raises(
        DamagedFile, match=f"^{path} .*; make it again: snakemake --cores 1 --force {path}"
    ) as caught:
        describe(path)
    assert str(caught.value).count("\n") == 0


def test_tables(tmp_path):
    names = [each.name for each in by_place("tables/time_summary.csv").fields]
    path = tmp_path / "tables/time_summary.csv"
    rows = [
        dict.fromkeys(names, "") | {"estimate": value, "n_tasks": n}
        for value, n in ((0.25, 1), (float("nan"), 12_000))
    ]
    tables.write_csv(path, rows)
    text = words(path)
    assert "2 rows, one for each model, scope, layer, task and quantity" in text
    assert (
        "estimate 0.25; 1 nan of the quantity" in text
        and "n_tasks 1 to 12,000" in text
        and "model 2 empty" in text
    )
    tables.write_csv(path, [row | {"n_tasks": -3, "more": 1} for row in rows], [*names, "more"])
    assert "n_tasks -3; 2 not integer, from 0" in words(path) and "not described: more" in words(path)
    tables.write_csv(path, [], names[1:])
    assert "0 rows" in words(path)
    path.write_text(path.read_text() + "x")
    with pytest.raises(DamagedFile, match="has changed since it was written"):
        describe(path)


def test_lines_and_their_seal(tmp_path):
    path = tmp_path / "prompts/word_count/0.jsonl"
    world = load_world("toy")
    settings = {"bases": 3, "items_per_base": 2, "instruction_types": ["human"], "polarities": ["positive"]}
    files.write_jsonl(path, make_items(tasks.get("word_count"), world, settings, 0))
    text = words(path)
    assert "Prompts." in text and "6 lines, one for each prompt" in text
    assert "instruction_type human how the constraint is put" in text
    assert "item word_count/b000/0, word_count/b000/1," in text
    seal = path.with_name(".0.jsonl.sha256")
    assert "is as it was written" in words(seal)
    path.write_text("{}\n")
    for each in (path, seal):
        with pytest.raises(DamagedFile, match="has changed since"):
            describe(each)
    seal.unlink()
    assert "missing: base" in words(path)
    path.write_text("{")
    with pytest.raises(DamagedFile, match="has no valid JSON in line 1"):
        describe(path)


def test_json(tmp_path, written):
    manifest = written["activations/m/topic/0.h5"].with_suffix(".json")
    assert f"n_samples {N} responses" in words(manifest)
    broken = tmp_path / "activations/m/topic/0.json"
    files.write_json(broken, {"bytes": 3})
    with pytest.raises(DamagedFile, match="lacks format_version, head"):
        describe(broken)
    files.write_json(tmp_path / "findings.json", made_findings(["m", rules.POOLED]))
    assert "all models: generality: " in words(tmp_path / "findings.json")
    files.write_json(tmp_path / "findings.json", {"m": {"generality": {}}})
    with pytest.raises(DamagedFile, match="without a verdict"):
        describe(tmp_path / "findings.json")
    files.write_json(tmp_path / "list.json", [1])
    assert "no known kind" in words(tmp_path / "list.json")


def test_safetensors(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "models/toy-a/model.safetensors"
    path.parent.mkdir(parents=True)
    save_file({f"layer.{k}": np.zeros((2, 3), np.float32) for k in range(30)}, path)
    text = words(path)
    assert "Weights of a toy model" in text and "30 tensors, 180 numbers" in text and "[2, 3] F32" in text
    assert "and 10 more" in text
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="is not a whole safetensors file"):
        describe(path)


def test_a_monitor_with_what_its_card_says(tmp_path):
    path = tmp_path / "monitors/m/word_count.safetensors"
    path.parent.mkdir(parents=True)
    monitors.save(path, made_monitor())
    text = words(path)
    assert "task word_count of model m, at layer 2; of held-out subjects, by stage" in text
    assert "tokens_1 trained there; auroc 0.7, brier 0.2, brier_of_base_rate 0.25" in text
    assert "weights [6, 32] F32" in text
    why = {"status": "insufficient: too few responses", "stages": [], "layer": None}
    nothing = made_monitor()
    monitors.save(path, replace(nothing, card=nothing.card | why, **cut(nothing)))
    assert "task word_count of model m: insufficient: too few responses" in words(path)
    with pytest.raises(UserError, match="monitors is a folder; name one of its files"):
        describe(tmp_path / "monitors")


def cut(monitor):
    """Its arrays without any stage."""
    return {name: getattr(monitor, name)[:0] for name in ("first", "weights", "intercepts", "calibration")}


def test_pictures_pages_and_texts(tmp_path):
    from PIL import Image

    (tmp_path / "figures").mkdir()
    png = tmp_path / "figures/time.png"
    Image.new("RGB", (30, 20)).save(png)
    assert "30 × 20 pixels" in words(png)
    tables.write_csv(png.with_suffix(".csv"), [{"a": 1}])
    assert f"its numbers: {png.with_suffix('.csv')}" in words(png)
    png.write_bytes(png.read_bytes()[:-4])
    svg, page = tmp_path / "figures/time.svg", tmp_path / "report.html"
    for path, good in ((svg, "<?xml version='1.0'?><svg></svg>"), (page, "<html></html>")):
        path.write_text(good)
        describe(path)
        path.write_text(good[:-3])
    for path in (png, svg, page):
        with pytest.raises(DamagedFile, match="is not a whole"):
            describe(path)
    (tmp_path / "tables").mkdir()
    text = tmp_path / "tables/compliance.txt"
    text.write_text("a\n" * 30)
    assert "30 lines" in words(text) and "Compliance for a terminal." in words(text)
    text.write_bytes(b"\xff")
    with pytest.raises(DamagedFile, match="is not a UTF-8 text"):
        describe(text)


def test_what_is_no_file_of_a_study_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        describe(tmp_path / "none.h5")
    (tmp_path / "a.py").write_text("")
    with pytest.raises(UserError, match="is not a file that the workflow writes"):
        describe(tmp_path / "a.py")
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(DamagedFile, match="is empty"):
        describe(tmp_path / "a.csv")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(UserError, match="is not an activation shard"):
        describe(tmp_path / "a.h5")


def test_values_of_many_kinds_are_listed_short(tmp_path):
    rows = [{"id": "x" * 100 + str(n), "params": {"n": n}, "flag": True} for n in range(9)]
    files.write_jsonl(tmp_path / "a.jsonl", rows)
    text = words(tmp_path / "a.jsonl")
    assert f"id 9 different, such as {'x' * 39}…" in text and "params 9 different, such as" in text
    assert json.dumps(True) in text
