"""Probes of one task, their controls, and their chance level."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
from made.probes import SETTINGS, task_data
from made.scopes import SETTINGS as SCOPED
from made.scopes import probe_rows
from skillprobe.analyses.counting import count_tasks, fold_aurocs
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.solver import feature_scale
from skillprobe.probes.specialists import fit_scopes, specialist
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.bootstrap import auroc_draws, auroc_lines, draw_groups
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import auroc_estimate, interval
from skillprobe.statistics.metrics import auroc
from sklearn.linear_model import LogisticRegression


def test_specialist_scores_are_those_of_a_probe_without_the_test_bases():
    x, y, groups = task_data()
    result = specialist(x, y, groups, SETTINGS)
    assert result.status == "" and result.scores.shape == (3, len(y)) and result.scores.dtype == np.float32
    assert np.isnan(result.scores[:, result.folds[0] == CALIBRATION]).all()
    scale = feature_scale(x[result.folds[0] == CALIBRATION])
    for s, f in [(0, 0), (2, 3)]:
        test = result.folds[s] == f
        train = ~test & (result.folds[s] != CALIBRATION)
        assert not set(groups[train]) & set(groups[test])
        z = x / scale
        z = (z - z[train].mean(0)) / np.sqrt(z[train].var(0).mean())
        reference = LogisticRegression(C=result.chosen_c[s, f], tol=1e-10, max_iter=10000).fit(
            z[train], y[train]
        )
        np.testing.assert_allclose(result.scores[s, test], reference.decision_function(z[test]), atol=1e-4)


def test_a_test_fold_without_pairs_is_skipped():
    """Its rows are trained on, and the AUROC is that of the other folds, as in every draw."""
    x, y, groups = task_data()
    first = replace(SETTINGS, fold_seeds=(0,), shuffles=0)
    rows = first.row_folds(groups, groups)[0] == 2
    y = np.where(rows, 1, y)
    result = specialist(x, y, groups, first, truncated_fraction=0.1)
    assert result.status == "" and result.truncated == 0.1
    assert np.isfinite(result.inner_auroc).all() and np.isfinite(result.scores[0, rows]).all()
    others = np.where(result.folds == 2, CALIBRATION, result.folds)
    draws = draw_groups(groups[result.folds[0] >= 0], n_draws=50)
    (value,), drawn = auroc_lines(result.scores, y, groups, result.folds, draws)
    (expected,), of_others = auroc_lines(result.scores, y, groups, others, draws)
    assert 0.5 < value == expected and np.array_equal(drawn, of_others)
    by_fold = fold_aurocs(result, draws, 5)
    assert np.isnan(by_fold.by_seed[0]).tolist() == [False, False, True, False, False]
    assert np.isnan(by_fold.drawn[:, 0, 2]).all()
    counting = count_tasks({"topic": [result]}, draws, 0.55)
    assert counting.counts.all() and counting.names == ["topic"]
    assert counting.mean({"topic": by_fold}).value == np.nanmean(by_fold.by_seed)
    # Two of five are too many.
    y = np.where(result.folds[0] == 4, 1, y)
    assert specialist(x, y, groups, first).status.startswith("only 3 of 5 test folds have satisfied")


def test_null_data_gives_a_half_within_its_interval():
    inside, values = 0, []
    for seed in range(6):
        x, y, groups = task_data(seed=seed, signal=0)
        result = specialist(x, y, groups, SETTINGS)
        by_seed = [auroc(s, y, f).value for s, f in zip(result.scores, result.folds, strict=True)]
        draws = draw_groups(groups[result.folds[0] >= 0], n_draws=300)
        boot = np.mean(
            [auroc_draws(s, y, groups, f, draws) for s, f in zip(result.scores, result.folds, strict=True)], 0
        )
        found = interval(by_seed, boot, 0.99)
        inside += found.lower <= 0.5 <= found.upper
        values.append(found.estimate)
    assert inside >= 5 and abs(np.mean(values) - 0.5) < 0.04


def test_requests_about_one_subject_leak_unless_they_are_one_group():
    """Noise with a subject effect of 1.5 logits, three requests about each subject: with a group a subject
    probes are at chance, with a group a request they read the subject and take it for a signal."""
    n_subjects, per_subject, per_request, d = 20, 3, 4, 64
    by_subject, by_request = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        subject = np.repeat(np.arange(n_subjects), per_subject * per_request)
        request = np.repeat(np.arange(n_subjects * per_subject), per_request)
        x = rng.normal(size=(n_subjects, d))[subject] + rng.normal(size=(len(subject), d))
        y = (rng.logistic(size=len(subject)) < 1.5 * rng.normal(size=n_subjects)[subject]).astype(int)
        few = replace(SETTINGS, shuffles=0, min_rows=5, min_groups=3)
        for found, groups in ((by_subject, subject), (by_request, request)):
            result = specialist(x, y, np.char.add("g", groups.astype(str)), few)
            assert not result.status
            each = [auroc(s, y, f).value for s, f in zip(result.scores, result.folds, strict=True)]
            found.append(np.mean(each))
    assert 0.47 < np.mean(by_subject) < 0.53
    assert np.mean(by_request) > 0.59


def test_shuffled_labels_keep_bases_together_and_say_nothing():
    """A probe of shuffled labels is at chance where rows of a group are alike, and above it with rows dealt
    to folds one by one: the leak that grouping prevents."""
    rng = np.random.default_rng(0)
    n_groups, per_base, d = 60, 8, 128
    groups = np.repeat([f"b{i:03d}" for i in range(n_groups)], per_base)
    # Rows know their group and labels follow the group, but nothing carries over to another group.
    x = np.repeat(2 * rng.normal(size=(n_groups, d)), per_base, axis=0) + rng.normal(size=(len(groups), d))
    y = rng.random(len(groups)) < np.repeat(rng.choice([0.1, 0.9], n_groups), per_base)
    result = specialist(x, y.astype(int), groups, replace(SETTINGS, shuffles=10))
    for labels in result.shuffled_labels:
        rates = [sorted(each.reshape(n_groups, per_base).sum(1)) for each in (labels, result.labels)]
        assert rates[0] == rates[1]
    control = [
        auroc(scores, labels, result.folds[0]).value
        for scores, labels in zip(result.shuffled_scores, result.shuffled_labels, strict=True)
    ]
    assert abs(np.mean(control) - 0.5) < 0.06
    draws = draw_groups(groups[result.folds[0] >= 0], n_draws=300)
    scores, folds = result.scores[0], result.folds[0]
    found = interval([auroc(scores, y, folds).value], auroc_draws(scores, y, groups, folds, draws), 0.99)
    assert found.lower < 0.5 < found.upper
    # The same rows with a group of its own for each.
    leaking = specialist(x, y.astype(int), [f"r{i}" for i in range(len(y))], SETTINGS)
    assert auroc(leaking.scores[0], y, leaking.folds[0]).value > 0.65


def test_residualised_probe_loses_what_the_confound_says_and_keeps_the_rest():
    rng = np.random.default_rng(1)
    x, y, groups = task_data(signal=0, n_groups=80)
    length = 20 + 2 * y + rng.normal(size=len(y))
    x[:, 3] += length
    confounds = np.stack([np.ones(len(y)), length], axis=1)

    def measured(x):
        result = specialist(x, y, groups, SETTINGS, confounds=confounds)
        scores = (result.scores[0], result.residualised_scores[0])
        return [auroc(each, y, result.folds[0]).value for each in scores]

    plain, left = measured(x)
    assert plain > 0.8 and left < 0.65
    # A second signal, of which the length says nothing.
    x[:, 5] += 4 * (y - (length - length.mean()) @ y / np.sum((length - length.mean()) ** 2) * length)
    assert measured(x)[1] > 0.8


def test_probe_jobs_import_neither_scikit_learn_nor_scipy():
    code = (
        "import sys, skillprobe.probes.specialists, skillprobe.analyses.generality;"
        "assert not {'sklearn', 'scipy', 'pandas', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def auroc_of(result):
    draws = draw_groups(result.groups[result.folds[0] != CALIBRATION], n_draws=20)
    return float(auroc_estimate(result, draws).value)


def test_what_the_prompt_says_is_gone_within_prompts():
    """A probe that reads how easy the prompt is is good across prompts, and at chance within them."""
    aurocs = [auroc_of(each) for each in fit_scopes(probe_rows(prompt=3.0), SCOPED).values()]
    assert aurocs[0] > 0.75 and abs(aurocs[1] - 0.5) < 0.06


def test_what_a_response_tells_is_found_in_both_scopes():
    aurocs = [auroc_of(each) for each in fit_scopes(probe_rows(response=0.8), SCOPED).values()]
    assert min(aurocs) > 0.7


def test_noise_is_at_chance_within_prompts():
    aurocs = [auroc_of(fit_scopes(probe_rows(seed=seed), SCOPED)["within"]) for seed in range(6)]
    assert abs(np.mean(aurocs) - 0.5) < 0.03


def test_the_probe_within_prompts_is_the_one_of_its_definition():
    """Rows of prompts with both outcomes, minus the mean of the prompt's; one scale for both scopes."""
    rows = probe_rows(response=0.6)
    result = fit_scopes(rows, SCOPED)["within"]
    mixed = np.isin(rows.items, [i for i in set(rows.items) if 0 < rows.y[rows.items == i].mean() < 1])
    assert (
        result.ids.tolist() == rows.ids[mixed].tolist()
        and result.items.tolist() == rows.items[mixed].tolist()
    )
    x = rows.x[mixed].astype(float)
    for item in set(result.items):
        x[result.items == item] -= x[result.items == item].mean(axis=0)
    settings = Settings.from_config(SCOPED["probes"], 0)
    fold = settings.row_folds(rows.groups, group_ids(SCOPED["groups"]))[0]
    z = x / feature_scale(rows.x[fold == CALIBRATION])
    s, f = 1, 2
    test, train = result.folds[s] == f, ~np.isin(result.folds[s], (f, CALIBRATION))
    z = (z - z[train].mean(0)) / np.sqrt(z[train].var(0).mean())
    reference = LogisticRegression(C=result.chosen_c[s, f], tol=1e-10, max_iter=10000)
    reference.fit(z[train], rows.y[mixed][train])
    np.testing.assert_allclose(result.scores[s, test], reference.decision_function(z[test]), atol=1e-4)


def test_few_prompts_with_both_outcomes_are_insufficient_within_prompts():
    rows = probe_rows(response=0.6)
    few = SCOPED | {"probes": SCOPED["probes"] | {"min_mixed_items": 500}}
    found = fit_scopes(rows, few)
    assert found["across"].status == "" and "pairs within a prompt take 500 of 30" in found["within"].status
    assert np.isnan(found["within"].scores).all() and len(found["within"].items) == len(found["within"].ids)


def test_the_controls_have_the_scope_of_their_probe():
    settings = SCOPED | {
        "probes": SCOPED["probes"] | {"shuffles": 6, "confounds": ["response_length", "phrasing"]}
    }
    found = fit_scopes(probe_rows(prompt=2.0, response=0.8), settings)["within"]
    draws = draw_groups(found.groups, n_draws=20)
    shuffled, _ = auroc_lines(
        found.shuffled_scores, found.shuffled_labels, found.groups, found.folds[0], draws, found.items
    )
    assert abs(shuffled.mean() - 0.5) < 0.05
    rest, _ = auroc_lines(
        found.residualised_scores, found.labels, found.groups, found.folds, draws, found.items
    )
    assert rest.min() > 0.7
