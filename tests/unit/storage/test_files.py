"""Files between rules are whole or absent, and sealed ones are noticed when they change."""

import os
import shutil
import subprocess
import sys

import pytest
from skillprobe.errors import DamagedFile, UserError
from skillprobe.storage import files, tables

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
            f"{path} has changed since it was written (on purpose? then delete its checksum file "
            f".{name}.sha256)"
            "; make it again: snakemake "
        )
    seal.unlink()
    assert read(path) == ROWS[1:]
    for each in (other, other.with_name(seal.name)):
        shutil.copy(each, path.parent / each.name)
    with pytest.raises(DamagedFile, match=f"{path} is a copy of labels/m/u/{name}; make it again"):
        read(path)
    seal.write_bytes(b"")
    with pytest.raises(DamagedFile, match="has changed since it was written"):
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
    # A folder of figures that is named as a stage.
    assert files.place_of("results/s/figures/monitors/toy-llama.csv") == ""


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
        (b'{"a": 1}\n{"a": "\xff"}\n', "is not a UTF-8 text .*"),
        (b'{"a": 1}\n{"a": ', "has no valid JSON in line 2 .*"),
        (b'{"a": 1}\n\n[1]\n', "has no JSON object in line 3"),
        (b"[" * 99999, "has no valid JSON in line 1 .*"),
    ],
)
def test_lines_that_cannot_be_read_are_named(tmp_path, content, words):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=f"x.jsonl {words}; make it again: snakemake "):
        files.read_jsonl(path)


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
from made.shards import small_shard
from skillprobe.storage import files, hdf5, tables
from skillprobe.errors import UserError

folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)

def small():
    with hdf5.create(folder / "p.h5") as file:
        file["x"] = np.arange(9999)

for write in (
    lambda: small_shard(folder / "0.h5"),
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
        f"cannot write {tmp_path / name} (File too large); correct that and run again: "
        "finished results are kept"
        for name in names
    ]
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_other_errors_are_left_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), files.atomic_path(tmp_path / "x"):
        (tmp_path / "absent").read_text()
    with pytest.raises(UserError, match="cannot write .*/file/inside.json .(File exists|Not a directory)"):
        (tmp_path / "file").write_text("")
        files.write_json(tmp_path / "file/inside.json", {})
