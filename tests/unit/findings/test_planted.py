"""Planted worlds hold what they say, and nothing else."""

import numpy as np
import pytest
from skillprobe.analyses.blocks import PAPER_GROUPS
from skillprobe.errors import UserError
from skillprobe.findings.planted import KNOWN_SPREAD, SURFACE_SPREAD, plant
from skillprobe.findings.worlds import (
    FEW_VIOLATIONS,
    GROUP_COSINE,
    PAIR_COSINE,
    SUBJECT_ODDS,
    WORLDS,
)
from skillprobe.probes.rows import minus_item_means
from skillprobe.statistics.folds import mixed_items
from skillprobe.statistics.metrics import auroc_within, concordance
from skillprobe.statistics.variance import between_variance
from skillprobe.tasks import NAMES, get

CATEGORIES = {task: get(task).category for task in NAMES}
BASES = [f"b{number:03d}" for number in range(400)]


def make(world, auroc=0.9, seed=0, groups=BASES, **options):
    return plant(world, CATEGORIES, groups, seed=seed, auroc=auroc, hidden_size=24, **options)


def whitened(rows, layer=-1):
    """Activations in which the noise within classes is white, and the classes' difference in them."""
    x = np.asarray(rows.x[layer], float)
    within = x - np.where(rows.labels[:, None], x[rows.labels == 1].mean(0), x[rows.labels == 0].mean(0))
    values, axes = np.linalg.eigh(np.cov(within.T))
    x = x @ (axes / np.sqrt(values))
    return x, x[rows.labels == 1].mean(0) - x[rows.labels == 0].mean(0)


def best_auroc(rows, layer=-1):
    """Of the linear discriminant, fitted to half of the groups and tried on the others."""
    x, _ = whitened(rows, layer)
    first = rows.groups < BASES[len(BASES) // 2]
    gap = x[first & (rows.labels == 1)].mean(0) - x[first & (rows.labels == 0)].mean(0)
    scores, labels = x[~first] @ gap, rows.labels[~first]
    positive, negative = scores[labels == 1], scores[labels == 0]
    return concordance(positive, negative) / len(positive) / len(negative)


def item_names(rows):
    return np.array([f"{group}/{item}" for group, item in zip(rows.groups, rows.items, strict=True)])


def best_within(rows, layer=-1):
    """The same of pairs within an item, of rows minus their item's mean."""
    items = item_names(rows)
    used = mixed_items(rows.labels, items)
    labels, items, groups = rows.labels[used], items[used], rows.groups[used]
    x = minus_item_means(rows.x[layer][used], items)
    first = groups < BASES[len(BASES) // 2]
    gap = x[first & (labels == 1)].mean(0) - x[first & (labels == 0)].mean(0)
    own = x[first] - np.where(labels[first, None] == 1, 0.5, -0.5) * gap
    direction = np.linalg.lstsq(np.cov(own.T), gap, rcond=None)[0]
    scores = x[~first] @ direction
    return auroc_within(scores, labels[~first], items[~first], np.zeros(len(scores), int)).value


SCOPES = [best_auroc, best_within]


@pytest.mark.parametrize("world", ["universal", "compositional", "clustered", "length_confounded"])
@pytest.mark.parametrize("auroc", [0.75, 0.9])
@pytest.mark.parametrize("best", SCOPES)
def test_the_effect_is_the_stated_one_across_and_within_prompts(world, auroc, best):
    reached = [best(rows) for rows in make(world, auroc, items=2).values()]
    assert np.mean(reached) == pytest.approx(auroc, abs=0.02)


@pytest.mark.parametrize("world", ["noise", "subjects"])
@pytest.mark.parametrize("best", SCOPES)
def test_without_a_signal_nothing_is_told(world, best):
    reached = [best(rows) for rows in make(world, items=2).values()]
    assert np.mean(reached) == pytest.approx(0.5, abs=0.03)


def test_a_state_that_holds_the_params_tells_the_label_across_prompts_only():
    planted = make("params", items=2)
    assert np.mean([best_auroc(rows) for rows in planted.values()]) > 0.75
    assert np.mean([best_within(rows) for rows in planted.values()]) == pytest.approx(0.5, abs=0.03)
    for rows in planted.values():
        numbers = np.array([each["n"] for each in rows.params])
        allowed = np.array([each["relation"] == "at_most" for each in rows.params])
        easy = np.where(allowed, numbers - 32, 32 - numbers)
        assert rows.labels[easy > np.median(easy)].mean() > 0.6
        # Of one item all rows have the same.
        assert len({(*key, *each.values()) for key, each in zip(keys(rows), rows.params, strict=True)}) == 800


def keys(rows):
    return list(zip(rows.groups.tolist(), rows.items.tolist(), strict=True))


def test_every_third_task_is_silent():
    reached = [best_auroc(rows) for rows in make("silent_tasks").values()]
    assert max(reached[2::3]) < 0.6 < 0.85 < min(value for k, value in enumerate(reached) if k % 3 != 2)


def test_one_task_has_few_violations():
    shares = [1 - rows.labels.mean() for rows in make("few_violations").values()]
    assert shares[0] == pytest.approx(FEW_VIOLATIONS, abs=0.02) and min(shares[1:]) > 0.2


def test_tasks_are_of_unequal_strength_along_one_direction():
    reached = [best_auroc(rows) for rows in make("unequal", 0.85).values()]
    assert reached[0] < 0.78 and reached[-1] > 0.95 and np.corrcoef(reached, range(9))[0, 1] > 0.9


def test_subjects_decide_and_not_prompts():
    """Half of the variance of the log-odds of a mean of eight; the rate of an item says no more."""
    for rows in make("subjects", items=4).values():
        item = np.unique(item_names(rows), return_inverse=True)[1]
        satisfied, samples = np.bincount(item, rows.labels), np.bincount(item)
        groups = rows.groups[np.unique(item, return_index=True)[1]]
        # Between items, each a group of its own, and between those of different groups.
        every = between_variance(satisfied, samples, np.arange(len(item)).astype(str)[: len(samples)])[0]
        odds = SUBJECT_ODDS * np.random.default_rng(0).normal(size=100_000)
        assert every == pytest.approx(np.var(1 / (1 + np.exp(-odds))), abs=0.02)
        rate = np.array([satisfied[groups == group].sum() / 16 for group in BASES])
        assert np.var(rate) > 0.8 * every


@pytest.mark.parametrize("world, share", [("half_planned", 0.5), ("wholly_planned", 1.0)])
def test_the_state_at_the_prompts_end_knows_its_share_of_what_the_surface_leaves(world, share):
    found = []
    for rows in make(world, items=2).values():
        item = np.unique(item_names(rows), return_inverse=True)[1]
        first = np.unique(item, return_index=True)[1]
        rate = np.bincount(item, rows.labels) / 4
        u = np.array([(32 - p["n"]) * (-1 if p["relation"] == "at_most" else 1) for p in rows.params])[first]
        left = rate - np.polyval(np.polyfit(u, rate, 1), u)
        x = np.asarray(rows.course["prompt_100"][-1][first], float)
        train = rows.groups[first] < BASES[200]
        mean = x[train].mean(0)
        weights = np.linalg.lstsq(x[train] - mean, left[train], rcond=None)[0]
        found.append(np.cov((x[~train] - mean) @ weights, left[~train])[0, 1])
        known = KNOWN_SPREAD["half" if world == "half_planned" else "all"]
        variance = between_variance(np.bincount(item, rows.labels), np.bincount(item), rows.groups[first])[0]
        total = SURFACE_SPREAD**2 + known**2 / share
        assert variance == pytest.approx(total, abs=0.02)
        # Samples of one prompt share its state.
        assert (rows.course["prompt_100"][-1][1] == rows.course["prompt_100"][-1][0]).all()
    assert np.mean(found) == pytest.approx(known**2, rel=0.25)


def contrast(rows):
    """Of the states along the task's own direction, which is that of the label: [n]."""
    x = np.asarray(rows.crossed.x[-1], float)
    gap = rows.x[-1][rows.labels == 1].mean(0) - rows.x[-1][rows.labels == 0].mean(0)
    direction = np.linalg.lstsq(np.cov(rows.x[-1].T.astype(float)), gap, rcond=None)[0]
    scores = x @ direction
    return scores[:, 0, 0] + scores[:, 1, 1] - scores[:, 0, 1] - scores[:, 1, 0]


@pytest.mark.parametrize(
    "world, read, likely",
    [("match_read", True, False), ("likelihood_read", True, True), ("text_read", False, False)],
)
def test_crossings_are_read_as_the_world_says(world, read, likely):
    planted = make(world, 0.9)
    shares = [(contrast(rows) > 0).mean() for rows in planted.values()]
    assert min(shares) > 0.9 if read else abs(np.mean(shares) - 0.5) < 0.03
    told = [rows.crossed.log_probability for rows in planted.values()]
    shares = [(t[:, 0, 0] + t[:, 1, 1] - t[:, 0, 1] - t[:, 1, 0] > 0).mean() for t in told]
    assert min(shares) > 0.9 if likely else abs(np.mean(shares) - 0.5) < 0.03


def test_every_third_task_leads_two_others_that_have_its_direction():
    planted = make("asymmetric", 0.8)
    reached = [best_auroc(rows) for rows in planted.values()]
    assert min(reached[::3]) > 0.95 and np.mean(reached[1::3] + reached[2::3]) == pytest.approx(0.8, abs=0.03)
    cosine = cosines(planted)
    shared = (cosine > 0.8).sum(axis=1)
    assert shared.tolist() == [3] * 9 and (np.abs(cosine[cosine < 0.8]) < 0.35).all()


def cosines(planted):
    """Of the tasks' directions, in one metric for all: [T, T]."""
    x = np.concatenate([rows.x[-1] - rows.x[-1].mean(0) for rows in planted.values()])
    values, axes = np.linalg.eigh(np.cov(x.T))
    gaps = [(r.x[-1][r.labels == 1].mean(0) - r.x[-1][r.labels == 0].mean(0)) for r in planted.values()]
    gaps = np.array([gap @ axes / np.sqrt(values) for gap in gaps])
    gaps /= np.linalg.norm(gaps, axis=1, keepdims=True)
    return gaps @ gaps.T


def test_the_first_of_a_pair_is_stronger_and_shares_its_direction():
    planted = make("pairs", 0.75)
    reached = {task: best_auroc(rows) for task, rows in planted.items()}
    first, second = list(CATEGORIES)[0:8:2], list(CATEGORIES)[1:9:2]
    assert min(reached[task] for task in first) > 0.9
    assert np.mean([reached[task] for task in second]) == pytest.approx(0.75, abs=0.03)
    cosine = cosines(planted)[range(0, 8, 2), range(1, 9, 2)]
    assert np.mean(cosine) == pytest.approx(PAIR_COSINE, abs=0.15)


def test_directions_are_shared_as_the_world_says():
    group = {task: number for number, names in enumerate(PAPER_GROUPS) for task in names}
    for world, within, between in (
        ("universal", 1, 1),
        ("compositional", 0, 0),
        ("clustered", GROUP_COSINE, 0),
    ):
        cosine = cosines(make(world, 0.97))
        for i, a in enumerate(CATEGORIES):
            for j, b in enumerate(CATEGORIES):
                if i < j:
                    wanted = within if group[a] == group[b] else between
                    assert cosine[i, j] == pytest.approx(wanted, abs=0.25), (world, a, b)


def test_a_task_shares_the_direction_of_the_block_that_it_joins():
    categories = {**CATEGORIES, "shouting": "stylistic"}
    names = list(categories)
    for joined, wanted in (({}, 0), ({"shouting": "topic"}, GROUP_COSINE)):
        made = plant("clustered", categories, BASES, seed=0, auroc=0.97, hidden_size=24, joined=joined)
        cosine = cosines(made)[names.index("shouting")]
        assert cosine[names.index("topic")] == pytest.approx(wanted, abs=0.25)
        assert cosine[names.index("register")] == pytest.approx(0, abs=0.25)


@pytest.mark.parametrize("world, order", [("compositional", 1), ("clustered", -1)])
def test_signals_begin_where_the_world_says(world, order):
    rank = {"structural": 1, "lexical": 2, "semantic": 3, "stylistic": 3}
    for task, rows in make(world, 0.97, num_layers=6).items():
        first = 2 * (rank[CATEGORIES[task]] if order == 1 else 4 - rank[CATEGORIES[task]])
        assert best_auroc(rows, first - 1) < 0.6 < 0.9 < best_auroc(rows, first)


def test_one_direction_is_there_in_one_half_of_the_layers_for_each_task():
    for number, rows in enumerate(make("depths", 0.97, num_layers=4).values()):
        reached = [best_auroc(rows, layer) > 0.75 for layer in range(5)]
        assert reached == ([False, True, True, False, False] if number % 2 else [False] * 3 + [True] * 2)


@pytest.mark.parametrize("world", WORLDS)
def test_length_goes_with_the_label_in_one_world_only(world):
    found = []
    for rows in make(world).values():
        longer, shorter = rows.lengths[rows.labels == 1], rows.lengths[rows.labels == 0]
        found.append(concordance(longer, shorter) / len(longer) / len(shorter))
    assert np.mean(found) == pytest.approx(0.9 if WORLDS[world].by_length else 0.5, abs=0.025)


def test_answers_to_one_request_are_alike():
    """Or folds that split requests would not leak, and the worlds be too easy."""
    rows = plant("noise", CATEGORIES, BASES, seed=0, auroc=0.9, items=2, samples=2, hidden_size=64)["topic"]
    x = whitened(rows)[0]
    alike = x @ x.T / x.shape[1]
    same_item = item_names(rows)[:, None] == item_names(rows)
    same_group = (rows.groups[:, None] == rows.groups) & ~same_item
    different = rows.groups[:, None] != rows.groups
    np.fill_diagonal(same_item, False)
    assert alike[same_item].mean() > alike[same_group].mean() + 0.05
    assert alike[same_group].mean() > alike[different].mean() + 0.2
    assert (rows.labels[:, None] == rows.labels)[same_item].mean() > 0.55


def test_worlds_of_one_seed_are_the_same_and_of_another_others():
    first, again, other = (make("universal", seed=seed, groups=BASES[:20])["topic"] for seed in (0, 0, 1))
    assert np.array_equal(first.x, again.x) and not np.array_equal(first.x, other.x)


def test_too_few_dimensions_are_refused():
    with pytest.raises(UserError, match="hidden_size is 18; planting 9 tasks takes at least 19"):
        plant("universal", CATEGORIES, BASES[:5], seed=0, auroc=0.8, hidden_size=18)
