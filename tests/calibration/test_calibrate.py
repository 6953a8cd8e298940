"""The analyses on planted worlds, at the default study's size: they say what is true."""

from skillprobe.findings.planted import WORLDS
from skillprobe.storage import tables
from workdir import copy_repository

# The first effect at which all claims can be expected to be decided, as docs/calibration.md has it.
SMALL = "calibration: {seeds: 3, aurocs: [0.97], bases: [90]}\n"


def test_verdicts_on_planted_worlds_are_right(tmp_path):
    """ESTIMANDS' error rates: fails only where the counts refute them at 99 %."""
    workdir = copy_repository(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    workdir.snakemake("calibrate", "--configfile", "small.yaml")
    rows = tables.read_csv(tmp_path / "results/demo/tables/calibration.csv")
    assert {row["world"] for row in rows} == set(WORLDS)
    # Each world's claims and control, and all claims together in noise.
    assert len(rows) == sum(len(world.truth) for world in WORLDS.values()) + 1
    assert all(row["n_seeds"] == 3 for row in rows)
    assert [row for row in rows if row["met"] == "no"] == []
    assert "| universal | 0.97 |" in (tmp_path / "results/demo/calibration.md").read_text()
    again = workdir.snakemake("calibrate", "--configfile", "small.yaml", "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr
