"""What a study will have, held against what simulated studies have."""

import math
from dataclasses import replace

import numpy as np
import pytest
from skillprobe.analyses.sufficiency import (
    Design,
    concentration,
    enough,
    enough_for_all,
    forecast,
    mixed_share,
    needed,
)
from skillprobe.statistics.folds import CALIBRATION, assign_folds, row_folds, sufficiency

DESIGN = Design(
    bases=120,
    items_per_base=2,
    samples=4,
    subjects=150,
    contents=600,
    folds=5,
    fold_seeds=3,
    calibration_fraction=0.1,
    min_rows=20,
    min_groups=10,
    max_truncated=0.2,
    flag_truncated=0.05,
    min_mixed_items=60,
    min_mixed_groups=30,
    min_mixed_in_fold=8,
)


def seen(compliance, mixed, truncated=0.0, n_per_item=4.0):
    return {"compliance": compliance, "mixed": mixed, "truncated": truncated, "n_per_item": n_per_item}


@pytest.mark.parametrize("spread", [0.05, 1.0, 7.0])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_the_share_of_mixed_items_is_that_of_beta_binomial_draws(rate, spread):
    rng = np.random.default_rng(0)
    p = rng.beta(rate * spread, (1 - rate) * spread, 200_000)
    counts = rng.binomial(4, p)
    expected = mixed_share(rate, spread, 4)
    assert expected == pytest.approx(np.mean((counts > 0) & (counts < 4)), abs=0.005)
    assert concentration(rate, expected, 4) == pytest.approx(spread, rel=1e-3)


def test_items_with_one_outcome_or_all_alike_are_the_ends():
    assert mixed_share(0.3, 0, 9) == 0 and concentration(0.3, 0.0, 4) == 0
    assert mixed_share(0.5, math.inf, 4) == 1 - 2 / 16 and concentration(0.5, 0.95, 4) == math.inf
    assert mixed_share(1.0, 5.0, 4) == 0 and concentration(1.0, 0.0, 4) == 0


def simulated(rate, spread, design, seed):
    """Labels, groups and items of one study."""
    rng = np.random.default_rng(seed)
    items = design.bases * design.items_per_base
    p = rng.beta(rate * spread, (1 - rate) * spread, items)
    labels = (rng.random((items, design.samples)) < p[:, None]).astype(int)
    group = np.arange(items) // design.items_per_base % min(design.bases, design.subjects)
    return labels, np.array([f"g{number:03d}" for number in group])


@pytest.mark.parametrize(("rate", "spread"), [(0.5, 2.0), (0.85, 1.0), (0.3, 0.3)])
def test_the_forecast_is_the_mean_of_simulated_studies(rate, spread):
    found = []
    for seed in range(40):
        labels, groups = simulated(rate, spread, DESIGN, seed)
        mixed = (labels.min(1) == 0) & (labels.max(1) == 1)
        smallest, training = [], []
        for fold_seed in range(3):
            of_group = assign_folds(groups, n_folds=5, seed=seed, fold_seed=fold_seed)
            folds = row_folds(groups, of_group)
            smallest += [np.sum(mixed & (folds == fold)) for fold in range(5)]
            rare = int(rate < 0.5)
            for fold in range(5):
                part = (folds != fold) & (folds != CALIBRATION)
                training.append(
                    (np.sum(labels[part] == rare), len(set(groups[part & (labels == rare).any(1)])))
                )
        used = folds != CALIBRATION
        rows, of_class = np.mean(training, 0)
        found.append([rows, of_class, np.sum(mixed & used), len(set(groups[mixed & used])), min(smallest)])
    expected = forecast(seen(rate, mixed_share(rate, spread, 4)), DESIGN)
    values = (expected.rows, expected.groups, expected.mixed_items, expected.mixed_groups, expected.per_fold)
    assert np.mean(found, 0) == pytest.approx(values, rel=0.12, abs=1.0)


def test_what_is_forecast_to_be_enough_is_enough_for_the_probes():
    """Across, by the rule that decides it in a study."""
    for bases, ends in ((60, True), (15, False)):
        design = replace(DESIGN, bases=bases, items_per_base=1)
        labels, groups = simulated(0.6, 1.0, design, seed=1)
        folds = row_folds(np.repeat(groups, 4), assign_folds(groups))
        assert (sufficiency(labels.ravel(), np.repeat(groups, 4), folds) == "") is ends
        assert (forecast(seen(0.6, mixed_share(0.6, 1.0, 4)), design).across == "") is ends


def test_what_is_needed_is_the_least_that_is_enough():
    row = seen(0.5, 0.3)
    small = replace(DESIGN, bases=60, items_per_base=1)
    found = needed(row, small)
    assert found.keys() == {"bases", "items_per_base"}  # 16 samples wouldn't do with 60 bases
    for key, value in found.items():
        step = 10 if key == "bases" else 1
        assert enough(row, replace(small, **{key: value}))
        assert not enough(row, replace(small, **{key: value - step}))
    assert needed(row, replace(small, **{"bases": found["bases"]})) == {}
    assert needed(seen(0.5, 0.3), replace(DESIGN, bases=180, items_per_base=1)).keys() >= {"samples"}
    assert enough_for_all([row, seen(0.5, 0.2), seen(0.5, 0.8)], small) == needed(seen(0.5, 0.2), small)
    assert enough_for_all([row, seen(0.5, 0.0)], small) == {}


def test_where_nothing_would_be_enough():
    one_outcome = seen(0.5, 0.0)
    assert forecast(one_outcome, DESIGN).across == "" and needed(one_outcome, DESIGN) == {}
    assert "about 0 of 60 items with both outcomes" in forecast(one_outcome, DESIGN).within
    never = forecast(seen(0.0, 0.0), DESIGN)
    assert never.across == "about 0 of 20 satisfied responses, of 0 of 10 subjects, in a training part"
    cut = forecast(seen(0.5, 0.5, truncated=0.3), DESIGN)
    assert cut.across == cut.within == "30% of the responses are truncated"
    assert forecast(seen("", "", truncated=1.0), DESIGN).across == "all responses are truncated"
    assert forecast(seen(math.nan, math.nan, math.nan), DESIGN).within == "no responses"
    # Few subjects are no more groups with more requests.
    few = replace(DESIGN, bases=25, subjects=25, contents=150)
    assert needed(seen(0.5, 0.8), few) == {}


def test_each_scope_has_its_own_reason():
    all_alike = seen(0.97, 0.11)
    found = forecast(all_alike, DESIGN)
    assert found.within and not found.across
    rare = forecast(seen(0.99, 0.04), replace(DESIGN, bases=60))
    assert "violated responses" in rare.across and "both outcomes" in rare.within
