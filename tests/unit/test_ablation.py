"""Ablation on planted data: what each task's eraser takes from each task, and what the tables make of it."""

from dataclasses import fields, replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from skillprobe.analyses.ablation import (
    BOUNDS,
    CELL_COLUMNS,
    CURVE_COLUMNS,
    SELECTED,
    SUMMARY_COLUMNS,
    _cell_words,
    ablation_tables,
)
from skillprobe.erasure import cross
from skillprobe.erasure.cross import FROZEN, RETRAINED, Ablated, Settings, cross_ablate, load, save
from skillprobe.erasure.leace import leace
from skillprobe.errors import UserError
from skillprobe.findings.planted import plant
from skillprobe.probes import LogisticProbe
from skillprobe.probes.cross_validation import Settings as ProbeSettings
from skillprobe.probes.solver import Rows, feature_scale
from skillprobe.probes.specialists import specialist
from skillprobe.statistics.folds import CALIBRATION, keyed_hash
from skillprobe.statistics.intervals import Estimate
from skillprobe.statistics.metrics import auroc
from skillprobe.storage.tables import columns_of
from sklearn.linear_model import LogisticRegression

CATEGORIES = {
    "word_count": "structural",
    "topic": "semantic",
    "toxicity": "stylistic",
    "term_inclusion": "lexical",
}
TASKS = list(CATEGORIES)
BASES = [f"b{number:03d}" for number in range(80)]
PROBES = ProbeSettings(penalties=(1e-2, 1e-1), fold_seeds=(0,), shuffles=0)
SETTINGS = Settings(rank=2, max_rank=3, shuffles=3, random=2, n_draws=100)
CLAIMS = {"signal": 0.55, "dependent": 0.02, "independent": 0.05, "n_draws": 300}


@cache
def world(name, seed=0, fold_seeds=(0,)):
    """{task: x}, {task: specialist} of a planted world; half of the rows' variance is the request's."""
    made = plant(
        name, CATEGORIES, BASES, seed=seed, auroc=0.95, rows_per_base=4, hidden_size=32, num_layers=1
    )
    return {task: rows.x[-1] for task, rows in made.items()}, {
        task: probe(task, rows.x[-1], rows.labels, rows.bases, fold_seeds) for task, rows in made.items()
    }


def probe(task, x, labels, bases, fold_seeds=(0,), **kwargs):
    ids = [f"{task}/{number}" for number in range(len(labels))]
    return specialist(x, labels, bases, replace(PROBES, fold_seeds=fold_seeds, **kwargs), ids=ids)


def own_world(directions, seed=0, n_bases=50, per_base=4, strength=1.2, constant=()):
    """Tasks as alike as can be: as many satisfied as violated rows, white noise and a direction each."""
    rng = np.random.default_rng(seed)
    bases = np.repeat([f"b{number:03d}" for number in range(n_bases)], per_base)
    x, specialists = {}, {}
    for task, direction in zip(TASKS, directions, strict=True):
        y = rng.permutation(np.arange(len(bases)) % 2)
        x[task] = rng.normal(size=(len(bases), len(direction)))
        x[task] += strength * (2 * y - 1)[:, None] * direction
        y = np.ones_like(y) if task in constant else y
        specialists[task] = probe(task, x[task], y, bases, penalties=(1e-2,))
    return x, specialists


def ablate(x, specialists, settings=SETTINGS):
    """Scores by target, and the tasks' erasers."""
    ids = {task: each.ids for task, each in specialists.items()}
    scores, erasers = cross_ablate(x, ids, specialists, settings)
    return scores, erasers["tasks"]


@cache
def ablated(name, **kwargs):
    return ablate(*world(name), replace(SETTINGS, **kwargs))


def tabulate(specialists, scores, **kwargs):
    """The three tables, of one layer."""
    by_layer = {task: {0: each} for task, each in specialists.items()}
    return ablation_tables("toy", by_layer, {0: scores}, **(CLAIMS | kwargs))


@cache
def tables(name):
    return tabulate(world(name)[1], ablated(name)[0])


def find(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, wanted
    return found[0]


def primary(cells, layer=0):
    return [
        row for row in cells if (row["layer"], row["method"], row["probe"]) == (layer, "inlp", "retrained")
    ]


def common_scale(x, specialists):
    """As ablation has it: of all tasks' calibration rows."""
    return feature_scale(
        np.concatenate([x[task][each.folds[0] == CALIBRATION] for task, each in specialists.items()])
    )


def outer(result, f, s=0):
    fold = result.folds[s]
    return (fold != f) & (fold != CALIBRATION)


def refit(x, result, f, scale, eraser=None):
    """Decision values of a probe of what the eraser leaves, with the penalty of the rows before."""
    train, before = outer(result, f), x / scale
    after = before if eraser is None else eraser(x.astype(float)) / scale
    size = np.sqrt(np.mean((before[train] - before[train].mean(0)) ** 2))
    z = (after - after[train].mean(0)) / size
    solver = LogisticRegression(C=result.chosen_c[0, f], solver="newton-cholesky", tol=1e-12)
    return solver.fit(z[train], result.labels[train]).decision_function(z)


def by_fold(result, fit):
    """Each tested row's score by `fit(fold)`, [n] decision values of all rows; NaN on the others."""
    scores = np.full(len(result.labels), np.nan)
    for f in range(result.chosen_c.shape[1]):
        tested = result.folds[0] == f
        scores[tested] = fit(f)[tested]
    return scores


def value(scores, result, s=0):
    return auroc(scores, result.labels, result.folds[s]).value


# ------------------------------------------------------------------------------------------------ scores


@cache
def wide_noise():
    """Two tasks without any signal, in more dimensions than rows, and what is left of them."""
    rng = np.random.default_rng(0)
    bases, x, specialists = np.repeat(BASES, 3), {}, {}
    for task in TASKS[:2]:
        x[task] = rng.normal(size=(len(bases), 300))
        specialists[task] = probe(task, x[task], rng.permutation(np.arange(len(bases)) % 2), bases)
    return x, specialists, *ablate(x, specialists)


def test_the_trap_an_eraser_that_saw_the_test_rows_turns_probes_round():
    """Where n < d, noise is erased as well, and rows that took part end up on the wrong side."""
    x, specialists, scores, erasers = wide_noise()
    task = TASKS[0]
    result, scale = specialists[task], common_scale(x, specialists)
    tested = result.folds[0] != CALIBRATION
    trap = {
        "inlp": erasers[task]["all"].truncated(SETTINGS.rank),
        "leace": leace(Rows(x[task], scale), tested, result.labels),
    }
    for method, eraser in trap.items():
        leaked = by_fold(result, lambda f, eraser=eraser: refit(x[task], result, f, scale, eraser))
        assert value(leaked, result) < 0.15, method
        ours = scores[task].retrained[method][0, 0]
        assert abs(value(ours, result) - 0.5) < 0.12, method


def test_an_eraser_never_saw_the_bases_it_is_judged_on():
    x, specialists = world("compositional")
    scores, erasers = ablated("compositional")
    source, target, f = "topic", "toxicity", "2"
    result = specialists[source]
    changed = result.folds[0] == int(f)
    rng = np.random.default_rng(0)
    moved, labels = x[source].copy(), result.labels.copy()
    moved[changed] += rng.normal(size=moved[changed].shape)
    for base in np.unique(result.bases[changed]):
        # Within bases, so that the classes stay as large as they are.
        labels[result.bases == base] = rng.permutation(labels[result.bases == base])
    assert (labels != result.labels).any()
    other = {**specialists, source: probe(source, moved, labels, result.bases)}
    new_scores, new_erasers = ablate({**x, source: moved}, other)
    for name in ("a", "b", "mean"):
        old, new = getattr(erasers[source][f], name), getattr(new_erasers[source][f], name)
        np.testing.assert_allclose(new, old, atol=1e-4)
    assert np.abs(new_erasers[source]["1"].b - erasers[source]["1"].b).max() > 0.01
    # So what is left of another task is the same where this fold is tested.
    i, tested = TASKS.index(source), specialists[target].folds[0] == int(f)
    for method in RETRAINED:
        old, new = (each[target].retrained[method][i, 0, tested] for each in (scores, new_scores))
        np.testing.assert_allclose(new, old, atol=1e-3)


def test_before_is_the_probe_of_the_rows_as_they_are():
    x, specialists = world("compositional")
    scale = common_scale(x, specialists)
    for task in TASKS[:2]:
        expected = by_fold(
            specialists[task], lambda f, task=task: refit(x[task], specialists[task], f, scale)
        )
        np.testing.assert_allclose(ablated("compositional")[0][task].before[0], expected, atol=1e-4)


@pytest.mark.parametrize("method, alpha", [("inlp", 1.0), ("inlp_reflected", 2.0)])
def test_frozen_scores_are_the_probe_from_before_on_edited_activations(method, alpha):
    """Up to a constant in each fold, of which the order of its rows knows nothing."""
    x, specialists = world("compositional")
    scores, erasers = ablated("compositional")
    source, target = "topic", "toxicity"
    scale, result = common_scale(x, specialists), specialists[target]
    for i, source in enumerate(TASKS[:2]):
        for f in range(5):
            train, tested = outer(result, f), result.folds[0] == f
            model = LogisticProbe(C=result.chosen_c[0, f], scale=scale)
            model.fit(x[target][train], result.labels[train])
            eraser = erasers[source][str(f)].truncated(SETTINGS.rank).with_alpha(alpha)
            expected = model.decision_function(eraser(x[target][tested].astype(float)))
            difference = scores[target].frozen[method][i, 0, tested] - expected
            np.testing.assert_allclose(difference, difference.mean(), atol=1e-4)


@pytest.mark.parametrize("wide", [False, True])
def test_curves_are_of_probes_retrained_without_the_first_directions(wide):
    """Of the source's own rows and of another task's, which its directions may point out of."""
    x, specialists, scores, erasers = (
        wide_noise() if wide else (*world("compositional"), *ablated("compositional"))
    )
    source, scale = TASKS[0], common_scale(x, specialists)
    for target in TASKS[:2]:
        result = specialists[target]
        for rank in (1, 3):
            expected = by_fold(
                result,
                lambda f, rank=rank, target=target, result=result: refit(
                    x[target], result, f, scale, erasers[source][str(f)].truncated(rank)
                ),
            )
            np.testing.assert_allclose(scores[target].curve[rank - 1, 0], expected, atol=2e-4)
        np.testing.assert_allclose(
            scores[target].curve[SETTINGS.rank - 1], scores[target].retrained["inlp"][:, 0], atol=2e-4
        )


def test_leace_scores_are_of_probes_retrained_after_it():
    x, specialists = world("compositional")
    scores, _ = ablated("compositional")
    source, target, f = "word_count", "topic", 1
    scale, result = common_scale(x, specialists), specialists[target]
    rows = Rows(x[source], scale)
    plans = {task: cross._Plan.make(each, SETTINGS) for task, each in specialists.items()}
    per_class = min(plan.smallest_class() for plan in plans.values())
    train = plans[source].balanced(per_class)[:, f]
    expected = refit(x[target], result, f, scale, leace(rows, train, specialists[source].labels))
    tested = result.folds[0] == f
    found = scores[target].retrained["leace"][0, 0, tested]
    np.testing.assert_allclose(found, expected[tested], atol=2e-4)


def test_erasers_of_all_sources_see_as_many_rows_of_each_class(monkeypatch):
    x, specialists = world("compositional")
    sizes = []
    find_directions = cross.inlp

    def counting(rows, train, labels, *rest):
        n_judged = PROBES.n_folds * (1 + SETTINGS.shuffles)
        for label in (0, 1):
            sizes.append((train & (labels == label)).sum(axis=0)[:n_judged])
        return find_directions(rows, train, labels, *rest)

    monkeypatch.setattr(cross, "inlp", counting)
    ablate(x, specialists, replace(SETTINGS, primary_only=True, halves=False))
    assert len(sizes) == 2 * len(TASKS) and np.ptp(np.concatenate(sizes)) == 0
    # As many as the smallest class of any training set has.
    rarest = min(
        min((result.labels[outer(result, f)] == label).sum() for f in range(5) for label in (0, 1))
        for result in specialists.values()
    )
    assert 20 <= sizes[0][0] <= rarest


def test_a_reflection_leaves_a_retrained_probe_as_good_as_it_was():
    x, specialists = world("universal")
    scores, erasers = ablated("universal")
    scale = common_scale(x, specialists)
    for source, target in (("topic", "topic"), ("topic", "toxicity")):
        result = specialists[target]

        def reflected(f, source=source, target=target, result=result):
            return refit(x[target], result, f, scale, erasers[source][str(f)].with_alpha(2.0))

        after = by_fold(result, reflected)
        np.testing.assert_allclose(after, scores[target].before[0], atol=1e-4)
        assert value(after, result) == pytest.approx(value(scores[target].before[0], result), abs=1e-3)
        # The frozen probe reads them the wrong way round.
        turned = scores[target].frozen["inlp_reflected"][TASKS.index(source), 0]
        assert value(turned, result) < 0.3


@pytest.mark.parametrize("stop, rank", [(1.0, 0), (0.0, 3)])
def test_the_stopped_variant_ends_where_nothing_is_found(stop, rank):
    """Where any AUROC is too low, nothing is erased; where none is, all that was found."""
    _, specialists = world("compositional")
    scores, _ = ablated("compositional", stop=stop)
    for task in TASKS:
        if rank == 0:
            expected = np.broadcast_to(scores[task].before[0], (len(TASKS), specialists[task].labels.size))
        else:
            expected = scores[task].curve[rank - 1]
        np.testing.assert_allclose(scores[task].retrained["inlp_stopped"][:, 0], expected, atol=2e-4)


def test_the_primary_erasers_alone_give_the_same():
    full, quick = ablated("compositional")[0], ablated("compositional", primary_only=True)[0]
    for task in TASKS:
        np.testing.assert_allclose(quick[task].before, full[task].before, atol=1e-4)
        np.testing.assert_allclose(quick[task].retrained["inlp"], full[task].retrained["inlp"], atol=2e-4)
        np.testing.assert_allclose(quick[task].null, full[task].null, atol=2e-4)


@pytest.mark.parametrize("name", ["shuffles", "random"])
def test_as_many_controls_as_fold_seeds_are_still_of_the_first_one(name):
    """Two null erasers, two fold seeds: neither eraser is of the second seed's folds."""
    x, specialists = world("compositional", fold_seeds=(0, 1))
    two, three = (
        ablate(x, specialists, replace(SETTINGS, **({"shuffles": 3, "random": 3} | {name: number})))[0]
        for number in (2, 3)
    )
    result = specialists["topic"]
    lines, others = (
        (each["topic"].null[:, 0] if name == "shuffles" else each["topic"].random) for each in (two, three)
    )
    for line, other in zip(lines, others, strict=False):
        # Of more shuffles, the smallest class may be a little smaller, and erasers have as many rows.
        assert value(line, result) == pytest.approx(value(other, result), abs=0.015)


def test_calibration_rows_have_no_scores():
    _, specialists = world("compositional")
    for task, each in ablated("compositional")[0].items():
        left_out = specialists[task].folds[0] == CALIBRATION
        arrays = [each.before, each.null, each.curve, each.random]
        for array in arrays + list(each.retrained.values()) + list(each.frozen.values()):
            assert array.dtype == np.float32
            assert np.isnan(array[..., left_out]).all() and np.isfinite(array[..., ~left_out]).all()


# ------------------------------------------------------------------------------------------------ worlds


def test_in_a_universal_world_every_task_falls_with_every_other():
    cells, _, summary = tables("universal")
    assert all(row["estimate"] > 0.1 and row["net"] > 0.1 for row in primary(cells))
    assert {row["cell"] for row in primary(cells)} <= {"", "dependent", "undecided"}
    assert find(summary, layer=0, quantity="dependent")["estimate"] >= 0.5
    assert find(summary, layer=0, quantity="independent")["estimate"] == 0


def test_in_a_compositional_world_a_task_falls_with_itself_alone():
    cells, _, summary = tables("compositional")
    for row in primary(cells):
        if row["source"] == row["target"]:
            assert row["estimate"] > 0.15 and row["net_lower99"] > 0 and row["cell"] == ""
        else:
            assert abs(row["estimate"]) < 0.05 and row["cell"] in ("independent", "undecided")
    assert find(summary, layer=0, quantity="dependent")["estimate"] == 0
    assert find(summary, layer=0, quantity="independent")["estimate"] >= 0.5
    assert find(summary, layer=0, quantity="diagonal")["lower99"] > 0.05


@pytest.mark.parametrize("name", ["universal", "compositional"])
def test_erasers_of_shuffled_labels_and_random_ones_take_next_to_nothing(name):
    cells = primary(tables(name)[0])
    for control in ("null", "random"):
        falls = [row[control] for row in cells]
        assert abs(np.mean(falls)) < 0.03 and np.abs(falls).max() < 0.08
    own = [row["net"] for row in cells if row["source"] == row["target"]]
    assert np.mean(own) > 5 * abs(np.mean([row["null"] for row in cells]))


def test_frozen_probes_tell_what_was_erased_from_what_was_kept():
    def summarised(name, quantity, method="inlp"):
        return find(tables(name)[2], layer=0, quantity=quantity, method=method)["estimate"]

    for method in FROZEN:
        assert summarised("compositional", "selectivity", method) > 0.9
        assert summarised("compositional", "completeness", method) > 0.5
        assert summarised("universal", "selectivity", method) < 0.6
        together = summarised("compositional", "reliability", method)
        parts = [summarised("compositional", part, method) for part in ("completeness", "selectivity")]
        assert together == pytest.approx(2 * parts[0] * parts[1] / sum(parts))


@pytest.mark.parametrize("method, goal", [("inlp", 0.0), ("inlp_reflected", -1.0), ("leace", 0.0)])
def test_completeness_and_selectivity_are_shares_of_what_was_there(method, goal):
    """Canby et al.: 1 where all that was to go has gone, and where nothing else has."""
    cells, _, summary = tables("compositional")
    complete, selective = [], []
    for row in cells:
        if (row["layer"], row["method"], row["probe"]) == (0, method, "frozen"):
            left = (row["after"] - 0.5) / (row["before"] - 0.5)
            if row["source"] == row["target"]:
                complete.append(np.clip(1 - abs(left - goal) / (1 - goal), 0, 1))
            else:
                selective.append(np.clip(1 - abs(left - 1), 0, 1))
    for quantity, expected in (("completeness", complete), ("selectivity", selective)):
        row = find(summary, layer=0, quantity=quantity, method=method)
        assert row["estimate"] == pytest.approx(np.mean(expected))
        assert row["lower95"] <= row["estimate"] <= row["upper95"] <= 1


# ------------------------------------------------------------------------------------------------ tables


def test_tables_have_their_columns_and_one_row_for_each_cell():
    cells, curves, summary = tables("compositional")
    assert all(tuple(row) == CELL_COLUMNS for row in cells)
    assert all(tuple(row) == CURVE_COLUMNS for row in curves)
    assert all(set(columns_of(row)) == set(SUMMARY_COLUMNS) for row in summary)
    pairs = len(TASKS) ** 2
    assert len(cells) == 2 * pairs * (len(RETRAINED) + len(FROZEN))  # a layer, and "selected"
    assert len(curves) == 2 * pairs * (SETTINGS.max_rank + 1)
    assert len({tuple(row[c] for c in CELL_COLUMNS[:6]) for row in cells}) == len(cells)


def test_cells_are_differences_of_aurocs():
    _, specialists = world("compositional")
    scores = ablated("compositional")[0]
    cells = tables("compositional")[0]
    for row in cells:
        if row["layer"] != 0:
            continue
        result, each = specialists[row["target"]], scores[row["target"]]
        i = TASKS.index(row["source"])
        before = value(each.before[0], result)
        after = value(getattr(each, row["probe"])[row["method"]][i, 0], result)
        assert (row["before"], row["after"]) == (before, after)
        assert row["estimate"] == pytest.approx(before - after)
        assert row["lower99"] <= row["lower95"] <= row["estimate"] <= row["upper95"] <= row["upper99"]
        if (row["method"], row["probe"]) == ("inlp", "retrained"):
            null = before - np.mean([value(line, result) for line in each.null[:, i]])
            random = before - np.mean([value(line, result) for line in each.random])
            assert row["null"] == pytest.approx(null) and row["random"] == pytest.approx(random)
            assert row["net"] == pytest.approx(row["estimate"] - null)
        else:
            assert np.isnan(row["null"]) and np.isnan(row["net"]) and row["cell"] == ""


def test_curves_begin_with_nothing_erased_and_pass_the_primary_rank():
    cells, curves, _ = tables("compositional")
    for row in primary(cells):
        where = {"layer": 0, "source": row["source"], "target": row["target"]}
        assert find(curves, **where, rank=0)["estimate"] == row["before"]
        at_rank = find(curves, **where, rank=SETTINGS.rank)["estimate"]
        assert at_rank == pytest.approx(row["after"], abs=1e-3)


def cell(lower_of_one, upper_of_one, dependent, independent):
    """The word of a cell whose net fall has this simultaneous interval, beside another that falls by ½."""
    middle, half = (lower_of_one + upper_of_one) / 2, (upper_of_one - lower_of_one) / 2
    by_seed = np.array([[[0.7, middle], [0.5, 0.7]]])
    # Draws as far off on one side as on the other: each cell's half-width is that distance.
    drawn = np.where(np.arange(400)[:, None, None] % 2 == 0, by_seed + half, by_seed - half)
    matrix = SimpleNamespace(net=Estimate(by_seed, drawn))
    lower, upper, words = _cell_words(matrix, np.array([True, True]), dependent, independent)
    np.testing.assert_allclose([lower[0, 1], upper[0, 1]], [lower_of_one, upper_of_one], atol=1e-3 * half)
    assert words[0, 0] == words[1, 1] == "" and np.isnan(lower[0, 0]) and words[1, 0] == "dependent"
    return words[0, 1]


@pytest.mark.parametrize(
    "lower, upper, word",
    [
        (0.021, 0.2, "dependent"),
        (0.019, 0.2, "undecided"),
        (0.021, 0.04, "dependent"),  # small, but there: not independent
        (0.019, 0.049, "independent"),
        (-0.3, 0.049, "independent"),
        (-0.3, -0.1, "independent"),
        (0.019, 0.051, "undecided"),
        (-0.3, 0.3, "undecided"),
    ],
)
def test_words_of_cells_turn_at_the_thresholds(lower, upper, word):
    assert cell(lower, upper, 0.02, 0.05) == word


def test_cells_follow_their_intervals_in_the_tables():
    for name in ("universal", "compositional"):
        cells, _, summary = tables(name)
        words = []
        for row in primary(cells):
            assert (row["cell"] == "") == (row["source"] == row["target"])
            if row["cell"]:
                lower, upper = row["lower_simultaneous99"], row["upper_simultaneous99"]
                assert lower <= row["net_lower99"] + 0.02 and upper >= row["net_upper99"] - 0.02
                expected = "dependent" if lower > 0.02 else "independent" if upper < 0.05 else "undecided"
                assert row["cell"] == expected
                words.append(expected)
        for word in ("dependent", "independent"):
            row = find(summary, layer=0, quantity=word)
            assert row["estimate"] == words.count(word) / len(words) and row["n_cells"] == len(words)
            assert all(np.isnan(row[bound]) for bound in BOUNDS)


def test_thresholds_are_the_callers():
    _, specialists = world("universal")
    scores = ablated("universal")[0]
    _, _, summary = tabulate(specialists, scores, dependent=-1.0)
    assert find(summary, layer=0, quantity="dependent")["estimate"] == 1
    _, _, summary = tabulate(specialists, scores, dependent=1.0, independent=1.0)
    assert find(summary, layer=0, quantity="independent")["estimate"] == 1
    cells, _, summary = tabulate(specialists, scores, signal=0.999)
    assert all(row["cell"] == "" for row in cells) and all(row["status"] for row in summary)


def test_the_diagonal_gates_and_counts_tasks_with_a_signal():
    cells, _, summary = tables("compositional")
    own = [row["net"] for row in primary(cells) if row["source"] == row["target"]]
    row = find(summary, layer=0, quantity="diagonal")
    assert row["estimate"] == pytest.approx(np.mean(own))
    assert row["n_tasks"] == row["n_cells"] == 4 and row["status"] == ""

    # Two of four tasks without a signal are too few; their own cells are no evidence.
    e = np.eye(16)
    x, specialists = own_world([e[0], e[1], 0 * e[0], 0 * e[0]])
    cells, _, summary = tabulate(specialists, ablate(x, specialists)[0])
    assert all("2 of 4 tasks have a signal; two thirds must" in row["status"] for row in summary)
    own = [find(primary(cells), source=task, target=task)["net"] for task in TASKS[:2]]
    row = find(summary, layer=0, quantity="diagonal")
    assert row["n_tasks"] == 2 and row["estimate"] == pytest.approx(np.mean(own))
    judged = {(row["source"], row["target"]) for row in primary(cells) if row["cell"]}
    assert judged == {tuple(TASKS[:2]), tuple(TASKS[1::-1])}
    assert find(summary, layer=0, quantity="asymmetry")["n_cells"] == 1


def test_one_task_with_a_signal_has_no_pairs():
    x, specialists = own_world([np.eye(16)[0]] * 4)
    alone = {TASKS[0]: specialists[TASKS[0]]}
    scores = ablate({TASKS[0]: x[TASKS[0]]}, alone)[0]
    _, _, summary = tabulate(alone, scores)
    assert all(row["status"] == "insufficient: fewer than two tasks have a signal" for row in summary)
    for quantity in ("dependent", "independent", "asymmetry"):
        row = find(summary, layer=0, quantity=quantity)
        assert np.isnan(row["estimate"]) and row["n_cells"] == 0


def test_insufficient_tasks_flow_through_as_no_evidence():
    directions = list(np.eye(16)[:4])
    x, specialists = own_world(directions, constant=["toxicity"])
    plain = replace(SETTINGS, feature_scaling=False)
    scores, erasers = ablate(x, specialists, plain)
    assert list(scores) == TASKS and set(erasers) == set(TASKS) - {"toxicity"}
    cells, curves, summary = tabulate(specialists, scores)
    rest = {task: each for task, each in specialists.items() if task != "toxicity"}
    without = tabulate(rest, ablate({task: x[task] for task in rest}, rest, plain)[0])
    for rows, expected in ((cells, without[0]), (curves, without[1])):
        known = {tuple(row[key] for key in row if isinstance(row[key], (str, int))): row for row in expected}
        assert known
        for row in rows:
            if "toxicity" in (row["source"], row["target"]):
                assert row["status"].startswith("insufficient: toxicity: 0 violated")
                assert np.isnan(row["estimate"]) and np.isnan(row["lower99"])
                assert row.get("cell", "") == ""
            else:
                assert row["status"] == "" and np.isfinite(row["estimate"])
        # As if it had not been there.
        kept = [row for row in rows if not row["status"]]
        assert [row["estimate"] for row in kept] == pytest.approx([row["estimate"] for row in expected])
    assert [row["cell"] for row in primary(cells) if not row["status"]] == [
        row["cell"] for row in primary(without[0])
    ]
    assert find(summary, layer=0, quantity="diagonal")["n_tasks"] == 3
    assert find(summary, layer=0, quantity="diagonal")["status"] == ""  # three of four: two thirds


def test_without_any_sufficient_task_there_are_tables_of_nothing():
    x, specialists = own_world(np.eye(16)[:4], constant=TASKS)
    scores, erasers = ablate(x, specialists)
    assert erasers == {}
    cells, curves, summary = tabulate(specialists, scores)
    assert all(np.isnan(row["estimate"]) and row["status"] for row in cells + curves + summary)


def test_tables_need_scores():
    _, specialists = world("compositional")
    with pytest.raises(UserError, match="no ablation scores of model 'toy'"):
        ablation_tables("toy", {task: {0: each} for task, each in specialists.items()}, {}, **CLAIMS)


# --------------------------------------------------------------------------------------------- asymmetry


def test_asymmetry_finds_tasks_that_need_one_another_one_way_only():
    """All others tell satisfied by the first task's direction and by one of their own: without the former
    they go on, while the first task has nothing beside what they have."""
    e = np.eye(16)
    x, specialists = own_world([e[0], e[0] + e[1], e[0] + e[2], e[0] + e[3]], n_bases=100, strength=1.6)
    one = replace(SETTINGS, rank=1, max_rank=1, primary_only=True)
    cells, _, summary = tabulate(specialists, ablate(x, specialists, one)[0])
    for task in TASKS[1:]:
        of_first = find(primary(cells), source=TASKS[0], target=task)["net"]
        of_other = find(primary(cells), source=task, target=TASKS[0])["net"]
        assert of_other > of_first + 0.02
    row = find(summary, layer=0, quantity="asymmetry")
    assert row["lower99"] > 0 and row["n_cells"] == 6 and row["status"] == ""


def half_of(result, half):
    """Rows that are judged in one half of the bases."""
    inside = np.array([keyed_hash("halves/0", base) % 2 == half for base in result.bases])
    return inside & (result.folds[0] != CALIBRATION)


def test_the_halves_of_the_asymmetry_share_no_fit():
    """Were erasers and probes common to both, their noise would be counted as asymmetry."""
    x, specialists = world("compositional")
    scores = ablated("compositional")[0]
    rng = np.random.default_rng(0)
    moved = {}
    for task, result in specialists.items():
        other = half_of(result, 1)
        moved[task] = x[task].copy()
        moved[task][other] += rng.normal(size=moved[task][other].shape)
    after = ablate(moved, specialists, replace(SETTINGS, primary_only=True))[0]
    for task, result in specialists.items():
        one, other = half_of(result, 0), half_of(result, 1)
        assert one.any() and other.any() and not set(result.bases[one]) & set(result.bases[other])
        for name in ("half_before", "half_after", "half_null"):
            old, new = getattr(scores[task], name), getattr(after[task], name)
            np.testing.assert_allclose(new[0][..., one], old[0][..., one], atol=2e-3)
            assert np.abs(new[1] - old[1])[..., other].max() > 0.05
            for half, rows in enumerate((one, other)):
                assert np.isfinite(old[half][..., rows]).all() and np.isnan(old[half][..., ~rows]).all()


def test_asymmetry_is_left_open_where_halves_are_too_small():
    x, specialists = own_world(np.eye(16)[:4], n_bases=20, strength=2.0)
    assert not any(result.status for result in specialists.values())
    cells, _, summary = tabulate(specialists, ablate(x, specialists)[0])
    assert np.isnan(find(summary, layer=0, quantity="asymmetry")["estimate"])
    assert all(np.isfinite(row["net"]) for row in primary(cells))


@cache
def symmetric_asymmetries(n_seeds=12):
    """Asymmetry of worlds whose tasks differ in nothing but their direction."""
    found = []
    for seed in range(n_seeds):
        x, specialists = own_world(np.eye(32)[:4], seed=seed, n_bases=120)
        scores = ablate(x, specialists, replace(SETTINGS, primary_only=True))[0]
        summary = tabulate(specialists, scores, n_draws=200)[2]
        found.append(find(summary, layer=0, quantity="asymmetry"))
    return found


def test_asymmetry_of_symmetric_worlds_is_below_what_counts():
    values = [row["estimate"] for row in symmetric_asymmetries()]
    assert np.abs(values).max() < 3 * 6 * 0.02**2 and abs(np.mean(values)) < 6 * 0.02**2


def test_asymmetry_of_symmetric_worlds_is_zero_on_average():
    values = [row["estimate"] for row in symmetric_asymmetries()]
    assert abs(np.mean(values)) < 3 * np.std(values, ddof=1) / np.sqrt(len(values))


def test_symmetric_worlds_are_not_called_asymmetric():
    """At 99 %, one of twelve at most."""
    assert sum(row["lower99"] > 0 for row in symmetric_asymmetries()) <= 1


# ---------------------------------------------------------------------------------------- layers and draws


@cache
def two_layers():
    """Noise, and the same tasks with a signal: {task: {layer: specialist}}, {layer: scores}."""
    silent = own_world(np.zeros((4, 16)), seed=0)
    loud = own_world(np.eye(16)[:4], seed=0)
    assert all((silent[1][task].labels == loud[1][task].labels).all() for task in TASKS)
    by_layer = {task: {2: silent[1][task], 5: loud[1][task]} for task in TASKS}
    return by_layer, {2: ablate(*silent)[0], 5: ablate(*loud)[0]}


def same(rows, others):
    assert len(rows) == len(others) > 0
    for row, other in zip(rows, others, strict=True):
        for key in row:
            assert row[key] == other[key] or (row[key] != row[key] and other[key] != other[key]), key


def test_tables_of_fewer_layers_are_parts_of_those_of_all():
    by_layer, scores = two_layers()
    both = ablation_tables("toy", by_layer, scores, **CLAIMS)
    one = ablation_tables("toy", by_layer, {5: scores[5]}, **CLAIMS)
    for rows, others in zip(both, one, strict=True):
        same([row for row in rows if row["layer"] == 5], [row for row in others if row["layer"] == 5])


def test_tables_of_fewer_tasks_have_the_same_draws():
    by_layer, scores = two_layers()
    bases = by_layer["topic"][5].bases.tolist()
    all_cells = ablation_tables("toy", by_layer, {5: scores[5]}, **CLAIMS, study_bases=bases)[0]
    two = TASKS[:2]
    fewer = {
        target: replace(
            scores[5][target],
            sources=tuple(two),
            null=scores[5][target].null[:, :2],
            curve=scores[5][target].curve[:, :2],
            retrained={method: each[:2] for method, each in scores[5][target].retrained.items()},
            frozen={method: each[:2] for method, each in scores[5][target].frozen.items()},
        )
        for target in two
    }
    options = CLAIMS | {"study_bases": bases}
    cells = ablation_tables("toy", {task: by_layer[task] for task in two}, {5: fewer}, **options)[0]
    for row in primary(cells, layer=5):
        other = find(primary(all_cells, layer=5), source=row["source"], target=row["target"])
        for key in ("before", "after", "estimate", "net", *BOUNDS, *(f"net_{bound}" for bound in BOUNDS)):
            assert row[key] == other[key]


def test_the_selected_layer_is_that_of_the_best_probes():
    by_layer, scores = two_layers()
    for rows in ablation_tables("toy", by_layer, scores, **CLAIMS):
        chosen = [{**row, "layer": 5} for row in rows if row["layer"] == SELECTED]
        same(chosen, [row for row in rows if row["layer"] == 5])


def test_a_seed_gives_the_same_tables_and_another_one_others():
    _, specialists = world("compositional")
    scores = ablated("compositional")[0]
    for rows, others in zip(tabulate(specialists, scores), tables("compositional"), strict=True):
        same(rows, others)
    cells = tabulate(specialists, scores, seed=1)[0]
    for row, other in zip(primary(cells), primary(tables("compositional")[0]), strict=True):
        assert row["estimate"] == other["estimate"] and row["lower99"] != other["lower99"]


def test_cells_are_means_over_fold_seeds():
    x, specialists = world("compositional", fold_seeds=(0, 1))
    scores = ablate(x, specialists, replace(SETTINGS, primary_only=True))[0]
    row = find(primary(tabulate(specialists, scores)[0]), source="topic", target="topic")
    result, each, i = specialists["topic"], scores["topic"], TASKS.index("topic")
    falls = [
        value(each.before[s], result, s) - value(each.retrained["inlp"][i, s], result, s) for s in (0, 1)
    ]
    assert row["estimate"] == pytest.approx(np.mean(falls)) and falls[0] != falls[1]


# ----------------------------------------------------------------------------------------------- refusals


def test_too_large_a_rank_is_refused_by_name():
    x, specialists = world("compositional")
    with pytest.raises(UserError, match=r"ablation\.max_rank is 33.*task 'word_count'.*lower it to 32"):
        ablate(x, specialists, replace(SETTINGS, max_rank=33))
    x, specialists, *_ = wide_noise()
    with pytest.raises(
        UserError, match=r"ablation\.max_rank is 300.*training rows in 300 dimensions"
    ) as error:
        ablate(x, specialists, replace(SETTINGS, max_rank=300))
    most = int(str(error.value).rsplit(" ", 1)[1])
    assert 20 < most < 2 * min(np.bincount(each.labels).min() for each in specialists.values())


def test_rows_of_other_probes_are_refused():
    x, specialists = world("compositional")
    ids = {task: each.ids for task, each in specialists.items()}
    with pytest.raises(UserError, match="'topic'.*other rows"):
        cross_ablate(x, ids | {"topic": ids["topic"][::-1]}, specialists, SETTINGS)


# -------------------------------------------------------------------------------------------------- files


def test_files_give_back_the_scores_with_equal_bytes(tmp_path):
    x, specialists = own_world(np.eye(16)[:4], constant=["topic"])
    scores = ablate(x, specialists)[0]
    save(tmp_path / "a.h5", scores)
    save(tmp_path / "b.h5", scores)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    back = load(tmp_path / "a.h5")
    assert list(back) == TASKS
    for task in TASKS:
        assert back[task].sources == tuple(TASKS)
        for field in fields(Ablated)[1:]:
            found, expected = getattr(back[task], field.name), getattr(scores[task], field.name)
            if isinstance(expected, dict):
                assert list(found) == list(expected)
                found, expected = np.array(list(found.values())), np.array(list(expected.values()))
            np.testing.assert_array_equal(found, expected)
    # Tables of what was read are those of what was made.
    for rows, others in zip(tabulate(specialists, back), tabulate(specialists, scores), strict=True):
        same(rows, others)


@pytest.mark.parametrize("how", ["text", "cut", "missing", "other"])
def test_broken_files_are_named(tmp_path, how):
    import h5py

    path = tmp_path / "broken.h5"
    save(path, ablated("compositional")[0])
    if how == "text":
        path.write_text("no")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "missing":
        path.unlink()
    else:
        with h5py.File(path, "w") as file:
            file["scores"] = np.zeros(3)
    with pytest.raises(UserError, match=r"broken\.h5"):
        load(path)


def test_random_subspaces_are_erasers_of_the_primary_rank_one_for_each_fold():
    x, specialists = world("compositional")
    ids = {task: each.ids for task, each in specialists.items()}
    random = cross_ablate(x, ids, specialists, SETTINGS)[1]["random"]
    assert list(random) == [str(fold) for fold in range(5)]
    for eraser in random.values():
        np.testing.assert_allclose(eraser.b @ eraser.a, np.eye(SETTINGS.rank), atol=1e-9)
    assert np.abs(random["0"].b - random["1"].b).max() > 0.01
    middle = np.mean([rows.mean(axis=0) for rows in x.values()], axis=0)
    np.testing.assert_allclose(random["0"].mean, middle, atol=1e-5)
