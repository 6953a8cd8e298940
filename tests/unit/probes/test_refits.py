"""Probes fitted anew on a draw are those of rows that are there as often as their group was drawn."""

from dataclasses import replace

import numpy as np
import pytest
from made.scopes import SETTINGS, probe_rows
from skillprobe.errors import UserError
from skillprobe.probes import refits
from skillprobe.probes.general_probes import fit_general_scopes
from skillprobe.probes.refits import refit_probes
from skillprobe.probes.solver import feature_scale
from skillprobe.probes.specialists import fit_scopes
from skillprobe.statistics.bootstrap import auroc_lines, draw_tested
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.metrics import auroc, auroc_within
from skillprobe.storage.tables import SCOPES
from sklearn.linear_model import LogisticRegression

TASKS = ("topic", "register")
GROUPS = [f"g{g:03d}" for g in range(SETTINGS["groups"])]
# Of the layer 1: at layer 0 there is noise.
STRENGTH = 0.5


def made(layers=(0, 1)):
    """{layer: {task: rows}}, {scope: {task: {layer: specialist}}}, {layer: {scope: generals}}."""
    rows = {
        layer: {
            task: probe_rows(task=task, response=STRENGTH * layer, direction=direction)
            for direction, task in enumerate(TASKS, start=1)
        }
        for layer in layers
    }
    specialists = {scope: {task: {} for task in TASKS} for scope in SCOPES}
    for task in TASKS:
        for layer in layers:
            for scope, result in fit_scopes(rows[layer][task], SETTINGS).items():
                specialists[scope][task][layer] = result
    return rows, specialists, {layer: fit_general_scopes(rows[layer], SETTINGS) for layer in layers}


def refitted(rows, specialists, generals, n_draws=200):
    read = []

    def one_layer(layer):
        read.append(layer)
        return rows[layer]

    found = refit_probes(one_layer, specialists, generals, n_draws=n_draws, seed=1, study_groups=GROUPS)
    return found, read


@pytest.fixture(scope="module")
def world():
    return made()


@pytest.fixture(scope="module")
def found(world):
    return refitted(*world)[0]


def repeated(world, scope, draw):
    """{task: (x, labels, folds, numbers of the rows of a draw, names of their items)}, at layer 1."""
    rows, specialists, _ = world
    every = [by_layer[1] for by_layer in specialists["across"].values()]
    draws = draw_tested(every, GROUPS, n_draws=200, seed=1)
    weight = dict(zip(draws.groups.tolist(), draws.weights[draw].astype(int).tolist(), strict=True))
    parts = {}
    for task in TASKS:
        own = rows[1][task] if scope == "across" else rows[1][task].within()
        result = specialists[scope][task][1]
        times = np.array([weight.get(group, 0) for group in result.groups.tolist()])
        copies = np.concatenate([np.arange(n) for n in times])
        items = np.char.add(np.repeat(own.items, times), np.char.add("/", copies.astype(str)))
        numbers = np.repeat(np.arange(len(times)), times)
        parts[task] = own.x.astype(float), own.y, result.folds[0], numbers, items
    return parts


def scale_of(world, tasks):
    rows, specialists, _ = world
    calibration = [rows[1][task].x[specialists["across"][task][1].folds[0] == CALIBRATION] for task in tasks]
    return feature_scale(np.concatenate(calibration))


def by_scikit_learn(x, y, penalty):
    """Weights and intercept on rows [n, d] that are there as often as they are."""
    centre = x.mean(axis=0)
    spread = np.sqrt(x.var(axis=0).mean())
    model = LogisticRegression(C=penalty, tol=1e-8, max_iter=10000).fit((x - centre) / spread, y)
    weights = model.coef_[0] / spread
    return weights, model.intercept_[0] - centre @ weights


def aurocs_by_hand(world, scope, kind, draw):
    """AUROC of each test fold, of task topic (of register by topic's probe, for "transfer")."""
    parts, (_, specialists, generals) = repeated(world, scope, draw), world
    scale = scale_of(world, ("topic",) if kind != "general" else TASKS)
    tested = "register" if kind == "transfer" else "topic"
    result = generals[1][scope]["centred"]["topic"] if kind == "general" else specialists[scope]["topic"][1]
    values = []
    for f in range(5):
        xs, ys = {}, {}
        for task in TASKS if kind == "general" else ("topic",):
            x, y, folds, numbers, _ = parts[task]
            train = numbers[~np.isin(folds[numbers], (f, CALIBRATION))]
            mean = x[train].mean(axis=0) if kind == "general" and scope == "across" else 0.0
            xs[task], ys[task] = (x[train] - mean) / scale, y[train]
        weights, intercept = by_scikit_learn(
            np.concatenate(list(xs.values())), np.concatenate(list(ys.values())), result.chosen_c[0, f]
        )
        x, y, folds, numbers, items = parts[tested]
        test = folds[numbers] == f
        here = numbers[test]
        # What a task's mean takes away is the same for all of its rows.
        scores = x[here] / scale @ weights + intercept
        same = np.zeros(len(here), int)
        if scope == "across":
            value = auroc(scores, y[here], same)
        else:
            value = auroc_within(scores, y[here], items[test], same)
        values.append((value.value, value.pairs))
    return np.array(values).T


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("kind", ["specialist", "general", "transfer"])
def test_a_draw_is_the_rows_of_its_groups_as_often(world, found, scope, kind):
    expected, pairs = aurocs_by_hand(world, scope, kind, draw=3)
    tasks = ("topic", "register") if kind == "transfer" else ("topic",)
    np.testing.assert_allclose(found[scope].by_fold(kind, *tasks)[3, 0], expected, atol=5e-3)
    of_task = found[scope].pairs[TASKS.index(tasks[-1]), 3]
    np.testing.assert_array_equal(of_task, pairs)
    pooled = (expected * pairs).sum() / pairs.sum()
    assert found[scope].pooled(kind, *tasks)[3] == pytest.approx(pooled, abs=2e-3)


@pytest.mark.parametrize("scope", SCOPES)
def test_standard_errors_are_those_of_probes_fitted_by_scikit_learn(world, found, scope):
    by_hand = np.array([aurocs_by_hand(world, scope, "specialist", draw) for draw in range(40)])
    pooled = (by_hand[:, 0] * by_hand[:, 1]).sum(axis=1) / by_hand[:, 1].sum(axis=1)
    assert found[scope].pooled("specialist", "topic")[:40].std() == pytest.approx(pooled.std(), rel=0.02)


@pytest.mark.parametrize("scope", SCOPES)
def test_draws_scatter_more_than_with_fixed_probes(world, found, scope):
    for task in TASKS:
        result = world[1][scope][task][1]
        draws = draw_tested([result], GROUPS, n_draws=200, seed=1)
        _, fixed = auroc_lines(
            result.scores[:1], result.labels, result.groups, result.folds[:1], draws, result.items
        )
        assert 1.0 < found[scope].pooled("specialist", task).std() / fixed.std() < 2.5


def test_draws_are_the_same_for_all_tasks_and_models(world, found):
    """So that differences of tasks, of probes and of models are paired."""
    rows, specialists, generals = world
    alone = {layer: {"register": by_task["register"]} for layer, by_task in rows.items()}
    own = {scope: {"register": by_task["register"]} for scope, by_task in specialists.items()}
    fewer = refitted(alone, own, generals)[0]
    for scope in SCOPES:
        np.testing.assert_array_equal(fewer[scope].pairs[0], found[scope].pairs[1])
        np.testing.assert_array_equal(
            fewer[scope].pooled("specialist", "register"), found[scope].pooled("specialist", "register")
        )
    # Another model: other activations of responses that happen to have the same labels.
    other = {layer: dict(by_task) for layer, by_task in rows.items()}
    rng = np.random.default_rng(5)
    for layer, task in ((layer, task) for layer in other for task in TASKS):
        part = other[layer][task]
        other[layer][task] = replace(part, x=part.x + rng.normal(size=part.x.shape).astype(np.float32))
    fitted = {task: {1: fit_scopes(other[1][task], SETTINGS)} for task in TASKS}
    probes = {scope: {task: {1: each[1][scope]} for task, each in fitted.items()} for scope in SCOPES}
    noisy = refitted(other, probes, {1: fit_general_scopes(other[1], SETTINGS)})[0]
    np.testing.assert_array_equal(noisy["across"].pairs, found["across"].pairs)
    both = [each["across"].pooled("specialist", "topic") for each in (noisy, found)]
    assert np.corrcoef(both)[0, 1] > 0.4


def test_each_probe_is_fitted_at_the_layers_that_were_chosen_for_it(world):
    rows, specialists, generals = world
    found, read = refitted(rows, specialists, generals, n_draws=3)
    # There is a signal at layer 1 only.
    assert read == [1]
    # As if register had been best at layer 0 in outer fold 2.
    liked = {scope: {task: dict(each) for task, each in by.items()} for scope, by in specialists.items()}
    for by_task in liked.values():
        better = by_task["register"][0].inner_auroc.copy()
        better[0, 2] = 1.0
        by_task["register"][0] = replace(by_task["register"][0], inner_auroc=better)
    moved, read = refitted(rows, liked, generals, n_draws=3)
    assert read == [0, 1]
    at_0 = refitted(
        rows,
        {scope: {task: {0: each[0]} for task, each in by.items()} for scope, by in specialists.items()},
        {0: generals[0]},
        n_draws=3,
    )[0]
    for scope in SCOPES:
        expected = found[scope].specialist.copy()
        expected[1, :, 2] = at_0[scope].specialist[1, :, 2]
        np.testing.assert_array_equal(moved[scope].specialist, expected)
        np.testing.assert_array_equal(moved[scope].general, found[scope].general)
        # The layer of transfer is that of the mean over tasks, which this moves, too.
        source = moved[scope].transfer[0]
        np.testing.assert_array_equal(source[:, :, 2], at_0[scope].transfer[0][:, :, 2])
        np.testing.assert_array_equal(source[:, :, :2], found[scope].transfer[0][:, :, :2])
        assert not np.array_equal(found[scope].specialist[1, :, 2], at_0[scope].specialist[1, :, 2])


def test_a_general_probe_has_the_layer_of_each_task(world):
    rows, specialists, generals = world
    liked = {layer: {scope: dict(by) for scope, by in each.items()} for layer, each in generals.items()}
    for scope in SCOPES:
        centred = dict(liked[0][scope]["centred"])
        own = np.ones_like(centred["register"].task_inner_auroc)
        centred["register"] = replace(centred["register"], task_inner_auroc=own)
        liked[0][scope] = {"centred": centred}
    found, read = refitted(rows, specialists, generals, n_draws=3)
    moved, read = refitted(rows, specialists, liked, n_draws=3)
    assert read == [0, 1]
    for scope in SCOPES:
        np.testing.assert_array_equal(moved[scope].general[0], found[scope].general[0])
        assert (moved[scope].general[1] != found[scope].general[1]).any()
        np.testing.assert_array_equal(moved[scope].transfer, found[scope].transfer)


def test_insufficient_tasks_take_no_part(world):
    rows, specialists, generals = world
    blank = {
        scope: {
            task: {
                layer: replace(result, status="few") if task == "register" else result
                for layer, result in by_layer.items()
            }
            for task, by_layer in by_task.items()
        }
        for scope, by_task in specialists.items()
    }
    alone = {
        layer: {
            scope: {"centred": {task: replace(r, status="few") for task, r in by["centred"].items()}}
            for scope, by in each.items()
        }
        for layer, each in generals.items()
    }
    found = refitted(rows, blank, alone, n_draws=3)[0]
    for scope in SCOPES:
        assert np.isfinite(found[scope].pooled("specialist", "topic")).all()
        assert np.isnan(found[scope].pooled("specialist", "register")).all()
        assert np.isnan(found[scope].general).all()
        assert np.isnan(found[scope].transfer[0, 1]).all() and np.isfinite(found[scope].transfer[0, 0]).all()
    nobody = {
        scope: {
            task: {layer: replace(result, status="few") for layer, result in by_layer.items()}
            for task, by_layer in by_task.items()
        }
        for scope, by_task in specialists.items()
    }
    found, read = refitted(rows, nobody, alone, n_draws=3)
    assert read == [] and np.isnan(found["across"].pairs).all()


def test_activations_of_other_rows_are_refused(world):
    rows, specialists, generals = world
    other = {1: {task: replace(part, ids=part.ids[::-1]) for task, part in rows[1].items()}}
    with pytest.raises(UserError, match="task 'topic', layer 1: .* other rows; train them again"):
        refitted(other, specialists, generals, n_draws=2)


def test_what_is_stored_is_read_and_equal_refits_are_equal_bytes(found, tmp_path):
    for name in ("one.h5", "two.h5"):
        refits.save(tmp_path / name, found)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    read = refits.load(tmp_path / "one.h5")
    assert list(read) == list(SCOPES)
    for scope in SCOPES:
        assert read[scope].tasks == found[scope].tasks == TASKS
        for name in ("pairs", "specialist", "general", "transfer"):
            np.testing.assert_array_equal(getattr(read[scope], name), getattr(found[scope], name))
