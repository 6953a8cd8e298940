"""Files between rules are whole or absent, and whatever happens to one afterwards is noticed."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from skillprobe.activations import shards
from skillprobe.activations.shards import Shard
from skillprobe.errors import DamagedFile, UserError
from skillprobe.probes.course import read_course
from skillprobe.probes.rows import read_rows
from skillprobe.storage import files, hdf5, tables

N, HIDDEN, POSITIONS = 20, 8, ("onset", "eos")


def make_shard(path, value=0.0, manifest=True, model="m", task="t", first=0, **columns):
    columns = {
        name: [f"{name}{first + row}" for row in range(N)] if kind is str else np.arange(N)
        for name, kind in shards.SAMPLE_FIELDS.items()
    } | columns
    valid = np.ones((len(POSITIONS), N), bool)
    valid[0, ::3] = False
    with shards.create(
        path,
        samples=columns,
        positions=POSITIONS,
        valid=valid,
        num_layers=1,
        hidden_size=HIDDEN,
        dtype="float32",
        attributes={"model": model, "task": task},
    ) as writer:
        values = np.arange(len(POSITIONS) * N * HIDDEN, dtype=np.float32)
        for layer in range(2):
            of_layer = values.reshape(len(POSITIONS), N, HIDDEN) + layer + value
            writer.write(layer, 0, [(slice(None), of_layer)])
    if manifest:
        files.write_json(path.with_suffix(".json"), shards.manifest(path))
    return path


def read_all(path):
    """Everything that a shard's readers can see."""
    with Shard(path) as shard:
        values = [shard.read(layer, name) for layer in shard.layers for name in shard.positions]
        return [shard.attrs, shard.samples, shard.positions, shard.valid, shard.characters, values]


def test_every_flipped_bit_of_a_shard_is_harmless_or_noticed(tmp_path):
    whole = make_shard(tmp_path / "whole.h5")
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
    path, other = make_shard(tmp_path / "0.h5"), make_shard(tmp_path / "1.h5", value=1)
    content = path.read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(DamagedFile, match=f"no whole HDF5 file .{size} bytes instead of {len(content)}"):
            Shard(path)
    # Of the same answers by another model: all but the activations is alike, and the size is.
    path.write_bytes(other.read_bytes())
    with Shard(path) as shard, pytest.raises(DamagedFile, match="at layer 1, position 'eos' .other values"):
        shard.read(1, "eos")
    # A new shard takes the older one's manifest with it.
    make_shard(path, manifest=False)
    assert not path.with_suffix(".json").exists() and len(read_all(path))
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(DamagedFile, match=r"0\.json is no manifest of a shard; make it anew: snakemake "):
        Shard(path)
    path.with_suffix(".json").write_text('{"bytes": 1')
    with pytest.raises(DamagedFile, match=r"0\.json is not valid JSON .*; make it anew: snakemake "):
        Shard(path)


def copy_over(target, source):
    """With its manifest."""
    for suffix in (".h5", ".json"):
        shutil.copy(source.with_suffix(suffix), target.with_suffix(suffix))


CONSTRAINED = {"variant": ["constrained"] * N, "truncated": [False] * N}


def test_shards_of_others_are_refused_though_their_manifests_came_along(tmp_path):
    own, other_task, other_model, twin = (
        make_shard(tmp_path / f"{kind}/{model}/{task}/0.h5", model=model, task=task, **columns)
        for kind, model, task, columns in (
            ("activations", "m", "t", {}),
            ("activations", "m", "u", {}),
            ("activations", "n", "t", {}),
            ("random_activations", "m", "t", CONSTRAINED),
        )
    )
    for path in (own, other_task, other_model, twin):
        assert len(read_all(path))
    saved = shutil.copytree(own.parent, tmp_path / "saved") / "0.h5"
    for source, words in (
        (other_task, "holds activations of model 'm' on task 'u'"),
        (other_model, "holds activations of model 'n' on task 't'"),
        (twin, "holds activations of the model's twin with random weights"),
    ):
        copy_over(own, source)
        with pytest.raises(DamagedFile, match=f"activations/m/t/0.h5 {words}; make it anew: snakemake "):
            Shard(own)
    copy_over(twin, saved)
    with pytest.raises(
        DamagedFile, match="random_activations/m/t/0.h5 holds activations of the model itself"
    ):
        Shard(twin)
    # Anywhere else a shard is anyone's.
    assert len(read_all(saved))


def test_a_shard_that_was_copied_over_another_of_its_task_is_refused(tmp_path):
    folder = tmp_path / "activations/m/t"
    mixed = {"variant": ["constrained"] * (N - 1) + ["unconstrained"], "truncated": [False] * N}
    paths = [make_shard(folder / f"{number}.h5", first=N * number, **mixed) for number in range(2)]
    assert len(read_rows(paths, 1, "eos").y) == len(read_course(paths, None).y) == 2 * (N - 1)
    copy_over(paths[1], paths[0])
    command = f"make them anew: snakemake --cores 1 --force {paths[0]} {paths[1]} "
    for read in (lambda: read_rows(paths, 1, "eos"), lambda: read_course(paths, None)):
        with pytest.raises(DamagedFile, match=f"{paths[0]} and {paths[1]} both hold .*; {command}"):
            read()


ROWS = [{"id": f"a{number}", "text": "one\u2028two", "value": number} for number in range(9)]


@pytest.mark.parametrize(
    "name, write, read",
    [("0.jsonl", files.write_jsonl, files.read_jsonl), ("0.csv", tables.write_csv, tables.read_csv)],
)
def test_sealed_files_are_noticed_when_they_change(tmp_path, name, write, read):
    path, other, elsewhere = (tmp_path / place / name for place in ("s/labels/m/t", "s/labels/m/u", "home"))
    seal = path.with_name(f".{name}.sha256")
    for each in (path, other, elsewhere):
        write(each, ROWS)
        assert read(each) == ROWS
    write(other, ROWS[1:])
    # A line of sha256sum, and none for what is no result.
    done = subprocess.run(["sha256sum", "--check", seal], cwd=tmp_path / "s", capture_output=True, text=True)
    assert done.stdout == f"labels/m/t/{name}: OK\n" and len(list(elsewhere.parent.iterdir())) == 1
    content, line_end = path.read_bytes(), path.read_bytes().index(b"\n", 99) + 1
    assert 99 < line_end < len(content)
    damaged = [b"", content[:line_end], content[:-5], content.replace(b"a3", b"b3"), content + b"\xff"]
    for bad in (*damaged, other.read_bytes()):
        path.write_bytes(bad)
        with pytest.raises(DamagedFile) as error:
            read(path)
        assert str(error.value).startswith(
            f"{path} is not what was written there (changed on purpose? then delete .{name}.sha256 beside it)"
            "; make it anew: snakemake "
        )
    seal.unlink()
    assert read(path) == ROWS[1:]
    for each in (other, other.with_name(seal.name)):
        shutil.copy(each, path.parent / each.name)
    with pytest.raises(DamagedFile, match=f"{path} is a copy of labels/m/u/{name}; make it anew"):
        read(path)
    seal.write_bytes(b"")
    with pytest.raises(DamagedFile, match="is not what was written there"):
        read(path)
    # What the command does. A study may be moved, and looked at from within.
    write(path, ROWS)
    moved = (tmp_path / "s").rename(tmp_path / "moved")
    assert read(moved / "labels/m/t" / name) == ROWS


def test_places_are_the_same_wherever_a_study_lies():
    for place in (
        "prompts/t/0.jsonl",
        "labels/labels/t/0.jsonl",
        "tables/compliance.csv",
        "tables/time/m.csv",
    ):
        for folder in ("", "results/s/", "/home/tables/results/old/"):
            assert files.place_of(folder + place) == place
    assert files.place_of("results/s/figures/time.csv") == files.place_of("/home/labels") == ""


def test_what_is_killed_between_a_file_and_its_seal_leaves_a_whole_file(tmp_path, monkeypatch):
    path = tmp_path / "labels/0.jsonl"
    files.write_jsonl(path, ROWS)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):

        def killed(*_):
            raise KeyboardInterrupt

        patch.setattr(files, "write_text", killed)
        files.write_jsonl(path, ROWS[1:])
    assert files.read_jsonl(path) == ROWS[1:]
    files.write_jsonl(path, ROWS)
    assert len(list(path.parent.iterdir())) == 2 and files.read_jsonl(path) == ROWS


@pytest.mark.parametrize(
    "content, words",
    [
        (b'{"a": 1}\n{"a": "\xff"}\n', "is no text .*"),
        (b'{"a": 1}\n{"a": ', "has no valid JSON in line 2 .*"),
        (b'{"a": 1}\n\n[1]\n', "has no JSON object in line 3"),
        (b"[" * 99999, "has no valid JSON in line 1 .*"),
    ],
)
def test_lines_that_cannot_be_read_are_named(tmp_path, content, words):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=f"x.jsonl {words}; make it anew: snakemake "):
        files.read_jsonl(path)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is empty"),
        (b"a,b\n1,\xff\n", "is no text .*"),
        (b"a,b\n1,2\n3\n", "has 1 cells and not 2 in row 2"),
        (b"a,b\n1,2,3\n", "has 3 cells and not 2 in row 1"),
        (b'a,b\n1,"2\n', "is no table .*"),
    ],
)
def test_tables_that_cannot_be_read_are_named(tmp_path, content, words):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    for read in (tables.read_csv, tables.read_columns):
        with pytest.raises(DamagedFile, match=f"x.csv {words}; make it anew: snakemake "):
            read(path)


def test_a_copy_of_another_small_file_is_refused(tmp_path):
    paths = [tmp_path / f"s/probes/specialist/m/t/{layer}.h5" for layer in range(2)]
    for path in paths:
        with hdf5.create(path) as file:
            file["x"] = 1
    kept = [shutil.copy(paths[0], tmp_path / "kept.h5"), paths[0]]
    for path in kept:
        with hdf5.whole(path, "probe"):
            pass
    shutil.copy(paths[0], paths[1])
    words = (
        "can't be read as a probe file .it is a copy of probes/specialist/m/t/0.h5.; make it anew: snakemake"
    )
    with pytest.raises(DamagedFile, match=f"{paths[1]} {words}"), hdf5.whole(paths[1], "probe"):
        pass


def test_every_flipped_bit_and_cut_of_a_small_file_is_noticed(tmp_path):
    path = tmp_path / "p.h5"
    with hdf5.create(path) as file:
        file["x"] = np.arange(50)
    with hdf5.whole(path, "probe") as file, h5py.File(path) as plain:
        assert file["x"][()].tolist() == plain["x"][()].tolist() == list(range(50))
    content, chance = path.read_bytes(), random.Random(1)
    damaged = [content[:size] for size in (0, 300, 512, len(content) - 1)]
    # Behind the checksum HDF5 leaves room that nobody reads.
    for place in [*range(64), *(chance.randrange(512, len(content)) for _ in range(100))]:
        damaged.append(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    for bad in damaged:
        path.write_bytes(bad)
        with (
            pytest.raises(DamagedFile, match="can't be read as a probe file"),
            hdf5.whole(path, "probe") as file,
        ):
            file["x"][()]


def test_what_killed_processes_left_goes_when_the_file_is_made(tmp_path):
    with subprocess.Popen(["true"]) as killed:
        pass
    dead = f"{files.HOST}-{killed.pid}.tmp"
    left = [tmp_path / f".[x].txt.{name}" for name in (dead, "elsewhere-1.tmp", "else_where-2-2.tmp")]
    left[0].write_text("half")
    left[1].write_text("half")
    left[2].mkdir()
    (left[2] / "inside").write_text("half")
    for path in left[1:]:
        os.utime(path, (1e9, 1e9))
    names = [f".y.txt.{dead}", ".[x].txt.tmpl", f"x.txt.{dead}"]
    # At work: here, and perhaps on another machine.
    names += [f".[x].txt.{files.HOST}-{os.getppid()}.tmp", ".[x].txt.elsewhere-1000000000.tmp"]
    others = [tmp_path / name for name in names]
    for path in others:
        path.write_text("another's")
    files.write_text(tmp_path / "[x].txt", "whole")
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "[x].txt"])


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from test_damaged_files import make_shard
from skillprobe.storage import files, hdf5, tables
from skillprobe.errors import UserError

folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)

def small():
    with hdf5.create(folder / "p.h5") as file:
        file["x"] = np.arange(9999)

for write in (
    lambda: make_shard(folder / "0.h5"),
    small,
    lambda: files.write_text(folder / "t.txt", "x" * 99999),
    lambda: tables.write_csv(folder / "t.csv", [{"x": "x" * 99999}]),
    lambda: files.write_jsonl(folder / "labels" / "l.jsonl", [{"x": "x" * 99999}]),
):
    try:
        write()
    except UserError as error:
        print(error)
"""


@pytest.mark.parametrize("room", [0, 10, 600, 3000, 8000])
def test_a_full_disk_is_a_sentence_for_every_kind_of_file(tmp_path, room):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), str(room)],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    # HDF5 itself would crash, here or when Python ends.
    assert done.returncode == 0 and not done.stderr, done.stderr
    names = ("0.h5", "p.h5", "t.txt", "t.csv", "labels/l.jsonl")
    assert done.stdout.splitlines() == [
        f"{tmp_path / name} can't be written (File too large); mend that and run again: what is done stays"
        for name in names
    ]
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


LOGGED = """
import sys
from types import SimpleNamespace as Of
from skillprobe.study.job import start

start(Of(log=[sys.argv[1]], params=Of(settings="{}"), rule="make_prompts"))
print("so far")
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_log_that_cannot_be_written_is_said_on_the_terminal():
    done = subprocess.run(
        [sys.executable, "-c", LOGGED, "/dev/full"],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode and "Traceback" not in done.stderr
    assert "make_prompts: the disk is full; make room and run again: what is done stays\n" in done.stderr


def test_other_errors_are_left_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), files.atomic_path(tmp_path / "x"):
        (tmp_path / "absent").read_text()
    with pytest.raises(UserError, match="can't be written .(File exists|Not a directory)"):
        (tmp_path / "file").write_text("")
        files.write_json(tmp_path / "file/inside.json", {})
