"""Intervals of draws and fold seeds hold the truth as often as they say."""

from pathlib import Path

import numpy as np
import pytest
from made.scores import BASES, clustered
from skillprobe.statistics import bootstrap, intervals, metrics


def test_draws_without_pairs_are_dropped_and_counted():
    scores, labels = np.array([1.0, 2.0]), np.array([0, 1])
    groups, folds = np.array(["b000", "b001"]), np.zeros(2, int)
    draws = bootstrap.draw_groups(["b000", "b001"], n_draws=200)
    values = bootstrap.auroc_draws(scores, labels, groups, folds, draws)
    dropped = np.isnan(values).sum()
    assert 50 < dropped < 150
    assert intervals.interval([1.0], values) == intervals.Interval(1.0, 1.0, 1.0, 0.95, dropped)


def test_an_interval_has_the_estimate_in_its_middle_wherever_the_draws_are():
    draws = np.random.default_rng(0).normal(0.6, 0.02, 20000)
    found = intervals.interval([0.68, 0.7, 0.72], draws)
    error = np.sqrt(draws.var() + 0.02**2 / 3)
    assert [found.lower, found.upper] == pytest.approx([0.7 - 1.96 * error, 0.7 + 1.96 * error], abs=1e-4)
    wide = intervals.interval([0.68, 0.7, 0.72], draws, level=0.99)
    assert (wide.upper - 0.7) / (found.upper - 0.7) == pytest.approx(2.5758 / 1.96, abs=1e-3)
    assert intervals.interval([0.7], draws, bounds=(0.0, 0.71)).upper == 0.71
    # A bound never cuts the estimate off.
    assert intervals.interval([-0.1], draws, bounds=(0.0, 1.0)).lower == -0.1
    assert intervals.interval([0.7], np.append(draws, np.nan)).dropped == 1
    assert np.isnan(intervals.interval([0.7, np.nan], draws).lower)


def test_a_normal_interval_covers():
    """Of a mean of 20 groups, in 95 and 99 % of studies, and of fold seeds that are noise around it."""
    rng, covered = np.random.default_rng(1), np.zeros(2)
    for _ in range(1000):
        groups = rng.normal(0.3, 1.0, 20)
        draws = rng.normal(groups.mean(), 1 / np.sqrt(20), 300)
        by_seed = groups.mean() + rng.normal(0, 0.2, 3)
        for k, level in enumerate((0.95, 0.99)):
            found = intervals.interval(by_seed, draws, level)
            covered[k] += found.lower <= 0.3 <= found.upper
    assert covered / 1000 == pytest.approx([0.95, 0.99], abs=0.015)


def test_an_interval_of_a_share_is_symmetric_on_the_logit_scale():
    draws = np.random.default_rng(0).normal(0.9, 0.02, 20000)
    found = intervals.interval([0.9], draws, bounds=intervals.UNIT)
    logit = np.log(np.array([found.lower, found.upper]) / (1 - np.array([found.lower, found.upper])))
    assert logit.mean() == pytest.approx(np.log(9))
    assert logit[1] - logit[0] == pytest.approx(2 * 1.96 * 0.02 / 0.09, rel=0.01)
    # At the very end there is no such scale.
    assert intervals.interval([1.0], np.full(9, 1.0), bounds=intervals.UNIT).lower == 1.0


def test_fixed_probes_widen_intervals_but_not_the_variance_over_fold_seeds():
    draws = np.random.default_rng(0).normal(0.7, 0.02, 500)
    plain, wide = (intervals.Estimate(np.array([0.7]), draws, factor) for factor in (1.0, 1.3))
    widths = [each.cells()["upper99"] - each.cells()["lower99"] for each in (plain, wide)]
    assert widths[1] / widths[0] == pytest.approx(1.3) and wide.cells()["estimate"] == 0.7
    seeds = intervals.Estimate(np.array([0.6, 0.7, 0.8]), np.full(500, 0.7))
    assert seeds.standard_error() == pytest.approx(0.1 / np.sqrt(3))
    # What is made of both kinds is as uncertain as the worse.
    assert (plain - wide).factor == (wide - plain).factor == plain.over(wide).factor == 1.3
    assert (plain - plain).factor == 1.0
    less = wide.minus(0.5)
    assert less.factor == 1.3 and less.value == pytest.approx(wide.value - 0.5)
    np.testing.assert_allclose(less.drawn, wide.drawn - 0.5)


def test_a_ratio_has_the_draws_of_its_slope():
    """Near its value those of the ratio; where the denominator comes near 0, still finite."""
    rng = np.random.default_rng(0)
    above, below = (
        intervals.Estimate(np.array([value - 0.01, value + 0.01]), rng.normal(value, 0.01, 4000))
        for value in (0.4, 0.8)
    )
    ratio = above.over(below)
    assert ratio.value == pytest.approx(0.5)
    np.testing.assert_allclose(ratio.drawn, above.drawn / below.drawn, atol=0.003)
    rough = above.over(intervals.Estimate(np.array([0.02]), rng.normal(0.02, 0.01, 4000)))
    assert np.isfinite(rough.drawn).all()
    assert rough.drawn.std() < np.std(above.drawn / rng.normal(0.02, 0.01, 4000))


def test_interval_covers():
    """200 studies of 40 groups: the 95 % interval holds the true AUROC in about 95 % of them."""
    rng = np.random.default_rng(0)
    truth = np.mean([metrics.auroc(s, y, f).value for s, y, _, f in (clustered(rng) for _ in range(1500))])
    draws = bootstrap.draw_groups(BASES[:40], n_draws=400)
    covered = 0
    for _ in range(200):
        scores, labels, groups, folds = clustered(rng)
        value = metrics.auroc(scores, labels, folds).value
        found = intervals.interval([value], bootstrap.auroc_draws(scores, labels, groups, folds, draws))
        covered += found.lower <= truth <= found.upper
    assert 0.91 <= covered / 200 <= 0.995


# --- looks


def test_more_looks_widen_what_decides_and_nothing_else(use_looks):
    by_seed, draws = [0.69, 0.7, 0.71], np.random.default_rng(0).normal(0.7, 0.02, 20000)
    once = intervals.both_intervals(by_seed, draws, (0, 1))
    use_looks(1)
    assert intervals.both_intervals(by_seed, draws, (0, 1)) == once and intervals.claims_level() == 0.99
    assert once["lower99"] == intervals.interval(by_seed, draws, 0.99, (0, 1)).lower
    use_looks(4)
    cells = intervals.both_intervals(by_seed, draws, (0, 1))
    decided = intervals.interval(by_seed, draws, 0.9975, (0, 1))
    assert (cells["lower99"], cells["upper99"]) == (decided.lower, decided.upper)
    assert cells["lower99"] < once["lower99"] and cells["upper99"] > once["upper99"]
    assert {key: cells[key] for key in ("estimate", "lower95", "upper95")} == {
        key: once[key] for key in ("estimate", "lower95", "upper95")
    }


def test_the_level_in_words():
    words = [intervals.level_words(looks) for looks in (1, 2, 3, 4, 10)]
    assert words == ["99 %", "99.5 %", "99.67 %", "99.75 %", "99.9 %"]


def test_several_looks_together_mislead_as_seldom_as_one(use_looks):
    """A study without an effect that grows four times: an interval excludes 0 at some look in at most 1 %."""
    rng, looks, n = np.random.default_rng(1), 4, 20000
    steps = rng.normal(size=(n, looks)).cumsum(axis=1) / np.sqrt(np.arange(1, looks + 1))

    def misled():
        z = intervals.NormalDist().inv_cdf((1 + intervals.claims_level()) / 2)
        return (np.abs(steps) > z).any(axis=1).mean()

    assert misled() > 0.015
    use_looks(looks)
    assert misled() <= 0.01


def test_every_job_that_draws_intervals_sets_their_level():
    """One that forgets it would write 99 % bounds into the tables of a study with more looks."""
    scripts = Path(intervals.__file__).parents[2] / "scripts"
    texts = {path.stem: path.read_text() for path in scripts.glob("*.py")}
    drawing = {name for name, text in texts.items() if 'n_draws=settings["statistics' in text}
    drawing.remove("refit_probes")  # It stores draws, and no interval.
    assert len(drawing) > 8
    # They pool models, and judge planted worlds.
    for name in drawing | {"write_findings", "judge_world"}:
        assert "\nuse_looks(settings[" in texts[name], name
