"""Probes across wordings on planted rows, and compliance by wording by hand."""

from dataclasses import replace

import numpy as np
import pytest
from skillprobe.analyses import wording
from skillprobe.analyses.robustness import COLUMNS, robustness_table
from skillprobe.errors import UserError
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.results import load, save
from skillprobe.probes.rows import ProbeRows
from skillprobe.probes.subsets import equal_parts, on_subsets
from skillprobe.probes.wordings import fit_wordings
from skillprobe.statistics.folds import CALIBRATION, row_folds, unpaired
from skillprobe.statistics.metrics import auroc

N_BASES = 180
BASES = [f"b{number:03d}" for number in range(N_BASES)]
PROBES = {"penalties": [1e-3, 1e-2], "folds": 4, "fold_seeds": 2, "feature_scaling": True}
PROBES |= {"calibration_fraction": 0.1, "min_rows": 10, "min_bases": 5, "max_truncated": 0.05}
SETTINGS = {"seed": 0, "prompts": {"bases": N_BASES}, "probes": PROBES, "robustness.draws": 2}
KINDS = ("human", "plm", "entailment")
PHRASINGS = [("human", "positive")] * 2 + [("human", "negated")] * 2
PHRASINGS += [("plm", "positive")] * 2 + [("entailment", "positive")] * 2
SIZE = 24


def plant(direction, *, seed=0, phrasings=PHRASINGS, per_base=4, noise=1.0):
    """Rows whose label is read along `direction(phrasing number, type, polarity)`, [SIZE] or [n, SIZE]. Each
    base is asked in one phrasing, in turn."""
    rng = np.random.default_rng(seed)
    base = np.repeat(np.arange(N_BASES), per_base)
    number = base % len(phrasings)
    y = rng.integers(0, 2, len(base)).astype(np.int8)
    x = noise * rng.normal(size=(len(base), SIZE))
    for k, (kind, polarity) in enumerate(phrasings):
        here = number == k
        x[here] += np.where(y[here, None] == 1, 1, -1) * direction(k, kind, polarity)
    kinds, polarities = (np.array([phrasings[k][place] for k in number]) for place in (0, 1))
    names = np.array([f"t.{phrasings[k][0]}.{k}" for k in number])
    bases = np.array(BASES)[base]
    ids = np.array([f"t/{name}/{k}" for k, name in enumerate(bases)])
    lengths = np.full(len(y), 9)
    return ProbeRows(x.astype(np.float32), y, bases, ids, names, kinds, polarities, lengths, 0.0)


def axis(k):
    return 1.2 * np.eye(SIZE)[k]


def same(number, kind, polarity):
    return axis(0)


def by_kind(number, kind, polarity):
    return axis(KINDS.index(kind))


def tabulate(by_task, n_draws=200):
    """{(task, contrast, trained on or number of phrasings, tested on): row} at the selected layer."""
    tasks = {task: fit_wordings(rows, SETTINGS) for task, rows in by_task.items()}
    table = robustness_table(
        "m", {3: tasks}, dict.fromkeys(by_task, "structural"), n_draws=n_draws, study_bases=BASES
    )
    assert all(tuple(row) == COLUMNS for row in table)
    return {
        (row["task"], row["contrast"], row["n_phrasings"] or row["trained_on"], row["tested_on"]): row
        for row in table
        if row["layer"] == "selected"
    }


@pytest.fixture(scope="module")
def tables():
    return {
        "same": tabulate({"t": plant(same)}),
        "by_kind": tabulate({"t": plant(by_kind)}),
        "null": tabulate({"t": plant(lambda *_: np.zeros(SIZE))}),
    }


# --- what is planted is found


def test_one_direction_for_all_wordings_carries_over(tables):
    found = tables["same"]
    for contrast, groups in (("type", KINDS), ("polarity", ("positive", "negated"))):
        for a in groups:
            for b in groups:
                assert found["t", contrast, a, b]["estimate"] > 0.8
        difference = found["t", contrast, "within_minus_across", ""]
        assert abs(difference["estimate"]) < 0.05 and difference["lower99"] < 0 < difference["upper99"]
    difference = found["t", "held_out", "any_minus_other", ""]
    assert abs(difference["estimate"]) < 0.03


def test_a_direction_of_each_type_stays_within(tables):
    found = tables["by_kind"]
    for a in KINDS:
        for b in KINDS:
            row = found["t", "type", a, b]
            assert row["estimate"] > 0.85 if a == b else abs(row["estimate"] - 0.5) < 0.15
    assert found["t", "type", "within_minus_across", ""]["lower99"] > 0.2
    assert abs(found["t", "type", "others_minus_across", ""]["estimate"]) < 0.15


def test_a_negation_that_turns_the_direction_round_is_below_chance():
    found = tabulate(
        {"t": plant(lambda number, kind, polarity: axis(0) * (-1 if polarity == "negated" else 1))}
    )
    assert found["t", "polarity", "positive", "negated"]["upper99"] < 0.3
    assert found["t", "polarity", "positive", "positive"]["estimate"] > 0.85


def test_noise_gives_chance_everywhere(tables):
    for row in tables["null"].values():
        assert row["lower99"] <= (0 if "_minus_" in str(row["trained_on"]) else 0.5) <= row["upper99"], row


def test_more_phrasings_help_where_each_has_its_own_direction():
    """The shared part is small beside what a phrasing adds, which averages out over phrasings."""
    own = np.random.default_rng(5).normal(size=(16, SIZE)) / np.sqrt(SIZE)
    phrasings = [(KINDS[k % 3], "positive") for k in range(16)]
    rows = {
        f"t{seed}": plant(
            lambda k, *_: 0.6 * axis(0) + own[k], phrasings=phrasings, seed=seed, per_base=6, noise=0.5
        )
        for seed in range(2)
    }
    found = tabulate(rows)
    curve = [found["mean", "diversity", k, "unseen"]["estimate"] for k in (1, 4, 8)]
    assert curve == sorted(curve) and curve[-1] - curve[0] > 0.05
    assert found["mean", "diversity", "most_minus_fewest", ""]["lower95"] > 0
    assert found["mean", "diversity", 8, "unseen"]["n_tasks"] == 2
    # Beside phrasings that it was trained on, a probe is worse on those that it was not.
    assert found["mean", "held_out", "any_minus_other", ""]["estimate"] > 0


# --- nothing leaks


def test_what_is_remembered_of_a_base_does_not_help():
    """Within a base all labels agree, and activations tell the base and nothing else: a leak would give 1."""
    values: dict[str, list[float]] = {}
    for seed in range(3):
        rows, rng = plant(same), np.random.default_rng(seed)
        of_base = {base: (rng.integers(0, 2), 5 * rng.normal(size=SIZE)) for base in BASES}
        y = np.array([of_base[base][0] for base in rows.bases], np.int8)
        x = np.array([of_base[base][1] for base in rows.bases], np.float32)
        for contrast, by_trained in fit_wordings(replace(rows, x=x, y=y), SETTINGS).items():
            for result in (each for by_tested in by_trained.values() for each in by_tested.values()):
                if not result.status:
                    found = auroc(result.scores[0], result.labels, result.folds[0]).value
                    values.setdefault(contrast, []).append(found)
    assert set(values) >= {"type", "held_out", "diversity"}
    for found in values.values():
        assert max(found) < 0.8 and abs(np.mean(found) - 0.5) < 0.08


@pytest.mark.parametrize("contrast", ["held_out", "diversity"])
def test_labels_of_tested_phrasings_reach_no_score(contrast):
    rows = plant(same)
    result = fit_wordings(rows, SETTINGS)[contrast]
    if contrast == "held_out":
        result = result["other_phrasings"]["held_out"]
        # Parts are folds of their own: those of the first part are the lowest.
        tested = np.isin(rows.phrasings, rows.phrasings[(result.folds[0] >= 0) & (result.folds[0] < 4)])
        tested &= result.folds[0] < 4
    else:
        result = result["2"]["draw_1"]
        tested = np.isin(rows.ids, result.ids)
    flipped = replace(rows, y=np.where(tested, 1 - rows.y, rows.y).astype(np.int8))
    again = fit_wordings(flipped, SETTINGS)[contrast]
    again = again["other_phrasings"]["held_out"] if contrast == "held_out" else again["2"]["draw_1"]
    of_tested = tested if contrast == "held_out" else slice(None)
    np.testing.assert_array_equal(again.scores[:, of_tested], result.scores[:, of_tested])
    assert not np.array_equal(again.labels, result.labels)


def test_held_out_phrasings_are_compared_within_their_part():
    rows = plant(same)
    result = fit_wordings(rows, SETTINGS)["held_out"]["any_phrasing"]["held_out"]
    dealt = result.folds[0] != CALIBRATION
    of_part = {}
    for name, fold in zip(rows.phrasings[dealt], result.folds[0][dealt] // PROBES["folds"], strict=True):
        of_part.setdefault(name, set()).add(int(fold))
    assert all(len(parts) == 1 for parts in of_part.values())
    assert sorted(part for parts in of_part.values() for part in parts) == [0, 0, 0, 1, 1, 1, 2, 2]


# --- equal n


def test_training_parts_are_equally_large_of_their_own_subset_and_of_whole_bases():
    rows = plant(same)
    subsets = [rows.instruction_types == "plm", rows.instruction_types == "human", np.ones(len(rows.y), bool)]
    folds = row_folds(rows.bases, Settings.from_config(PROBES, 0).folds(BASES)[0])
    for fold in range(4):
        mask = (folds != fold) & (folds != CALIBRATION)
        picks = [pick(mask) for pick in equal_parts(subsets, rows.bases, rows.ids, 0)]
        assert {int(pick.sum()) for pick in picks} == {int((mask & subsets[0]).sum())}
        for pick, subset in zip(picks, subsets, strict=True):
            assert not (pick & ~(mask & subset)).any()
        # As many bases, or the larger subset would be the more diverse one.
        assert len({len(set(rows.bases[pick])) for pick in picks}) == 1
    order = np.random.default_rng(0).permutation(len(rows.y))
    again = equal_parts([s[order] for s in subsets], rows.bases[order], rows.ids[order], 0)
    assert set(rows.ids[order][again[1](mask[order])]) == set(rows.ids[picks[1]])


def test_a_subset_of_all_rows_alone_is_the_specialist():
    from skillprobe.probes.specialists import specialist

    rows, settings = plant(same), replace(Settings.from_config(PROBES, 0), shuffles=0)
    every = np.ones(len(rows.y), bool)
    [[found]] = on_subsets(rows.x, rows.y, rows.bases, settings, [[every]], ids=rows.ids, study_bases=BASES)
    expected = specialist(rows.x, rows.y, rows.bases, settings, ids=rows.ids, study_bases=BASES)
    np.testing.assert_array_equal(found.scores, expected.scores)


# --- insufficient, in words


def test_too_few_rows_are_insufficient_in_words():
    strict = SETTINGS | {"probes": PROBES | {"min_rows": 60}}
    found = fit_wordings(plant(same), strict)
    for by_tested in found["type"].values():
        for result in by_tested.values():
            assert "to train on; probes need 60 from 5 of each class" in result.status
            assert np.isnan(result.scores).all()
    assert not found["held_out"]["other_phrasings"]["held_out"].status
    sizes = {size: [result.status for result in by.values()] for size, by in found["diversity"].items()}
    assert list(sizes) == ["1", "2", "4"] and all(sizes["1"]) and all(sizes["2"])
    assert sizes["4"] == ["", ""]


def test_a_curve_starts_where_half_of_the_draws_suffice(tables):
    curve = [tables["same"]["t", "diversity", k, "unseen"] for k in (1, 2, 4)]
    assert [row["status"] for row in curve] == ["", "", ""]
    table = robustness_table(
        "m",
        {3: {"t": fit_wordings(plant(same), SETTINGS | {"probes": PROBES | {"min_rows": 60}})}},
        {"t": "structural"},
        n_draws=100,
        study_bases=BASES,
    )
    rows = {row["n_phrasings"]: row for row in table if row["contrast"] == "diversity" and row["layer"] == 3}
    assert rows[1]["status"].startswith("insufficient:") and rows[4]["status"] == ""
    assert rows[""]["trained_on"] == "most_minus_fewest" and rows[""]["status"].startswith("insufficient:")


def test_truncated_tasks_are_insufficient():
    found = fit_wordings(replace(plant(same), truncated=0.2), SETTINGS)
    for by_trained in found.values():
        for by_tested in by_trained.values():
            assert all("20.0% of the responses are truncated" in r.status for r in by_tested.values())


def test_a_test_fold_without_pairs_is_told():
    labels, folds = np.array([0, 1, 0, 0, 1]), np.array([0, 0, 1, 1, CALIBRATION])
    assert unpaired(labels, folds) == "a test fold has no satisfied responses"
    folds[4] = 1
    assert unpaired(labels, folds) == ""
    parts = np.array([[True, True, True, True, False], [False, False, False, False, True]])
    assert unpaired(labels, folds, parts) == (
        "a test fold has no satisfied and violated responses that could be compared"
    )
    assert unpaired(labels, folds, parts[1:]) == "a test fold has no violated responses"


def test_one_wording_leaves_words_where_the_contrast_would_be():
    one = {"t": plant(same, phrasings=[("plm", "positive")])}
    found = tabulate(one)
    words = {
        contrast: {row["status"] for key, row in found.items() if key[1] == contrast}
        for contrast in ("type", "polarity", "held_out", "diversity")
    }
    assert words == {
        "type": {"insufficient: there is one instruction type"},
        "polarity": {"insufficient: human phrasings have one polarity"},
        "held_out": {"insufficient: there is one phrasing"},
        "diversity": {"insufficient: there are fewer than four phrasings"},
    }
    two = tabulate({"t": plant(same, phrasings=[("human", "positive"), ("plm", "positive")])})
    assert two["t", "type", "plm", "human"]["estimate"] > 0.8
    assert two["t", "type", "others_minus_across", ""]["status"].startswith("insufficient")
    assert ("t", "type", "other_types", "human") not in two


def test_means_are_of_the_tasks_that_have_the_cell(tables):
    found = tabulate({"a": plant(same), "b": plant(same, phrasings=[("plm", "positive")])})
    row = found["mean", "type", "plm", "human"]
    assert row["n_tasks"] == 1
    assert row["estimate"] == pytest.approx(found["a", "type", "plm", "human"]["estimate"])
    assert found["b", "type", "within", ""]["status"] == "insufficient: there is one instruction type"


def test_results_survive_a_file_and_the_best_layer_is_selected(tmp_path):
    rows = plant(same)
    blank = replace(rows, x=np.random.default_rng(1).normal(size=rows.x.shape).astype(np.float32))
    by_layer = {layer: {"t": fit_wordings(part, SETTINGS)} for layer, part in ((0, blank), (3, rows))}
    for layer, results in by_layer.items():
        save(tmp_path / f"{layer}.h5", results)
    again = {layer: load(tmp_path / f"{layer}.h5") for layer in by_layer}
    assert not again[3]["t"]["type"]["plm"]["human"].weights.size
    table = robustness_table("m", again, {"t": "structural"}, n_draws=100, study_bases=BASES)
    value = {
        row["layer"]: row["estimate"]
        for row in table
        if (row["task"], row["trained_on"], row["tested_on"]) == ("t", "plm", "human")
    }
    assert value["selected"] == pytest.approx(value[3]) and abs(value[0] - 0.5) < 0.15
    with pytest.raises(UserError, match="no probes across wordings of model 'm'"):
        robustness_table("m", {}, {})


# --- compliance


def label(base, satisfied, kind="human", polarity="positive", phrasing="p1", **more):
    row = {"base": base, "satisfied": satisfied, "variant": "constrained", "truncated": False}
    return row | {"instruction_type": kind, "polarity": polarity, "phrasing": phrasing} | more


def wordings(labels, bases, min_bases=2):
    table = wording.wording_table(
        "m", labels, dict.fromkeys(labels, "structural"), bases, min_bases=min_bases, n_draws=500
    )
    assert all(tuple(row) == wording.COLUMNS for row in table)
    return {(row["task"], row["by"], row["wording"]): row for row in table}


def test_shares_are_those_counted_by_hand():
    bases = [f"b{k:03d}" for k in range(4)]
    rows = [label(base, k < 3) for k, base in enumerate(bases)]
    rows += [label(base, k < 1, polarity="negated", phrasing="p2") for k, base in enumerate(bases)]
    rows += [label(base, True, kind="plm", phrasing="p3") for base in bases[:2]]
    rows += [label(bases[0], False, kind="plm", phrasing="p3", truncated=True)]
    rows += [label(bases[0], False, kind="plm", phrasing="p3", variant="unconstrained")]
    found = wordings({"t": rows, "u": [row | {"satisfied": True} for row in rows]}, bases)
    for key, share, n in (
        (("instruction_type", "human"), 4 / 8, 8),
        (("instruction_type", "plm"), 1.0, 2),
        (("instruction_type", "human_minus_plm"), -0.5, 10),
        (("polarity", "positive"), 3 / 4, 4),
        (("polarity", "negated"), 1 / 4, 4),
        (("polarity", "positive_minus_negated"), 0.5, 8),
        (("phrasing", "p2"), 1 / 4, 4),
    ):
        row = found["t", *key]
        assert row["estimate"] == pytest.approx(share) and row["n"] == n and row["status"] == ""
        assert row["lower99"] <= row["lower95"] <= share <= row["upper95"] <= row["upper99"]
    assert found["mean", "polarity", "negated"]["estimate"] == pytest.approx((1 / 4 + 1) / 2)
    assert found["mean", "polarity", "positive_minus_negated"]["n_tasks"] == 2
    # No entailment phrasing was asked.
    row = found["t", "instruction_type", "human_minus_entailment"]
    assert row["status"] == "insufficient: no responses to human or to entailment phrasings"
    assert ("mean", "phrasing", "p1") not in found


def test_a_difference_is_paired_over_bases():
    """What is easy in one wording is easy in the other: the difference is surer than its parts."""
    bases = [f"b{k:03d}" for k in range(40)]
    rows = [label(base, k % 2 == 0, kind) for k, base in enumerate(bases) for kind in ("human", "plm")]
    found = wordings({"t": rows}, bases)
    row = found["t", "instruction_type", "human_minus_plm"]
    assert row["estimate"] == row["lower99"] == row["upper99"] == 0
    assert found["t", "instruction_type", "human"]["upper95"] > 0.6


def test_few_bases_have_a_share_but_no_interval():
    bases = [f"b{k:03d}" for k in range(12)]
    rows = [label(base, True) for base in bases] + [label(bases[0], False, "plm", phrasing="p9")]
    found = wordings({"t": rows}, bases, min_bases=10)
    row = found["t", "phrasing", "p9"]
    assert row["estimate"] == 0 and np.isnan(row["lower95"])
    assert row["status"] == "insufficient: responses to 1 bases; an interval needs 10"
    row = found["t", "instruction_type", "human_minus_plm"]
    assert np.isnan(row["estimate"]) and row["status"].startswith("insufficient: responses to 1 bases")
    assert found["mean", "instruction_type", "plm"]["status"] == "insufficient: no task has enough data"


def test_one_type_and_no_answers():
    bases = [f"b{k:03d}" for k in range(12)]
    found = wordings({"t": [label(base, True) for base in bases]}, bases)
    for task in ("t", "mean"):
        for kind in ("plm", "entailment"):
            row = found[task, "instruction_type", f"human_minus_{kind}"]
            assert row["status"] == "insufficient: there is one instruction type"
        row = found[task, "polarity", "positive_minus_negated"]
        assert row["status"] == "insufficient: human phrasings have one polarity"
    nothing = wordings({"t": [label(base, True, truncated=True) for base in bases]}, bases)
    assert all(row["status"].startswith("insufficient") for row in nothing.values()) and nothing
