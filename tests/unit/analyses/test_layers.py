"""Planted worlds: tasks that emerge at known layers; and what the table says of their order."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau
from skillprobe.analyses import layers
from skillprobe.errors import UserError
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.specialists import specialist
from skillprobe.statistics import bootstrap, intervals, metrics
from skillprobe.storage import tables
from skillprobe.storage.tables import columns_of

SETTINGS = Settings(penalties=(1e-2,), shuffles=0)
CATEGORIES = {
    "json": "structural",
    "words": "structural",
    "term": "lexical",
    "exclusion": "lexical",
    "topic": "semantic",
    "register": "stylistic",
}
NUM_LAYERS = 4
BASES = np.repeat([f"b{i:03d}" for i in range(44)], 6)
STRONG = 2.5
BY_CATEGORY = {"structural": 1, "lexical": 2, "semantic": 3, "stylistic": 3}


def step(at, weak=0.0, strong=STRONG):
    """Signal strength at each layer: `weak` before layer `at`, `strong` from there on."""
    return [weak if layer < at else strong for layer in range(NUM_LAYERS + 1)]


def planted(strengths, labels=None, seed=0):
    """{task: {layer: result}} of {task: [strength by layer]}."""
    specialists = {}
    # Each task by its own generator: a world of fewer tasks has the same ones.
    for number, (task, by_layer) in enumerate(strengths.items()):
        rng = np.random.default_rng([seed, number])
        y = rng.integers(0, 2, len(BASES)) if labels is None or task not in labels else labels[task]
        specialists[task] = {}
        for layer, strength in enumerate(by_layer):
            x = rng.normal(size=(len(BASES), 8))
            x[:, 0] += strength * (2 * y - 1)
            specialists[task][layer] = specialist(x, y, BASES, SETTINGS)
    return specialists


def table(specialists, **kwargs):
    kwargs = {"n_draws": 400, **kwargs}
    return layers.layers_table(
        "toy", specialists, CATEGORIES, NUM_LAYERS, **{"signal": 0.55, "share": 0.5} | kwargs
    )


def find(rows, task, quantity=None):
    quantity = quantity or ("tau" if task == "all" else "emergence")
    (row,) = [row for row in rows if (row["task"], row["quantity"]) == (task, quantity)]
    return row


def is_missing(row):
    return all(np.isnan(row[name]) for name in ("estimate", "lower95", "upper95", "lower99", "upper99"))


@pytest.fixture(scope="module")
def stratified():
    return planted({task: step(BY_CATEGORY[category]) for task, category in CATEGORIES.items()})


@pytest.fixture(scope="module")
def stratified_rows(stratified):
    return table(stratified)


def test_stratified_world_has_an_order(stratified_rows):
    for task, category in CATEGORIES.items():
        row = find(stratified_rows, task)
        assert row["estimate"] == pytest.approx(BY_CATEGORY[category] / NUM_LAYERS)
        assert (row["category"], row["n_tasks"], row["tasks"], row["status"]) == (category, 1, task, "")
        # From that layer on the curve is flat; before, half of the noise is above chance.
        late, centroid = (find(stratified_rows, task, name) for name in ("emergence_95", "centroid"))
        assert late["estimate"] == pytest.approx(row["estimate"])
        assert centroid["estimate"] == pytest.approx((BY_CATEGORY[category] + NUM_LAYERS) / 8, abs=0.08)
    # Centroids are never tied, though categories are.
    for name, most in (("tau", 1), ("tau_95", 1), ("tau_centroid", 0.894)):
        tau = find(stratified_rows, "all", name)
        assert tau["estimate"] == pytest.approx(most, abs=1e-3) and tau["lower99"] > 0
        assert (tau["n_tasks"], tau["tasks"], tau["status"]) == (6, " ".join(CATEGORIES), "")


def test_reversed_world_has_the_reverse():
    tau = find(
        table(planted({task: step(4 - BY_CATEGORY[category]) for task, category in CATEGORIES.items()})),
        "all",
    )
    assert tau["estimate"] == pytest.approx(-1) and tau["upper99"] < 0


def test_one_depth_has_no_order():
    rows = table(planted({task: step(2) for task in CATEGORIES}))
    assert all(find(rows, task)["estimate"] == 0.5 for task in CATEGORIES)
    tau = find(rows, "all")
    assert (
        is_missing(tau) and tau["status"] == "insufficient: all tasks with a signal emerge at the same depth"
    )
    assert tau["n_tasks"] == 6


def test_one_task_that_may_be_late_is_no_order():
    """Of some draws all tasks are tied: these count against an order, they are not dropped."""
    strengths = {task: step(1) for task in CATEGORIES}
    strengths["register"] = [0.0, 0.45, STRONG, STRONG, STRONG]
    rows = table(planted(strengths))
    late = find(rows, "register")
    # So there are both kinds of draws.
    assert late["lower99"] < 0.25 and late["estimate"] == 0.5
    tau = find(rows, "all")
    assert tau["estimate"] > 0 and tau["lower95"] <= 0


def test_task_without_signal_takes_no_part(stratified, stratified_rows):
    noise = planted({"words": step(NUM_LAYERS + 1)}, seed=1)
    rows = table(stratified | noise)
    row = find(rows, "words")
    assert is_missing(row)
    assert row["status"] == (
        "no signal: judged by the other folds, the AUROC at the selected layer is high enough in 0 of 15 "
        "test folds; it must be in three fifths"
    )
    assert (row["n_tasks"], row["tasks"]) == (0, "")
    rest = {task: by_layer for task, by_layer in stratified.items() if task != "words"}
    assert find(rows, "all") == find(table(rest), "all")
    assert find(rows, "all")["n_tasks"] == 5
    # The others are as they were.
    assert [row for row in rows if row["task"] in rest] == [r for r in stratified_rows if r["task"] in rest]
    # No task reaches a bound of 1.
    none = table(stratified, signal=1.0)
    assert all(is_missing(row) for row in none)
    tau = find(none, "all")
    assert (tau["n_tasks"], tau["tasks"], tau["status"]) == (0, "", "insufficient: no task has a signal")


def test_insufficient_task_flows_through(stratified, tmp_path):
    labels = {task: np.ones(len(BASES), int) for task in CATEGORIES}
    bad = planted({task: step(1) for task in CATEGORIES}, labels)
    rows = table(stratified | {"json": bad["json"], "term": bad["term"]})
    for task in ("json", "term"):
        row = find(rows, task)
        assert is_missing(row) and row["status"].startswith("insufficient: 0 violated responses")
    cut = {layer: replace(each, truncated=0.1) for layer, each in stratified["words"].items()}
    told = table(stratified | {"words": cut})
    assert find(told, "words")["truncated"] == 0.1 and find(told, "topic")["truncated"] == 0
    assert find(told, "all")["truncated"] == pytest.approx(0.1 / len(stratified))
    tau = find(rows, "all")
    assert (tau["n_tasks"], tau["status"]) == (4, "") and tau["estimate"] == pytest.approx(1)

    # Whether so few are enough is the claim's rule.
    rows = table(stratified | {task: bad[task] for task in ("json", "term", "topic")})
    tau = find(rows, "all")
    assert (tau["n_tasks"], tau["tasks"], tau["status"]) == (3, "words exclusion register", "")
    assert all(columns_of(row) == layers.COLUMNS for row in rows)
    tables.write_csv(tmp_path / "layers.csv", rows)
    assert len(tables.read_csv(tmp_path / "layers.csv")) == 3 * 7


def test_tasks_of_one_rank_have_no_order(stratified):
    tau = find(table({task: stratified[task] for task in ("topic", "register")}), "all")
    assert (
        is_missing(tau)
        and tau["status"] == "insufficient: all tasks with a signal have categories of the same rank"
    )


def test_draws_are_the_studys(stratified, stratified_rows):
    study_groups = sorted(set(BASES))
    fewer = table(stratified, n_draws=100, study_groups=study_groups)
    for row, other in zip(fewer, stratified_rows, strict=True):
        assert (row["task"], row["estimate"], row["n_tasks"]) == (
            other["task"],
            other["estimate"],
            other["n_tasks"],
        )
    alone = table({"term": stratified["term"]}, study_groups=study_groups)
    assert find(alone, "term") == find(stratified_rows, "term")


def test_estimate_and_interval_are_of_the_emergence_of_each_fold_seed():
    """Slowly rising curves differ between fold seeds and draws; computed here one curve at a time."""
    specialists = planted({"topic": [0.0, 0.5, 0.7, 0.8, 0.85]})
    row = find(table(specialists), "topic", "emergence_95")
    draws = bootstrap.draw_groups(set(BASES[specialists["topic"][0].folds[0] >= 0]), n_draws=400)

    def first(curve):
        wanted = 0.95 * (max(curve) - 0.5)
        return next(layer for layer, value in enumerate(curve) if value - 0.5 >= wanted) / NUM_LAYERS

    results = specialists["topic"].values()
    by_seed, drawn = [], []
    for s in range(3):
        by_seed.append(first([metrics.auroc(r.scores[s], r.labels, r.folds[s]).value for r in results]))
        each = [bootstrap.auroc_draws(r.scores[s], r.labels, r.groups, r.folds[s], draws) for r in results]
        drawn.append([first(curve) for curve in np.transpose(each)])
    expected = intervals.interval(by_seed, np.mean(drawn, axis=0), 0.99, (0, 1), intervals.FIXED_PROBES)
    found = (row["estimate"], row["lower99"], row["upper99"])
    assert found == pytest.approx((expected.estimate, expected.lower, expected.upper))
    assert 0 <= row["lower99"] <= row["lower95"] <= row["estimate"] <= row["upper95"] <= row["upper99"] <= 1
    assert row["lower99"] < row["upper99"]


def test_emergence_is_relative_to_the_own_maximum():
    curves = np.array([[0.5, 0.5, 0.4], [0.6, 0.9, 0.5], [0.696, 0.94, 0.45], [0.7, 0.96, 0.5]])
    found = layers.emergence(curves, [0, 0.25, 0.5, 1], share=0.95)
    np.testing.assert_array_equal(found, [0.5, 0.5, np.nan])
    np.testing.assert_array_equal(layers.emergence(curves, [0, 0.25, 0.5, 1], share=1)[:2], [1, 1])
    # Any increasing linear map of AUROC − ½ leaves it where it is.
    np.testing.assert_array_equal(
        layers.emergence(0.5 + 0.3 * (curves - 0.5), [0, 0.25, 0.5, 1], 0.95), found
    )
    np.testing.assert_array_equal(layers.emergence(curves, [0, 0.25, 0.5, 1])[:2], [0.25, 0.25])
    assert np.isnan(layers.emergence(np.array([np.nan, 0.8]), [0, 1]))


def test_the_centroid_is_the_mean_depth_of_what_is_above_chance():
    curves = np.array([[0.5, 0.4, 0.5], [0.6, 0.4, 0.9], [0.7, 0.5, 0.7]])
    found = layers.centroid(curves, [0, 0.5, 1])
    np.testing.assert_allclose(found, [(0.1 * 0.5 + 0.2) / 0.3, np.nan, (0.4 * 0.5 + 0.2) / 0.6])


def test_at_half_of_the_maximum_a_flat_curve_emerges_where_it_rises():
    """From layer 1 on, all layers hold the same signal: at 95 % of the maximum, noise decides which is first;
    at half it is layer 1 in every fold seed, and nearly certain."""
    half, late = [], []
    for seed in range(6):
        rows = table(planted({"topic": [0.0, 0.5, 0.5, 0.5, 0.5]}, seed=seed))
        half.append(find(rows, "topic"))
        late.append(find(rows, "topic", "emergence_95"))
    assert all(row["estimate"] == 0.25 for row in half)
    widths = [np.mean([row["upper95"] - row["lower95"] for row in of]) for of in (half, late)]
    assert widths[0] < 0.25 * widths[1]
    assert np.mean([row["estimate"] for row in late]) > 0.35


@pytest.mark.parametrize("n", [2, 5, 9])
def test_tau_b_is_scipys(n):
    rng = np.random.default_rng(n)
    x, y = rng.integers(1, 4, n), rng.integers(0, 3, (4, 50, n)) / 3
    x[:2] = 1, 2
    expected = np.array([[kendalltau(x, line).statistic for line in block] for block in y])
    np.testing.assert_allclose(layers.kendall_tau_b(x, y), expected, atol=1e-12)
    assert np.isnan(layers.kendall_tau_b(np.ones(n), y)).all()
    y[0, 0, 0] = np.nan
    assert np.isnan(layers.kendall_tau_b(x, y)[0, 0])


def test_refusals_say_what_is_wrong(stratified):
    with pytest.raises(UserError, match="no probes of model 'toy'"):
        table({})
    with pytest.raises(UserError, match="layers 0 to 4, but model 'toy' has layers 0 to 3"):
        layers.layers_table("toy", stratified, CATEGORIES, 3, signal=0.55, share=0.5)
    with pytest.raises(UserError, match="'json' has the category 'new'"):
        layers.layers_table(
            "toy", stratified, CATEGORIES | {"json": "new"}, NUM_LAYERS, signal=0.55, share=0.5
        )
