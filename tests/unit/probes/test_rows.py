"""Rows of several shards are each there once."""

import numpy as np
import pytest
from made.scopes import probe_rows
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


def test_rows_within_prompts_are_minus_their_prompts_mean():
    rows = probe_rows(prompt=1.0)
    rows.y[:4], rows.y[4:8] = 1, (1, 0, 0, 1)
    within = rows.within()
    assert rows.ids[0] not in within.ids and rows.ids[4] in within.ids
    expected = rows.x[4:8] - rows.x[4:8].mean(axis=0)
    np.testing.assert_allclose(within.x[:4], expected, atol=1e-5)
    assert within.lengths[:4].tolist() == rows.lengths[4:8].tolist()
    confounds = within.confounds_within(["response_length", "phrasing"])
    # The phrasing is the same in all responses to a prompt.
    assert confounds.shape[1] == 2 and abs(confounds[:4, 1].sum()) < 1e-5
    assert within.confounds_within([]) is None
