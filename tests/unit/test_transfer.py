"""Transfer on planted worlds, and the statistics of its matrix."""

import numpy as np
import pytest
from skillprobe.analyses.blocks import block_statistic, n_partitions, partitions, permutation_p
from skillprobe.analyses.transfer import CELL_COLUMNS, SUMMARY_COLUMNS, leaf_order, transfer_tables
from skillprobe.errors import UserError
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.specialists import specialist
from skillprobe.probes.transfer import cross_scores, load, save
from skillprobe.statistics.metrics import auroc
from skillprobe.storage.tables import columns_of

SETTINGS = Settings(penalties=(1e-3, 1e-2), shuffles=0)
D, N_BASES, PER_BASE = 24, 44, 6
# Three groups of two, so that names can fall into groups in 15 ways.
TASKS = ["word_count", "character_count", "topic", "sentiment", "term_exclusion", "toxicity"]
CATEGORIES = dict(zip(TASKS, ["structural"] * 2 + ["semantic"] * 2 + ["lexical", "stylistic"], strict=True))


def world(directions, seed=0, strength=1.0, constant=()):
    """{task: x}, {task: ids}, {task: specialist}; `constant`: tasks without violations."""
    rng = np.random.default_rng(seed)
    bases = np.repeat([f"b{i:03d}" for i in range(N_BASES)], PER_BASE)
    x, ids, specialists = {}, {}, {}
    for task, direction in zip(TASKS, directions, strict=True):
        y = rng.integers(0, 2, len(bases))
        x[task] = rng.normal(size=(len(bases), D)) + strength * (2 * y - 1)[:, None] * direction
        ids[task] = [f"{task}/{i}" for i in range(len(bases))]
        y = np.ones_like(y) if task in constant else y
        specialists[task] = specialist(x[task], y, bases, SETTINGS, ids=ids[task])
    return x, ids, specialists


def tables(directions, layer=3, **kwargs):
    x, ids, specialists = world(directions, **kwargs)
    crossed = {layer: cross_scores(x, ids, specialists)}
    by_layer = {task: {layer: result} for task, result in specialists.items()}
    return transfer_tables("toy", by_layer, crossed, CATEGORIES, signal=0.55, n_draws=400)


def find(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, wanted
    return found[0]


def test_scores_are_of_probes_that_never_saw_the_base():
    x, ids, specialists = world(np.eye(D)[:6])
    crossed = cross_scores(x, ids, specialists)
    source, target = specialists["topic"], specialists["toxicity"]
    scores = crossed["toxicity"].scores[crossed["toxicity"].sources.index("topic")]
    for s, f in [(0, 0), (1, 3), (2, 4)]:
        test = target.folds[s] == f
        expected = x["toxicity"][test] @ source.fold_weights[s, f] + source.fold_intercepts[s, f]
        np.testing.assert_allclose(scores[s, test], expected, atol=1e-4)
        trained = set(source.bases[(source.folds[s] != f) & (source.folds[s] >= 0)])
        assert not trained & set(target.bases[test])
    assert np.isnan(scores[:, target.folds[0] < 0]).all()
    # A task's own cell is its specialist.
    own = crossed["topic"].scores[crossed["topic"].sources.index("topic")]
    np.testing.assert_allclose(own, source.scores, atol=1e-4)


def test_rows_of_other_probes_are_refused():
    x, ids, specialists = world(np.eye(D)[:6])
    with pytest.raises(UserError, match="'topic'.*other rows"):
        cross_scores(x, ids | {"topic": ids["topic"][::-1]}, specialists)


def test_files_give_back_the_scores_with_equal_bytes(tmp_path):
    x, ids, specialists = world(np.eye(D)[:6], constant=["topic"])
    crossed = cross_scores(x, ids, specialists)
    save(tmp_path / "a.h5", crossed)
    save(tmp_path / "b.h5", crossed)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    back = load(tmp_path / "a.h5")
    assert list(back) == TASKS and back["topic"].sources == tuple(TASKS)
    np.testing.assert_array_equal(back["sentiment"].scores, crossed["sentiment"].scores)
    (tmp_path / "broken.h5").write_text("no")
    with pytest.raises(UserError, match=r"broken\.h5"):
        load(tmp_path / "broken.h5")


def test_universal_world_transfers_fully():
    cells, summary = tables([np.eye(D)[0]] * 6)
    row = find(summary, layer="selected", quantity="mean_ratio")
    assert row["lower99"] > 0.5 and 0.85 < row["estimate"] < 1.15 and row["status"] == ""
    assert all(tuple(row) == CELL_COLUMNS for row in cells)
    assert all(set(columns_of(row)) == set(SUMMARY_COLUMNS) for row in summary)


def test_compositional_world_transfers_nothing():
    cells, summary = tables(np.eye(D)[:6])
    row = find(summary, layer="selected", quantity="mean_ratio")
    assert row["upper99"] < 0.5 and abs(row["estimate"]) < 0.15
    assert all(row["lower_simultaneous95"] <= row["lower95"] for row in cells)


def test_simultaneous_intervals_hold_what_the_probes_do_on_new_data():
    """For every cell at once; what they hold is these probes' AUROC, which is not quite ½ even where tasks
    have nothing in common: a probe's noise points somewhere."""
    directions = np.eye(D)[:6]
    _, _, specialists = world(directions)
    cells, _ = tables(directions)
    rng = np.random.default_rng(9)
    y = rng.integers(0, 2, 3000)
    for target, direction in zip(TASKS, directions, strict=True):
        x = rng.normal(size=(len(y), D)) + (2 * y - 1)[:, None] * direction
        for source in TASKS:
            weights = specialists[source].fold_weights.reshape(-1, D)
            truth = np.mean([auroc(x @ w, y, np.zeros(len(y))).value for w in weights])
            row = find(cells, layer=3, source=source, target=target)
            assert row["lower_simultaneous95"] < truth < row["upper_simultaneous95"], (source, target)


def test_clustered_world_is_found_and_ordered():
    first, second, third = np.eye(D)[:3]
    cells, summary = tables([first, first, second, second, third, third])
    row = find(summary, layer="selected", quantity="block", grouping="paper")
    assert row["lower99"] > 0.3 and row["n_permutations"] == 15
    assert row["p"] == pytest.approx(1 / 15)  # the observed partition alone is as good as itself
    place = {row["source"]: row["source_place"] for row in cells if row["layer"] == "selected"}
    for a, b in (TASKS[:2], TASKS[2:4], TASKS[4:]):
        assert abs(place[a] - place[b]) == 1


def test_a_reversed_skill_keeps_its_sign():
    direction = np.eye(D)[0]
    cells, _ = tables([direction, -direction, *np.eye(D)[1:5]])
    row = find(cells, layer=3, source="word_count", target="character_count")
    assert row["estimate"] < 0.2 and row["upper_simultaneous95"] < 0.5 and row["ratio"] < -0.6


def test_insufficient_and_silent_tasks_flow_through():
    directions = [*np.eye(D)[:5], np.zeros(D)]
    cells, summary = tables(directions, constant=["topic"])
    for row in cells:
        if "topic" in (row["source"], row["target"]):
            assert row["status"].startswith("insufficient: topic: 0 violated") and np.isnan(row["estimate"])
            assert np.isnan(row["lower_simultaneous95"]) and np.isnan(row["ratio"])
        elif row["target"] == "toxicity":  # sufficient, but without a signal to take a share of
            assert row["status"] == "" and np.isfinite(row["estimate"]) and np.isnan(row["ratio"])
    assert find(summary, layer=3, quantity="mean_ratio")["n_tasks"] == 4
    assert max(row["source_place"] for row in cells if row["source"] == "topic") == 5

    _, summary = tables([np.zeros(D)] * 6, constant=TASKS[:3])
    assert all(row["status"].startswith("insufficient: ") for row in summary)
    _, summary = tables([np.zeros(D)] * 6, constant=TASKS)
    assert all(np.isnan(row["estimate"]) for row in summary)


def test_selected_layer_is_common_to_all_tasks_and_nested():
    x, ids, good = world(np.eye(D)[:6])
    noise, _, bad = world(np.eye(D)[:6], strength=0.0, seed=0)
    crossed = {0: cross_scores(noise, ids, bad), 1: cross_scores(x, ids, good)}
    by_layer = {task: {0: bad[task], 1: good[task]} for task in TASKS}
    # Both layers have the labels of the good one: the same draws of a seeded generator.
    assert all((bad[task].labels == good[task].labels).all() for task in TASKS)
    cells, _ = transfer_tables("toy", by_layer, crossed, CATEGORIES, signal=0.55, n_draws=100)
    for source, target in (("topic", "topic"), ("topic", "toxicity")):
        chosen = find(cells, layer="selected", source=source, target=target)
        assert chosen["estimate"] == find(cells, layer=1, source=source, target=target)["estimate"]


def test_block_statistic_ignores_rows_and_columns_and_the_diagonal():
    rng = np.random.default_rng(0)
    groups = np.array([0, 0, 1, 1, 2])
    alike = rng.normal(size=(5, 5))
    alike += alike.T
    effect = rng.normal(size=5)
    moved = alike + effect[:, None] + effect[None, :] + np.diag(rng.normal(size=5)) + 3
    assert block_statistic(moved, groups) == pytest.approx(block_statistic(alike, groups))
    planted = alike * 0 + (groups[:, None] == groups[None, :])
    assert block_statistic(planted, groups) > block_statistic(planted, np.array([0, 1, 0, 1, 2])) + 0.3
    # The fitted effects leave residuals that add up to nothing along each row.
    from skillprobe.analyses.blocks import _residual

    residual = _residual(alike)
    np.fill_diagonal(residual, 0)
    np.testing.assert_allclose(residual.sum(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("sizes", [(3, 2, 2, 1, 1), (2, 2), (3,), (1, 1, 1), (4, 2)])
def test_partitions_are_all_there_once(sizes):
    found = {
        frozenset(frozenset(np.flatnonzero(np.array(labels) == group)) for group in set(labels))
        for labels in partitions(sizes)
    }
    assert len(found) == n_partitions(sizes) == len(list(partitions(sizes)))
    assert all(sorted(map(len, each)) == sorted(sizes) for each in found)
    assert n_partitions((3, 2, 2, 1, 1)) == 3780


def test_permutation_p_is_uniform_under_the_null():
    rng = np.random.default_rng(0)
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 3, 4])
    values = []
    for _ in range(200):
        alike = rng.normal(size=(9, 9))
        values.append(permutation_p(alike + alike.T, groups)[0])
    assert 0.02 < np.mean(np.array(values) < 0.1) < 0.19 and abs(np.mean(values) - 0.5) < 0.08


def test_leaf_order_puts_likes_together():
    tasks = list("abcdef")
    value = np.full((6, 6), 0.5) + 0.4 * (np.arange(6)[:, None] % 3 == np.arange(6)[None, :] % 3)
    value[2, :] = value[:, 2] = np.nan
    order = leaf_order(tasks, value)
    assert order[-1] == "c" and abs(order.index("a") - order.index("d")) == 1
    assert abs(order.index("b") - order.index("e")) == 1


def test_null_probes_transfer_at_chance():
    """AUROC of probes of noise on other tasks is ½, also when both share their rows."""
    rng = np.random.default_rng(5)
    bases = np.repeat([f"b{i:03d}" for i in range(N_BASES)], PER_BASE)
    x = np.repeat(rng.normal(size=(N_BASES, D)), PER_BASE, axis=0) + rng.normal(size=(len(bases), D))
    ids = [str(i) for i in range(len(bases))]
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        rates = rng.choice([0.2, 0.8], N_BASES)  # bases differ in how often they satisfy
        made = {
            task: specialist(
                x,
                (rng.random(len(bases)) < np.repeat(rng.permutation(rates), PER_BASE)).astype(int),
                bases,
                SETTINGS,
                ids=ids,
            )
            for task in ("topic", "toxicity")
        }
        crossed = cross_scores({t: x for t in made}, {t: ids for t in made}, made)
        result = made["toxicity"]
        scores = crossed["toxicity"].scores[0]
        found += [auroc(s, result.labels, f).value for s, f in zip(scores, result.folds, strict=True)]
    assert abs(np.mean(found) - 0.5) < 0.05
