"""The analyses on planted worlds, at the default study's size: they say what is true."""

from skillprobe.findings.error_rates import nothing_there
from skillprobe.findings.worlds import WORLDS
from skillprobe.storage import tables
from workdir import copy_repository

# An effect at which most claims can be expected to be decided, as docs/calibration.md has it, and less of all
# that takes time, since there are many worlds.
SMALL = """
calibration: {seeds: 2, aurocs: [0.97], bases: [90], hidden_size: 24, studies: 2}
probes: {fold_seeds: 1, penalties: [0.001, 0.01]}
ablation: {shuffles: 5}
statistics: {bootstrap_draws: 500, refit_draws: 50}
"""


def test_verdicts_on_planted_worlds_are_right(tmp_path):
    """As docs/definitions.md, "Calibration" has them: fails only where the counts refute them at 99 %."""
    workdir = copy_repository(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    workdir.snakemake("calibrate", "--configfile", "small.yaml")
    rows = tables.read_csv(tmp_path / "results/demo/tables/calibration.csv")
    assert {row["world"] for row in rows} == set(WORLDS)
    # Each world's claims and control in each scope, and all claims together where there is no signal.
    truths = [len(of_scope) for world in WORLDS.values() for of_scope in world.truth.values()]
    assert len(rows) == sum(truths) + sum(map(nothing_there, WORLDS))
    assert all(row["n_seeds"] == 2 for row in rows)
    assert [row for row in rows if row["met"] == "no"] == []
    text = (tmp_path / "results/demo/calibration.md").read_text()
    assert "| universal | 0.97 |" in text and "| auroc | within | refitted | 2 |" in text
    again = workdir.snakemake("calibrate", "--configfile", "small.yaml", "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr
