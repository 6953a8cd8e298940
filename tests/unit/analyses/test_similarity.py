"""PWCCA, CKA and principal angles: closed forms, what they must not depend on, and their nulls."""

from types import SimpleNamespace

import numpy as np
import pytest
from skillprobe.analyses import similarity
from skillprobe.analyses.similarity import (
    Items,
    cca,
    compare,
    compare_subspaces,
    eraser_cosines,
    linear_cka,
    model_similarity_table,
    pca,
    principal_cosines,
    pwcca,
    similarity_table,
)
from skillprobe.erasure.eraser import Eraser

OPTIONS = {"max_truncated": 0.05, "rank": 3, "permutations": 40}


def noise(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def orthogonal(d, seed=0):
    return np.linalg.qr(noise(d, d, seed))[0]


def correlated(correlations, n=200, seed=0):
    """x and y, [n, k] orthonormal and centred, with exactly these canonical correlations."""
    k = len(correlations)
    made = noise(n, 2 * k, seed)
    q = np.linalg.qr(made - made.mean(axis=0))[0]
    rho = np.array(correlations)
    return q[:, :k], rho * q[:, :k] + np.sqrt(1 - rho**2) * q[:, k:]


def axes(seed=0, n=200):
    """Rows in their principal axes, of which each is clearly longer than the next."""
    return pca(noise(n, 5, seed) * [5, 4, 3, 2, 1], 5)[0]


# ------------------------------------------------------------------------------------------ closed forms


def test_canonical_correlations_are_those_that_were_put_in():
    x, y = correlated([0.9, 0.5, 0.1])
    np.testing.assert_allclose(cca(x, y), [0.9, 0.5, 0.1])
    # Whatever invertible maps and shifts they went through.
    np.testing.assert_allclose(cca(x @ noise(3, 3, 1) + 5, y @ noise(3, 3, 2) - 1), [0.9, 0.5, 0.1])
    # A narrower side has fewer.
    np.testing.assert_allclose(cca(x, y[:, 1:]), [0.5, 0.1])


def test_pwcca_by_hand_and_its_asymmetry():
    """Of correlations 0.9 and 0.1, x has most of its length along the first, y along the second."""
    x, y = correlated([0.9, 0.1])
    x, y = x * [3, 1], y * [1, 4]
    assert pwcca(x, y) == pytest.approx((3 * 0.9 + 1 * 0.1) / 4)
    assert pwcca(y, x) == pytest.approx((1 * 0.9 + 4 * 0.1) / 5)
    found = compare(x[:, None], y[:, None], permutations=20)
    assert found["pwcca_first"]["estimate"] == pytest.approx(pwcca(x, y))
    assert found["pwcca_second"]["estimate"] == pytest.approx(pwcca(y, x))
    assert found["pwcca"]["estimate"] == pytest.approx((pwcca(x, y) + pwcca(y, x)) / 2)
    assert found["cka"]["estimate"] == pytest.approx(linear_cka(x, y))


def test_cka_by_hand():
    # ‖XᵀY‖² is 9 · 0.81 + 16 · 0.01; ‖XᵀX‖ is √(81 + 1), ‖YᵀY‖ is √(1 + 256).
    x, y = correlated([0.9, 0.1])
    expected = (9 * 0.81 + 16 * 0.01) / np.sqrt(82 * 257)
    assert linear_cka(x * [3, 1], y * [1, 4]) == pytest.approx(expected)
    assert linear_cka(y * [1, 4], x * [3, 1]) == pytest.approx(expected)
    x, y = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [3.0], [2.0]])
    # Of one column each, the squared correlation.
    assert linear_cka(x, y) == pytest.approx(0.25)


@pytest.mark.parametrize("degrees", [0, 1, 30, 90])
def test_planes_at_a_known_angle(degrees):
    angle = np.deg2rad(degrees)
    e = np.eye(6)
    first, second = e[:, :2], np.stack([e[0], np.cos(angle) * e[1] + np.sin(angle) * e[2]], axis=1)
    turned = orthogonal(6)
    found = principal_cosines(turned @ first @ noise(2, 2, 1), turned @ second @ noise(2, 2, 2))
    np.testing.assert_allclose(found, [1, np.cos(angle)], atol=1e-12)


# ------------------------------------------------------------------------------------------ invariances


def test_what_is_equal_scores_one():
    x = axes()
    for measure in (pwcca, linear_cka):
        assert measure(x, x) == pytest.approx(1)
    for other in (x @ noise(5, 5, 1), x @ noise(5, 5, 2) + 3):
        assert pwcca(x, other) == pytest.approx(1) and pwcca(other, x) == pytest.approx(1)
        assert linear_cka(x, other) < 0.99
    assert linear_cka(x, -2 * x @ orthogonal(5) + 3) == pytest.approx(1)


@pytest.mark.parametrize("measure", [pwcca, linear_cka])
def test_rotation_scale_and_shift_change_nothing(measure):
    raw = noise(200, 8) * np.arange(8, 0, -1)
    other = noise(200, 8, 1) * np.arange(1, 9) + raw @ noise(8, 8, 2) / 8
    found = measure(pca(raw, 5)[0], pca(other, 5)[0])
    assert 0.1 < found < 0.9
    for changed in (raw @ orthogonal(8, 3), 0.01 * raw, raw + 7, -100 * raw @ orthogonal(8, 4) + 2):
        assert measure(pca(changed, 5)[0], pca(other, 5)[0]) == pytest.approx(found)
    for changed in (other @ orthogonal(8, 5), 1e4 * other, other - 7):
        assert measure(pca(raw, 5)[0], pca(changed, 5)[0]) == pytest.approx(found)


def test_pwcca_is_for_principal_axes():
    """Sums of absolute values depend on the axes, so the plain columns would not do."""
    x, y = correlated([0.9, 0.1])
    x = x @ [[3, 2], [0, 1]]
    turned = x @ orthogonal(2, 3)
    assert abs(pwcca(turned, y) - pwcca(x, y)) > 0.01
    assert pwcca(pca(turned, 2)[0], y) == pytest.approx(pwcca(pca(x, 2)[0], y))
    # The other side counts by its span alone.
    assert pwcca(x, y @ noise(2, 2, 4)) == pytest.approx(pwcca(x, y))


def test_pca_keeps_the_longest_axes():
    x = noise(300, 20, 1) * np.linspace(3, 0.1, 20) + 10
    scores, share = pca(x, 4)
    values = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    np.testing.assert_allclose(scores.T @ scores / 299, np.diag(values[:4]), atol=1e-9)
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-12)
    assert share == pytest.approx(values[:4].sum() / values.sum())
    # No more axes than there are, and none of what does not vary.
    assert pca(noise(50, 2), 10)[0].shape == (50, 2)
    assert pca(np.outer(noise(50, 1)[:, 0], np.ones(9)), 4)[0].shape == (50, 1)
    assert pca(np.full((50, 9), 0.1, np.float32), 4)[0].shape == (50, 0)


def test_pca_of_large_matrices_is_that_of_small_ones():
    """In a Krylov space, of a spectrum without gaps."""
    x = noise(700, 600, 2) * np.linspace(2, 1, 600)
    scores, share = pca(x, 10)
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.linalg.norm(scores, axis=0), s[:10], rtol=1e-3)
    assert share == pytest.approx(np.sum(s[:10] ** 2) / np.sum(s**2), rel=1e-3)
    # A tenth of the axes stand out, as in activations.
    x += 30 * noise(700, 10, 3) @ noise(10, 600, 4)
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(cca(pca(x, 10)[0], u[:, :10]), 1, atol=1e-12)


# ------------------------------------------------------------------------------------------------ nulls


def test_the_trap_of_unreduced_noise():
    x, y = noise(140, 128, 1), noise(140, 128, 2)
    assert pwcca(x, y) > 0.9
    reduced = [pca(side, 10)[0][:, None] for side in (x, y)]
    found = compare(*reduced, permutations=100)["pwcca"]
    assert found["estimate"] < 0.4 and found["p"] > 0.05
    assert found["null"] == pytest.approx(found["estimate"], abs=0.06)
    # The null is as high for what is not reduced: it would have told.
    found = compare(x[:, None], y[:, None], permutations=20)["pwcca"]
    assert found["null"] == pytest.approx(found["estimate"], abs=0.02)


def test_what_is_above_the_quantile_has_a_small_p():
    found = [
        compare(x[:, None], x[:, None] + 4 * noise(30, 2, 99 + seed)[:, None], permutations=n, seed=seed)
        for seed in range(30)
        for n in (19, 40, 99)
        for x in (noise(30, 2, seed),)
    ]
    clear = [value["estimate"] > value["null_upper95"] for each in found for value in each.values()]
    assert clear == [value["p"] <= 0.05 for each in found for value in each.values()]
    assert any(clear) and not all(clear)


def test_p_is_uniform_for_what_has_nothing_in_common():
    found = [
        compare(noise(90, 6, seed).reshape(30, 3, 6), noise(90, 6, 999 + seed).reshape(30, 3, 6),
                permutations=39, seed=seed)
        for seed in range(200)
    ]  # fmt: skip
    for name in similarity.MEASURES:
        p = np.array([each[name]["p"] for each in found])
        # Of 200, at 99 % of the binomial.
        assert 2 <= np.sum(p <= 0.05) <= 19 and 82 <= np.sum(p <= 0.5) <= 118
        assert p.min() >= 1 / 40


def test_the_null_keeps_bases_together():
    """Rows that are alike within a group: permuting rows one by one would find similarity in noise."""
    rng = np.random.default_rng(0)
    kept = torn = 0
    for seed in range(40):
        x, y = (np.repeat(rng.normal(size=(20, 1, 2)), 10, axis=1) for _ in range(2))
        kept += compare(x, y, permutations=39, seed=seed)["pwcca"]["p"] <= 0.05
        torn += (
            compare(*(s.reshape(200, 1, 2) for s in (x, y)), permutations=39, seed=seed)["pwcca"]["p"] <= 0.05
        )
    assert kept <= 7 and torn >= 20


def test_rows_of_a_base_stay_in_their_order():
    """What only tells the rows of a group apart is kept by every permutation: the same in all groups."""
    x = np.tile(noise(4, 2)[None], (30, 1, 1)) + 1e-3 * noise(120, 2, 1).reshape(30, 4, 2)
    found = compare(x, x, permutations=40)["cka"]
    assert found["estimate"] == pytest.approx(1) and found["null"] > 0.999


# ------------------------------------------------------------------------------------------- subspaces


def eraser(q, scale):
    """As INLP's: orthonormal directions q [d, k] among features that were divided by their scale [d]."""
    return Eraser((q * scale[:, None]).astype(np.float32), (q / scale[:, None]).T.astype(np.float32), scale)


def test_angles_of_erasers_are_those_among_scaled_features():
    scale = np.exp(3 * noise(20, 1)[:, 0])
    one, other = (np.linalg.qr(noise(20, 3, seed))[0] for seed in (1, 2))
    found = eraser_cosines(eraser(one, scale), eraser(other, scale))
    np.testing.assert_allclose(found, principal_cosines(one, other), atol=1e-5)
    np.testing.assert_allclose(eraser_cosines(eraser(one, scale), eraser(one, scale)), 1, atol=1e-5)
    # Plain features would have made them alike.
    plain = principal_cosines(one / scale[:, None], other / scale[:, None])
    assert plain[0] > 0.99 > found[0]


def test_random_subspaces_overlap_by_their_rank():
    scale = np.ones(40)
    found = [
        compare_subspaces(
            *(eraser(np.linalg.qr(noise(40, 4, seed + k))[0], scale) for k in (0, 500)), permutations=50
        )
        for seed in range(60)
    ]
    overlaps = [each["overlap"] for each in found]
    assert all(each["null"] == pytest.approx(4 / 40) for each in overlaps)
    assert np.mean([each["estimate"] for each in overlaps]) == pytest.approx(4 / 40, rel=0.1)
    assert np.mean([each["estimate"] > each["null_upper95"] for each in overlaps]) < 0.2
    assert all(each["largest_cosine"]["estimate"] ** 2 >= each["overlap"]["estimate"] for each in found)


# --------------------------------------------------------------------------------------------- tables


def rows_of(x, groups, task="t", truncated=0.0):
    """Rows as they are read: samples of one item a group."""
    count = {group: iter(range(len(groups))) for group in groups}
    ids = np.array([f"{task}/{group}/0/constrained/{next(count[group])}" for group in groups])
    return SimpleNamespace(x=x.astype(np.float32), groups=np.asarray(groups), ids=ids, truncated=truncated)


def task_rows(seed=0, n_groups=40, samples=3, d=12, mean=0.0, **more):
    """Tasks "a" and "b" put one thing of each group along axes of their own; "c" something else."""
    rng = np.random.default_rng(seed)
    about, other = rng.normal(size=(2, n_groups, 3))
    groups = np.repeat([f"b{k:02d}" for k in range(n_groups)], samples)
    made = {}
    for k, (task, content) in enumerate([("a", about), ("b", about), ("c", other)]):
        x = 3 * content @ np.linalg.qr(rng.normal(size=(d, 3)))[0].T
        x = np.repeat(x, samples, axis=0) + rng.normal(size=(n_groups * samples, d)) + mean * (k + 1)
        made[task] = rows_of(x, groups, task, **more)
    return made


def pick(table, **wanted):
    return [row for row in table if all(row[key] == value for key, value in wanted.items())]


def one(table, **wanted):
    (row,) = pick(table, **wanted)
    return row


def test_tasks_with_something_in_common_are_told_from_others():
    table = similarity_table("m", [(1, task_rows())], {}, task_layers=[1], **OPTIONS)
    shared = one(table, kind="tasks", first="a", second="b", measure="pwcca")
    assert shared["estimate"] > 0.8 and shared["p"] == pytest.approx(1 / 41)
    assert (shared["n"], shared["n_groups"], shared["rank"], shared["status"]) == (40, 40, 3, "")
    for task in ("a", "b"):
        apart = one(table, kind="tasks", first=task, second="c", measure="pwcca")
        assert apart["estimate"] < 0.5 and apart["p"] > 0.05
        assert apart["estimate"] < shared["null_upper95"] + 0.1
    assert not pick(table, kind="layers") and not pick(table, kind="subspaces")
    assert {tuple(row) for row in table} == {similarity.COLUMNS}


def test_layers_are_compared_on_the_rows_of_all_tasks_without_their_means():
    first, turn = task_rows(), orthogonal(12, 9)
    second = {task: SimpleNamespace(**vars(part) | {"x": 2 * part.x @ turn}) for task, part in first.items()}
    third = task_rows(seed=5, mean=100)
    first = {
        task: SimpleNamespace(**vars(part) | {"x": part.x + 100 * k})
        for k, (task, part) in enumerate(first.items())
    }
    layers = [(0, first), (2, second), (4, third)]
    table = similarity_table("m", layers, {}, task_layers=[], **OPTIONS)
    same = one(table, first=0, second=2, measure="pwcca")
    assert same["estimate"] == pytest.approx(1, abs=1e-3) and (same["n"], same["n_groups"]) == (360, 40)
    # Tasks' means, however far apart in both, are no similarity.
    other = one(table, first=0, second=4, measure="cka")
    assert other["estimate"] < 0.2
    assert [row["layer"] for row in table] == [""] * 12


def test_what_cannot_be_compared_says_so():
    rows = task_rows()
    rows["b"] = SimpleNamespace(**vars(rows["b"]) | {"truncated": 0.2})
    rows["c"] = rows_of(np.full((120, 12), 0.1), rows["a"].groups, "c")
    still = {task: rows_of(np.full((120, 12), 0.3), part.groups) for task, part in rows.items()}
    table = similarity_table("m", [(0, still), (1, rows)], {}, task_layers=[1], **OPTIONS)
    reasons = {(row["kind"], row["first"], row["second"]): row["status"] for row in table}
    assert reasons == {
        ("layers", 0, 1): "insufficient: layer 0 does not vary",
        ("tasks", "a", "b"): "insufficient: b: 20.0% of the responses are truncated",
        ("tasks", "a", "c"): "insufficient: c does not vary",
        ("tasks", "b", "c"): "insufficient: b: 20.0% of the responses are truncated",
    }
    assert all(np.isnan(row["estimate"]) and np.isnan(row["p"]) for row in table)
    table = similarity_table("m", [(1, task_rows(n_groups=8))], {}, task_layers=[1], **OPTIONS)
    assert {row["status"] for row in table} == {"insufficient: 8 groups; 9 are needed for rank 3"}
    empty = {task: rows_of(np.zeros((0, 12)), np.zeros(0, str)) for task in "ab"}
    table = similarity_table("m", [(0, empty), (1, empty)], {}, task_layers=[1], **OPTIONS)
    assert {row["status"] for row in pick(table, kind="layers")} == {"insufficient: layer 0 has no rows"}
    assert {row["status"] for row in pick(table, kind="tasks")} == {"insufficient: a has no rows"}


def test_bases_of_fewer_rows_count_as_much_and_those_without_are_left_out():
    rows = task_rows()
    x, groups = rows["a"].x, rows["a"].groups
    kept = np.ones(len(x), bool)
    kept[[1, 2, 7]] = False  # two rows of the first group, one of the third
    blocks, there = similarity._blocks(x[kept], groups[kept], np.unique(groups))
    assert blocks.shape == (40, 3, 12) and there.all()
    np.testing.assert_array_equal(blocks[0, 0], blocks[0, 2])
    np.testing.assert_allclose(blocks.mean(axis=(0, 1)), 0, atol=1e-12)
    fewer = groups != "b00"
    rows["b"] = rows_of(rows["b"].x[fewer], groups[fewer], "b")
    table = similarity_table("m", [(1, rows)], {}, task_layers=[1], **OPTIONS)
    assert one(table, first="a", second="b", measure="cka")["n_groups"] == 39
    assert one(table, first="a", second="c", measure="cka")["n_groups"] == 40


def test_erased_subspaces():
    scale = np.exp(noise(30, 1)[:, 0])
    q = np.linalg.qr(noise(30, 6))[0]
    erasers = {
        "a": eraser(q[:, :3], scale),
        "b": eraser(q[:, 1:4], scale),
        "c": eraser(q[:, 3:], scale),
        "d": None,
    }
    table = similarity_table("m", [], {4: erasers}, task_layers=[], **OPTIONS)
    overlap = {(row["first"], row["second"]): row for row in pick(table, measure="overlap")}
    assert overlap["a", "b"]["estimate"] == pytest.approx(2 / 3, abs=1e-5)
    assert overlap["a", "c"]["estimate"] == pytest.approx(0, abs=1e-9)
    assert overlap["b", "c"]["estimate"] == pytest.approx(1 / 3, abs=1e-5)
    assert overlap["a", "b"]["null"] == pytest.approx(3 / 30) and overlap["a", "b"]["layer"] == 4
    assert overlap["a", "b"]["p"] == pytest.approx(1 / 41) and overlap["a", "c"]["p"] == 1
    assert overlap["a", "d"]["status"] == "insufficient: d has no eraser"
    assert one(table, first="a", second="b", measure="largest_cosine")["estimate"] == pytest.approx(
        1, abs=1e-5
    )


def models(**parts):
    return {
        name: (2, {task: Items.of(part, 0.05) for task, part in rows.items()}) for name, rows in parts.items()
    }


def test_models_are_matched_by_item():
    first = task_rows()
    # The same in another order, in more dimensions, with other answers and a task too truncated.
    order = np.random.default_rng(3).permutation(len(first["a"].x))
    second = {
        task: SimpleNamespace(
            x=(part.x @ noise(12, 50, 4) + 0.5 * noise(120, 50, 5))[order],
            groups=part.groups[order],
            ids=part.ids[order],
            truncated=0.2 if task == "b" else 0.0,
        )
        for task, part in first.items()
    }
    # Another one without the answers to two requests.
    kept = ~np.isin(first["a"].groups, ["b00", "b01"])
    third = {task: rows_of(part.x[kept], part.groups[kept], task) for task, part in task_rows(seed=8).items()}
    depths = {"last": models(m1=first, m2=second, m3=third)}
    table = model_similarity_table(depths, rank=3, permutations=40)
    assert {tuple(row) for row in table} == {similarity.MODEL_COLUMNS}
    same = one(table, first="m1", second="m2", measure="pwcca")
    assert same["estimate"] > 0.7 and same["p"] == pytest.approx(1 / 41)
    assert (same["n"], same["n_groups"], same["first_layer"]) == (80, 40, 2)
    other = one(table, first="m1", second="m3", measure="pwcca")
    assert other["estimate"] < 0.5 and (other["n"], other["n_groups"]) == (114, 38)


def test_equal_rows_equal_tables():
    tables = [similarity_table("m", [(1, task_rows())], {}, task_layers=[1], **OPTIONS) for _ in range(2)]
    assert tables[0] == tables[1]
