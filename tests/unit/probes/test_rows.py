"""Rows of several shards are each there once."""

import pytest
from made.shards import N, copy_over, small_shard
from skillprobe.errors import DamagedFile
from skillprobe.probes.course import read_course
from skillprobe.probes.rows import read_rows


def test_a_shard_that_was_copied_over_another_of_its_task_is_refused(tmp_path):
    folder = tmp_path / "activations/m/t"
    mixed = {"variant": ["constrained"] * (N - 1) + ["unconstrained"], "truncated": [False] * N}
    paths = [small_shard(folder / f"{number}.h5", first=N * number, **mixed) for number in range(2)]
    assert len(read_rows(paths, 1, "eos").y) == len(read_course(paths, None).y) == 2 * (N - 1)
    copy_over(paths[1], paths[0])
    command = f"make them again: snakemake --cores 1 --force {paths[0]} {paths[1]} "
    for read in (lambda: read_rows(paths, 1, "eos"), lambda: read_course(paths, None)):
        with pytest.raises(DamagedFile, match=f"{paths[0]} and {paths[1]} both hold .*; {command}"):
            read()
