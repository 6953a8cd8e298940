"""What each task's eraser takes from each task on planted data, and probes retrained without it."""

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from made.ablated import (
    BASES,
    PROBES,
    SETTINGS,
    TASKS,
    ablate,
    ablated,
    own_world,
    probe,
    same,
    tabulate,
    value,
    world,
)
from made.broken import WAYS, spoil
from made.erasers import among_features, features, logistic, one_inlp, scale_of, training
from made.probes import SHAPES, data
from skillprobe.erasure import Eraser, cross
from skillprobe.erasure.cross import RETRAINED, Ablated, Taken, cross_ablate, load, save
from skillprobe.erasure.leace import leace
from skillprobe.errors import UserError
from skillprobe.probes import LogisticProbe
from skillprobe.probes.solver import Rows, feature_scale
from skillprobe.probes.specialists import specialist
from skillprobe.statistics.folds import CALIBRATION
from sklearn.linear_model import LogisticRegression


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


# ------------------------------------------------------------------------------------------------ scores


@cache
def wide_noise():
    """Two tasks without any signal, in more dimensions than rows, and what is left of them."""
    rng = np.random.default_rng(0)
    groups, x, specialists = np.repeat(BASES, 3), {}, {}
    for task in TASKS[:2]:
        x[task] = rng.normal(size=(len(groups), 300))
        specialists[task] = probe(task, x[task], rng.permutation(np.arange(len(groups)) % 2), groups)
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
    for group in np.unique(result.groups[changed]):
        # Within groups, so that the classes stay as large as they are.
        labels[result.groups == group] = rng.permutation(labels[result.groups == group])
    assert (labels != result.labels).any()
    other = {**specialists, source: probe(source, moved, labels, result.groups)}
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
    plans = {task: cross.Plan.make(each, SETTINGS) for task, each in specialists.items()}
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
    ablate(x, specialists, replace(SETTINGS, primary_only=True))
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


def test_within_prompts_the_stopped_variant_ends_where_no_item_is_told_apart():
    """The sign of an item's rows says everything across items, and nothing within them."""
    rng = np.random.default_rng(0)
    groups, items = np.repeat(BASES, 8), np.repeat(np.arange(2 * len(BASES)), 4).astype(str)
    easy = np.repeat(rng.random(2 * len(BASES)) < 0.5, 4)
    y = np.where(easy, np.tile([1, 1, 1, 0], len(easy) // 4), np.tile([1, 0, 0, 0], len(easy) // 4))
    x = rng.normal(size=(len(y), 8)) + 3.0 * np.outer(2 * easy - 1, np.eye(8)[0])
    ids = [f"topic/{number}" for number in range(len(y))]
    stopped = {}
    for scope, names in (("across", ()), ("within", items)):
        result = specialist(x, y, groups, PROBES, ids=ids, items=names)
        assert not result.status
        scores, _ = ablate({"topic": x}, {"topic": result}, replace(SETTINGS, stop=0.7))
        each = scores["topic"]
        stopped[scope] = np.nanmax(np.abs(each.retrained["inlp_stopped"][0] - each.before)) > 0.05
    assert stopped == {"across": True, "within": False}


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


# ------------------------------------------------------------------------------------------------ sources


def sizes_of(monkeypatch, x, specialists, settings, **kwargs):
    """Rows of each class of the outer training sets of every source, and the scores."""
    sizes, find_directions = [], cross.inlp

    def counting(rows, train, labels, *rest):
        for label in (0, 1):
            sizes.append((train & (labels == label)).sum(axis=0)[: PROBES.n_folds])
        return find_directions(rows, train, labels, *rest)

    monkeypatch.setattr(cross, "inlp", counting)
    return sizes, *ablate(x, specialists, replace(settings, primary_only=True), **kwargs)


def rare_world():
    """One of four tasks has 7 % violations, and a signal like the others."""
    x, specialists = own_world(np.eye(16)[:4], n_groups=120, rare={"topic": 0.07})
    assert not any(result.status for result in specialists.values())
    return x, specialists


def test_a_task_of_few_violations_takes_no_rows_from_the_others(monkeypatch):
    x, specialists = rare_world()
    rare = specialists["topic"]
    least = min((rare.labels[outer(rare, f)] == 0).sum() for f in range(5))
    assert 20 <= least < 30
    sizes, scores, erasers = sizes_of(monkeypatch, x, specialists, replace(SETTINGS, min_rows=80))
    assert set(erasers) == set(TASKS) - {"topic"}
    assert len(sizes) == 2 * 3 and np.ptp(np.concatenate(sizes)) == 0 and sizes[0][0] > 130
    # It is a target like the others, and no source.
    i, reasons = TASKS.index("topic"), dict(zip(TASKS, scores["topic"].without, strict=True))
    assert reasons.pop("topic") == f"{least} responses of one class to train on; erasers need 80 of each"
    assert set(reasons.values()) == {""}
    for each in scores.values():
        assert np.isnan(each.retrained["inlp"][i]).all() and np.isnan(each.null[:, i]).all()
    tested = rare.folds[0] != CALIBRATION
    assert np.isfinite(np.delete(scores["topic"].retrained["inlp"], i, axis=0)[..., tested]).all()
    # With a smaller minimum all would have as few.
    sizes, *_ = sizes_of(monkeypatch, x, specialists, replace(SETTINGS, min_rows=20))
    assert len(sizes) == 2 * 4 and sizes[0][0] <= least


def test_tasks_that_do_not_count_are_targets_only(monkeypatch):
    x, specialists = rare_world()
    counting = ["word_count", "toxicity"]
    sizes, scores, erasers = sizes_of(monkeypatch, x, specialists, SETTINGS, counting=counting)
    assert list(erasers) == counting and len(sizes) == 4
    for target, each in scores.items():
        tested = specialists[target].folds[0] != CALIBRATION
        for source, reason, left in zip(TASKS, each.without, each.retrained["inlp"], strict=True):
            assert (reason == "") == (source in counting) == np.isfinite(left[:, tested]).all()
        assert "not clearly above chance" in each.without[TASKS.index("topic")]
    nothing, _ = ablate(x, specialists, replace(SETTINGS, primary_only=True), counting=[])
    assert all(all(each.without) for each in nothing.values())


def test_erasers_for_edits_are_there_whether_a_task_counts_or_not():
    x, specialists = rare_world()
    _, all_count = ablate(x, specialists, SETTINGS)
    for counting in ([], TASKS[:1]):
        scores, erasers = ablate(x, specialists, replace(SETTINGS, min_rows=80), counting=counting)
        assert list(erasers) == ["word_count", "toxicity", "term_inclusion"]
        assert [not reason for reason in scores["topic"].without] == [task in counting for task in TASKS]
        for task, by_fold in erasers.items():
            assert list(by_fold) == list(all_count[task]) == ["0", "1", "2", "3", "4", "all"]
            # Not of the few rows that a rare task would leave.
            assert all(each.rank == SETTINGS.max_rank for each in by_fold.values())
            along = np.abs(by_fold["all"].b[0]) / np.linalg.norm(by_fold["all"].b[0])
            assert along.argmax() == TASKS.index(task) and along.max() > 0.9


def test_the_scale_may_be_that_of_other_rows():
    """Rows within prompts are on the scale of those across them."""
    x, specialists = world("compositional")
    ids = {task: each.ids for task, each in specialists.items()}
    scale = common_scale(x, specialists)
    plain, _ = cross_ablate(x, ids, specialists, SETTINGS, counting=TASKS)
    given, _ = cross_ablate(x, ids, specialists, SETTINGS, counting=TASKS, scale=scale)
    other, _ = cross_ablate(x, ids, specialists, SETTINGS, counting=TASKS, scale=3.0 ** np.arange(32))
    for task in TASKS:
        np.testing.assert_array_equal(given[task].before, plain[task].before)
        assert np.nanmax(np.abs(other[task].before - plain[task].before)) > 0.1


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


def test_activations_that_do_not_vary_are_not_erased():
    """As those at EOS in layer 0, an embedding that is the same for all responses."""
    x, specialists = world("compositional")
    x = {task: np.ones_like(part) for task, part in x.items()}
    targets, erasers = ablate(x, specialists, SETTINGS)
    assert not erasers
    for target in targets.values():
        assert all("vary in 0 dimensions; erasers take" in reason for reason in target.without)
        assert all(np.isnan(each).all() for each in target.retrained.values())
        assert np.isnan(target.null).all()


def test_rows_of_other_probes_are_refused():
    x, specialists = world("compositional")
    ids = {task: each.ids for task, each in specialists.items()}
    with pytest.raises(UserError, match="'topic'.*other rows"):
        cross_ablate(x, ids | {"topic": ids["topic"][::-1]}, specialists, SETTINGS, counting=TASKS)


# -------------------------------------------------------------------------------------------------- files


def test_files_give_back_the_scores_with_equal_bytes(tmp_path):
    x, specialists = own_world(np.eye(16)[:4], constant=["topic"])
    scores = ablate(x, specialists, n_refits=3)[0]
    save(tmp_path / "a.h5", {"across": scores, "within": {}})
    save(tmp_path / "b.h5", {"across": scores, "within": {}})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    back = load(tmp_path / "a.h5")
    assert list(back) == ["across", "within"] and back["within"] == {}
    back = back["across"]
    assert list(back) == TASKS
    for task in TASKS:
        assert back[task].sources == tuple(TASKS) and back[task].without == scores[task].without
        for field in fields(Ablated)[2:]:
            found, expected = getattr(back[task], field.name), getattr(scores[task], field.name)
            if isinstance(expected, dict):
                assert list(found) == list(expected)
                found, expected = np.array(list(found.values())), np.array(list(expected.values()))
            np.testing.assert_array_equal(found, expected)
    # Tables of what was read are those of what was made.
    for rows, others in zip(tabulate(specialists, back), tabulate(specialists, scores), strict=True):
        same(rows, others)


@pytest.mark.parametrize("how", WAYS)
def test_broken_files_are_named(tmp_path, how):
    path = tmp_path / "broken.h5"
    save(path, {"across": ablated("compositional")[0]})
    spoil(path, how)
    with pytest.raises(UserError, match=r"broken\.h5"):
        load(path)


def test_random_subspaces_are_erasers_of_the_primary_rank_one_for_each_fold():
    x, specialists = world("compositional")
    ids = {task: each.ids for task, each in specialists.items()}
    random = cross_ablate(x, ids, specialists, SETTINGS, counting=TASKS)[1]["random"]
    assert list(random) == [str(fold) for fold in range(5)]
    for eraser in random.values():
        np.testing.assert_allclose(eraser.b @ eraser.a, np.eye(SETTINGS.rank), atol=1e-9)
    assert np.abs(random["0"].b - random["1"].b).max() > 0.01
    middle = np.mean([rows.mean(axis=0) for rows in x.values()], axis=0)
    np.testing.assert_allclose(random["0"].mean, middle, atol=1e-5)


# ------------------------------------------------------------------------------------------- retraining


def other_task(d, seed=7):
    return data(50, d, seed=seed)


def eraser_of(kind, x, y, scale):
    """An eraser, along and by directions among the scaled features."""
    d = x.shape[1]
    if kind == "own":
        return one_inlp(x, y, scale, rank=3)
    if kind == "own, oblique":
        return leace(Rows(x, scale), training(len(x)), y)
    if kind == "random":
        directions = np.linalg.qr(np.random.default_rng(5).normal(size=(d, 3)))[0]
        divisor = (np.ones(d) if scale is None else scale)[:, None]
        return Eraser(directions * divisor, (directions / divisor).T, np.zeros(d))
    other, labels = other_task(d)
    if kind == "another's":
        return one_inlp(other, labels, scale, rank=3)
    return leace(Rows(other, scale), training(len(other)), labels)


def taken_of(rows, eraser, scale):
    along, read = among_features(eraser, scale)
    return Taken.of(rows, along[None]) if np.allclose(along, read) else Taken.oblique(rows, [eraser])


def fit_on_erased(x, y, train, penalty, scale, eraser):
    """Decision values of a probe on erased rows, with the penalty of the rows before."""
    before, after = features(x, scale), features(eraser(x), scale)
    size = np.sqrt(np.mean((before[train] - before[train].mean(0)) ** 2))
    z = (after - after[train].mean(0)) / size
    return logistic(z[train], y[train], penalty).decision_function(z)


KINDS = ["own", "own, oblique", "random", "another's", "another's, oblique"]


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("penalty", [1e-3, 0.1, 1.0])
def test_retraining_is_fitting_on_erased_rows(n, d, scaled, kind, penalty):
    x, y = data(n, d)
    scale, train = scale_of(x, scaled), training(n)
    eraser, rows = eraser_of(kind, x, y, scale), Rows(x, scale)
    taken = taken_of(rows, eraser, scale)
    found = rows.fit(train[:, None], y, [penalty], erased=taken.erased())
    expected = fit_on_erased(x, y, train, penalty, scale, eraser)
    np.testing.assert_allclose(found.decision[0, :, 0], expected, atol=2e-5)


@pytest.mark.parametrize("n, d", SHAPES)
def test_only_directions_out_of_the_rows_span_need_axes_of_their_own(n, d):
    """Of fewer rows than features, another task's directions have such a part; all others are inside."""
    x, y = data(n, d)
    rows = Rows(x)
    more = {}
    for kind in KINDS:
        taken = taken_of(rows, eraser_of(kind, x, y, None), None)
        more[kind] = taken.erased().right.shape[2] - rows.coordinates.shape[1]
    beyond = {"own": 0, "own, oblique": 0, "random": 3, "another's": 3, "another's, oblique": 1}
    assert more == (dict.fromkeys(KINDS, 0) if n > d else beyond)


@pytest.mark.parametrize("n, d", SHAPES)
def test_erasers_of_unequal_rank_are_retrained_side_by_side(n, d):
    x, y = data(n, d)
    scale = feature_scale(x)
    rows = Rows(x, scale)
    sets = np.stack([training(n), ~training(n, 0.3), training(n, 0.6)], axis=1)
    erasers = [
        eraser_of("another's", x, y, scale).truncated(2),
        eraser_of("another's, oblique", x, y, scale),
        eraser_of("random", x, y, scale),
    ]
    taken = Taken.joined([taken_of(rows, eraser, scale) for eraser in erasers])
    penalties = np.array([0.01, 0.1, 1.0])
    plain = rows.fit(sets, y, [penalties])
    for start in (None, (plain.coefficients[0], plain.intercepts[0])):
        found = rows.fit(sets, y, [penalties], erased=taken.erased(), start=start)
        for m, eraser in enumerate(erasers):
            expected = fit_on_erased(x, y, sets[:, m], penalties[m], scale, eraser)
            np.testing.assert_allclose(found.decision[0, :, m], expected, atol=2e-5)


@pytest.mark.parametrize("n, d", SHAPES)
def test_the_first_directions_are_taken_alone(n, d):
    x, y = data(n, d)
    rows, train = Rows(x), training(n)
    eraser = eraser_of("another's", x, y, None)
    taken = taken_of(rows, eraser, None).repeated(3).first(np.array([0, 1, 2]))
    sets = np.repeat(train[:, None], 3, axis=1)
    found = rows.fit(sets, y, [0.1], erased=taken.erased()).decision[0]
    np.testing.assert_allclose(found[:, 0], rows.fit(sets, y, [0.1]).decision[0, :, 0], atol=1e-5)
    for rank in (1, 2):
        expected = fit_on_erased(x, y, train, 0.1, None, eraser.truncated(rank))
        np.testing.assert_allclose(found[:, rank], expected, atol=2e-5)


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_probe_loses_what_the_eraser_takes(n, d, kind):
    """Up to a constant, which is nothing to the order of the rows."""
    x, y = data(n, d)
    scale = feature_scale(x)
    rows, eraser = Rows(x, scale), eraser_of(kind, x, y, scale)
    fit = rows.fit(training(n)[:, None], y, [0.1])
    weights, intercept = fit.raw()
    lost = fit.decision[0, :, 0] - (eraser(x) @ weights + intercept)[:, 0]
    found = (rows.coordinates @ taken_of(rows, eraser, scale).of_probe(fit.coefficients[0]))[:, 0]
    np.testing.assert_allclose(found - found.mean(), lost - lost.mean(), atol=1e-9)


@pytest.mark.parametrize("n, d", SHAPES)
def test_directions_of_another_tasks_rows_are_those_among_the_features(n, d):
    x, scale = data(n, d)[0], np.linspace(1, 2, d)
    rows, other = Rows(x, scale), Rows(data(n, d, seed=1)[0], scale)
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(3, other.coordinates.shape[1], 2)))[0]
    among = np.stack([other.weights(each)[0] * scale[:, None] for each in axes])
    expected, found = Taken.of(rows, among), Taken.across(rows.overlap(other), axes)
    np.testing.assert_allclose(found.read, expected.read, atol=1e-9)
    np.testing.assert_allclose(found.inside, expected.inside, atol=1e-9)
    for one, two in zip(found.outside, expected.outside, strict=True):
        np.testing.assert_allclose(one.T @ one, two.T @ two, atol=1e-9)
    own = Taken.across(None, axes)
    assert own.read is axes and not own.outside.any()
