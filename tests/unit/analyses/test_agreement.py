"""Two matrices of dependencies: when they agree, when they only share strong rows or fragile columns."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from skillprobe.analyses import agreement

TASKS = list("abcdefg")
NAN = float("nan")


def off(matrix):
    return matrix[~np.eye(len(matrix), dtype=bool)]


def make(falls, losses, half=0.05, model="m", kind="flip", tasks=TASKS):
    """Rows of both tables, with what must not be read among them."""
    ablation, behaviour = [], []
    for i, source in enumerate(tasks):
        for j, target in enumerate(tasks):
            cell = "" if i == j else "dependent" if falls[i, j] > 0.5 else "independent"
            row = {"model": model, "source": source, "target": target, "cell": cell}
            for scope, layer, method, probe, net in (
                ("across", "selected", "inlp", "retrained", falls[i, j]),
                ("within", "selected", "inlp", "retrained", 9.0),
                ("across", 2, "inlp", "retrained", 9.0),
                ("across", "selected", "leace", "retrained", 9.0),
                ("across", "selected", "inlp", "frozen", 9.0),
            ):
                row |= {"scope": scope, "layer": layer, "method": method, "probe": probe, "net": net}
                ablation.append(dict(row))
            for quantity, value in (("change_minus_random", -losses[i, j]), ("change", 9.0)):
                row = {"model": model, "condition": f"{kind}:{source}", "task": target, "quantity": quantity}
                behaviour.append(
                    row | {"estimate": value, "lower99": value - half, "upper99": value + half, "status": ""}
                )
    return ablation, behaviour


def summary(falls, losses, kind="flip", **more):
    tables = agreement.agreement_tables(*make(falls, losses, kind=kind, **more), ["m"], TASKS)
    return {row["quantity"]: row for row in tables[1] if row["edit"] == kind}


def random(seed=0, m=7):
    return np.random.default_rng(seed).normal(size=(m, m))


def test_the_correlation_is_spearmans_of_the_cells_off_the_diagonal():
    ours, theirs = random(0), random(1)
    estimate, p, n = agreement.mantel(ours, theirs)
    assert estimate == pytest.approx(spearmanr(off(ours), off(theirs)).statistic)
    assert n == 5040 and 0 < p <= 1
    changed = ours + np.diag(np.full(len(ours), 100.0))
    assert agreement.mantel(changed, theirs) == (estimate, p, n)


def test_equal_matrices_agree_and_opposite_ones_do_not():
    ours = random(2)
    assert agreement.mantel(ours, ours)[:2] == (pytest.approx(1), pytest.approx(1 / 5040))
    assert agreement.mantel(ours, -ours)[:2] == (pytest.approx(-1), pytest.approx(1))
    many = random(3, 9)
    assert agreement.mantel(many, many)[1:] == (pytest.approx(1 / 10_001), 10_001)


def test_p_is_uniform_for_unrelated_matrices_with_strong_rows_and_columns():
    """Permuting cells freely would find agreement in rows and columns that two matrices don't share."""
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        ours, theirs = (
            rng.normal(size=(6, 1)) + rng.normal(size=6) + 0.3 * rng.normal(size=(6, 6)) for _ in range(2)
        )
        found.append(agreement.mantel(ours, theirs)[1])
    # At 99 % of a binomial(200, 0.05).
    assert 2 <= sum(p <= 0.05 for p in found) <= 19


def test_a_constant_agrees_with_nothing():
    assert np.isnan(agreement.mantel(random(), np.ones((7, 7)))[0])


def test_centring_takes_rows_and_columns_and_no_more():
    rng = np.random.default_rng(5)
    rest = agreement.centred(rng.normal(size=(7, 1)) + rng.normal(size=7) + np.eye(7))
    np.testing.assert_allclose(rest, 0, atol=1e-12)
    rest = agreement.centred(random(6))
    assert (np.diag(rest) == 0).all()
    np.testing.assert_allclose(rest.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(rest.sum(axis=1), 0, atol=1e-12)


def test_fragile_targets_alone_are_no_agreement_within():
    rng = np.random.default_rng(7)
    fragile = np.linspace(0, 3, len(TASKS))
    ours, theirs = (fragile + 0.1 * rng.normal(size=(7, 7)) for _ in range(2))
    rows = summary(ours, theirs)
    assert rows["rank_correlation"]["estimate"] > 0.9 and rows["rank_correlation"]["p"] < 0.01
    assert abs(rows["within"]["estimate"]) < 0.4 and rows["within"]["p"] > 0.05
    pairs = random(8) + fragile
    rows = summary(pairs + 0.1 * ours, pairs + 0.1 * theirs)
    assert rows["within"]["estimate"] > 0.9 and rows["within"]["p"] < 0.01


@pytest.mark.parametrize("kind", ["erase", "flip"])
def test_cells_and_counts(kind):
    falls, losses = np.zeros((7, 7)), np.zeros((7, 7))
    falls[0, 1] = falls[2, 3] = falls[4, 4] = 0.6
    losses[0, 1] = losses[5, 6] = 0.2
    cells, rows = agreement.agreement_tables(*make(falls, losses, kind=kind), ["m", "other"], TASKS)
    assert {row["edit"] for row in cells} == {kind} and len(cells) == 49
    (cell,) = (row for row in cells if (row["source"], row["target"]) == ("a", "b"))
    assert (cell["fall_auroc"], cell["fall_compliance"]) == (0.6, 0.2)
    assert (cell["lower99"], cell["upper99"]) == (pytest.approx(0.15), pytest.approx(0.25))
    counts = [(row["n_tasks"], row["n_cells"], row["dependent"], row["lost"], row["both"]) for row in rows]
    empty = (0, 0, 0, 0, 0)
    mine = (7, 42, 2, 2, 1)
    first = [mine] * 2 + [empty] * 2 if kind == "erase" else [empty] * 2 + [mine] * 2
    assert counts == first + [empty] * 4
    assert all(("insufficient: 0 tasks" in row["status"]) == (row["n_tasks"] == 0) for row in rows)


def test_tasks_without_data_are_left_out():
    falls, losses = random(9), random(10)
    falls[1], falls[:, 1] = NAN, NAN
    rows = summary(falls, losses)
    assert rows["within"]["n_tasks"] == 6 and rows["within"]["n_permutations"] == 720
    # A source under which every answer to two others is cut off: one goes, not three.
    losses[2, 3] = losses[2, 4] = NAN
    assert summary(falls, losses)["within"]["n_tasks"] == 5
    losses[2:5], losses[:, 2:5] = NAN, NAN
    rows = summary(falls, losses)
    assert np.isnan(rows["within"]["estimate"])
    assert rows["within"]["status"] == "insufficient: 3 tasks have both measurements; 4 are needed"
