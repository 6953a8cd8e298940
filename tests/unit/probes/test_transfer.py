"""Every task's probes on every task's rows, of groups that they never saw."""

import numpy as np
import pytest
from made.transfers import N_BASES, PER_BASE, SETTINGS, TASKS, D, world
from skillprobe.errors import UserError
from skillprobe.probes.specialists import specialist
from skillprobe.probes.transfer import cross_scores, load, save
from skillprobe.statistics.metrics import auroc


def test_scores_are_of_probes_that_never_saw_the_base():
    x, ids, specialists = world(np.eye(D)[:6])
    crossed = cross_scores(x, ids, specialists)
    source, target = specialists["topic"], specialists["toxicity"]
    scores = crossed["toxicity"].scores[crossed["toxicity"].sources.index("topic")]
    for s, f in [(0, 0), (1, 3), (2, 4)]:
        test = target.folds[s] == f
        expected = x["toxicity"][test] @ source.fold_weights[s, f] + source.fold_intercepts[s, f]
        np.testing.assert_allclose(scores[s, test], expected, atol=1e-4)
        trained = set(source.groups[(source.folds[s] != f) & (source.folds[s] >= 0)])
        assert not trained & set(target.groups[test])
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
    crossed = {"across": cross_scores(x, ids, specialists)}
    save(tmp_path / "a.h5", crossed)
    save(tmp_path / "b.h5", crossed)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    back = load(tmp_path / "a.h5")["across"]
    assert list(back) == TASKS and back["topic"].sources == tuple(TASKS)
    np.testing.assert_array_equal(back["sentiment"].scores, crossed["across"]["sentiment"].scores)
    (tmp_path / "broken.h5").write_text("no")
    with pytest.raises(UserError, match=r"broken\.h5"):
        load(tmp_path / "broken.h5")


def test_null_probes_transfer_at_chance():
    """AUROC of probes of noise on other tasks is ½, also when both share their rows."""
    rng = np.random.default_rng(5)
    groups = np.repeat([f"b{i:03d}" for i in range(N_BASES)], PER_BASE)
    x = np.repeat(rng.normal(size=(N_BASES, D)), PER_BASE, axis=0) + rng.normal(size=(len(groups), D))
    ids = [str(i) for i in range(len(groups))]
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        rates = rng.choice([0.2, 0.8], N_BASES)  # groups differ in how often they satisfy
        made = {
            task: specialist(
                x,
                (rng.random(len(groups)) < np.repeat(rng.permutation(rates), PER_BASE)).astype(int),
                groups,
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
