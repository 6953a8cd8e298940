"""Folds, AUROC and the bootstrap do what ESTIMANDS says, exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skillprobe.errors import UserError
from skillprobe.statistics import bootstrap, intervals, metrics
from skillprobe.statistics.folds import CALIBRATION, assign_folds, row_folds, sufficiency
from skillprobe.storage import tables

BASES = [f"b{i:03d}" for i in range(60)]


def clustered(rng, n_bases=40, per_base=8, signal=1.0, base_effect=1.0):
    """Scores with an effect of the base; returns scores, labels, bases, folds."""
    names = np.array(BASES[:n_bases])
    bases = np.repeat(names, per_base)
    labels = rng.integers(0, 2, len(bases))
    scores = signal * labels + np.repeat(base_effect * rng.normal(size=n_bases), per_base)
    folds = row_folds(bases, assign_folds(names, calibration_fraction=0))
    return scores + rng.normal(size=len(bases)), labels, bases, folds


def brute_force_auroc(scores, labels, folds):
    concordant = pairs = 0.0
    for i in range(len(scores)):
        for j in range(len(scores)):
            if folds[i] == folds[j] != CALIBRATION and labels[i] > labels[j]:
                pairs += 1
                concordant += (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])
    return concordant / pairs if pairs else np.nan


# ------------------------------------------------------------------------------------------------ folds


def test_folds_depend_on_the_set_of_bases_only():
    folds = assign_folds(BASES)
    assert assign_folds(BASES[::-1] + BASES[:7]) == folds
    counts = np.bincount([fold for fold in folds.values() if fold >= 0])
    assert len(counts) == 5 and counts.max() - counts.min() <= 1
    assert sum(fold == CALIBRATION for fold in folds.values()) == 6


def test_calibration_is_the_same_for_all_fold_seeds_but_folds_differ():
    first, second = (assign_folds(BASES, fold_seed=s) for s in (0, 1))
    assert [b for b in BASES if first[b] < 0] == [b for b in BASES if second[b] < 0]
    assert first != second
    other = assign_folds(BASES, seed=1)
    assert [b for b in BASES if first[b] < 0] != [b for b in BASES if other[b] < 0]


def test_a_base_without_a_fold_is_refused_by_name():
    with pytest.raises(UserError, match="zzz"):
        row_folds(["b000", "zzz"], assign_folds(BASES))


def test_sufficiency_gives_one_reason():
    rng = np.random.default_rng(0)
    _, labels, bases, folds = clustered(rng)
    assert sufficiency(labels, bases, folds) == ""
    assert "truncated" in sufficiency(labels, bases, folds, truncated_fraction=0.06)
    assert sufficiency(labels, bases, folds, truncated_fraction=0.05) == ""
    need = "probes need 20 from 10 of each class"
    assert sufficiency(np.ones_like(labels), bases, folds) == (
        f"0 violated responses from 0 bases to train on; {need}"
    )
    # Enough rows, but of four bases in fold 0 and four in fold 1.
    of_few = np.isin(bases, [*np.unique(bases[folds == 0])[:4], *np.unique(bases[folds == 1])[:4]])
    assert sufficiency((~of_few).astype(int), bases, folds) == (
        f"32 violated responses from 4 bases to train on; {need}"
    )
    # One test fold without a class.
    no_pairs = np.where(folds == 2, 1, labels)
    assert "a test fold has no violated" in sufficiency(no_pairs, bases, folds)
    assert "folds have rows" in sufficiency(labels[:0], bases[:0], folds[:0])


# ------------------------------------------------------------------------------------------------ AUROC


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(-1, 2)), min_size=1, max_size=30))
def test_auroc_equals_brute_force_with_ties(rows):
    scores, labels, folds = (np.array(column) for column in zip(*rows, strict=True))
    result = metrics.auroc(scores, labels, folds)
    np.testing.assert_allclose(result.value, brute_force_auroc(scores, labels, folds), equal_nan=True)
    draws = bootstrap.Draws(np.array(["a"]), np.ones((1, 1)))
    bases = np.full(len(scores), "a")
    np.testing.assert_allclose(bootstrap.auroc_draws(scores, labels, bases, folds, draws), result.value)


def test_constant_scores_give_a_half_and_a_flag():
    labels, folds = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    assert metrics.auroc(np.array([1.0, 1.0, 3.0, 3.0]), labels, folds) == metrics.Auroc(0.5, 2, True)
    assert not metrics.auroc(np.array([1.0, 1.0, 3.0, 3.5]), labels, folds).constant


def test_pooling_over_folds_is_biased_where_within_folds_is_not():
    """A training fold with more positives leaves fewer for its test fold, whose intercept is then higher."""
    rng = np.random.default_rng(0)
    within, pooled = [], []
    for _ in range(100):
        labels, folds = rng.integers(0, 2, 60), np.repeat(np.arange(5), 12)
        base_rate = np.array([labels[folds != fold].mean() for fold in folds])
        scores = 5 * base_rate + 0.1 * rng.normal(size=60)
        within.append(metrics.auroc(scores, labels, folds).value)
        pooled.append(metrics.auroc(scores, labels, np.zeros(60, int)).value)
    assert abs(np.mean(within) - 0.5) < 0.02
    assert np.mean(pooled) < 0.45


# -------------------------------------------------------------------------------------------- bootstrap


def test_bootstrap_weights_equal_brute_force_resampling():
    rng = np.random.default_rng(0)
    scores, labels, bases, folds = clustered(rng, n_bases=15, per_base=3)
    scores = scores.round(1)
    folds[bases == "b003"] = CALIBRATION
    draws = bootstrap.draw_bases(BASES[:15], n_draws=8, seed=3)
    quick = bootstrap.auroc_draws(scores, labels, bases, folds, draws)
    threshold = bootstrap.threshold_metrics(scores, labels, bases, folds, draws)
    for i, weights in enumerate(draws.weights.astype(int)):
        rows = np.concatenate(
            [
                np.tile(np.flatnonzero(bases == base), times)
                for base, times in zip(draws.bases, weights, strict=True)
            ]
        ).astype(int)
        s, y, f = scores[rows], labels[rows], folds[rows]
        assert quick[i] == pytest.approx(brute_force_auroc(s, y, f))
        s, y = s[f >= 0], y[f >= 0]
        right = (s > 0) == y
        assert threshold["accuracy"][1][i] == pytest.approx(right.mean())
        assert threshold["balanced_accuracy"][1][i] == pytest.approx(
            (right[y == 1].mean() + right[y == 0].mean()) / 2
        )
        probability = 1 / (1 + np.exp(-s))
        assert threshold["log_loss"][1][i] == pytest.approx(
            -np.log(np.where(y == 1, probability, 1 - probability)).mean()
        )
        assert threshold["base_rate"][1][i] == pytest.approx(y.mean())


def test_draws_are_joint_and_a_lacking_base_is_ignored():
    rng = np.random.default_rng(0)
    scores, labels, bases, folds = clustered(rng)
    draws = bootstrap.draw_bases(BASES[:40], n_draws=50)
    assert np.array_equal(draws.weights, bootstrap.draw_bases(BASES[39::-1], n_draws=50).weights)
    assert (draws.weights.sum(1) == 40).all()
    kept = bases != "b000"
    without = bootstrap.auroc_draws(scores[kept], labels[kept], bases[kept], folds[kept], draws)
    zero = bootstrap.Draws(draws.bases, draws.weights * (draws.bases != "b000"))
    np.testing.assert_allclose(without, bootstrap.auroc_draws(scores, labels, bases, folds, zero))
    with pytest.raises(KeyError):
        bootstrap.auroc_draws(scores, labels, np.full(len(bases), "other"), folds, draws)


def test_draws_without_pairs_are_dropped_and_counted():
    scores, labels = np.array([1.0, 2.0]), np.array([0, 1])
    bases, folds = np.array(["b000", "b001"]), np.zeros(2, int)
    draws = bootstrap.draw_bases(["b000", "b001"], n_draws=200)
    values = bootstrap.auroc_draws(scores, labels, bases, folds, draws)
    dropped = np.isnan(values).sum()
    assert 50 < dropped < 150
    assert intervals.interval([1.0], values) == intervals.Interval(1.0, 1.0, 1.0, 0.95, dropped)


def test_interval_is_the_percentile_interval_and_fold_seeds_widen_it():
    draws = np.random.default_rng(0).normal(0.7, 0.02, 4000)
    plain = intervals.interval([0.7, 0.7, 0.7], draws)
    np.testing.assert_allclose([plain.lower, plain.upper], np.quantile(draws, [0.025, 0.975]), atol=1e-3)
    wide = intervals.interval([0.68, 0.7, 0.72], draws)  # seed variance = bootstrap variance
    assert (wide.upper - wide.lower) / (plain.upper - plain.lower) == pytest.approx(np.sqrt(2), rel=0.03)
    finding = intervals.interval([0.7] * 3, draws, level=0.99)
    assert finding.lower < plain.lower < plain.upper < finding.upper
    assert intervals.interval([0.7] * 3, draws, bounds=(0.0, 0.71)).upper == 0.71
    assert np.isnan(intervals.interval([np.nan], np.full(9, np.nan)).lower)


def test_interval_covers():
    """200 studies of 40 bases: the 95 % interval holds the true AUROC in about 95 % of them."""
    rng = np.random.default_rng(0)
    truth = np.mean([metrics.auroc(s, y, f).value for s, y, _, f in (clustered(rng) for _ in range(1500))])
    draws = bootstrap.draw_bases(BASES[:40], n_draws=400)
    covered = 0
    for _ in range(200):
        scores, labels, bases, folds = clustered(rng)
        value = metrics.auroc(scores, labels, folds).value
        found = intervals.interval([value], bootstrap.auroc_draws(scores, labels, bases, folds, draws))
        covered += found.lower <= truth <= found.upper
    assert 0.91 <= covered / 200 <= 0.995


def test_tables_come_back_and_are_deterministic(tmp_path):
    rows = [
        {"task": "topic", "layer": 3, "estimate": 0.1 + 0.2, "lower95": float("nan"), "status": ""},
        {
            "task": "json, format",
            "layer": "selected",
            "estimate": -1e-9,
            "lower95": np.float64(1),
            "status": "no",
        },
    ]
    tables.write_csv(tmp_path / "a.csv", rows)
    tables.write_csv(tmp_path / "b.csv", rows)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    back = tables.read_csv(tmp_path / "a.csv")
    assert [row["layer"] for row in back] == [3, "selected"] and back[1]["task"] == "json, format"
    assert back[0]["estimate"] == 0.3 and np.isnan(back[0]["lower95"]) and back[0]["status"] == ""
    with pytest.raises(UserError, match="no rows"):
        tables.write_csv(tmp_path / "c.csv", [])


def test_names_that_look_like_numbers_stay_names(tmp_path):
    names = ["007", "1e5", "7", "nan", "1.50", "0.5", "-0"]
    rows = [{"model": name, "first": name, "estimate": 1e7, "n": 3} for name in names]
    tables.write_csv(tmp_path / "a.csv", rows)
    back = tables.read_csv(tmp_path / "a.csv")
    assert [row["model"] for row in back] == [str(row["first"]) for row in back] == names
    assert all((row["estimate"], row["n"]) == (1e7, 3) for row in back)
    tables.write_csv(tmp_path / "b.csv", back)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
