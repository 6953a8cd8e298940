"""The solver is exact, the protocol leaks nothing, the files hold what was computed."""

import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
from skillprobe.errors import UserError
from skillprobe.probes import ProbeResult, Settings, general, load, save, specialist
from skillprobe.probes.solver import Rows, _solve_positive, feature_scale
from skillprobe.stats import CALIBRATION, auroc, auroc_draws, draw_bases, interval
from sklearn.linear_model import LogisticRegression

SETTINGS = Settings(penalties=(1e-3, 1e-2, 1e-1))
SHAPES = [(60, 20), (60, 200)]  # primal, dual


def data(n, d, seed=0, signal=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    direction = rng.normal(size=d) / np.sqrt(d)
    x = rng.normal(size=(n, d)) * (1 + np.arange(d) % 3) + signal * (2 * y - 1)[:, None] * direction + 5
    return x, y


def task_data(seed=0, n_bases=44, per_base=6, d=24, signal=1.0, direction=None):
    """x, y, bases of one task, its rows in the order of the bases."""
    rng = np.random.default_rng(seed)
    bases = np.repeat([f"b{i:03d}" for i in range(n_bases)], per_base)
    y = rng.integers(0, 2, len(bases))
    direction = np.eye(d)[0] if direction is None else direction
    x = rng.normal(size=(len(bases), d)) + signal * (2 * y - 1)[:, None] * direction
    return x.astype(np.float32), y, bases


# ----------------------------------------------------------------------------------------------- solver


@pytest.mark.parametrize("n, d", SHAPES)
def test_equals_scikit_learn_at_equal_convergence(n, d):
    x, y = data(n, d)
    train, penalties = np.arange(45), [1e-3, 1e-2, 1e-1, 1.0]
    fit = Rows(x).fit(train, y, penalties)
    scaled = (x - x[train].mean(0)) / np.sqrt(x[train].var(0).mean())
    for decision, penalty in zip(fit.decision, penalties, strict=True):
        reference = LogisticRegression(C=penalty, tol=1e-10, max_iter=20000).fit(scaled[train], y[train])
        np.testing.assert_allclose(decision, reference.decision_function(scaled), atol=1e-4)


@pytest.mark.parametrize("n, d", SHAPES)
def test_gradient_is_zero_and_raw_weights_reproduce_the_scores(n, d):
    x, y = data(n, d)
    scale = feature_scale(x)
    train = np.arange(0, n, 2)
    fit = Rows(x, scale).fit(train, y, [0.3])
    weights, intercept = fit.raw()
    np.testing.assert_allclose(x @ weights + intercept[0], fit.decision[0], atol=1e-8)
    z = x[train] / scale
    z = (z - z.mean(0)) / np.sqrt(z.var(0).mean())
    slope = 0.3 * (y[train] - 1 / (1 + np.exp(-fit.decision[0, train])))
    assert abs(slope.sum()) < 1e-6
    deviation = np.sqrt((x[train] / scale).var(0).mean())
    np.testing.assert_allclose(weights * scale * deviation, z.T @ slope, atol=1e-6)


@pytest.mark.parametrize("n, d", SHAPES)
def test_primal_and_dual_agree_within_groups(n, d):
    """Zero features change nothing but which of the two is solved; C keeps its meaning through d."""
    x, y = data(n, d)
    groups, train = np.arange(n) % 3, np.arange(n - 10)
    x += 4 * groups[:, None]
    fit = Rows(x).fit(train, y, [0.01, 0.1], groups)
    rows = Rows(np.hstack([x, np.zeros((n, 300))]))
    wide = rows.fit(train, y, np.array([0.01, 0.1]) * d / (d + 300), groups)
    np.testing.assert_allclose(wide.decision, fit.decision, atol=1e-5)
    rows.gram = None  # the path of many rows, few of them for training
    np.testing.assert_allclose(
        rows.fit(train, y, np.array([0.01, 0.1]) * d / (d + 300), groups).decision, wide.decision, atol=1e-8
    )
    weights, intercepts = fit.raw(1)
    np.testing.assert_allclose(x @ weights + intercepts[groups], fit.decision[1], atol=1e-8)
    # Centring within groups: a shift of one group changes no decision value.
    shifted = Rows(x + 7 * (groups == 1)[:, None]).fit(train, y, [0.01, 0.1], groups)
    np.testing.assert_allclose(shifted.decision, fit.decision, atol=1e-5)


@pytest.mark.parametrize("n, d", SHAPES)
def test_rotation_shift_units_and_row_order_change_nothing(n, d):
    x, y = data(n, d)
    train = np.arange(45)
    expected = Rows(x).fit(train, y, [0.1]).decision
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(d, d)))[0]
    np.testing.assert_allclose(
        Rows(1e3 * (x @ rotation) + 40).fit(train, y, [0.1]).decision, expected, atol=1e-5
    )
    order = np.random.default_rng(2).permutation(n)
    new_train = np.flatnonzero(order < 45)
    shuffled = Rows(x[order]).fit(new_train, y[order], [0.1]).decision
    np.testing.assert_allclose(shuffled, expected[:, order], atol=1e-5)


@pytest.mark.parametrize("n, d", SHAPES)
def test_separable_data_stays_finite_and_optimal(n, d):
    x, y = data(n, d, signal=0)
    x[:, 0] += 50 * y
    fit = Rows(x).fit(np.arange(n), y, [1e-6, 1e3, 1e6])
    assert np.isfinite(fit.decision).all()
    assert ((fit.decision[1:] > 0) == y).all()
    slope = 1e3 * (y - 1 / (1 + np.exp(-fit.decision[1])))
    assert abs(slope.sum()) < 1e-4 * np.abs(slope).sum()


@pytest.mark.parametrize("n, d", SHAPES)
def test_constant_features_and_constant_rows(n, d):
    x, y = data(n, d)
    x[:, 1] = 0.1
    scale = feature_scale(x)
    assert (scale > 0.3).all()
    assert np.isfinite(Rows(x, scale).fit(np.arange(40), y, [0.1]).decision).all()
    same = np.tile(np.float32(0.1) * np.arange(1, d + 1, dtype=np.float32), (n, 1))
    fit = Rows(same, feature_scale(same)).fit(np.arange(40), y, [0.1])
    assert fit.degenerate and (fit.decision == 0).all()
    # Constant on the training rows only.
    same[50:] += 1
    assert Rows(same).fit(np.arange(40), y, [0.1]).degenerate


def test_one_class_gives_constant_scores():
    x, y = data(30, 5)
    fit = Rows(x).fit(np.flatnonzero(y == 1), y, [0.1, 1.0])
    assert fit.degenerate and (fit.decision == 0).all()
    weights, intercept = fit.raw(1)
    assert (weights == 0).all() and intercept == 0


def test_blocked_solution_of_a_large_system():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(500, 600))
    matrix, right = a @ a.T / 600 + np.eye(500), rng.normal(size=(500, 2))
    np.testing.assert_allclose(matrix @ _solve_positive(matrix, right), right, atol=1e-9)


# --------------------------------------------------------------------------------------------- protocol


def test_specialist_scores_are_those_of_a_probe_without_the_test_bases():
    x, y, bases = task_data()
    result = specialist(x, y, bases, SETTINGS)
    assert result.status == "" and result.scores.shape == (3, len(y)) and result.scores.dtype == np.float32
    assert np.isnan(result.scores[:, result.folds[0] == CALIBRATION]).all()
    scale = feature_scale(x[result.folds[0] == CALIBRATION])
    for s, f in [(0, 0), (2, 3)]:
        test = result.folds[s] == f
        train = ~test & (result.folds[s] != CALIBRATION)
        assert not set(bases[train]) & set(bases[test])
        z = x / scale
        z = (z - z[train].mean(0)) / np.sqrt(z[train].var(0).mean())
        reference = LogisticRegression(C=result.chosen_c[s, f], tol=1e-10, max_iter=10000).fit(
            z[train], y[train]
        )
        np.testing.assert_allclose(result.scores[s, test], reference.decision_function(z[test]), atol=1e-4)


def test_test_labels_reach_no_score_of_their_fold():
    x, y, bases = task_data(signal=0.5)
    result = specialist(x, y, bases, SETTINGS)
    test = result.folds[0] == 2
    flipped = np.where(test, 1 - y, y)
    other = specialist(x, flipped, bases, SETTINGS)
    np.testing.assert_array_equal(other.scores[0, test], result.scores[0, test])
    assert other.chosen_c[0, 2] == result.chosen_c[0, 2]
    assert other.inner_auroc[0, 2] == result.inner_auroc[0, 2]


def test_inner_auroc_is_of_probes_trained_on_the_other_inner_folds():
    x, y, bases = task_data(signal=0.5)
    one = Settings(penalties=(0.01,), fold_seeds=(4,), feature_scaling=False)
    result = specialist(x, y, bases, one)
    fold, scores = result.folds[0], np.zeros(len(y), np.float32)
    for g in range(1, 5):
        train = np.flatnonzero((fold != 0) & (fold != g) & (fold != CALIBRATION))
        scores[fold == g] = Rows(x).fit(train, y, [0.01]).decision[0, fold == g]
    expected = auroc(scores, y, np.where(fold == 0, CALIBRATION, fold)).value
    assert result.inner_auroc[0, 0] == pytest.approx(expected)


def test_row_order_and_other_tasks_change_nothing():
    x, y, bases = task_data()
    ids = np.array([f"{base}/{i}" for i, base in enumerate(bases)])
    result = specialist(x, y, bases, SETTINGS, ids=ids)
    order = np.random.default_rng(0).permutation(len(y))
    shuffled = specialist(x[order], y[order], bases[order], SETTINGS, ids=ids[order])
    np.testing.assert_allclose(shuffled.scores, result.scores[:, order], atol=1e-5)
    np.testing.assert_array_equal(shuffled.chosen_c, result.chosen_c)
    # A task that lacks bases keeps the folds of the rest, given the study's bases.
    kept = bases != "b007"
    part = specialist(x[kept], y[kept], bases[kept], SETTINGS, study_bases=bases)
    np.testing.assert_array_equal(part.folds, result.folds[:, kept])


def test_null_data_gives_a_half_within_its_interval():
    inside, values = 0, []
    for seed in range(6):
        x, y, bases = task_data(seed=seed, signal=0)
        result = specialist(x, y, bases, SETTINGS)
        by_seed = [auroc(s, y, f).value for s, f in zip(result.scores, result.folds, strict=True)]
        draws = draw_bases(bases[result.folds[0] >= 0], n_draws=300)
        boot = np.mean(
            [auroc_draws(s, y, bases, f, draws) for s, f in zip(result.scores, result.folds, strict=True)], 0
        )
        found = interval(by_seed, boot, 0.99)
        inside += found.lower <= 0.5 <= found.upper
        values.append(found.estimate)
    assert inside >= 5 and abs(np.mean(values) - 0.5) < 0.04


def tasks_data(directions, **kwargs):
    made = {f"task{i}": task_data(seed=i, direction=v, **kwargs) for i, v in enumerate(directions)}
    return tuple({name: triple[k] for name, triple in made.items()} for k in range(3))


def test_general_of_two_copies_of_a_task_is_its_specialist():
    """Twice the same rows at C/2 is once the rows at C."""
    x, y, bases = task_data(signal=0.5)
    settings = Settings(penalties=(0.02,))
    alone = specialist(x, y, bases, settings)
    both = general(
        {"a": x, "b": x}, {"a": y, "b": y}, {"a": bases, "b": bases}, replace(settings, penalties=(0.01,))
    )
    for variant in ("all", "centred"):
        for task in "ab":
            np.testing.assert_allclose(both[variant][task].scores, alone.scores, atol=1e-4)
            np.testing.assert_allclose(both[variant][task].weights, alone.weights, atol=1e-5)
            assert both[variant][task].intercept == pytest.approx(alone.intercept, abs=1e-4)


def test_centred_general_ignores_offsets_of_tasks():
    x, y, bases = tasks_data([np.eye(24)[0]] * 3, signal=0.5)
    plain = general(x, y, bases, Settings(penalties=(0.01,), feature_scaling=False))
    moved = {name: value + 3 * i for i, (name, value) in enumerate(x.items())}
    after = general(moved, y, bases, Settings(penalties=(0.01,), feature_scaling=False))
    for task in x:
        np.testing.assert_allclose(after["centred"][task].scores, plain["centred"][task].scores, atol=1e-4)
        weights, intercept = after["centred"][task].weights, after["centred"][task].intercept
        assert np.corrcoef(moved[task] @ weights + intercept, after["centred"][task].labels)[0, 1] > 0.3
    assert np.nanmax(np.abs(after["all"]["task0"].scores - plain["all"]["task0"].scores)) > 0.01


def test_matched_general_uses_as_many_rows_as_a_specialist(monkeypatch):
    x, y, bases = tasks_data([np.eye(24)[0]] * 3)
    sizes = []
    fit = Rows.fit
    monkeypatch.setattr(Rows, "fit", lambda self, train, *a: sizes.append(len(train)) or fit(self, train, *a))
    specialist(x["task0"], y["task0"], bases["task0"], SETTINGS)
    special, sizes[:] = list(sizes), []
    general(x, y, bases, SETTINGS, variants=["matched"])
    assert sizes == special
    # The pick depends on the ids, not on labels.
    flipped = {name: 1 - label for name, label in y.items()}
    results = [general(x, labels, bases, SETTINGS, variants=["matched"]) for labels in (y, flipped)]
    first, second = (result["matched"]["task1"].scores for result in results)
    np.testing.assert_allclose(first, -second, atol=1e-5)


def test_insufficient_tasks_are_left_out_and_say_so():
    x, y, bases = tasks_data([np.eye(24)[0]] * 3)
    alone = general({k: x[k] for k in ("task0", "task1")}, y, bases, SETTINGS, study_bases=bases["task0"])
    y["task2"] = np.ones_like(y["task2"])
    results = general(x, y, bases, Settings(penalties=SETTINGS.penalties))
    assert "0 violated responses" in results["all"]["task2"].status
    assert np.isnan(results["all"]["task2"].scores).all()
    assert alone["all"]["task0"].scores.shape == results["all"]["task0"].scores.shape
    y["task1"] = y["task2"]
    lonely = general(x, y, bases, SETTINGS)
    assert "two sufficient tasks" in lonely["centred"]["task0"].status
    assert "violated" in lonely["centred"]["task1"].status
    y["task0"] = y["task2"]
    assert all(
        result.status for by_task in general(x, y, bases, SETTINGS).values() for result in by_task.values()
    )
    cut = specialist(*task_data(), SETTINGS, truncated_fraction=0.2)
    assert "truncated" in cut.status and cut.weights.size == 0


def test_constant_activations_are_flagged_not_scored():
    x, y, bases = task_data()
    result = specialist(np.ones_like(x), y, bases, SETTINGS)
    assert result.status == "" and auroc(result.scores[0], y, result.folds[0]).constant


def test_bad_input_is_refused_in_words():
    x, y, bases = task_data()
    with pytest.raises(UserError, match="not finite"):
        specialist(np.where(x > 2, np.nan, x), y, bases, SETTINGS)
    with pytest.raises(UserError, match="labels must be"):
        specialist(x, y + 1, bases, SETTINGS)
    with pytest.raises(UserError, match="one each"):
        specialist(x, y[1:], bases, SETTINGS)
    with pytest.raises(UserError, match="ascending"):
        Settings(penalties=(1.0, 0.1))


# ------------------------------------------------------------------------------------------------ files


def same(a: ProbeResult, b: ProbeResult) -> bool:
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(ProbeResult)]
    return all(
        np.array_equal(p, q, equal_nan=not isinstance(p, str) and np.asarray(p).dtype.kind == "f")
        for p, q in pairs
    )


def test_files_give_back_the_result_with_equal_bytes(tmp_path):
    x, y, bases = tasks_data([np.eye(24)[0]] * 3)
    y["task2"] = np.ones_like(y["task2"])
    results = general(x, y, bases, SETTINGS, variants=["all", "centred"])
    special = specialist(
        x["task0"], y["task0"], bases["task0"], SETTINGS, ids=[f"é{i}" for i in range(len(x["task0"]))]
    )
    for name, result in (("general", results), ("specialist", special)):
        save(tmp_path / f"{name}.h5", result)
        save(tmp_path / f"{name}2.h5", result)
        assert (tmp_path / f"{name}.h5").read_bytes() == (tmp_path / f"{name}2.h5").read_bytes()
    assert same(load(tmp_path / "specialist.h5"), special)
    back = load(tmp_path / "general.h5")
    assert list(back) == ["all", "centred"] and list(back["all"]) == ["task0", "task1", "task2"]
    assert all(same(back[v][t], results[v][t]) for v in results for t in results[v])
    (tmp_path / "broken.h5").write_text("no")
    with pytest.raises(UserError, match=r"broken\.h5"):
        load(tmp_path / "broken.h5")


# -------------------------------------------------------------------------------------------- estimator


def test_estimator_passes_scikit_learns_checks():
    from skillprobe.probes import LogisticProbe
    from sklearn.utils.estimator_checks import check_estimator

    check_estimator(LogisticProbe())


def test_estimator_is_the_solver():
    from skillprobe.probes import LogisticProbe

    x, y = data(60, 20)
    scale = feature_scale(x)
    probe = LogisticProbe(C=0.1, scale=scale).fit(x, np.array(["no", "yes"])[y])
    np.testing.assert_allclose(
        probe.decision_function(x), Rows(x, scale).fit(np.arange(60), y, [0.1]).decision[0]
    )
    assert (
        probe.predict_proba(x).sum(1) == pytest.approx(1) and probe.score(x, np.array(["no", "yes"])[y]) > 0.6
    )
    with pytest.raises(ValueError, match="one positive number for each of the 20"):
        LogisticProbe(scale=np.ones(3)).fit(x, y)


def test_probe_jobs_import_neither_scikit_learn_nor_scipy():
    code = (
        "import sys, skillprobe.probes, skillprobe.analyses.generality, skillprobe.tables;"
        "assert not {'sklearn', 'scipy', 'pandas', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
