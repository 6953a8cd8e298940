"""Held-out scores of prompts: by their surface, by surface and state, and of redrawn labels."""

from dataclasses import fields, replace

import numpy as np
import pytest
from made.courses import SETTINGS, make
from made.prompts import SAMPLES, plant, protocol, scored
from skillprobe.errors import UserError
from skillprobe.probes import planning
from skillprobe.probes.rows import read_rows
from skillprobe.statistics.folds import CALIBRATION


def correlation(scores, which, truth, row=0):
    tested = scores.folds[0] != CALIBRATION
    return np.corrcoef(getattr(scores, which)[row, tested], truth[tested])[0, 1]


@pytest.fixture(scope="module")
def half():
    made = plant(0, surface=0.25, known=0.2, unknown=0.1)
    return made, scored(made, fold_seeds=2)


def test_the_surface_knows_the_params_and_the_stack_the_state_too(half):
    made, scores = half
    assert correlation(scores, "surface", made.u) > 0.8
    assert abs(correlation(scores, "surface", made.h)) < 0.2
    assert correlation(scores, "both", made.h) > 0.4 < correlation(scores, "both", made.u)
    assert correlation(scores, "both", made.p) > 0.85 > correlation(scores, "surface", made.p)


def test_the_layer_that_knows_is_selected(half):
    scores = half[1]
    assert scores.layers.shape == scores.penalties.shape == (2, 5) and (scores.layers == 8).all()
    assert set(scores.penalties.ravel()) <= set(protocol().penalties)


def test_calibration_items_have_no_scores(half):
    _, scores = half
    for values in (scores.surface, scores.both):
        np.testing.assert_array_equal(np.isnan(values), scores.folds == CALIBRATION)
    # Half of 60 groups' calibration tenth is the same for all fold seeds; the rest isn't.
    assert (scores.folds[0] != scores.folds[1]).any()


def test_no_item_is_scored_by_its_own_labels(half):
    """Turning round the labels of a test fold leaves its scores as they are, and moves all others."""
    made, scores = half
    fold = scores.folds[0]
    flipped = np.where(fold == 2, SAMPLES - made.items.satisfied, made.items.satisfied)
    other = scored(plant_with(made, flipped), directions=1)
    for name in ("surface", "both"):
        old, new = getattr(scores, name)[0], getattr(other, name)[0]
        np.testing.assert_allclose(new[fold == 2], old[fold == 2], rtol=1e-12)
        assert not np.isclose(new[(fold != 2) & (fold >= 0)], old[(fold != 2) & (fold >= 0)]).any()


def plant_with(made, satisfied):
    made = type(made)(**vars(made))
    made.items = replace(made.items, satisfied=satisfied)
    return made


def test_a_state_that_adds_nothing_changes_little():
    made = plant(1, surface=0.25, unknown=0.15)
    scores = scored(made, directions=1)
    surface, both = (correlation(scores, name, made.p) for name in ("surface", "both"))
    assert both == pytest.approx(surface, abs=0.06)


def test_redrawn_labels_are_the_states(half):
    made, scores = half
    assert scores.drawn_satisfied.shape == scores.drawn_both.shape == (3, len(made.p))
    assert (scores.drawn_satisfied <= made.items.samples).all() and (scores.drawn_satisfied >= 0).all()
    # Layers take turns.
    assert scores.drawn_layers.tolist() == [4, 8, 4]
    for row, satisfied in enumerate(scores.drawn_satisfied):
        rate = satisfied / made.items.samples
        assert rate.mean() == pytest.approx((made.items.satisfied / SAMPLES).mean(), abs=0.08)
        assert correlation(scores, "drawn_both", rate, row) > 0.3
    # As long as they are of another seed or task, they are others.
    again, other = (scored(made, task=task).drawn_satisfied for task in ("topic", "register"))
    np.testing.assert_array_equal(again, scores.drawn_satisfied)
    assert (other != again).any()


def test_features_of_prompts():
    """The params, numbers times relations, lengths, phrasing and words: what sets five items apart."""
    rows = [
        {
            "params": {"relation": "at_least" if k % 2 else "at_most", "n": 10 + k},
            "prompt": f"sea {'tea ' * (k % 2)}only{k}",
            "phrasing": "a" if k < 6 else "b",
        }
        for k in range(12)
    ]
    x, n_params = planning.item_features(rows)
    columns = [column.tolist() for column in x.T]
    numbers = [10.0 + k for k in range(12)]
    assert numbers in columns[:n_params]
    assert [number * (k % 2) for k, number in enumerate(numbers)] in columns[:n_params]
    assert [float(k >= 6) for k in range(12)] in columns[n_params:]
    # No two are alike, and no word is of one prompt only.
    assert len(set(map(tuple, columns))) == len(columns) == n_params + 5
    assert planning.item_features([])[0].shape[0] == 0


def test_weights_of_scores_are_the_least_squares_and_never_negative():
    rng = np.random.default_rng(0)
    s, r = rng.normal(size=(2, 50))
    y = 0.7 * s + 0.2 * r + 0.1 * rng.normal(size=50)
    weights, explained = planning.least_squares(y, s, r)
    expected = np.linalg.lstsq(np.stack([s, r], axis=1), y, rcond=None)[0]
    np.testing.assert_allclose(weights, expected)
    assert explained == pytest.approx(y @ y - ((y - s * weights[0] - r * weights[1]) ** 2).sum())
    weights, _ = planning.least_squares(y, s, -r)
    assert weights == pytest.approx((s @ y / (s @ s), 0))
    assert planning.least_squares(y, -s, 0 * r) == ((0.0, 0.0), 0.0)


def test_ridge_is_the_minimum():
    """Of ½‖w‖² + C/2 Σ (y − wᵀx − a)², with x over the root of its mean variance; in few and many axes."""
    rng = np.random.default_rng(0)
    for n, d in ((40, 7), (20, 30)):
        x, y, train = rng.normal(size=(n, d)), rng.normal(size=(n, 2)), np.arange(n) % 4 > 0
        found = planning._ridge(x, d, train, y[train], [0.1, 2.0])
        own = x[train] - x[train].mean(axis=0)
        z, target = own / np.sqrt((own**2).mean()), y[train] - y[train].mean(axis=0)
        for penalty, values in zip([0.1, 2.0], found, strict=True):
            w = np.linalg.solve(z.T @ z + np.eye(d) / penalty, z.T @ target)
            every = (x - x[train].mean(axis=0)) / np.sqrt((own**2).mean())
            np.testing.assert_allclose(values, every @ w, atol=1e-10)
    assert not planning._ridge(np.ones((4, 2)), 2, np.ones(4, bool), np.ones((4, 1)), [1.0]).any()


def test_items_of_rows_are_those_of_the_labels(tmp_path):
    path, labels = make("planned", tmp_path)["topic"]
    rows = read_rows([path], 2, "prompt_100")
    items, first = planning.items_of(rows, labels)
    assert (
        len(items.ids) == 240 and items.samples.sum() == len(rows.y) and items.satisfied.sum() == rows.y.sum()
    )
    for item, group, row in zip(items.ids, items.groups, first, strict=True):
        assert group == rows.groups[row] and item == f"topic/{group}/0"
    with pytest.raises(UserError, match="in the activations but not in the labels"):
        planning.items_of(rows, labels[1:])


def test_scores_of_shards_come_back_from_their_file(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "DIRECTIONS", 2)
    path, labels = make("planned", tmp_path)["topic"]
    scores = planning.fit_planning([path], [0, 1], labels, SETTINGS, "topic", least=0.02)
    assert scores.status == "" and (scores.layers == 1).mean() > 0.5 and len(scores.drawn_both) == 2
    assert np.nanstd(scores.both) > 2 * np.nanstd(scores.surface)
    for name in ("a.h5", "b.h5"):
        planning.save(tmp_path / name, scores)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    loaded = planning.load(tmp_path / "a.h5")
    for each in fields(scores):
        np.testing.assert_array_equal(getattr(loaded, each.name), getattr(scores, each.name))


def test_a_task_without_enough_data_has_no_scores(tmp_path):
    path, labels = make("planned", tmp_path)["topic"]
    strict = SETTINGS | {"probes": SETTINGS["probes"] | {"min_rows": 500}}
    scores = planning.fit_planning([path], [2], labels, strict, "topic", least=0.02)
    assert "probes need 500 from 10 of each class" in scores.status
    assert np.isnan(scores.both).all() and scores.drawn_both.shape == (0, 240)
    planning.save(tmp_path / "none.h5", scores)
    assert planning.load(tmp_path / "none.h5").status == scores.status


def test_one_sample_an_item_tells_nothing_of_prompts():
    made = plant(2)
    made.items = replace(
        made.items, satisfied=made.items.satisfied // SAMPLES, samples=made.items.samples // SAMPLES
    )
    assert scored(made).status == "no item has two responses to compare"
